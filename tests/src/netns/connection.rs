//! What the options of a connection make, on the host and inside.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, NFT, Need, UNSHARE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[UNSHARE, IP, NFT, BUSYBOX, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "the options of a connection set what they name, and a bridge of others keeps its address",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; ip link add br1 type bridge; ip link add p1 address fe:fe:00:00:00:01 master br1 type veth peer name p2
                netns-rs exec --new --bridge br1 --name web --mtu 1400 --mac 02:00:00:00:00:07 --isolate --address 10.97.3.2/24 \
                    --route 192.0.2.0/24,10.97.3.9 --route 198.51.100.0/24 -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done
                    ip -br link show eth0 | grep -o \"02:00:00:00:00:07\"; ip link show eth0 | grep -o \"mtu 1400\"; ip route | sed \"s/ *$//\"' & until [ -e made ]; do sleep 0.02; done
                ip -br link show br1 | grep -o fe:fe:00:00:00:01; ip -d link show web.eth0 | grep -o 'mtu 1400\\|isolated on\\|altname .*'
                ip link add low address 02:00:00:00:00:01 master br1 type veth peer name low2; ip -br link show br1 | grep -o 02:00:00:00:00:01; touch done; wait
                netns-rs exec --new --bridge br1 --address 10.97.3.2/24 --route 192.0.2.0/24,10.97.4.9 -- true; echo $?
                netns-rs exec --new --bridge br1 --address 10.97.3.2/24 --mac 03:00:00:00:00:01 -- true; echo $?",
            );
            // The control: a port with a lower address changes that of the bridge.
            let expected = "fe:fe:00:00:00:01\nmtu 1400\nisolated on\naltname web.eth0\n02:00:00:00:00:01\n02:00:00:00:00:07\nmtu 1400\n\
                10.97.3.0/24 dev eth0 proto kernel scope link src 10.97.3.2\n192.0.2.0/24 via 10.97.3.9 dev eth0\n\
                198.51.100.0/24 dev eth0 scope link\n125\n125\n";
            outcome.stdout_is(expected).stderr_has("--route 192.0.2.0/24,10.97.4.9").stderr_has("first pair is even");
        },
    ),
    Row::new(
        "isolated containers reach the host and not each other",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; net='netns-rs exec --new --bridge box0 --gateway 10.97.3.1'
                for isolate in '' --isolate; do
                    $net $isolate --address 10.97.3.2/24 -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done
                    $net $isolate --address 10.97.3.3/24 -- bash -c 'for ip in 1 2; do busybox ping -c 1 -W 1 -q 10.97.3.$ip | grep -c \" 0% packet loss\"; done'
                    touch done; wait; rm made done
                done",
            );
            outcome.stdout_is("1\n1\n1\n0\n").stderr_is("");
        },
    ),
    Row::new(
        "a subnet that a route or a rule leads elsewhere is refused, and nothing is left",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; ip link add up0 type veth peer name up1; ip link set up1 up; ip address add 192.0.2.1/24 dev up0; ip link set up0 up
                net='netns-rs exec --new --bridge box0 --address 10.97.3.2/24 --gateway 10.97.3.1 -- true'
                for route in 10.97.0.0/16 10.97.3.0/25; do ip route add $route via 192.0.2.9; $net; echo $?; ip route delete $route; done
                ip route add default via 192.0.2.9 table 77; ip rule add to 10.97.3.0/24 lookup 77; $net; echo $?
                ip -o link | grep -c box0; ip rule delete to 10.97.3.0/24
                for kind in blackhole unreachable prohibit; do ip rule add to 10.97.3.0/24 pref 5 $kind; $net 2>&1 | grep -o \"rule of type $kind discards\"; ip rule delete pref 5; done
                ip route add default via 192.0.2.9; $net; echo $?",
            );
            let discarded: String = ["blackhole", "unreachable", "prohibit"].map(|kind| format!("rule of type {kind} discards\n")).concat();
            let overlap = "cannot make 10.97.3.1/24 the gateway on box0: its network overlaps the route to";
            outcome
                .stdout_is(&format!("125\n125\n125\n0\n{discarded}0\n"))
                .stderr_has(&format!("{overlap} 10.97.0.0/16 by up0"))
                .stderr_has(&format!("{overlap} 10.97.3.0/25 by up0"))
                .stderr_has("cannot reach 10.97.3.2 by box0: the route to default in table 77 leads elsewhere");
        },
    ),
    Row::new(
        "the host forgets the hardware address of an earlier container with the same address",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; net='netns-rs exec --new --bridge box0 --gateway 10.97.3.1'
                $net --address 10.97.3.9/24 -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done
                for ip in 2 3; do ip neigh add 10.97.3.$ip lladdr 02:00:00:00:00:99 dev box0 nud reachable; done
                $net --address 10.97.3.2/24 -- busybox ping -c 1 -w 3 -q 10.97.3.1 | grep -c ' 0% packet loss'
                ip neigh show to 10.97.3.3 | grep -c :99; touch done; wait",
            );
            // The control: the entry of another address stays.
            outcome.stdout_is("1\n1\n").stderr_is("");
        },
    ),
    Row::new(
        "--nat is for IPv6 as well, opens single interfaces, and works where IPv6 is disabled for new interfaces",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; unshare -n bash -c 'until [ -e up ]; do sleep 0.02; done; ip link set lo up
                    ip address add 2001:db8::9/64 dev up1 nodad; ip link set up1 up; touch ready; until [ -e over ]; do sleep 0.02; done' & P=$!
                echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
                until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; ip link add up0 type veth peer name up1 netns $P
                ip address add 2001:db8::1/64 dev up0 nodad; ip link set up0 up; touch up; until [ -e ready ]; do sleep 0.02; done
                echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
                net='netns-rs exec --new --bridge box0 --address fd00:97::2/64 --gateway fd00:97::1'
                show() { cat /proc/sys/net/ipv6/conf/{all/forwarding,up0/force_forwarding}; }
                for nat in '' --nat; do $net $nat -- bash -c \"busybox ping -6 -c 1 -W 2 -q 2001:db8::9 | grep -c ' 0% packet loss'\"; done
                $net --nat -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done; show; touch done
                while [ \"$(nft list tables)\" ]; do sleep 0.02; done; netns-rs gc; show; touch over; wait",
            );
            outcome.stdout_is("0\n1\n0\n1\n0\n0\n").stderr_is("");
        },
    )
    .host_only(),
    Row::new(
        "an IPv6 address works at once where IPv6 is disabled inside, without the kernel's search for a duplicate",
        NEEDS,
        |world| {
            let script = r#"
                mount -t tmpfs none /run; unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                inside() { nsenter -t $P -n "$@"; }
                inside bash -c 'for name in all default; do echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6; done'
                netns-rs connect pid:$P --bridge box0 --address fd00:97::2/64 --gateway fd00:97::1
                inside ip -6 -o address show dev eth0 tentative scope global | wc -l; inside busybox ping -6 -c 1 -W 2 -q fd00:97::1 | grep -c ' 0% packet loss'
                inside cat /proc/sys/net/ipv6/conf/{all,eth0}/disable_ipv6; inside ip link add in0 type veth peer name in1
                inside bash -c 'ip link set in0 up; ip link set in1 up; ip address add fd00:98::1/64 dev in0' 2>&1 | grep -c 'IPv6 is disabled'
                inside bash -c 'echo 0 >/proc/sys/net/ipv6/conf/in0/disable_ipv6; ip address add fd00:98::1/64 dev in0'; inside ip -6 -o address show dev in0 tentative scope global | wc -l
                kill $P; wait $P"#;
            // The control: the last three lines, about an interface that ip makes.
            apart(world, script).stdout_is("0\n1\n1\n0\n1\n1\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a user without a user namespace is shown the command that makes one",
        &[Need::UserNamespaces, Need::NetworkNamespaces],
        |world| {
            let outcome = world.sh("netns-rs exec --new -- true");
            outcome.fails_with(125).stderr_has("unshare-rs --map-root-user -- netns-rs exec --new -- COMMAND");
            world.sh("unshare-rs --map-root-user -- netns-rs exec --new -- true").succeeds();
        },
    )
    .user_only(),
];
