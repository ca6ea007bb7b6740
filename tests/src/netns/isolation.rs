//! What the host would forward although its bridges keep it apart: between isolated containers, and between hosts on a
//! bridge that is the host's uplink.

use super::attacks::apart;
use super::fence::{HOST, NEEDS};
use crate::harness::row::Row;

/// `in_N perl packet FRAME…` sends frames as they are by eth0; the words of each are its destination, link header after the
/// addresses in hexadecimal, source, destination and text, the last three for a UDP packet to port 5000 that it contains.
/// `gets` writes what arrives there to a file until the text is "end".
const PACKETS: &str = r#"
cat >packet <<'E'
use Socket qw(:all);
sub sum { my $sum = 0; $sum += $_ for unpack 'n*', $_[0] . "\0" x (length($_[0]) % 2); $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16; ~$sum & 0xffff }
my ($index) = `ip -o link show eth0` =~ /^(\d+)/;
my ($own) = `ip -o link show eth0` =~ m{link/ether (\S+)};
socket my $raw, 17, 3, 0 or die "socket: $!";
for (@ARGV) {
    my ($link, $type, $from, $to, $text) = split ',';
    my $family = $from =~ /:/ ? AF_INET6 : AF_INET;
    ($from, $to) = map { inet_pton $family, $_ } $from, $to;
    my $length = 8 + length $text;
    my $check = sum($from . $to . pack('NN', $length, 17) . pack('nnnn', 5001, 5000, $length, 0) . $text);
    my $packet = pack('nnnn', 5001, 5000, $length, $family == AF_INET6 ? $check || 0xffff : 0) . $text;
    my $header = pack('CCnnnCCn', 0x45, 0, 20 + $length, 1, 0, 64, 17, 0) . $from . $to;
    substr($header, 10, 2) = pack 'n', sum($header);
    $header = pack('NnCC', 6 << 28, $length, 17, 64) . $from . $to if $family == AF_INET6;
    my $frame = pack('H12H12H*', map { tr/://dr } $link, $own, $type) . $header . $packet;
    send $raw, $frame, 0, pack('SnlSCCa8', 17, 3, $index, 0, 0, 6, '') or die "send: $!";
}
E
echo 'use Socket qw(:all); $| = 1; socket S, AF_INET6, SOCK_DGRAM, 0; bind S, pack_sockaddr_in6 5000, IN6ADDR_ANY or die $!; open F, ">ready"; close F;
    do { recv S, $m, 99, 0; print "$m\n" } until $m eq "end"' >gets
echo 'use Socket qw(:all); my $six = $ARGV[0] =~ /:/; socket S, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0;
    send S, "end", 0, $six ? pack_sockaddr_in6 5000, inet_pton AF_INET6, $ARGV[0] : sockaddr_in 5000, inet_aton $ARGV[0] or die $!' >ends
mac() { ip -o link show $1 | sed 's,.*link/ether \([^ ]*\).*,\1,'; }
"#;

/// `perl error TO INNER_TO` sends an ICMP error: a UDP packet of TO, from its port 7000 to port 9000 of INNER_TO, was refused.
/// `perl connects` has that connection, and prints whether an error arrived: it is the answer to the next send(2).
const ERRORS: &str = r#"
cat >error <<'E'
use Socket;
sub sum { my $sum = 0; $sum += $_ for unpack 'n*', $_[0] . "\0" x (length($_[0]) % 2); $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16; ~$sum & 0xffff }
my ($to, $inner_to) = map { inet_aton $_ } @ARGV;
my $inner = pack('CCnnnCCn', 0x45, 0, 29, 1, 0, 63, 17, 0) . $to . $inner_to;
substr($inner, 10, 2) = pack 'n', sum($inner);
my $icmp = pack('CCnN', 3, 3, 0, 0) . $inner . pack('nnnn', 7000, 9000, 9, 0) . 'x';
substr($icmp, 2, 2) = pack 'n', sum($icmp);
socket S, AF_INET, SOCK_RAW, 1 or die;
send S, $icmp, 0, sockaddr_in(0, $to) or die;
E
echo 'use Socket; socket S, AF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in 9000, INADDR_ANY or die; open F, ">open"; close F; sleep 60' >listens
cat >connects <<'E'
use Socket;
$| = 1;
socket S, AF_INET, SOCK_DGRAM, 0;
bind S, sockaddr_in 7000, INADDR_ANY;
connect S, sockaddr_in 9000, inet_aton "192.0.2.2" or die;
send S, "x", 0;
open F, ">ready"; close F;
select undef, undef, undef, 0.02 until -e "go";
print send(S, "y", 0) ? "undisturbed\n" : "$!\n";
E
"#;

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
    Row::new(
        "the host routes nothing from or to link-local addresses between isolated containers, nor from no address",
        NEEDS,
        |world| {
            // A socket that is bound to the link-local address sends the first of these without any capability. The last
            // word of each is its text.
            let round = "rm -f ready; inside E perl gets >got & G=$!; until [ -e ready ]; do sleep 0.02; done
                in_C perl packet $M,86dd,fd00:97::2,fd00:98::2,own $M,86dd,$C6,fd00:98::2,link-local $M,86dd,::,fd00:98::2,none \
                    $M,86dd,fd00:97::2,$E6,to-link-local $M,86dd,$C6,$E6,both
                in_C bash -c 'answers fd00:97::1'; perl ends fd00:98::2; wait $G; cat got";
            let outcome = apart(
                world,
                &format!(
                    "{HOST} {PACKETS} echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                    contain C box0 10.97.3 2 '--isolate --address fd00:97::2/64 --gateway fd00:97::1'
                    contain E box0 10.97.4 2 '--isolate --address fd00:98::2/64 --gateway fd00:98::1'; M=$(mac box0)
                    own() {{ inside $1 ip -6 -o addr show dev eth0 scope link -tentative | sed 's,.*inet6 \\([^/]*\\)/.*,\\1,'; }}
                    for c in C E; do until [ -n \"$(own $c)\" ]; do sleep 0.02; done; done; C6=$(own C) E6=$(own E)
                    for ip in $E6%box0 fd00:98::2; do answers $ip; done
                    {round}; nft flush chain netdev netns-rs box0; {round}; rm C; end E; left"
                ),
            );
            let (fenced, open) = ("yes\nend\n", "yes\nlink-local\nnone\nto-link-local\nboth\nend\n");
            outcome.succeeds().stdout_is(&format!("yes\nyes\n{fenced}{open}")).stderr_is("");
        },
    )
    .host_only(),
    Row::new("a host whose uplink is a bridge does not forward frames with the tag of VLAN 0 either", NEEDS, |world| {
        // Frames of VLAN 5 are for an interface above the bridge: no rule drops them, and here nothing takes them.
        let round = "rm -f ready; $in_B perl gets >got & G=$!; until [ -e ready ]; do sleep 0.02; done
            for tag in none: zero:81000000 priority:8100a000 provider:88a80000 two:88a8000081000000 vlan:81000005; do
                echo $M,${tag#*:}0800,192.0.2.2,198.51.100.2,${tag%:*}; done | xargs $in_A perl packet
            $in_A bash -c 'answers 192.0.2.1'; perl ends 198.51.100.2; wait $G; cat got";
        let outcome = apart(
            world,
            &format!(
                "{HOST} {PACKETS} ip link delete A; ip link delete B; ip link add br9 type bridge; ip link set br9 up
                for ip in 192.0.2 198.51.100; do ip address add $ip.1/24 dev br9; done
                nft 'table netdev t {{ chain c {{ type filter hook ingress device br9 priority 10; vlan id 5 counter; vlan id 0 counter; }}; }}'
                join() {{ ip link add $1 master br9 type veth peer name eth0 netns $1; ip link set $1 up
                    ip -n $1 address add $2/24 dev eth0; ip -n $1 link set eth0 up; ip -n $1 route add default via $3; }}
                join A 192.0.2.2 192.0.2.1; join B 198.51.100.2 198.51.100.1; contain C box0 10.97.3 2; M=$(mac br9)
                answers 198.51.100.2; {round}; nft list table netdev t | grep -o 'id .*packets [0-9]*'
                nft delete table netdev t; nft delete table netdev netns-rs; {round}; end C; left"
            ),
        );
        let passed = "id 5 counter packets 1\nid 0 counter packets 0\n";
        let (fenced, open) = ("yes\nend\n", "yes\nnone\nzero\npriority\nprovider\ntwo\nend\n");
        outcome.succeeds().stdout_is(&format!("yes\n{fenced}{passed}{open}br9\n")).stderr_is("");
    })
    .host_only(),
    Row::new("a host whose uplink is a bridge forwards nothing for a neighbor with a container's address", NEEDS, |world| {
        // D is on the uplink itself, and may reach B by the host.
        let round = "rm -f ready; $in_B perl gets >got & G=$!; until [ -e ready ]; do sleep 0.02; done
            $in_A perl packet $M,0800,192.0.2.2,198.51.100.2,as-itself $M,0800,192.0.2.9,198.51.100.2,as-D
            in_D perl packet $M,0800,192.0.2.9,198.51.100.2,D; $in_A bash -c 'answers 192.0.2.1'; perl ends 198.51.100.2; wait $G; cat got";
        let outcome = apart(
            world,
            &format!(
                "{HOST} {PACKETS} ip link delete A; ip link delete B; ip link add br9 type bridge; ip link set br9 up
                for ip in 192.0.2 198.51.100; do ip address add $ip.1/24 dev br9; done
                join() {{ ip link add $1 master br9 type veth peer name eth0 netns $1; ip link set $1 up
                    ip -n $1 address add $2/24 dev eth0; ip -n $1 link set eth0 up; ip -n $1 route add default via $3; }}
                join A 192.0.2.2 192.0.2.1; join B 198.51.100.2 198.51.100.1; M=$(mac br9)
                contain C box0 10.97.3 2; contain D br9 192.0.2 9; answers 198.51.100.2; {round}
                nft delete table netdev netns-rs; {round}; rm C; end D; left"
            ),
        );
        let open = "as-itself\nas-D\nD\nend\n";
        outcome.succeeds().stdout_is(&format!("yes\nyes\nD\nend\nyes\n{open}br9\n")).stderr_is("");
    })
    .host_only(),
    Row::new("an isolated container does not get by the host what is for an address that it only advertises", NEEDS, |world| {
        // The neighbor that answers for an address is its owner for the host, which forwards to it.
        let sends = r#"perl -e 'use Socket qw(:all); socket S, AF_INET6, SOCK_DGRAM, 0; send S, $ARGV[0], 0, pack_sockaddr_in6 5000, inet_pton AF_INET6, "fd00:97::77" or die' "#;
        let state = "ip -6 neigh show fd00:97::77 dev box0";
        let outcome = apart(
            world,
            &format!(
                "{HOST} {PACKETS} echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                for n in 2 3; do contain C$n box0 10.97.3 $n \"--isolate --address fd00:97::$n/64 --gateway fd00:97::1\"; done
                echo 50 >/proc/sys/net/ipv6/neigh/box0/retrans_time_ms
                inside C3 ip -6 address add fd00:97::77/128 dev lo; inside C3 ip -6 neigh add proxy fd00:97::77 dev eth0
                inside C3 sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv6/conf/eth0/proxy_ndp; echo 0 >/proc/sys/net/ipv6/neigh/eth0/proxy_delay'
                inside C2 ip -6 route add fd00:97::77/128 via fd00:97::1; answers fd00:97::3
                inside C3 perl gets >got & G=$!; until [ -e ready ]; do sleep 0.02; done
                inside C2 {sends} claimed; until {state} | grep -oE 'FAILED|REACHABLE'; do sleep 0.02; done
                nft list tables | sed -n 's/^table netdev netns-rs-/flush chain netdev &/p' | sed 's/table netdev //; s/$/ ingress/' | nft -f -
                ip -6 neigh flush dev box0; inside C2 {sends} unguarded; until grep unguarded got; do sleep 0.02; done
                perl ends fd00:97::3; wait $G; cat got; rm C2; end C3; left"
            ),
        );
        outcome.succeeds().stdout_is("yes\nFAILED\nunguarded\nunguarded\nend\n").stderr_is("");
    })
    .host_only(),
    Row::new("an isolated container cannot disturb a connection of another one by an error about it", NEEDS, |world| {
        let round = "rm -f ready go; inside D perl connects & G=$!; until [ -e ready ]; do sleep 0.02; done
            inside C perl error 10.97.3.3 192.0.2.2; inside C bash -c 'answers 10.97.3.1'; touch go; wait $G";
        let outcome = apart(
            world,
            &format!(
                "{HOST} {ERRORS} echo 1 >/proc/sys/net/ipv4/ip_forward
                contain C box0 10.97.3 2 --isolate; contain D box0 10.97.3 3 --isolate; inside C ip route add 10.97.3.3/32 via 10.97.3.1
                $in_A perl listens & L=$!; until [ -e open ]; do sleep 0.02; done; {round}
                nft insert rule inet netns-rs forward ct state related accept; {round}
                kill $L; wait $L; rm C; end D; left"
            ),
        );
        outcome.succeeds().stdout_is("yes\nundisturbed\nyes\nConnection refused\n");
    })
    .host_only(),
];
