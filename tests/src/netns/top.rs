//! `top`: what passes and what is dropped, for each network namespace.

use super::attacks::apart;
use crate::harness::need::{BASH, IP, JQ, Need, PERL, SCRIPT, UNSHARE};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "top shows traffic of each container, also what its --rate drops on the host's side, and fits and restores a terminal",
        &[UNSHARE, BASH, IP, JQ, PERL, SCRIPT, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                r#"mount -t tmpfs none /run; ip link set lo up; netns-rs add t-slow; netns-rs add t-free; netns-rs add t-idle
                unshare -n perl -e '$0 = "t\e[31mred"; open F, ">ready"; sleep 60' & R=$!; until [ -e ready ]; do sleep 0.02; done
                netns-rs connect t-slow --bridge tbox0 --address 10.97.12.2/24 --gateway 10.97.12.1 --rate 1mbit
                netns-rs connect t-free --bridge tbox0 --address 10.97.12.3/24
                perl -MIO::Socket::INET -e '@s = map { IO::Socket::INET->new(Proto => "udp", PeerAddr => "10.97.12.$_", PeerPort => 9) or die } 2, 3;
                    while (1) { for (1 .. 20) { $_->send("x" x 1400) for @s } select undef, undef, undef, 0.02 }' & P=$!
                one() { netns-rs top --json --iterations 1 | jq -ce '.namespaces | map({(.names[0] // ""): .}) | add | '"$1"; }
                until one '."t-slow" | .rates.received_per_second > 9000 and .rates.dropped_per_second > 9 and (.interfaces | map(.rates.dropped_per_second) | add == 0)'; do :; done
                until one '."t-free" | .rates | .received_per_second > 20000 and .received_packets_per_second > 9 and .dropped_per_second == 0'; do :; done
                one '."t-free".interfaces | map([.name, .addresses])'; one '."t-idle" | [.rates.received_per_second, .process_count]'
                until netns-rs top --json --iterations 1 | jq -ce '.namespaces | map(select(.names[0] == "t-free" or .names[0] == "t-slow").names[0]) == ["t-free", "t-slow"]'; do :; done
                netns-rs top --json --iterations 3 --delay 50ms | jq -c '.time > 0 and (.namespaces | any(.own))'
                netns-rs top --batch --iterations 2 --delay 50ms >out; grep -c 'IN/s .* NAMESPACE$' out; grep -c ' t-free 10.97.12.3/24$' out; grep -c 't.*31mred (pid' out; grep -c $'\e' out
                : >screen; seen() { until grep -q "by $1" screen; do sleep 0.05; done; }
                (seen bytes; printf d; seen drops; printf n; seen name; printf q) | script -qec 'stty cols 80 rows 24; stty -a >before; netns-rs top --delay 200ms; stty -a | cmp - before && echo restored' /dev/null >screen
                grep -c restored screen; for order in bytes drops name; do grep -o "namespaces by $order" screen | sort -u; done
                sed 's/\x1b\[H/\n/g; s/\x1b\[?1049l/\n/; s/\x1b\[[?0-9]*[A-Za-z]//g; s/\r//g; s/…/./g' screen out | awk 'length > 80' | wc -l; kill $P $R"#,
            );
            let lists = "true\ntrue\n[[\"lo\",[\"127.0.0.1/8\",\"::1/128\"]],[\"eth0\",[\"10.97.12.3/24\"]]]\n[0,0]\n";
            let expected = format!(
                "{lists}true\ntrue\ntrue\ntrue\n2\n2\n2\n0\n1\nnamespaces by bytes\nnamespaces by drops\nnamespaces by name\n0\n"
            );
            let shown: Vec<_> = outcome.stdout.lines().filter(|line| *line != "false").collect();
            assert_eq!(shown.join("\n") + "\n", expected, "{outcome}");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "top counts the container of a user, and remarks only once what the user may not see",
        &[UNSHARE, JQ, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                r#"record=$(unshare-rs --hold --name t-held --user --map-root-user --net --pid --mount --ttl 60)
                netns-rs top --json --iterations 1 2>once | jq -c '.namespaces[] | select(.containers[0].name == "t-held") | [.own, .process_count, .rates.received_per_second]'
                netns-rs top --batch --delay 20ms --iterations 3 2>thrice | grep -c ' t-held$'
                for remarks in once thrice; do grep -c 'could not be examined' $remarks; done
                echo "$record" | nsenter-rs --pipe --rm -- true"#,
            );
            // A process that is ending cannot be examined by root either.
            let [counts @ .., once, thrice] = &outcome.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{outcome}") };
            assert_eq!(counts, ["[false,1,0]", "3"], "{outcome}");
            assert!(["0", "1"].contains(thrice) && (world.is_root || [*once, *thrice] == ["1", "1"]), "{outcome}");
        },
    )
    .host_only(),
];
