//! The end of a connection before that of its process: by `disconnect`, or because somebody removed the pair; and what must
//! return to what it was while other containers stay.

use super::attacks::apart;
use crate::harness::need::{IP, NFT, NSENTER, Need, PERL, UNSHARE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[UNSHARE, NSENTER, IP, NFT, PERL, Need::NetworkNamespaces];

/// `new NAME` starts a process in a network namespace of its own, whose pid is in the variable NAME; `guardian` prints the pid
/// of one of the guardians here; `port` prints whether a program can listen on port 8080.
const HOST: &str = r#"
mount -t tmpfs none /run; ip link set lo up
new() { unshare -n sleep 100 & eval "$1=$!"; until [ ! /proc/$!/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; }
guardian() {
    for p in /proc/[0-9]*; do
        [ "$(cat $p/comm 2>/dev/null)" = netns-rs ] && [ $p/ns/net -ef /proc/self/ns/net ] && echo ${p#/proc/} && return
    done
    return 1
}
port() { perl -MSocket -e 'socket S, AF_INET, SOCK_STREAM, 0; print bind(S, sockaddr_in 8080, INADDR_ANY) ? "free\n" : "taken\n"'; }
without_guardian() { until ! guardian >/dev/null; do sleep 0.02; done; }
left() { nft list tables; ip -o link show type bridge; ip -o link show type veth; }
net='--bridge box0 --gateway 10.97.8.1'
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "disconnect gives published ports back, also if root inside has renamed or moved the interface",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{HOST} new P; in_P() {{ nsenter --net=/proc/$P/ns/net \"$@\"; }}; new Q
                    for change in true 'ip link set eth0 name other' \"ip link set eth0 netns /proc/$Q/ns/net\"; do
                        netns-rs connect pid:$P $net --address 10.97.8.2/24 --nat --publish 8080:80; port; in_P $change
                        netns-rs disconnect pid:$P && port; without_guardian; left
                    done
                    # The host's end is removed by hand, or the other one by root inside.
                    for by in '' in_P; do
                        netns-rs connect pid:$P $net --address 10.97.8.2/24 --nat --publish 8080:80; port
                        $by ip link delete $($by ip -o link show type veth | sed 's/^[0-9]*: //; s/@.*//'); without_guardian; port; left
                    done
                    kill $P $Q"
                ),
            );
            outcome.stdout_is(&"taken\nfree\n".repeat(5)).stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "the guardian of a connection that was removed forgets no connections of the next container with its address",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{HOST} sends() {{ nsenter --net=/proc/$1/ns/net perl -MSocket -e 'socket S, AF_INET, SOCK_DGRAM, 0; bind S, sockaddr_in $ARGV[0], INADDR_ANY or die;
                        send S, 1, 0, sockaddr_in 9, inet_aton \"10.97.8.1\" or die $!' $2; }}
                    tracked() {{ grep -c \"src=10.97.8.2 .*sport=$1\" /proc/net/nf_conntrack; }}
                    new P; netns-rs connect pid:$P $net --address 10.97.8.2/24 --nat; G=$(guardian); kill -STOP $G; sends $P 5001; tracked 5001
                    netns-rs disconnect pid:$P; tracked 5001
                    new Q; netns-rs connect pid:$Q $net --address 10.97.8.2/24 --nat; sends $Q 5002; tracked 5002
                    kill $P; kill -CONT $G; while [ -e /proc/$G ]; do sleep 0.02; done; tracked 5002; kill $Q; without_guardian; left"
                ),
            );
            outcome.stdout_is("1\n0\n1\n1\n").stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "settings that only some containers need return to what they were while others stay",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{HOST} echo 0 >/proc/sys/net/ipv4/ip_forward
                    show() {{ cat /proc/sys/net/{{ipv4/conf/box0/{{route_localnet,forwarding}},ipv6/conf/box0/disable_ipv6,ipv4/conf/box1/forwarding}} | tr '\\n' ' '; echo; }}
                    for p in P Q R S T; do new $p; done; other='--bridge box1 --gateway 10.97.9.1'
                    netns-rs connect pid:$Q $net --address 10.97.8.2/24 --nat; netns-rs connect pid:$S $other --address 10.97.9.2/24; show
                    netns-rs connect pid:$P $net --address 10.97.8.3/24 --nat --publish 8080:80; netns-rs connect pid:$T $other --address 10.97.9.3/24 --nat
                    netns-rs connect pid:$R --bridge box0 --address fd00:98::2/64 --gateway fd00:98::1; show
                    for p in $P $R $T; do netns-rs disconnect pid:$p; done; show
                    # The same after the guardians were killed: gc names and restores them.
                    netns-rs connect pid:$R --bridge box0 --address fd00:98::2/64 --gateway fd00:98::1
                    netns-rs connect pid:$P $net --address 10.97.8.3/24 --nat --publish 8080:80; show
                    while G=$(guardian); do kill -9 $G; while [ -e /proc/$G ]; do sleep 0.02; done; done; kill $P $R; wait $P $R 2>/dev/null
                    until ! ip -o link | grep -q 'fd00:98::2\\|10.97.8.3'; do sleep 0.02; done; netns-rs gc | grep setting; show
                    kill $Q $S $T; wait 2>/dev/null; until [ \"$(ip -o link show type veth)\" = '' ]; do sleep 0.02; done; netns-rs gc >/dev/null; left"
                ),
            );
            let (alone, together) = ("0 1 1 0 \n", "1 1 0 1 \n");
            let named = "setting net/ipv4/conf/box0/route_localnet\nsetting net/ipv6/conf/box0/disable_ipv6\n";
            let again = "1 1 0 0 \n";
            outcome.stdout_is(&format!("{alone}{together}{alone}{again}{named}{alone}")).stderr_is("");
        },
    )
    .root_only()
    .host_only(),
];
