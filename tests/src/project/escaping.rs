//! No output of the five tools contains a character that a terminal could obey, or that changes the direction of writing:
//! neither as text nor as JSON, where their meaning is preserved. jq(1), which escapes only what JSON demands, is the
//! control.

use crate::harness::need::{BASH, BUSYBOX, IP, JQ, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `$NAME` is a hostile name, `$SHORT` one of at most 15 bytes; `look WHAT COMMAND` reports if a command prints a hostile
/// character to stdout or stderr, or if its output has no trace of one.
const PREAMBLE: &str = r#"
NAME=$(printf 'x\302\2332J\342\200\256y\342\200\250z\357\273\277\342\201\246') SHORT=$(printf 'x\302\233J\342\200\256y')
HOSTILE='\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf|\xd8\x9c|\x1b'
raw() { LC_ALL=C grep -qP "$HOSTILE"; }
look() { local what=$1; shift; "$@" >out 2>err; raw <out && echo "$what: on stdout"; raw <err && echo "$what: on stderr"; grep -qiE '(u\{?00|u\{?|x)9b|bytes' out err || echo "$what: no trace"; :; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("no name can control a terminal, in the records and reports of all five tools", &[BASH, BUSYBOX, IP, JQ, UNSHARE, Need::NetworkNamespaces], |world| {
        let root = world.busybox_root().display();
        let line = format!(
            r#"
            cp -r {root} "$D/$NAME"
            look unshare-rs unshare-rs --hold --ttl 60 --name "$NAME" --mount --pid --net; cp out hold
            trap 'nsenter-rs --pipe --rm -- true <saved' EXIT
            jq -c . hold | raw && echo jq does not escape; [ "$(jq -r .name hold)" = "$NAME" ] && echo the same
            look cgexec-rs cgexec-rs --pipe --pids 50 --name "$SHORT" <hold; cp out grouped
            look netns-rs netns-rs show --pipe <grouped
            look chroot-rs chroot-rs --pipe --std "./$NAME" <grouped; cp out saved
            [ "$(jq -r .root.path saved)" = "$D/$NAME" ] && echo the same
            P=$(jq .init.pid saved)
            cgexec-rs --pids 50 --name "$SHORT" -- sleep 86465 & GROUPED=$!; asleep $GROUPED
            for option in --json ''; do
                look "nsenter-rs --find" nsenter-rs --find "hold:$NAME" --json
                look "nsenter-rs --inspect $option" nsenter-rs --inspect $P $option
                look "nsenter-rs --diff $option" nsenter-rs --diff $P $$ $option
                look "nsenter-rs --containers $option" nsenter-rs --list --containers --type hold $option
                look "nsenter-rs --list $option" nsenter-rs --list $option --output-all
                look "cgexec-rs --show $option" cgexec-rs --show $option $GROUPED
            done
            look "nsenter-rs --list -J" nsenter-rs --list -J --output-all
            look "nsenter-rs error" nsenter-rs --find "no$NAME" --json
            look "netns-rs error" netns-rs exec "no$NAME" true
            look "chroot-rs error" chroot-rs "no$NAME" true
            look "unshare-rs error" unshare-rs --root "no$NAME" true
            look "cgexec-rs error" cgexec-rs -g "pids:no$NAME" true
            netns-rs exec --new -- sh -c 'ip link add "$0" type veth peer name other; netns-rs show --json . >a; netns-rs show . >b' "$SHORT"
            look "netns-rs show --json" cat a; look "netns-rs show" cat b; kill $GROUPED; wait $GROUPED
            "#
        );
        run(world, "escaping", &line).stdout_is("jq does not escape\nthe same\nthe same\n");
    })
    .root_only()
    .host_only(),
];

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    world.apart(name, &format!("cd $D\n{WAITING}{PREAMBLE}{lines}")).run()
}
