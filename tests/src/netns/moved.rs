//! `--link`: an interface of the host that moves into a container, and back.

use super::attacks::apart;
use crate::harness::need::{IP, NSENTER, Need, STRACE, UNSHARE};
use crate::harness::row::Row;

/// `tun0` is an interface with addresses, of a kind that ends with its network namespace; `show` prints what it has.
const STAGE: &str = r#"
mount -t tmpfs none /run; mkdir /run/netns; make() { ip link add tun0 type vxlan id 5 dstport 4789 local 127.0.0.1; }; make
ip link set tun0 alias 'my tunnel'; ip address add 10.97.10.2/24 brd + dev tun0; ip address add fd00:97::2/64 dev tun0 nodad; ip link set tun0 up
show() { { ip -d link show tun0 | grep -o 'UNKNOWN\|alias.*\|local 127.0.0.1'; ip -o address show tun0 | grep -o 'inet.*\(global\|nodad\)'; ls /run/netns; } 2>&1 | sed 's/ *$//' | tr '\n' ','; echo; }
settled() { until [ -z "$(ls /run/netns)" ]; do sleep 0.02; done; show; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--link moves an interface in, and back as it was when the container ends, when it fails or when it is disconnected",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                show; run='netns-rs exec --new --link tun0 --address 10.97.10.7/24'
                $run --route 0.0.0.0/0 -- bash -c 'ip route show default; ip -4 -br address show tun0 | grep -o 10.97.10.*'; settled
                $run --interface tun1 -- bash -c 'ip link delete tun1 2>&1; ip link add tun1 type bridge; ip link show tun1 | grep -c tun1:'; settled
                make; ip link set tun0 alias 'my tunnel' up; $run --route 10.99.0.0/16 --route 10.99.0.0/16 -- true; show
                unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                netns-rs connect pid:$P --link tun0; ip link show tun0 2>&1; netns-rs disconnect pid:$P --interface tun0; until ip link show tun0 up | grep -q UP; do sleep 0.02; done; settled; kill $P; wait $P
                ip netns add a; netns-rs connect a --link tun0; echo $?; ip link set tun0 netns a; ip netns delete a; until ! ip -d link show | grep -q vxlan; do sleep 0.02; done; ip link show tun0 2>&1"#;
            let whole = "UNKNOWN,local 127.0.0.1,alias my tunnel,inet 10.97.10.2/24 brd 10.97.10.255 scope global,inet6 fd00:97::2/64 scope global nodad,\n";
            let gone_too = "Device \"tun0\" does not exist.,Device \"tun0\" does not exist.,\n";
            let gone = "Device \"tun0\" does not exist.\n";
            let bare = "UNKNOWN,local 127.0.0.1,alias my tunnel,\n";
            // The control: an interface that ip moves ends with the namespace.
            let expected = format!(
                "{whole}default dev tun0 scope link \n10.97.10.7/24 \n{whole}1\n{gone_too}{bare}{gone}{bare}125\n{gone}"
            );
            apart(world, &format!("{STAGE}\n{script}"))
                .stdout_is(&expected)
                .stderr_has("cannot add the route to 10.99.0.0/16")
                .stderr_has("cannot move tun0: nothing shows when the container ends");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "--link brings nothing back that root inside has put in the place of the interface",
        &[UNSHARE, NSENTER, IP, Need::NetworkNamespaces, Need::UserNamespaces],
        |world| {
            // By alias, by name at `disconnect`, by index while the guardian is late, and where gc has only the alias to go by. The control: gc is deceived
            // where root inside is root of our own user namespace. What comes is down and has no address.
            let script = r#"
                mount -t tmpfs none /run; mkdir /run/netns
                attack() { ip link add lan0 type veth peer name lan1; ip address add 192.0.2.1/24 dev lan0; ip link set lan0 up
                    unshare $2 -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ] && [ -z "$2" -o "$(cat /proc/$P/uid_map)" ]; do sleep 0.02; done
                    in_c="nsenter -t $P ${2:+-U --preserve-credentials} -n"; netns-rs connect pid:$P --link lan0 --interface eth0 --address 192.0.2.1/24
                    G=$(pgrep -fx "netns-rs connect pid:$P .*"); INDEX=$($in_c ip -o link show eth0 | cut -d: -f1)
                    $1; echo "$1$2: $(ip -o address show lan0 2>&1 | grep -o 'inet .*/24\|does not exist'; ip -o link show lan0 2>/dev/null | grep -c ',UP')"; kill $P; wait $P 2>/dev/null; ip link delete lan1 2>/dev/null; }
                fake() { $in_c ip link add "$@" fake type veth peer name mine; $in_c ip link set fake alias 'netns-rs-link lan0'; $in_c ip link delete lan1 2>/dev/null; }
                ended() { kill $P; until [ -z "$(ls /run/netns)" ]; do sleep 0.02; done; }
                by_alias() { fake; $in_c ip link delete eth0; ended; }
                by_index() { kill -STOP $G; $in_c ip link delete eth0; fake index $INDEX; kill $P; kill -CONT $G; ended; }
                by_gc() { kill -KILL $G; $in_c ip link delete eth0; fake; kill $P; while kill -0 $P $G 2>/dev/null; do sleep 0.02; done; netns-rs gc; }
                by_name() { kill -STOP $G; $in_c ip link delete eth0; fake; $in_c ip link set fake name eth0; netns-rs disconnect pid:$P --interface eth0; kill $P; kill -CONT $G; ended; }
                for by in by_alias by_index by_name by_gc; do attack $by -Ur; done; attack by_gc"#;
            let outcome = apart(world, script);
            let none = "does not exist\n0\n";
            outcome
                .stdout_is(&format!("by_alias-Ur: {none}by_index-Ur: {none}by_name-Ur: {none}by_gc-Ur: {none}link lan0\nby_gc: 0\n"))
                .stderr_has("cannot bring lan0 back before its container ends: root of another user namespace")
                .stderr_has("root of another user namespace may have put another interface in its place");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "disconnect and gc bring each of several interfaces back under its own name, whatever other names are left",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                mount -t tmpfs none /run; mkdir /run/netns; for n in 1 2; do ip link add lan$n address 02:00:00:00:00:0$n type veth peer name peer$n; done
                show() { for n in 1 2; do ip -br link show lan$n 2>/dev/null | sed 's/[@ ].* \(02[^ ]*\).*/ \1/'; done; }
                made() { unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                    for n in 1 2; do netns-rs connect pid:$P --link lan$n --interface eth$n; done; }
                made; netns-rs disconnect pid:$P --interface eth2; show; netns-rs disconnect pid:$P --interface eth1; show; kill $P; wait $P 2>/dev/null
                until [ -z "$(ls /run/netns)" ]; do sleep 0.02; done
                made; kill -KILL $(pgrep -fx "netns-rs connect pid:$P .*"); kill $P; wait $P 2>/dev/null; netns-rs gc | sort; show"#;
            let [one, two] = ["lan1 02:00:00:00:00:01\n", "lan2 02:00:00:00:00:02\n"];
            apart(world, script).stdout_is(&format!("{two}{one}{two}link lan1\nlink lan2\n{one}{two}"));
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "--link brings an interface back without what root inside has set on it, which also cannot keep it away",
        &[UNSHARE, NSENTER, IP, Need::NetworkNamespaces, Need::UserNamespaces],
        |world| {
            // The control: ip cannot move it while it has the name of an interface of the host.
            let script = r#"
                mount -t tmpfs none /run; mkdir /run/netns; ip link add hostbr type bridge
                ip link add lan0 type veth peer name lan1; ip link property add dev lan0 altname own0; ip address add 192.0.2.1/24 dev lan0; ip link set lan0 up
                show() { ip link show lan0 | sed 's/.*\(mtu [0-9]*\).*/\1/; s/.*ether \([^ ]*\).*/\1/'; ip link show lan0 | grep -o PROMISC; ip -o -4 address show lan0 | grep -o 'inet [^ ]*'; ip link show free0 2>&1 | grep -c 'does not exist'; }; show >before
                moved() { unshare $1 -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ] && [ -z "$1" -o "$(cat /proc/$P/uid_map)" ]; do sleep 0.02; done
                    in_c="nsenter -t $P ${1:+-U --preserve-credentials} -n"; netns-rs connect pid:$P --link lan0 --interface eth0 --address 192.0.2.1/24
                    for name in hostbr free0; do $in_c ip link property add dev eth0 altname $name; done; $in_c ip link property del dev eth0 altname own0
                    $in_c ip link set eth0 address 02:00:00:00:00:66 mtu 1280 promisc on; nsenter -t $P -n ip link set eth0 netns $$ 2>&1 | grep -c 'altname hostbr exists'; }
                settled() { kill $P; wait $P; until [ -z "$(ls /run/netns)" ]; do sleep 0.02; done; }
                moved -Ur; settled 2>/dev/null; show >after; cmp before after && echo as before
                moved; kill -KILL $(pgrep -fx "netns-rs connect pid:$P .*"); kill $P; wait $P 2>/dev/null; netns-rs gc; ip link show lan0 | grep -c altname"#;
            apart(world, script).stdout_is("1\nas before\n1\nlink lan0\n0\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "gc brings an interface back that --link has moved, at whatever step its guardian is killed",
        &[UNSHARE, IP, STRACE, Need::NetworkNamespaces],
        |world| {
            let script = r#"
                for at in $(seq 2 20); do
                    unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; rm -f rc
                    strace -f -qqq -o /dev/null -e trace=sendto -e signal=none -e inject=sendto:signal=KILL:when=$at bash -c "netns-rs connect pid:$P --link tun0 --address 10.97.10.7/24; echo \$? >rc.new; mv rc.new rc" 2>/dev/null & S=$!
                    until [ -e rc ]; do sleep 0.01; done; netns-rs gc; ip -br link show tun0 2>/dev/null | wc -l; kill $P; wait $P $S 2>/dev/null
                    until netns-rs gc >/dev/null; [ -z "$(ls /run/netns)" ]; do sleep 0.01; done; ip -d link show tun0 | grep -c 'alias my tunnel'
                done | sort | uniq -c | tr -s ' '"#;
            let outcome = apart(world, &format!("{STAGE}\n{script}"));
            // The control: while the process is there, gc leaves the interface where it is.
            let lines: Vec<_> = outcome.stdout.lines().filter_map(|line| line.split(' ').next_back()).collect();
            assert_eq!(lines, ["0", "1"], "{outcome}");
        },
    )
    .root_only()
    .host_only(),
];
