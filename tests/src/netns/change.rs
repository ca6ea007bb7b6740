//! `--delay`, `--jitter`, `--loss`, and `connect --change`.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, NFT, Need, STRACE, UNSHARE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[UNSHARE, IP, NFT, Need::NetworkNamespaces];

/// `rates` prints the queues of both ends of the pair, and what the rules of the port pass.
const STAGE: &str = r#"
mount -t tmpfs none /run; ip netns add a
port() { ip -o link | grep -o 'veth[0-9a-f]\{8\}'; }
rates() { { tc qdisc show dev $(port); ip netns exec a tc qdisc show dev eth0; } | grep -o 'rate [^ ]*\|htb' | tr '\n' ' '; nft list ruleset | grep -o 'over [^ ]*' || echo; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "connect --change sets another rate in both directions, whatever root inside did to its end",
        NEEDS,
        |world| {
            let script = r#"
                netns-rs connect a --bridge box0 --address 10.97.9.2/24 --rate 10mbit; rates
                netns-rs connect --change a --rate 5mbit; rates
                ip netns exec a tc qdisc replace dev eth0 root htb; rates; netns-rs connect --change a --rate 4mbit; rates
                ip netns exec a ip link set eth0 down; ip netns exec a ip link set eth0 name eth9; netns-rs connect --change a --rate 3mbit; echo $?
                netns-rs connect --change a --interface eth9 --rate none; ip netns exec a ip link set eth9 name eth0; rates
                tc qdisc replace dev $(port) root htb; netns-rs connect --change a --rate 3mbit; echo $?; rates; tc qdisc delete dev $(port) root
                for wrong in '' '--rate 3mbit --bridge box0 --address 10.97.9.2/24' '--rate 3mbit --mtu 1400' '--jitter 5ms' '--delay 5' '--loss 2'; do
                    netns-rs connect --change a $wrong; echo $?; done | uniq -c | tr -d ' '; netns-rs connect --change . --rate 3mbit; echo $?"#;
            let expected = "rate 10Mbit rate 10Mbit over 1250000\nrate 5Mbit rate 5Mbit over 625000\nrate 5Mbit htb over 625000\n\
                rate 4Mbit rate 4Mbit over 500000\n125\n\n125\nhtb \n6125\n125\n";
            // The control: root inside can remove the bucket of its end, and the rule of the port stays.
            apart(world, &format!("{STAGE}\n{script}"))
                .stdout_is(expected)
                .stderr_has("cannot change eth0 of the a network namespace: there is no such interface")
                .stderr_has("it has a queue of kind htb")
                .stderr_has("connect --change needs --rate, --delay, --jitter, --loss, --publish or --unpublish")
                .stderr_has("only --rate, --delay, --jitter, --loss and --publish can be changed")
                .stderr_has("--mtu needs --bridge, --macvlan, --ipvlan, --cni or --link")
                .stderr_has("--jitter 5ms is longer than --delay 0ms")
                .stderr_has("expected a time up to 60s")
                .stderr_has("expected a share of the packets");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "connect --change changes both directions or none, at whatever step it fails",
        &[UNSHARE, IP, NFT, STRACE, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                netns-rs connect a --bridge box0 --address 10.97.9.2/24 --rate 10mbit; old=$(rates)
                for at in $(seq 4 18); do
                    strace -qqq -o /dev/null -e trace=sendto -e inject=sendto:error=ENOBUFS:when=$at netns-rs connect --change a --rate 5mbit 2>error && { rates; netns-rs connect --change a --rate 10mbit; continue; }
                    [ "$(rates)" = "$old" ] && echo as before || { echo "$at: $(rates)"; cat error; }
                done | sort -u"#;
            apart(world, &format!("{STAGE}\n{script}"))
                .stdout_is("as before\nrate 5Mbit rate 5Mbit over 625000\n")
                .stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "connect --change limits a container that another program connected, by its pid or by the name of the container",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                mount -t tmpfs none /run; record=$(unshare-rs --hold --ttl 60 --name changed$$ --net); P=$(sed 's/.*"init":{"pid":\([0-9]*\).*/\1/' <<<"$record")
                ip link add port0 type veth peer name eth0 netns $P; ip link add up0 type veth peer name up1
                rates() { { tc qdisc show dev port0; nsenter -t $P -n tc qdisc show dev eth0; } | grep -o 'rate [^ ]*' | tr '\n' ' '; echo; }
                rates; netns-rs connect --change changed$$ --rate 10mbit; rates; netns-rs connect --change $P --rate 5mbit; rates
                nsenter -t $P -n ip link add in0 type veth peer name in1; netns-rs connect --change pid:$P --interface in0 --rate 1mbit; echo $?
                netns-rs connect --change pid:$P --rate none; rates; nsenter-rs --pipe --rm -- true <<<"$record"; ip -o link | grep -c tbf"#;
            apart(world, script)
                .stdout_is("\nrate 10Mbit rate 10Mbit \nrate 5Mbit rate 5Mbit \n125\n\n0\n")
                .stderr_has("it is no veth whose other end is in this network namespace");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "packets are as late, and as often lost, as --delay and --loss say, and no longer after a change",
        &[UNSHARE, IP, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                mount -t tmpfs none /run; net='netns-rs exec --new --bridge box0 --gateway 10.97.9.1 --address 10.97.9.2/24'
                late='busybox ping -c 2 -W 3 -q 10.97.9.1 | awk -F "[/ ]" "/round-trip/ { print (\$6 >= 100 ? \"late\" : \"at once\") }"'
                $net --delay 50ms -- bash -c "$late"; $net -- bash -c "$late"
                $net --loss 100% -- bash -c 'busybox ping -c 1 -W 1 -q 10.97.9.1 | grep -o "100% packet loss"'
                $net --rate 10mbit --delay 50ms --jitter 5ms --loss 0.5% -- tc qdisc show dev eth0 | grep -o 'netem.*loss 0.5%\|tbf.*rate 10Mbit' | sed 's/ [0-9a-f]*:.*\(delay\|rate\)/ \1/; s/  / /g'
                netns-rs add a; netns-rs connect a --bridge box0 --gateway 10.97.9.1 --address 10.97.9.3/24 --delay 50ms --rate 10mbit; netns-rs exec a bash -c "$late"
                netns-rs connect --change a --delay 0ms; netns-rs exec a bash -c "$late"; netns-rs exec a tc qdisc show dev eth0 | grep -o 'tbf\|netem'
                netns-rs connect --change a --delay 50ms --loss 1%; netns-rs exec a tc qdisc show dev eth0 | grep -o 'tbf\|netem'
                netns-rs connect --change a --rate none; netns-rs exec a tc qdisc show dev eth0 | grep -o 'tbf\|netem'"#;
            let expected = "late\nat once\n100% packet loss\nnetem delay 50ms 5ms loss 0.5%\ntbf rate 10Mbit\nlate\nat once\ntbf\nnetem\ntbf\nnetem\n";
            apart(world, script).stdout_is(expected).stderr_is("");
        },
    )
    .root_only()
    .vm_only(),
];
