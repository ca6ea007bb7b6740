//! Connections without a bridge: an interface of the container on top of one of the host.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, Need, STRACE, UNSHARE};
use crate::harness::row::Row;

/// `up0` is the parent, and 10.97.8.1 is at the other end of its cable.
const STAGE: &str =
    "mount -t tmpfs none /run; ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
    ip address add 10.97.8.1/24 dev up1; run='netns-rs exec --new --address 10.97.8.2/24 --gateway 10.97.8.1'
    reaches='busybox ping -c 1 -W 2 -q 10.97.8.1 | grep -c \" 0% packet loss\"'";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a macvlan reaches the network of its parent, and ends with its namespace or when it is disconnected",
        &[UNSHARE, IP, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                $run --macvlan up0,private --mac 02:00:00:00:00:08 -- bash -c "$reaches"'; ip -d link show eth0 | grep -o "02:00:00:00:00:08\|mode private"
                    ip route show default; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 /proc/sys/net/ipv4/conf/eth0/accept_redirects; ip -o link | wc -l'
                $run -- bash -c "$reaches" 2>/dev/null; echo $?; unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                on='netns-rs connect pid:'$P' --interface lan0 --macvlan'; inside() { nsenter --preserve-credentials -U -t $P -n "$@" 2>/dev/null || nsenter -t $P -n "$@"; }
                $on up0 --address fd00:97::2/64; inside ip -6 -br address show lan0 | grep -c 'fd00:97::2/64'; $on up0 --address 10.97.8.2/24
                netns-rs disconnect pid:$P --interface lan0; netns-rs disconnect pid:$P --interface lan0 2>/dev/null; echo $?
                $on up0 --address 10.97.8.2/24 --route 192.0.2.0/24 --route 192.0.2.0/24 2>/dev/null; inside ip -o link | wc -l
                ip link set up0 down; $on up0; inside ip -o link | wc -l; $on none0; kill $P; wait $P; ip link set up0 up
                ip link add box0 type bridge; ip link set up1 master box0; $run --macvlan up1 -- true; $run --macvlan up0,l2 -- true; echo $?; ip -o link | wc -l"#;
            let inside = "1\n02:00:00:00:00:08\nmode private\ndefault via 10.97.8.1 dev eth0 \n1\n0\n2\n";
            let outcome = apart(world, &format!("{STAGE}\n{script}"));
            // The control: without a connection the option is refused, and nothing is reached.
            outcome
                .stdout_is(&format!("{inside}125\n1\n125\n1\n2\n125\n4\n"))
                .stderr_has("cannot make the interface lan0: the container has one of that name")
                .stderr_has("warning: up0 is down or has no cable; bring it up: ip link set up0 up")
                .stderr_has("cannot connect to none0: there is no interface of that name")
                .stderr_has("remedy: up1 is a port of a bridge")
                .stderr_has("the mode 'l2' is none of bridge, private, vepa, passthru");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a macvlan that was being made when netns-rs was killed does not prevent the next",
        &[UNSHARE, IP, STRACE, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                netns-rs add a; connect='netns-rs connect a --macvlan up0 --address 10.97.8.2/24'
                left() { netns-rs exec a ip -o link show eth0 2>/dev/null | wc -l; }
                for at in 5 7 8; do
                    strace -f -qqq -o /dev/null -e trace=sendto -e signal=none -e inject=sendto:signal=KILL:when=$at $connect
                    left; $connect && left; netns-rs disconnect a
                done"#;
            let outcome = apart(world, &format!("{STAGE}\n{script}"));
            // The control: the second and the third time, an interface was left.
            outcome.stdout_is("0\n1\n1\n1\n1\n1\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "an ipvlan has the mode that was asked for, and the hardware address of its parent",
        &[UNSHARE, IP, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                mac=$(ip -br link show up0 | grep -o ' ..:..:..:..:..:..')
                $run --ipvlan up0 -- bash -c "$reaches"
                for mode in l2 l3 l3s; do $run --ipvlan up0,$mode -- bash -c "ip -d link show eth0 | grep -o 'mode $mode'; ip -br link show eth0 | grep -c '$mac'"; done
                $run --ipvlan up0 --mac 02:00:00:00:00:08 -- true; echo $?; ip -o link | wc -l"#;
            let outcome = apart(world, &format!("{STAGE}\n{script}"));
            outcome
                .stdout_is("1\nmode l2\n1\nmode l3\n1\nmode l3s\n1\n125\n3\n")
                .stderr_has("--mac: this interface has the hardware address of its parent");
        },
    )
    .root_only()
    .vm_only(),
    Row::new(
        "a container sends from other addresses only with --allow-spoofing, and even then not without its limit",
        &[UNSHARE, IP, crate::harness::need::NFT, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                r#"mount -t tmpfs none /run; net='netns-rs exec --new --bridge box0 --gateway 10.97.3.1 --address 10.97.3.2/24'
                spoof='ip address add 10.97.3.7/24 dev eth0; busybox ping -I 10.97.3.7 -c 1 -W 1 -q 10.97.3.1 | grep -c " 0% packet loss"'
                for more in '' --allow-spoofing '--allow-spoofing --nat'; do $net $more -- bash -c "$spoof"; done
                $net --allow-spoofing --rate 10mbit -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done
                nft list ruleset | grep -o 'limit rate over [^ ]*\|saddr.*accept'; touch done; wait; $net --allow-spoofing --isolate -- true; echo $?"#,
            );
            outcome.stdout_is("0\n1\n1\nlimit rate over 1250000\n125\n").stderr_has("--allow-spoofing and --isolate");
        },
    )
    .host_only(),
];
