//! Where `--nat` turns on forwarding on the host, rules restrict it; and its changes are undone afterwards, unless another
//! process has changed the same setting meanwhile. The controls remove one protection at a time.

use crate::harness::need::{BUSYBOX, IP, NFT, Need, PERL, UNSHARE};
use crate::harness::row::Row;
use crate::netns::attacks::apart;

pub(super) const NEEDS: &[Need] = &[UNSHARE, IP, NFT, BUSYBOX, PERL, Need::NetworkNamespaces];

/// A host with two networks, A and B. A sends everything to the host; B has only the route back to A. `probe FROM TO`
/// runs in the background, and `probed` prints the results of all probes, sorted. `contain NAME BRIDGE NET NUMBER` starts a
/// container that serves a port, for as long as a file with its name exists.
pub(super) const HOST: &str = r#"
ip link set lo up; mount -t tmpfs none /run; echo 0 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
lan() {
    ip netns add $1; ip link add $1 type veth peer name eth0 netns $1; ip addr add $2.1/24 dev $1; ip link set $1 up
    ip -n $1 addr add $2.2/24 dev eth0; ip -n $1 link set eth0 up; ip -n $1 route add $3 via $2.1
}
lan A 192.0.2 default; lan B 198.51.100 192.0.2.0/24
in_A="nsenter --net=/run/netns/A" in_B="nsenter --net=/run/netns/B"
answers() { busybox ping -c 1 -W 1 -q $1 >/dev/null 2>&1 && echo yes || echo no; }
export -f answers
probe() { echo "$1 to $2: $(${@:4} bash -c "answers $3")" >>probes & }
probed() { wait $(jobs -p | grep -vxF "$(cat containers 2>/dev/null)"); sort probes; rm probes; }
contain() {
    touch $1
    netns-rs exec --new --bridge $2 --address $3.$4/24 --gateway $3.1 ${5---nat} -- bash -c "echo \$\$ >$1.pid
        perl serve & S=\$!
        while [ -e $1 ]; do sleep 0.02; done; kill \$S" &
    echo $! >>containers; until [ -s $1.pid ]; do sleep 0.02; done
}
inside() { nsenter --net=/proc/$(cat $1.pid)/ns/net "${@:2}"; }
in_C() { inside C "$@"; }
in_D() { inside D "$@"; }
hears() { $in_A perl -MSocket -e '$SIG{ALRM} = sub { exit 1 }; alarm 1; socket S, AF_INET, SOCK_STREAM, 0 or die; connect S, sockaddr_in 8080, inet_aton shift
    or die; print <S>' $1 2>/dev/null || echo no; }
echo 'use Socket; socket S, AF_INET, SOCK_STREAM, 0 or die; bind S, sockaddr_in 8080, INADDR_ANY or die; listen S, 5;
    while (accept C, S) { print C "yes\n"; close C }' >serve
port() { echo "A to C's port: $(hears $1)" >>probes & }
# When a guardian has ended, its work is done (under the lock).
end() { rm $1; wait; until ! guardian >/dev/null; do sleep 0.02; done; }
guardian() {
    for p in /proc/[0-9]*; do
        [ "$(cat $p/comm 2>/dev/null)" = netns-rs ] && [ $p/ns/net -ef /proc/self/ns/net ] && echo ${p#/proc/} && return
    done
    return 1
}
state() { echo "ip_forward $(cat /proc/sys/net/ipv4/ip_forward), A $(cat /proc/sys/net/ipv4/conf/A/forwarding), B $(cat /proc/sys/net/ipv4/conf/B/forwarding)"; }
left() { nft list tables | sort; ip -o link show type bridge | sed 's/^[0-9]*: //; s/:.*//'; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--nat turns the host into neither a router between its networks nor a way into the container",
        NEEDS,
        |world| {
            let probes = "probe A B 198.51.100.2 $in_A; probe A C 10.97.3.2 $in_A; probe C A 192.0.2.2 in_C; \
                      probe C B 198.51.100.2 in_C; port 10.97.3.2; probed";
            let outcome = apart(
                world,
                &format!(
                    "{HOST} contain C box0 10.97.3 2; contain D box1 10.97.4 2
                probe C D 10.97.4.2 in_C; probe D C 10.97.3.2 in_D; probe D B 198.51.100.2 in_D; probed; {probes}
                nft delete table inet netns-rs; {probes}; rm C D; wait"
                ),
            );
            let apart = "C to D: no\nD to B: yes\nD to C: no\n";
            let fenced = "A to B: no\nA to C's port: no\nA to C: no\nC to A: yes\nC to B: yes\n";
            // B can answer a container only at the host's address.
            let open = "A to B: yes\nA to C's port: yes\nA to C: yes\nC to A: yes\nC to B: no\n";
            outcome.succeeds().stdout_is(&format!("{apart}{fenced}{open}"));
        },
    )
    .host_only(),
    Row::new(
        "if the host is already a router, --nat leaves it one, and lets no one into the container",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv4/ip_forward; contain C box0 10.97.3 2
                probe A B 198.51.100.2 $in_A; probe A C 10.97.3.2 $in_A; probe C B 198.51.100.2 in_C; port 10.97.3.2; probed
                end C; state; left"
            ),
        );
            let expected = "A to B: yes\nA to C's port: no\nA to C: no\nC to B: yes\nip_forward 1, A 1, B 1\n";
            outcome.succeeds().stdout_is(expected).stderr_is("");
        },
    )
    .host_only(),
    Row::new(
        "a container that the administrator publishes by rewriting a destination can be reached in spite of the rules",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; hears 192.0.2.1
                nft 'table ip t {{ chain c {{ type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 10.97.3.2; }}; }}'
                hears 192.0.2.1; hears 10.97.3.2; end C; left"
            ),
        );
            outcome.succeeds().stdout_is("no\nyes\nno\ntable ip t\n").stderr_is("");
        },
    )
    .host_only(),
    Row::new("a container behind NAT can send only from its own addresses", NEEDS, |world| {
        let foreign = "in_C busybox ping -I 10.97.3.9 -c 1 -W 1 -q";
        let tries = format!(
            "(busybox arping -c 1 -w 1 -I box0 10.97.3.9 | grep -qi 'reply from' && echo yes >1 || echo no >1) & \
             for to in 10.97.3.1 192.0.2.2; do ({foreign} $to >/dev/null 2>&1 && echo yes >$to || echo no >$to) & done; \
             wait $(jobs -p | grep -vxF \"$(cat containers)\"); cat 1 10.97.3.1 192.0.2.2"
        );
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; in_C ip addr add 10.97.3.9/32 dev eth0; {tries}
                nft list tables netdev | while read table; do nft delete $table; done; {tries}
                nft delete table inet netns-rs; {tries}; end C; left"
            ),
        );
        // With the rules of the port, then only with those of the host for forwarding, then with none.
        outcome.succeeds().stdout_is("no\nno\nno\nyes\nyes\nno\nyes\nyes\nyes\n").stderr_is("");
    })
    .host_only(),
    Row::new("a container with the address of one that has ended gets nothing of its connections", NEEDS, |world| {
        // B sends from the port that C sent to, as an answer to C: to C, then to D, which has C's address.
        let sends = "$in_B perl -MSocket -e 'socket S, AF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in 53, INADDR_ANY or die $!; \
            send S, $ARGV[0], 0, sockaddr_in $ENV{P}, inet_aton \"198.51.100.1\" or die $!'";
        let asks = "perl -MSocket -e 'socket S, AF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in $ENV{P}, INADDR_ANY or die $!; \
            send S, \"q\", 0, sockaddr_in 53, inet_aton \"198.51.100.2\" or die $!'";
        let gets = "perl -MSocket -e 'socket S, AF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in $ENV{P}, INADDR_ANY or die $!; \
            open F, \">ready\"; close F; do { recv S, $m, 9, 0; print \"$m\\n\" } until $m eq \"end\"' >got &";
        // What the host itself sends arrives in any case, and after the rest.
        let round = |name| format!(
            "rm -f ready; inside {name} {gets} G=$!; until [ -e ready ]; do sleep 0.02; done; {sends} attack
            $in_B busybox ping -c 1 -q 198.51.100.1 >/dev/null
            perl -MSocket -e 'socket S, AF_INET, SOCK_DGRAM, 0; send S, \"end\", 0, sockaddr_in $ENV{{P}}, inet_aton \"10.97.3.2\"'; wait $G; cat got"
        );
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; export P=5000; in_C {asks}; {}
                end C; contain D box0 10.97.3 2; {}
                export P=5001; in_D {asks}; {}; kill -9 $(guardian); end D; until ! ip -o link show | grep -q 'master box0'; do sleep 0.02; done
                contain E box0 10.97.3 2; ip neigh flush dev box0; {}; end E; left",
                round("C"),
                round("D"),
                round("D"),
                round("E")
            ),
        );
        outcome.succeeds().stdout_is("attack\nend\nend\nattack\nend\nend\n").stderr_is("");
    })
    .host_only(),
    Row::new("a container without NAT can send only from its own addresses, on IPv6 as well", NEEDS, |world| {
        // FREEBIND needs no capability, and no address on the interface.
        let sends = "in_C perl -MSocket=:all -e 'for (@ARGV) { socket S, AF_INET6, SOCK_DGRAM, 0; setsockopt S, 41, 78, 1 or die $!; \
            bind S, pack_sockaddr_in6 0, inet_pton AF_INET6, $_ or die $!; send S, $_, 0, pack_sockaddr_in6 5000, inet_pton AF_INET6, \"fd00:97::3\" or die $!; }' \
            fd00:97::1 fd00:97::9 fd00:97::2";
        let gets = "in_D perl -MSocket=:all -e '$| = 1; socket S, AF_INET6, SOCK_DGRAM, 0; bind S, pack_sockaddr_in6 5000, IN6ADDR_ANY or die $!; \
            open F, \">ready\"; close F; do { recv S, $m, 99, 0; print \"$m\\n\" } until $m eq \"fd00:97::2\"' &";
        let round = format!("rm -f ready; {gets} G=$!; until [ -e ready ]; do sleep 0.02; done; {sends}; wait $G");
        let resolves = "busybox arping -c 1 -w 1 -I box0 10.97.3.9 | grep -qi 'reply from' && echo yes || echo no";
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2 '--address fd00:97::2/64'; contain D box0 10.97.3 3 '--address fd00:97::3/64'
                in_C ip addr add 10.97.3.9/32 dev eth0; {round}; {resolves}
                nft list tables netdev | while read table; do nft delete $table; done; {round}; {resolves}; rm C; end D; left"
            ),
        );
        let (own, foreign) = ("fd00:97::2\n", "fd00:97::1\nfd00:97::9\n");
        outcome.succeeds().stdout_is(&format!("{own}no\n{foreign}{own}yes\n")).stderr_is("");
    })
    .host_only(),
    Row::new("the next run removes the rules of a port that a killed guardian without NAT left", NEEDS, |world| {
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2 ''; kill -9 $(guardian); end C; until ! ip -o link show | grep -q 'master box0'; do sleep 0.02; done
                left | wc -l; contain D box1 10.97.4 2 ''; left | sed 's/veth.*/veth/'; end D; left"
            ),
        );
        outcome.succeeds().stdout_is("2\ntable netdev netns-rs-veth\nbox1\n").stderr_is("");
    })
    .host_only(),
    Row::new("other hosts on a bridge made by others stay reachable, the container on it does not", NEEDS, |world| {
        let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv4/ip_forward; ip link add br1 type bridge; ip addr add 10.97.5.1/24 dev br1; ip link set br1 up
                ip netns add E; ip link add E master br1 type veth peer name eth0 netns E; ip link set E up
                ip -n E addr add 10.97.5.9/24 dev eth0; ip -n E link set eth0 up; ip -n E route add default via 10.97.5.1
                contain C br1 10.97.5 2; probe A E 10.97.5.9 $in_A; probe A C 10.97.5.2 $in_A; probe E A 192.0.2.2 nsenter --net=/run/netns/E
                probe C A 192.0.2.2 in_C; probe C E 10.97.5.9 in_C; probed; end C; left"
            ),
        );
        let expected = "A to C: no\nA to E: yes\nC to A: yes\nC to E: yes\nE to A: yes\nbr1\n";
        outcome.succeeds().stdout_is(expected).stderr_is("");
    })
    .host_only(),
    Row::new("the host still forwards the IPv6 that it forwarded before, but no IPv4", NEEDS, |world| {
        let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                ip addr add fd00:1::1/64 dev A nodad; ip addr add fd00:2::1/64 dev B nodad
                ip -n A addr add fd00:1::2/64 dev eth0 nodad; ip -n A route add fd00:2::/64 via fd00:1::1
                ip -n B addr add fd00:2::2/64 dev eth0 nodad; ip -n B route add fd00:1::/64 via fd00:2::1
                until [ $($in_A bash -c 'answers fd00:2::2') = yes ]; do :; done
                contain C box0 10.97.3 2; probe A B fd00:2::2 $in_A; probe A b 198.51.100.2 $in_A; probed; end C; left"
            ),
        );
        outcome.succeeds().stdout_is("A to B: yes\nA to b: no\n").stderr_is("");
    })
    .host_only(),
    Row::new(
        "if the host is a router, a neighbor without NAT stays reachable, but not from another bridge",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv4/ip_forward; contain C box0 10.97.3 2; contain D box0 10.97.3 3 ''; contain E box2 10.97.6 2 ''
                probe A C 10.97.3.2 $in_A; probe A D 10.97.3.3 $in_A; probe A E 10.97.6.2 $in_A; probe C E 10.97.6.2 in_C; probed; rm C D E; wait"
            ),
        );
            outcome.succeeds().stdout_is("A to C: no\nA to D: yes\nA to E: yes\nC to E: no\n");
        },
    )
    .host_only(),
    Row::new(
        "containers behind NAT on one bridge reach each other, also over IPv6, from their own addresses",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2 '--nat --address fd00:97::2/64'; contain D box0 10.97.3 3 '--nat --address fd00:97::3/64'
                in_C bash -c 'answers 10.97.3.3; answers fd00:97::3'
                in_C ip addr add fd00:97::9/128 dev eth0 nodad; for from in fd00:97::2 fd00:97::9; do \
                in_C busybox ping -I $from -c 1 -W 1 -q fd00:97::3 >/dev/null && echo yes || echo no; done
                nft list tables netdev | while read table; do nft delete $table; done
                in_C busybox ping -I fd00:97::9 -c 1 -W 1 -q fd00:97::3 >/dev/null && echo yes; rm C D; wait"
            ),
        );
            outcome.succeeds().stdout_is("yes\nyes\nyes\nno\nyes\n");
        },
    )
    .host_only(),
    Row::new(
        "a neighbor without NAT is forwarded from its own address, no other address on the bridge is",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; contain D box0 10.97.3 3 ''; probe D A 192.0.2.2 in_D; probe D B 198.51.100.2 in_D; probed
                in_D ip addr add 10.97.3.9/32 dev eth0; in_D busybox ping -I 10.97.3.9 -c 1 -W 1 -q 192.0.2.2 >/dev/null || echo no; rm C D; wait"
            ),
        );
            outcome.succeeds().stdout_is("D to A: yes\nD to B: no\nno\n");
        },
    )
    .host_only(),
    Row::new(
        "forwarding that --nat turned on is turned off after the last container, and what was on before stays on",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} echo 1 >/proc/sys/net/ipv4/conf/B/forwarding; state; contain C box0 10.97.3 2; contain D box1 10.97.4 2; state
                rm C; until [ $(ip -o link show type bridge | wc -l) = 1 ]; do sleep 0.02; done; state; in_D bash -c 'answers 192.0.2.2'
                end D; state; left"
            ),
        );
            let (before, during) = ("ip_forward 0, A 0, B 1\n", "ip_forward 0, A 1, B 1\n");
            outcome.succeeds().stdout_is(&format!("{before}{during}{during}yes\n{before}")).stderr_is("");
        },
    )
    .host_only(),
    Row::new("ip_forward keeps the value that the administrator sets while a container runs", NEEDS, |world| {
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; state; echo 1 >/proc/sys/net/ipv4/ip_forward; contain D box0 10.97.3 3
                probe A B 198.51.100.2 $in_A; probe A C 10.97.3.2 $in_A; probed; rm C; end D; state; left
                contain C box0 10.97.3 2; echo 0 >/proc/sys/net/ipv4/ip_forward; end C; state; left"
            ),
        );
        let expected =
            "ip_forward 0, A 1, B 1\nA to B: yes\nA to C: no\nip_forward 1, A 1, B 1\nip_forward 0, A 0, B 0\n";
        outcome.succeeds().stdout_is(expected).stderr_is("");
    })
    .host_only(),
    Row::new(
        "the rules stay in force after a guardian is killed, and gc removes what it left and nothing else",
        NEEDS,
        |world| {
            let outcome = apart(
            world,
            &format!(
                "{HOST} ip link add br1 type bridge; nft add table inet other; nft add table netdev netns; contain C box0 10.97.3 2
                G=$(guardian); kill -9 $G; while [ -e /proc/$G ]; do sleep 0.02; done; netns-rs gc; in_C bash -c 'answers 198.51.100.2'
                end C; until ! ip -o link show | grep -q 'master box0'; do sleep 0.02; done; probe A B 198.51.100.2 $in_A; probed
                plain() {{ sed 's/veth[0-9a-f]*/veth/'; }}
                netns-rs gc --dry-run 2>/dev/null | plain; state; netns-rs gc --json | plain; state; netns-rs gc; netns-rs gc --json; left"
            ),
        );
            let items = [
                ("table", "netns-rs-veth"),
                ("forwarding", "A"),
                ("forwarding", "B"),
                ("table", "netns-rs"),
                ("bridge", "box0"),
            ];
            let lines: String = items.iter().map(|(kind, name)| format!("{kind} {name}\n")).collect();
            let json = items.map(|(kind, name)| format!("{{\"kind\":\"{kind}\",\"name\":\"{name}\"}}")).join(",");
            let (open, closed) = ("ip_forward 0, A 1, B 1\n", "ip_forward 0, A 0, B 0\n");
            let left = "table inet other\ntable netdev netns\nbr1\n";
            let expected = format!("yes\nA to B: no\n{lines}{open}[{json}]\n{closed}[]\n{left}");
            outcome.succeeds().stdout_is(&expected).stderr_is("");
        },
    )
    .host_only(),
    Row::new("the next run removes what a killed guardian left", NEEDS, |world| {
        let outcome = apart(
            world,
            &format!(
                "{HOST} contain C box0 10.97.3 2; kill -9 $(guardian); end C; until ! ip -o link show | grep -q 'master box0'; do sleep 0.02; done
                left | wc -l; state; contain D box1 10.97.4 2; left | sed 's/veth.*/veth/'; end D; left; state"
            ),
        );
        let during = "table inet netns-rs\ntable netdev netns-rs-veth\nbox1\n";
        let expected = format!("3\nip_forward 0, A 1, B 1\n{during}ip_forward 0, A 0, B 0\n");
        outcome.succeeds().stdout_is(&expected).stderr_is("");
    })
    .host_only(),
    Row::new(
        "gc removes the veth pair of a container whose process is gone, and of no other",
        &[UNSHARE, IP, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
            world,
            "mount -t tmpfs none /run; for n in 2 3; do
                netns-rs exec --new --bridge box0 --address 10.97.3.$n/24 -- bash -c \"readlink /proc/self/ns/net >ns$n; ip netns attach n$n \\$\\$
                    echo \\$\\$ >pid$n; while [ -e pid$n ]; do sleep 0.02; done\" & until [ -s pid$n ]; do sleep 0.02; done
            done
            for p in /proc/[0-9]*; do
                [ \"$(cat $p/comm 2>/dev/null)\" = netns-rs ] && [ $p/ns/net -ef /proc/self/ns/net ] && kill -9 ${p#/proc/}
            done
            netns-rs gc; P=$(cat pid2); rm pid2; while [ -e /proc/$P ]; do sleep 0.02; done; ip -o link show type veth | wc -l
            netns-rs gc | sed 's/veth [a-z0-9]*$/veth/; s/netns-rs-veth[a-z0-9]*$/guard/'; ip -o link show type veth | wc -l; rm pid3; wait; netns-rs gc | wc -l; ip -o link show type veth",
        );
            outcome.succeeds().stdout_is("2\nveth\ntable guard\n1\n3\n").stderr_is("");
        },
    )
    .host_only(),
];
