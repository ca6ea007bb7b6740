//! Connecting network namespaces that exist: named ones, those of processes, and files; and disconnecting them.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, Need, UNSHARE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[UNSHARE, IP, BUSYBOX, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a named namespace is connected until it is disconnected or deleted, and then nothing is left",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; netns-rs add a; netns-rs add b; links=$(ip -o link | wc -l)
                for name in a b; do netns-rs connect $name --bridge box0 --address auto:10.97.6.0/24 --nat --name $name; done
                for name in a b; do netns-rs exec $name ip -4 -br address show eth0 | grep -o '10.97.6.*/24'; ip -br link show $name.eth0 | wc -l; done
                netns-rs exec a busybox ping -c 1 -w 3 -q 10.97.6.1 | grep -c ' 0% packet loss'; netns-rs exec a ip route | grep -c 'default via 10.97.6.1'
                netns-rs connect a --bridge box0 --address auto; netns-rs connect . --bridge box0 --address auto
                netns-rs disconnect a; netns-rs disconnect a; netns-rs exec a ip -o link | wc -l; ip -o link | grep -c box0
                netns-rs delete b; until ! ip -o link | grep -q veth; do sleep 0.02; done; netns-rs gc | sed 's/veth.*/NAME/' | sort
                [ $links = $(ip -o link | wc -l) ] && echo nothing left",
            );
            let outcome = outcome.stdout_is(
                "10.97.6.2/24\n1\n10.97.6.3/24\n1\n1\n1\n1\n2\nbridge box0\ntable netns-rs\ntable netns-rs-NAME\nnothing left\n",
            );
            outcome
                .stderr_has("cannot make the interface eth0: the container has one of that name")
                .stderr_has("cannot connect a network namespace to itself")
                .stderr_has("cannot disconnect eth0: the a network namespace has no such connection of ours");
        },
    )
    .root_only(),
    Row::new(
        "a process's namespace is connected until the process ends, by its pid or by its file",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                netns-rs connect pid:$P --bridge box0 --address auto:10.97.6.0/30 --address fd00:97::2/64
                netns-rs connect /proc/$P/ns/net --bridge box0 --interface eth1 --address auto; echo $?
                nsenter --net=/proc/$P/ns/net ip -br address | grep -c '10.97.6.2/30 fd00:97::2/64'
                kill $P; wait; until ! ip -o link | grep -q 'box0\\|veth'; do sleep 0.02; done; ip -o link | wc -l",
            );
            outcome.stdout_is("125\n1\n1\n").stderr_has("cannot choose an address of 10.97.6.0/30: none is free");
        },
    )
    .root_only(),
    Row::new(
        "containers that start at once get addresses of their own from one subnet",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; mkfifo gate; exec 8<>gate; for i in $(seq 12); do
                    netns-rs exec --new --bridge box0 --address auto:10.97.6.0/28 --gateway 10.97.6.14 -- bash -c 'ip -4 -o address show eth0 >$$.new; mv $$.new $$.made
                        read -r _ <&7' 7<gate 8>&- & done
                until set -- *.made && [ $# = 12 ]; do sleep 0.2; done; cat *.made | grep -o '10[0-9.]*/28' | sort -u | wc -l
                netns-rs exec --new --bridge box0 --address auto -- bash -c 'ip -4 -o address show eth0 | grep -c 10.97.6.13/28'
                exec 8>&-; wait; until ! ip -o link | grep -q 'box0\\|veth'; do sleep 0.02; done; ip -o link | wc -l",
            );
            outcome.stdout_is("12\n1\n1\n").stderr_is("");
        },
    )
    .root_only(),
];
