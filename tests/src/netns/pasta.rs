//! `--pasta`: a network for every user by pasta(1) or slirp4netns(1).

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, JQ, NSENTER, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;

const PASTA: Need = Need::Program("pasta", "passt");
const SLIRP: Need = Need::Program("slirp4netns", "slirp4netns");
const NEEDS: &[Need] =
    &[PASTA, SLIRP, UNSHARE, IP, PERL, BUSYBOX, JQ, SETPRIV, Need::UserNamespaces, Need::NetworkNamespaces];

/// A host at 192.0.2.1 whose gateway 192.0.2.9 is another host, with a server on port 8488 of all addresses, and on port 8489 of
/// 127.0.0.1. `get ADDRESS PORT` prints what a server says, or no.
const HOST: &str = r#"
mount -t tmpfs none /run; mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200; ip link set lo up; ip netns add net
ip link add up0 type veth peer name eth0 netns net; ip address add 192.0.2.1/24 dev up0; ip link set up0 up; ip route add default via 192.0.2.9
ip -n net address add 192.0.2.9/24 dev eth0; ip -n net link set eth0 up; ip -n net link set lo up
serve() { $4 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 5, LocalAddr => $ARGV[0], LocalPort => $ARGV[1]) or die; open F, ">up.$ARGV[1]"; while ($c = $s->accept) { print $c "$ARGV[2]\n"; close $c }' $1 $2 $3 & SERVERS+=" $!"; until [ -e up.$2 ]; do sleep 0.02; done; }
serve 127.0.0.1 8489 secret; serve 0.0.0.0 8488 outside 'ip netns exec net'
get() { busybox timeout 2 bash -c 'read -r line </dev/tcp/$0/$1 && echo $line' $1 $2 2>/dev/null || echo no; }; export -f get
user() { setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }
programs() { for p in /proc/[0-9]*; do [ $p/ns/net -ef /proc/self/ns/net ] && case $(cat $p/comm 2>/dev/null) in pasta*|passt*|slirp*) echo $p;; esac; done; }
over() { until [ -z "$(programs)" ]; do sleep 0.02; done; echo over; }
inside='ip -br address show eth0 | grep -o "192.0.2.1/24\|10.0.2.100/24"; for to in "192.0.2.9 8488" "$HOST_INSIDE 8489" "127.0.0.1 8489"; do get $to; done'; export HOST_INSIDE=192.0.2.9
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--pasta connects a container of any user by pasta or slirp4netns, publishes ports, and ends with the container",
        NEEDS,
        |world| {
            let script = r#"
                run="unshare-rs --user --map-root-user -- netns-rs exec --new --pasta"
                netns-rs exec --new --pasta -- bash -c "$inside"; over; user $run -- bash -c "$inside"; over
                mkdir few; for program in $(type -P netns-rs unshare-rs bash ip busybox grep slirp4netns setpriv); do ln -s $program few/; done; chmod 755 few
                HOST_INSIDE=10.0.2.2 PATH=$D/few user $run -- bash -c "$inside"; over
                PATH=$D/few user $run --publish 8490:80 -- true; echo $?; rm few/slirp4netns; PATH=$D/few user $run -- true; echo $?
                # The control: without our options, the gateway leads to the host's 127.0.0.1.
                user pasta --config-net -T none -U none -t none -u none -- bash -c 'get 192.0.2.9 8489' 2>/dev/null; kill $SERVERS"#;
            let one = |address| format!("{address}\noutside\nno\nno\nover\n");
            let expected = format!("{0}{0}{1}125\n125\nsecret\n", one("192.0.2.1/24"), one("10.0.2.100/24"));
            apart(world, &format!("{HOST}\n{script}"))
                .stdout_is(&expected)
                .stderr_has("cannot connect by pasta: it is not in PATH, and slirp4netns does not publish ports")
                .stderr_has("neither pasta nor slirp4netns is in PATH\nnetns-rs: remedy: install pasta (package passt), or slirp4netns");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "pasta ends when its container does, when its guardian is killed, and when it cannot connect",
        NEEDS,
        |world| {
            let script = r#"
                guardian() { for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = netns-rs ] && [ $p/ns/net -ef /proc/self/ns/net ] && echo ${p#/proc/}; done | sort -n | head -1; }
                record=$(user unshare-rs --hold --ttl 60 --user --map-root-user --net --pid | user netns-rs connect --pipe --pasta --publish 8490:80); echo "$record" | jq -c '.net.published'
                echo "$record" | user nsenter-rs --pipe --rm -- bash -c 'get 192.0.2.9 8488; busybox nc -ll -p 80 -e echo inside & until grep -qs :0050 /proc/net/tcp*; do sleep 0.02; done; touch /tmp/$0; while [ -e /tmp/$0 ]; do sleep 0.02; done; kill $!' ready$$ & C=$!
                until [ -e /tmp/ready$$ ]; do sleep 0.02; done; get 127.0.0.1 8490; rm /tmp/ready$$; wait $C; over
                unshare -n sleep 99 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; netns-rs connect pid:$P --pasta; programs | wc -l; kill -9 $(guardian); over
                netns-rs connect pid:$P --pasta --interface eth1; programs | wc -l; kill $P; over
                ip route del default; netns-rs exec --new --pasta -- echo never; echo $?; over; netns-rs add named; netns-rs connect named --pasta; echo $?; kill $SERVERS"#;
            apart(world, &format!("{HOST}\n{script}"))
                .stdout_is("[\"8490:80\"]\noutside\ninside\nover\n1\nover\n1\nover\n125\nover\n125\n")
                .stderr_has("cannot connect by pasta: it has made no interface: ");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a program of --pasta that prints more than a pipe holds goes on",
        &[UNSHARE, NSENTER, IP, Need::NetworkNamespaces],
        |world| {
            // A program that makes an interface, and then prints, which nobody reads.
            let script = r#"
                mkdir bin; cat >bin/pasta <<'E'
#!/bin/bash
for namespace; do :; done; cd ${0%/*}
nsenter --net=$namespace bash -c 'ip link add eth0 type bridge; ip address add 10.97.55.2/24 dev eth0; ip link set eth0 up'
yes words | head -c 200000 >&2; touch ../on; exec sleep 99
E
                chmod 755 bin/pasta; PATH=$D/bin:$PATH netns-rs exec --new --pasta -- bash -c 'until [ -e on ]; do sleep 0.02; done; echo on'"#;
            apart(world, script).stdout_is("on\n").stderr_is("");
        },
    )
    .root_only()
    .host_only(),
];
