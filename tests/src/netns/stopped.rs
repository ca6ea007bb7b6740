//! Stopped in the middle: what another process does between two steps, and what is left when one of them is the last.

use super::attacks::apart;
use crate::harness::need::{IP, NFT, NSENTER, Need, STRACE, UNSHARE};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "attach names the namespace of the process that it was given, also if another one gets the pid meanwhile",
        &[UNSHARE, NSENTER, STRACE, IP, Need::NetworkNamespaces],
        |world| {
            // The control names the path in /proc once more, as `attach` did.
            let lines = r#"
                in_new() { unshare -n sleep 100 & N=$!; until [ ! /proc/$N/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; }
                in_new; P=$N; first=$(readlink /proc/$P/ns/net); path=/proc/$P/ns/net
                strace -qq -o trace -P /run/netns/x -e trace=openat -e inject=openat:signal=STOP:when=1 netns-rs attach x $P & S=$!
                child() { read C </proc/$S/task/$S/children; echo $C; }
                until [ -e /run/netns/x ] && grep -q '^State:.*[Tt]' /proc/$(child)/status; do sleep 0.02; done
                kill -9 $P; wait $P 2>/dev/null; echo $((P - 1)) >/proc/sys/kernel/ns_last_pid; in_new; [ $N = $P ] && echo reused
                kill -CONT $(child); wait $S
                touch /run/netns/y; mount --bind $path /run/netns/y
                for name in x y; do [ $(nsenter --net=/run/netns/$name readlink /proc/self/ns/net) = $first ] && echo the first || echo another; done
                kill -9 $N"#;
            let outcome = apart(
                world,
                &format!(
                    "mount -t tmpfs none /run; L=$(cat <<'E'\n{lines}\nE\n); unshare --pid --fork --mount-proc bash -c \"$L\""
                ),
            );
            outcome.stdout_is("reused\nthe first\nanother\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "forty containers that are connected and removed at the same time leave the network as it was",
        &[UNSHARE, NFT, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(world, AT_ONCE);
            // Each published port has a rule for what comes from outside and one for what the host sends. All together are
            // longer than what a socket sends by default.
            outcome.succeeds().stdout_is("40\n480\nas before\n").stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "netns-rs gc removes what is left of a pid namespace that has ended, also if the network namespace goes on",
        &[UNSHARE, NFT, IP, Need::NetworkNamespaces],
        |world| {
            // The control: in another pid namespace, gc knows nothing. It cannot get the number of the first one.
            let lines = r#"
                mount -t tmpfs none /run; ip link set lo up
                unshare --pid --fork --kill-child netns-rs exec --new --bridge box0 --address 10.97.3.2/24 --gateway 10.97.3.1 -- sleep 86416 & U=$!
                until P=$(pgrep -fx 'sleep 86416'); do sleep 0.02; done; exec 8</proc/$P/ns/pid 9</proc/$P/ns/net; kill -9 $U; wait $U 2>/dev/null
                until ! kill -0 $P 2>/dev/null; do sleep 0.02; done
                state() { ip -o link show type veth | grep -c netns-rs; ip -o link show type bridge | grep -c box0; nft list tables | wc -l; }
                unshare --pid --fork --mount-proc netns-rs gc; state; netns-rs gc | grep -c .; state"#;
            apart(world, lines).stdout_is("1\n1\n1\n3\n0\n0\n0\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "netns-rs that is killed after any of its messages leaves nothing that gc does not remove, and no port without its guard",
        &[UNSHARE, NFT, STRACE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(world, KILLED);
            outcome.succeeds().stdout_is("more than 20 steps\n");
        },
    )
    .root_only()
    .host_only(),
];

/// `state` prints what netns-rs could leave. All containers have made the file of their number before the first one ends.
const AT_ONCE: &str = r#"
mount -t tmpfs none /run; ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward
ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; ip link set up1 up; ip link set up0 up; ip route add default via 192.0.2.9
state() { ip -o link show | sed 's/^[0-9]*: //; s/@.*//' | sort; nft list ruleset; ip route; ip rule; cat /proc/net/tcp
    grep -H . /proc/sys/net/ipv4/conf/*/{forwarding,route_localnet} /proc/sys/net/ipv6/conf/*/disable_ipv6; }
state >before
for i in $(seq 40); do
    netns-rs exec --new --bridge box0 --address auto:10.97.0.0/24 --nat --isolate --rate 10mbit $(for p in 1 2 3 4 5 6; do echo --publish $((20000 + 100 * p + i)):80; done) --         bash -c "ip -4 -o address show eth0 | grep -o 'inet 10[0-9.]*' >new.$i; mv new.$i made.$i; until [ -e done ]; do sleep 0.2; done" &
done
until [ $(ls | grep -c made) = 40 ]; do sleep 0.05; jobs %1 >/dev/null; done
cat made.* | sort -u | wc -l; nft list table inet netns-rs | grep -c 'dnat ip to'; touch done; wait
until state >after; cmp -s before after; do sleep 0.05; done; echo as before
"#;

/// `killed N` connects and disconnects a process under strace, which kills netns-rs instead of its Nth message. What each
/// step leaves is compared with what was there before. The control: without gc, most of the steps leave something.
const KILLED: &str = r#"
mount -t tmpfs none /run; ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward
ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; ip link set up1 up; ip link set up0 up; ip route add default via 192.0.2.9
state() { ip -o link show | sed 's/^[0-9]*: //; s/@.*//' | sort; nft list ruleset; ip route; cat /proc/sys/net/ipv4/conf/up0/forwarding; cat /proc/net/tcp; }
is_left() { state >after; ! cmp -s before after; }
ports_are_guarded() { ! ip -o link show type veth up | grep -q 'master box0' || nft list tables netdev | grep -q netns-rs-; }
killed() {
    unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.01; done; rm -f rc
    strace -f -qqq -o trace -e trace=sendto -e signal=none -e inject=sendto:signal=KILL:when=$1 bash -c "netns-rs connect pid:$P --bridge box0         --address 10.97.3.2/24 --gateway 10.97.3.1 --nat --publish 8080:80 --rate 10mbit --name web 2>/dev/null; echo \$? >rc.new; mv rc.new rc" & S=$!
    until [ -e rc ]; do sleep 0.01; done
    ports_are_guarded || echo "step $1: a port is up without its guard"
    if [ $(cat rc) != 0 ]; then is_left && LEFT=$((LEFT + 1)); netns-rs gc >/dev/null; is_left && { echo "step $1 left:"; diff before after; }; fi
    kill $P; wait $P $S 2>/dev/null; netns-rs gc >/dev/null; until [ ! -e /sys/class/net/box0 ]; do sleep 0.01; netns-rs gc >/dev/null; done
    is_left && { echo "step $1 left at the end:"; diff before after; }
}
mount -t sysfs none /sys; state >before; killed 10000
steps=$(awk '{ n[$1]++ } !/nlmsg_type=[^,]*GET/ { print n[$1] + 1 }' trace | sort -un)
[ $(echo $steps | wc -w) -gt 20 ] && echo more than 20 steps
for step in $steps; do killed $step; done
[ $LEFT -gt 8 ] || echo "step by step, only $LEFT left something"
"#;
