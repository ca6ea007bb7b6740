//! `map` and `who`: which namespaces exist, why, and what is connected to what.

use super::attacks::apart;
use crate::harness::need::{IP, JQ, Need, PERL, UNSHARE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[UNSHARE, IP, JQ, PERL, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "map shows what is connected to what in every form, who explains a word, and a hostile name does no harm",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                r#"mount -t tmpfs none /run; netns-rs add f-blue; netns-rs add f-red
                netns-rs connect f-blue --bridge fbox0 --address 10.97.8.2/24 --gateway 10.97.8.1; V=$(ip -o link show master fbox0 | sed 's/^[0-9]*: //; s/@.*//')
                netns-rs connect f-red --bridge fbox0 --address 10.97.8.3/24
                netns-rs exec f-blue ip link set eth0 down; netns-rs exec f-blue ip link set eth0 name '<b>&"\n'; netns-rs exec f-blue ip link set '<b>&"\n' up
                netns-rs exec f-blue perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => "0.0.0.0:8476") or die; open F, ">ready"; sleep 60' & P=$!
                until [ -e ready ]; do sleep 0.02; done
                plain() { sed "s/$V/VETH/; s/net:[^,]*/INODE/; s/pid [0-9]*/pid N/"; }
                netns-rs map | grep -A3 '^f-blue' | plain
                netns-rs map | grep -A2 ' fbox0 ' | grep -c 'veth.* up -> '; netns-rs map | awk 'length > 82' | wc -l
                netns-rs map --json | jq -c '. as $all | .[] | select(.names == ["f-blue"]) | .interfaces[1] | [.name, .addresses, $all[.peer.namespace].own, .kind]'
                netns-rs map --dot | grep -c '<b>&\\"\\\\n'; netns-rs map --svg | grep -c '&lt;b&gt;&amp;&quot;'; netns-rs map --svg | grep -c '<b>'
                for word in :8476 10.97.8.2 '<b>&"\n' $V f-blue $P; do netns-rs who "$word" | grep -c '^  listens on 8476 (perl'; done
                netns-rs who 10.97.8.3 | grep -c '^f-red: '; netns-rs who --json $V | jq -c '.matches[0].interface' | plain; netns-rs who :8477; kill $P"#,
            );
            let section = "f-blue: INODE, 1 process\n  <b>&\"\\n up 10.97.8.2/24 -> VETH of this namespace\n  \
                           listens on 8476 (perl, pid N)\n\n";
            let json = r#"["<b>&\"\\n",["10.97.8.2/24"],true,"veth"]"#;
            outcome
                .stdout_is(&format!("{section}2\n0\n{json}\n1\n1\n0\n1\n1\n1\n1\n1\n1\n1\n\"VETH\"\n"))
                .stderr_has("cannot find :8477: no network namespace that can be examined has it");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a network namespace without a name or a process is found, with what keeps it alive",
        NEEDS,
        |world| {
            let outcome = apart(
                world,
                r#"mount -t tmpfs none /run; begin() { unshare -n sleep 1000 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; N=$(stat -Lc %i /proc/$P/ns/net); }
                end() { kill $P; wait $P; }
                begin; exec 7</proc/$P/ns/net; end; netns-rs map --json | jq -c ".[] | select(.inode == $N) | .kept_by[0]" | sed "s/process $$/process SHELL/"
                exec 7<&-; netns-rs map | grep -c $N
                begin; touch kept; mount --bind /proc/$P/ns/net kept; end; netns-rs map | grep -c "^the mount $PWD/kept: "; netns-rs map --json | jq -c ".[] | select(.inode == $N) | .kept_by" | sed "s,$PWD,DIR,"
                umount kept; begin; ip link add fsocket0 type veth peer name fsocket1 netns $P
                perl -e 'sub enter { syscall(`uname -m` =~ /x86_64/ ? 308 : 268, fileno $_[0], 0) == 0 or die "setns: $!" }
                    open $home, "<", "/proc/self/ns/net"; open $there, "<", "/proc/$ARGV[0]/ns/net"; enter $there; socket S, 2, 1, 0 or die; enter $home; close $there; open F, ">ready"; sleep 60' $P & S=$!
                until [ -e ready ]; do sleep 0.02; done; end
                netns-rs list | wc -l; netns-rs who fsocket1 | sed 's/id [0-9]*:/id N:/; s/ of id.*//' | grep -v '^this\|^$\|  lo'; kill $S; wait
                until ! ip -o link show fsocket0 2>/dev/null >&2; do sleep 0.02; done; netns-rs map | grep -c fsocket"#,
            );
            let socket = "id N: no process, name, mount or descriptor was found: a socket keeps it, or wh…";
            outcome.stdout_is(&format!(
                "\"descriptor 7 of process SHELL\"\n0\n1\n[\"the mount DIR/kept\"]\n0\n{socket}\n  fsocket1 down -> fsocket0 of this namespace\n  fsocket0 down -> fsocket1\n0\n"
            ));
        },
    )
    .root_only()
    .host_only(),
    Row::new("map and who name the containers of a user, and leave out what the user may not see", NEEDS, |world| {
        let outcome = apart(
            world,
            r#"record=$(unshare-rs --hold --name f-held --user --map-root-user --net --pid --mount --ttl 60)
            netns-rs map 2>/dev/null | grep '^f-held: ' | sed 's/net:[^,]*/INODE/; s/pid [0-9]*/pid N/'
            echo "$record" | nsenter-rs --pipe --rm -- true; netns-rs map 2>/dev/null | grep -c '^f-held'"#,
        );
        outcome.stdout_is("f-held: INODE, 1 process, hold f-held (pid N)\n0\n");
    })
    .host_only(),
];
