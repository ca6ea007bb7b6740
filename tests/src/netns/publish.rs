//! Published ports: every way to them, conflicts, and chains of others that drop.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, NFT, Need, PERL, STRACE, UNSHARE};
use crate::harness::row::Row;

/// `get ADDRESS` prints what a server on port 8080 says, or no. The network namespace `net` is a neighbor of the host.
const NEIGHBOR: &str = r"
mount -t tmpfs none /run; ip link set lo up; ip netns add net
ip link add up0 type veth peer name eth0 netns net; ip address add 192.0.2.1/24 dev up0; ip link set up0 up
ip -n net address add 192.0.2.9/24 dev eth0; ip -n net link set eth0 up
get() { busybox timeout 3 busybox nc -w 1 $1 ${2:-8080} </dev/null 2>/dev/null || echo no; }
export -f get
net='netns-rs exec --new --bridge box0 --gateway 10.97.5.1 --nat'
serve='busybox nc -ll -p 80 -e echo web & until busybox nc 127.0.0.1 80 </dev/null >/dev/null 2>&1; do sleep 0.02; done; touch made'
finish='until [ -e done ]; do sleep 0.02; done; kill $(jobs -p)'
until_made() { until [ -e made ]; do sleep 0.02; done; rm made; }
";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a published port is reached from outside, from the host, from other containers and from its own",
        &[UNSHARE, IP, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{NEIGHBOR}
                    $net --address 10.97.5.2/24 --publish 8080:80 --publish 127.0.0.1:9090:80 -- bash -c \"$serve; get 192.0.2.1 >itself; $finish\" &
                    until_made; until [ -s itself ]; do sleep 0.02; done; cat itself
                    for ip in 127.0.0.1 192.0.2.1 10.97.5.1; do get $ip; done; ip netns exec net bash -c 'get 192.0.2.1'
                    get 127.0.0.1 9090; get 192.0.2.1 9090; $net --address 10.97.5.3/24 -- bash -c 'get 192.0.2.1'
                    # A neighbor that sends packets for 127.0.0.1 to the host.
                    ip netns exec net bash -c 'for end in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$end/route_localnet; done
                        ip route delete local 127.0.0.0/8 table local; ip route delete local 127.0.0.1 table local
                        ip route add 127.0.0.0/8 via 192.0.2.1 src 192.0.2.9; get 127.0.0.1 9090' 2>/dev/null
                    touch done; wait; until ! ip -o link | grep -q box0; do sleep 0.02; done; netns-rs gc
                    get 192.0.2.1; cat /proc/sys/net/ipv4/conf/up0/forwarding"
                ),
            );
            outcome.stdout_is("web\nweb\nweb\nweb\nweb\nweb\nno\nweb\nno\nno\n0\n").stderr_is("");
        },
    )
    .root_only(),
    Row::new(
        "connect --change publishes and unpublishes ports of a running container, which are then reserved and given back",
        &[UNSHARE, IP, BUSYBOX, NFT, PERL, STRACE, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                bind() { perl -MSocket -e 'socket S, AF_INET, SOCK_STREAM, 0; print bind(S, sockaddr_in $ARGV[0], INADDR_ANY) ? "free " : "taken "' $1; }
                $net --address 10.97.5.2/24 --publish 8080:80 -- bash -c "$serve; $finish" & P=$!; until_made; change="netns-rs connect --change pid:$P"
                ports() { for port in 8080 8081; do bind $port; get 127.0.0.1 $port; done; }; ports
                $change --publish 8081:80 --unpublish 8080:80; ports; $change --unpublish 8081:80 --publish 127.0.0.1:8081:80; ports; get 192.0.2.1 8081
                state() { ip -o link show type veth | grep -o 'alias.*'; nft list table inet netns-rs; }; old=$(state)
                perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 7777, Listen => 1); open M, ">made"; sleep 50' & L=$!; until_made
                for wrong in '--publish 7777:80' '--publish 8081:81' '--unpublish 8081:80' '--publish [::1]:80:80' '--publish 9:9 --jitter 5ms'; do $change $wrong; echo $?; done; kill $L
                for at in $(seq 4 40); do
                    strace -qqq -o /dev/null -e trace=sendto -e inject=sendto:error=ENOBUFS:when=$at $change --publish 9090:80 2>/dev/null && break; [ "$(state)" = "$old" ] && echo as before || echo $at "$(state)"
                done | sort -u; [ "$(state)" != "$old" ]; echo $?; $change --unpublish 9090:80 --unpublish 127.0.0.1:8081:80; ports; cat /proc/sys/net/ipv4/conf/box0/route_localnet; touch done; wait
                netns-rs add b; netns-rs connect b --bridge box0 --address 10.97.5.9/24; netns-rs connect --change b --publish 9:9; echo $?"#;
            let expected = "taken web\nfree no\nfree no\ntaken web\nfree no\ntaken web\nno\n125\n125\n125\n125\n125\nas before\n0\nfree no\nfree no\n0\n125\n";
            apart(world, &format!("{NEIGHBOR}\n{script}"))
                .stdout_is(expected)
                .stderr_has("publish TCP port 7777: bind(0.0.0.0:7777): EADDRINUSE")
                .stderr_has("127.0.0.1:8081:80 is published already")
                .stderr_has("8081:80 is not published")
                .stderr_has("netns-rs did not connect it with --nat");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a port that is published or in use is refused and nothing is left, and UDP is published, too",
        &[UNSHARE, IP, BUSYBOX, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{NEIGHBOR}
                    $net --address 10.97.5.2/24 --publish 8080:80 --publish 5353:53/udp -- perl -MIO::Socket::INET -e \
                        'open M, \">made\"; $s = IO::Socket::INET->new(LocalPort => 53, Proto => \"udp\"); $s->recv($b, 9); $s->send(\"udp\\n\")' &
                    until_made; links=$(ip -o link | wc -l)
                    $net --address 10.97.5.3/24 --publish 127.0.0.1:8080:81 -- true; echo $?
                    perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 7777, Listen => 1); open M, \">made\"; sleep 50' & L=$!; until_made
                    $net --address 10.97.5.3/24 --publish 7777:81 -- true; echo $?; kill $L
                    $net --address 10.97.5.3/24 --publish 192.0.2.77:80:81 -- true; echo $?
                    [ \"$links\" = \"$(ip -o link | wc -l)\" ] && echo nothing left
                    perl -MIO::Socket::INET -e 'alarm 5; $s = IO::Socket::INET->new(PeerAddr => \"127.0.0.1:5353\", Proto => \"udp\"); $s->send(1); $s->recv($b, 9); print $b'
                    wait; for i in 1 2; do $net --address 10.97.5.2/24 --publish 8080:80 -- true; echo $?; done"
                ),
            );
            let outcome = outcome.stdout_is("125\n125\n125\nnothing left\nudp\n0\n0\n");
            outcome
                .stderr_has("cannot publish TCP port 8080: bind(127.0.0.1:8080): EADDRINUSE")
                .stderr_has("remedy: another program has the port: ss -lptn sport = 7777")
                .stderr_has("remedy: 192.0.2.77 is no address of the host");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a container does not reach services of the host's 127.0.0.1 because a port is published",
        &[UNSHARE, IP, BUSYBOX, NFT, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{NEIGHBOR}
                    perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => 7777, Proto => \"udp\"); open M, \">made\";
                        $s->recv($b, 9); print $b' & until_made
                    $net --address 10.97.5.2/24 --publish 8080:80 -- bash -c '
                        echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
                        ip route delete local 127.0.0.0/8 table local; ip route delete local 127.0.0.1 table local; ip route add 127.0.0.0/8 via 10.97.5.1 src 10.97.5.2
                        echo before >/dev/udp/127.0.0.1/7777; touch made; until [ -e open ]; do sleep 0.02; done; echo after >/dev/udp/127.0.0.1/7777' &
                    until_made; sleep 0.2; nft flush ruleset; touch open; wait"
                ),
            );
            // The control: without our rules, it does.
            outcome.stdout_is("after\n").stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a chain of others that drops what is forwarded is named",
        &[UNSHARE, IP, NFT, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; net='netns-rs exec --new --bridge box0 --gateway 10.97.5.1 --nat --address 10.97.5.2/24 -- true'
                nft add table ip filter; for policy in accept drop; do
                    nft add chain ip filter FORWARD \"{ type filter hook forward priority 0; policy $policy; }\"; $net; done",
            );
            outcome.succeeds().stderr_is(
                "netns-rs: warning: the chain FORWARD of the nf_tables table ip filter drops what it does not know, which may cut the \
                 container off; allow it: nft insert rule ip filter FORWARD iifname box0 accept; nft insert rule ip filter FORWARD \
                 oifname box0 accept\n",
            );
        },
    )
    .root_only(),
];
