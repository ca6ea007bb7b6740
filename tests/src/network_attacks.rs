//! What somebody hostile beside, inside or outside cannot do to the host's network. Each attack is also tried where it
//! must succeed: on what `ip` makes, with the protection taken away, or on another tool.

use crate::need::{IP, Need, PERL, SETPRIV, UNSHARE};
use crate::row::Row;
use crate::script::Outcome;
use crate::world::World;

/// `$USER_ID CMD` is a stranger; `locks FILE` locks a file for as long as the shell lives, or says that it cannot.
const STRANGER: &str = r#"
mount -t tmpfs none /run; ip link set lo up
STRANGER="setpriv --reuid 54321 --regid 54321 --clear-groups"
locks() {
    exec 8< <($STRANGER perl -e 'use Fcntl ":flock"; $| = 1; open F, "<", $ARGV[0] or print "no\n"; flock F, LOCK_EX and print "yes\n"; sleep 60' $1)
    LOCKER=$!
    read answer <&8
    echo "locked by a stranger: $answer"
}
trap 'kill $LOCKER 2>/dev/null' EXIT
held() { perl -e 'use Fcntl ":flock"; open F, "<", $ARGV[0] or die; exit !flock F, LOCK_EX|LOCK_NB' $1 && echo free || echo held; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a stranger's lock on the namespace keeps nobody from the network",
        &[UNSHARE, SETPRIV, PERL, IP],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{STRANGER} locks /proc/self/ns/net; held /proc/self/ns/net
                netns-rs exec --new --bridge lock0 --address 10.97.1.2/24 -- echo connected
                kill $LOCKER; locks /proc/sys/net/ipv4/tcp_fastopen_key"
                ),
            );
            let expected = "locked by a stranger: yes\nheld\nconnected\nlocked by a stranger: no\n";
            outcome.succeeds().stdout_is(expected).stderr_is("");
        },
    )
    .root_only(),
    Row::new(
        "who changes the network waits for the other one who does",
        &[UNSHARE, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
            world,
            "perl -e 'use Fcntl \":flock\"; open F, \"<\", \"/proc/sys/net/ipv4/tcp_fastopen_key\"; flock F, LOCK_EX; \
                system \"touch held\"; sleep 1; $| = 1; print \"released\\n\"' & until [ -e held ]; do sleep 0.01; done
            netns-rs exec --new --bridge lock0 --address 10.97.1.2/24 -- echo connected; wait",
        );
            outcome.succeeds().stdout_is("released\nconnected\n");
        },
    ),
    Row::new(
        "a stranger's lock on /run/netns does not stop a namespace from getting a name",
        &[UNSHARE, SETPRIV, PERL, IP],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{STRANGER} mkdir /run/netns; locks /run/netns; timeout 1 ip netns add a; echo $?
                netns-rs add b; netns-rs exec b -- echo inside; netns-rs add c; netns-rs list | sort"
                ),
            );
            let expected = "locked by a stranger: yes\n124\ninside\nb\nc\n";
            outcome.succeeds().stdout_is(expected).stderr_has("it is prepared without the lock");
        },
    )
    .root_only(),
];

/// Runs lines of bash as root of a network and a mount namespace, in a directory of their own.
fn apart(world: &World, lines: &str) -> Outcome {
    let own = if world.is_root { "" } else { "--user --map-root-user" };
    let script = format!("exec unshare {own} --net --mount --propagation private bash -c \"$LINES\"");
    let lines = format!("D=$(mktemp -d) && chmod 755 $D && cd $D\n{lines}");
    world.script(&script).variable("LINES", lines).run()
}
