//! `--cni`: networks of CNI configurations, made by Debian's plugins, and by one that misbehaves.

use super::attacks::apart;
use crate::harness::need::{IP, JQ, NSENTER, Need, PERL, UNSHARE};
use crate::harness::row::Row;

const PLUGINS: Need = Need::Program("/usr/lib/cni/bridge", "containernetworking-plugins");
const IPTABLES: Need = Need::Program("iptables-save", "iptables");
const NEEDS: &[Need] = &[PLUGINS, IPTABLES, UNSHARE, NSENTER, IP, JQ, PERL, Need::NetworkNamespaces];

/// The network `box`, and a plugin `odd`, which records what it is given in `log`, and does what the file `mode` says at ADD.
/// `left` prints how much is left of containers, 1 if nothing is; `ended` waits until no cache entry is.
const STAGE: &str = r#"
mount -t tmpfs none /run; mount -t tmpfs none /var/lib; mkdir -p /run/netns conf bin; ip link set lo up; export CNI_PATH=$D/bin:/usr/lib/cni
cat >bin/odd <<E
#!/bin/sh
cd $D; read -r input; echo "\$CNI_COMMAND \$CNI_IFNAME \$input" >>log
[ \$CNI_COMMAND != ADD ] || case \$(cat mode 2>/dev/null) in
    error) echo '{"code":11,"msg":"no more room","details":"pool 7"}'; exit 1 ;;
    hang) sleep 999 & echo \$! >child; sleep 999 ;;
    flood) yes ;;
    log) echo trouble >&2; exit 3 ;;
    garbage) echo '{'; exit ;;
    kill) kill -9 \$PPID; exec sleep 999 ;;
    *) echo "\$input" | jq '.prevResult // {"cniVersion":"0.4.0"}' ;;
