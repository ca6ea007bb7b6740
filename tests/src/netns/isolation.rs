//! What the host would forward although its bridges keep it apart: between isolated containers, and between hosts on a
//! bridge that is the host's uplink.

use super::attacks::apart;
use super::fence::{HOST, NEEDS};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "the host does not route between isolated containers of one bridge, whatever their subnets and routes",
        NEEDS,
        |world| {
            // With br_netfilter, the bridge itself redirects what is for a published port, and isolated ports exchange no frames.
            let bridged = "f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 >$f";
            // By the gateway, in both directions, as CAP_NET_ADMIN allows it.
            let routes = "inside C ip route add 10.97.3.3 via 10.97.3.1; inside D ip route add 10.97.3.2 via 10.97.3.1";
            let probes = "probe C D 10.97.3.3 in_C; probe C E 10.97.4.2 in_C; probe C E6 fd00:98::2 in_C; probe C F 10.97.3.4 in_C; probed";
            let outcome = apart(
                world,
                &format!(
                    "{HOST} {bridged}; if [ -e /proc/sys/net/ipv6/conf/lo/force_forwarding ]; then G6='--gateway fd00:97::1' H6='--gateway fd00:98::1'; fi
                    contain C box0 10.97.3 2 \"--nat --isolate --address fd00:97::2/64 $G6\"; contain D box0 10.97.3 3 '--nat --isolate --publish 8080:8080'
                    contain E box0 10.97.4 2 \"--nat --isolate --address fd00:98::2/64 $H6\"; contain F box0 10.97.3 4; {routes}
                    {probes}; in_A=\"nsenter --net=/proc/$(cat C.pid)/ns/net\"; hears 10.97.3.1
                    nft flush chain inet netns-rs apart; {probes}; rm C D E; end F; left"
                ),
            );
            let by_port = "yes\n";
            let apart = "C to D: no\nC to E6: no\nC to E: no\nC to F: yes\n";
            let open = "C to D: yes\nC to E6: yes\nC to E: yes\nC to F: yes\n";
            outcome.succeeds().stdout_is(&format!("{apart}{by_port}{open}")).stderr_is("");
        },
    )
    .host_only(),
    Row::new("isolated containers without NAT are kept apart by a host that is a router", NEEDS, |world| {
        let probes = "probe C D 10.97.4.2 in_C; probe C A 192.0.2.2 in_C; probed";
        let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv4/ip_forward; contain C box0 10.97.3 2 --isolate; left | grep -c inet
                contain D box0 10.97.4 2 --isolate; {probes}; nft delete table inet netns-rs; {probes}
                contain E box0 10.97.3 3 --isolate; {probes}; rm C D; end E; left"
            ),
        );
        let (apart, open) = ("C to A: yes\nC to D: no\n", "C to A: yes\nC to D: yes\n");
        outcome.stdout_is(&format!("0\n{apart}{open}{apart}")).stderr_is("");
    })
    .host_only(),
    Row::new("a host whose uplink is a bridge forwards nothing between the hosts on that bridge", NEEDS, |world| {
        // A and B can reach each other by the host only, A and G without it; D is on the uplink itself.
        let probes = "probe A B 198.51.100.2 $in_A; probe A G 192.0.2.3 $in_A; probe A C 10.97.3.2 $in_A
            probe C A 192.0.2.2 in_C; probe C B 198.51.100.2 in_C; probe D B 198.51.100.2 in_D; probed";
        let outcome = apart(
            world,
            &format!(
                "{HOST} ip link delete A; ip link delete B; ip link add br9 type bridge; ip link set br9 up
                f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 1 >$f
                for ip in 192.0.2 198.51.100; do ip address add $ip.1/24 dev br9; done; ip netns add G
                join() {{ ip link add $1 master br9 type veth peer name eth0 netns $1; ip link set $1 up
                    ip -n $1 address add $2/24 dev eth0; ip -n $1 link set eth0 up; ip -n $1 route add default via $3; }}
                join A 192.0.2.2 192.0.2.1; join B 198.51.100.2 198.51.100.1; join G 192.0.2.3 192.0.2.1
                contain C box0 10.97.3 2; contain D br9 192.0.2 9; {probes}
                nft delete table netdev netns-rs; {probes}; rm C; end D; left; cat /proc/sys/net/ipv4/conf/br9/forwarding"
            ),
        );
        let fenced = "A to B: no\nA to C: no\nA to G: yes\nC to A: yes\nC to B: yes\nD to B: yes\n";
        let open = fenced.replace("A to B: no", "A to B: yes");
        outcome.succeeds().stdout_is(&format!("{fenced}{open}br9\n0\n")).stderr_is("");
    })
    .host_only(),
];