esac
E
chmod 755 bin/odd
list() { echo '{"cniVersion":"0.4.0","name":"'$1'","plugins":['$2']}' >conf/$1.conflist; }
BRIDGE='{"type":"bridge","bridge":"cnibox0","isGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.97.41.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}'
PORTMAP='{"type":"portmap","capabilities":{"portMappings":true}}'; BANDWIDTH='{"type":"bandwidth","capabilities":{"bandwidth":true}}'
list box "$BRIDGE,{\"type\":\"loopback\"},$PORTMAP,$BANDWIDTH,{\"type\":\"odd\",\"capabilities\":{\"portMappings\":true}}"
left() { echo $(ls /run/netns; ls /var/lib/cni/results; ls /var/lib/cni/networks/box | grep ^10; ip -o link show type veth; ip -o link show type ifb; iptables-save | grep -o 'dport 80.*') | wc -c; }
much() { left | sed 's/^[0-9]\{3\}$/much/'; }
ended() { until [ -z "$(ls /var/lib/cni/results)" ]; do sleep 0.02; done; left; }
started() { unshare -n sleep 99 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; }
guardian() { for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = netns-rs ] && [ $p/ns/net -ef /proc/self/ns/net ] && echo ${p#/proc/} && return; done; }
cni="--cni box --cni-conf conf"
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--cni connects a container by Debian's plugins, with ports and a rate, and executes DEL when it ends",
        NEEDS,
        |world| {
            let script = r#"
                serve='$s = IO::Socket::INET->new(Listen => 5, LocalPort => 80) or die; open F, ">", "ready"; for (1, 2) { $c = $s->accept; print $c "inside\n"; close $c }'
                netns-rs exec --new $cni --publish 8085:80 --rate 10mbit -- bash -c 'ip -br address show eth0 | grep -o 10.97.41.2/24; ip route show default; exec perl -MIO::Socket::INET -e "$0"' "$serve" &
                until [ -e ready ]; do sleep 0.02; done; tc qdisc show | grep -c 'tbf .*rate 10Mbit'; perl -MSocket -e 'socket S, AF_INET, SOCK_STREAM, 0; print bind(S, sockaddr_in 8085, INADDR_ANY) ? "free\n" : "reserved\n"'
                for host in 127.0.0.1 10.97.41.1; do cat </dev/tcp/$host/8085; done; much; wait; ended
                sed 's/ .*//' log; grep ^ADD log | sed 's/[^{]*//' | jq -c '.runtimeConfig, .name, (.prevResult.ips[0].address), .capabilities'; grep ^DEL log | sed 's/[^{]*//' | jq -c .prevResult.ips[0].address
                unshare-rs --hold --net | netns-rs connect --pipe $cni | tee record | nsenter-rs --pipe --rm -- true; jq -c '.net.interfaces[] | [.name, .bridge, .addresses, .gateway]' record; ended"#;
            let expected = concat!(
                "10.97.41.2/24\ndefault via 10.97.41.1 dev eth0 \n2\nreserved\ninside\ninside\nmuch\n1\nADD\nDEL\n",
                "{\"portMappings\":[{\"hostPort\":8085,\"containerPort\":80,\"protocol\":\"tcp\"}]}\n\"box\"\n\"10.97.41.2/24\"\nnull\n\"10.97.41.2/24\"\n",
                "[\"eth0\",\"cnibox0\",[\"10.97.41.3/24\"],\"10.97.41.1\"]\n1\n"
            );
            apart(world, &format!("{STAGE}\n{script}")).stdout_is(expected).stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a CNI plugin that fails, hangs, floods or answers nonsense is named, and the others get DEL",
        NEEDS,
        |world| {
            let script = r#"
                netns-rs exec --new $cni -- true; ended
                for mode in error hang flood log garbage; do
                    echo $mode >mode; rm -f log; timeout 20 netns-rs exec --new $cni --cni-timeout 1s -- echo never; echo $? $(left) $(sed 's/ .*//' log)
                done; ! kill -0 $(cat child) 2>/dev/null && echo ended
                # The control: without DEL, a lease and a link are left.
                netns-rs add bare; echo $BRIDGE | jq '. + {name: "box", cniVersion: "0.4.0"}' | CNI_COMMAND=ADD CNI_CONTAINERID=x CNI_NETNS=/run/netns/bare CNI_IFNAME=eth0 /usr/lib/cni/bridge >/dev/null; ls /var/lib/cni/networks/box | grep -c ^10"#;
            let mut outcome = apart(world, &format!("{STAGE}\n{script}"));
            outcome = outcome.stdout_is(&format!("1\n{}ended\n1\n", "125 1 ADD DEL\n".repeat(5)));
            for error in [
                "cannot execute the plugin odd (ADD) of the CNI network box: error 11: no more room; pool 7\n",
                "plugin odd (ADD) of the CNI network box: it has not ended after 1s and was killed\n",
                "plugin odd (ADD) of the CNI network box: its answer is longer than 1024 KiB\n",
                "it ended with status 3 and without an error in JSON: trouble\n",
                "cannot understand the answer of the plugin odd of the CNI network box: EOF",
            ] {
                outcome = outcome.stderr_has(error);
            }
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "gc executes the DEL of CNI for a container whose guardian was killed, at work or later, but not while it runs",
        NEEDS,
        |world| {
            let script = r#"
                started; netns-rs connect pid:$P $cni --publish 8085:80; G=$(guardian); kill -9 $G; while kill -0 $G 2>/dev/null; do sleep 0.02; done
                netns-rs gc; much; kill $P; wait $P 2>/dev/null; netns-rs gc | sed 's/-[0-9][0-9-]*//'; left
                # A plugin kills the guardian: the next plugins never ran, and no result is known.
                started; echo kill >mode; netns-rs connect pid:$P $cni --publish 8085:80; echo $?; much; kill $P; wait $P 2>/dev/null; netns-rs gc | wc -l; left; rm mode
                # Of a name: until it is gone.
                netns-rs add web; netns-rs connect web $cni; netns-rs gc; netns-rs connect web $cni 2>&1 | cut -d: -f2-; ip netns delete web; netns-rs gc | sed 's/-[0-9][0-9-]*//'; left"#;
            let expected = "much\ncni box netns-rs-cni eth0\n1\n125\nmuch\n1\n1\n cannot make the interface eth0: the container has one of that name\ncni box netns-rs-cni eth0\n1\n";
            apart(world, &format!("{STAGE}\n{script}")).stdout_is(expected);
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "disconnect removes a CNI connection, as does what libcni's cache says, and doctor executes CHECK",
        NEEDS,
        |world| {
            let script = r#"
                in_P() { nsenter --net=/proc/$P/ns/net "$@"; }; without_guardian() { until [ -z "$(guardian)" ]; do sleep 0.02; done; }
                started; netns-rs connect pid:$P $cni --rate 1mbit --interface net1; netns-rs doctor pid:$P | grep cni; in_P ip address flush dev net1
                netns-rs doctor pid:$P --json | jq -r '.findings[] | select(.check == "cni") | .problem, .fix' | sed "s/999.*//" | head -2
                netns-rs disconnect pid:$P --interface net1; left; without_guardian; in_P ip -br link | wc -l
                # What libcni does with the file: it needs nothing else.
                netns-rs connect pid:$P $cni --publish 8085:80; file=$(echo /var/lib/cni/results/*); get() { jq -r "$1" $file; }
                get '.kind, .networkName, (.netns | sub("-[0-9].*"; "")), .result.ips[0].address, (.capabilityArgs | keys[])'
                get .config | base64 -d | jq -c '.plugins | reverse[]' | while read -r plugin; do
                    jq -c --argjson plugin "$plugin" '$plugin + {name: .networkName, cniVersion: "0.4.0", prevResult: .result, runtimeConfig: .capabilityArgs}' $file |
                    CNI_COMMAND=DEL CNI_CONTAINERID=$(get .containerId) CNI_NETNS=$(get .netns) CNI_IFNAME=$(get .ifName) $(ls {bin,/usr/lib/cni}/$(echo $plugin | jq -r .type) 2>/dev/null)
                done; ls /var/lib/cni/networks/box | grep -c ^10; in_P ip -br link | wc -l; rm $file; umount /run/netns/*; rm /run/netns/*; without_guardian; left; kill $P"#;
            let expected = concat!(
                "net1: cannot execute the plugin bridge (CHECK) of the CNI network box: error \nnetns-rs disconnect pid:P --interface net1 ; netns-rs connect pid:P --interface net1 --cni box\n",
                "1\n1\ncniCacheV1\nbox\n/run/netns/netns-rs-cni\n10.97.41.3/24\nportMappings\n0\n1\n1\n"
            );
            apart(world, &format!("{STAGE}\n{{ {script}\n}} | sed 's/pid:[0-9]*/pid:P/g'")).stdout_is(expected);
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "one odd file hides no other CNI network, and what a network cannot do is refused before anything is made",
        NEEDS,
        |world| {
            let script = r#"
                echo '{' >conf/00-broken.conflist; mkfifo conf/01-fifo.conf; list path '{"type":"../bin/odd"}'; list none '{"type":"missing"}'
                echo '{"name":"single","cniVersion":"0.4.0","type":"odd"}' >conf/99.conf; echo '{"cniVersion":"9.1.0","name":"new","plugins":[{"type":"odd"}]}' >conf/new.conflist
                try() { netns-rs exec --new --cni-conf conf "$@" -- echo ran 2>&1 | head -1; }
                try --cni nowhere; try --cni path; try --cni new; try --cni none; try --cni single --publish 80:80; try --cni single --rate 1mbit
                try --cni ../single; try --cni box --gateway 10.97.41.1; try --cni box --bridge b0; try; ls /var/lib/cni/networks 2>/dev/null
                echo error >mode; CNI_PATH=$D/bin try --cni single; netns-rs exec --dry-run --new --cni box --cni-conf conf -- true 2>&1 | grep -c 'execve.*CNI_COMMAND=ADD'; ls /var/lib/cni/results | wc -l"#;
            let outcome = apart(world, &format!("{STAGE}\n{script}"));
            let outcome = outcome
                .stdout_has("cannot find the CNI network nowhere: conf has only box, none, single\n")
                .stdout_has("cannot find the CNI network path: conf has only")
                .stdout_has("cannot find the CNI network new: conf has only")
                .stdout_has("cannot use the plugin missing of the CNI network none: it is not in ")
                .stdout_has("cannot pass --publish on to the CNI network single: none of its plugins declares the capability portMappings\n")
                .stdout_has("cannot pass --rate on to the CNI network single")
                .stdout_has("--gateway: not with --cni, whose configuration decides this")
                .stdout_has("expected one of them")
                .stdout_has("error 11: no more room; pool 7\n5\n0\n");
            assert!(!outcome.stdout.contains("ran"), "{outcome}");
        },
    )
    .root_only()
    .host_only(),
];
