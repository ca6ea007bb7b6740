//! Under a filter that answers ENOSYS to clone3(2), as container engines did before their filters knew that call:
//! everything works with clone(2), and the narration says so.

use crate::harness::narration::compare;
use crate::harness::need::{BWRAP, Need, SETPRIV, STRACE};
use crate::harness::row::Row;
use crate::harness::trace::{self, place};
use crate::project::explain::script;

/// BPF: load the call's number; clone3(2), which is 435 everywhere, fails with ENOSYS, all other calls are allowed.
/// bubblewrap reads the filter from descriptor 9.
const FILTER: &str = "printf '\\x20\\0\\0\\0\\0\\0\\0\\0\\x15\\0\\0\\x01\\xb3\\x01\\0\\0\\x06\\0\\0\\0\\x26\\0\\x05\\0\\x06\\0\\0\\0\\0\\0\\xff\\x7f' \
                      >$PLACE/filter; exec 9<$PLACE/filter; without() { setpriv --ambient-caps -all --inh-caps -all bwrap --dev-bind / / --seccomp 9 \"$@\"; }; ";

/// The last instruction of the filter.
const ALLOW: &str = "\\x06\\0\\0\\0\\0\\0\\xff\\x7f";

const NEEDS: &[Need] = &[Need::UserNamespaces, BWRAP, STRACE, SETPRIV];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("without clone3(2), clone(2) is used with the same effect", NEEDS, |world| {
        let prefix = place(world, "without-clone3");
        for (line, answer) in [
            ("without unshare-rs --fork -- echo ran", "ran\n"),
            ("without unshare-rs -r -mpf --mount-proc --kill-child -- sh -c 'echo $$'", "1\n"),
            ("without unshare-rs -r --pid --init -- sh -c 'echo $$'", "2\n"),
            ("without unshare-rs -r --time --boottime 5 --pid-file $PLACE/pid -f -- echo ran", "ran\n"),
            (
                "without bash -c 'unshare-rs --hold --ttl 60 -r -m -p -u -T --boottime 100 --hostname box | \
                 nsenter-rs --pipe --rm -- hostname'",
                "box\n",
            ),
        ] {
            script(world, &format!("{FILTER}{line}"), &prefix).run().succeeds().stdout_is(answer);
        }
        let line = format!("{FILTER}without $TRACE unshare-rs --explain -r -pf --kill-child -- true");
        let outcome = script(world, &line, &prefix).run().succeeds().stderr_has("clone3(2) is not available");
        let verdict = compare(&trace::read(&prefix));
        assert!(verdict.complaints.is_empty(), "{}\n{outcome}", verdict.complaints.join("\n"));
        assert!(verdict.agreed.iter().any(|call| call == "clone"), "{:?}\n{outcome}", verdict.agreed);
    })
    .host_only(),
    Row::new("if clone(2) is refused as well, the error names it", NEEDS, |world| {
        let prefix = place(world, "without-clone");
        let filter = format!("{}without unshare-rs --fork -- true", filter_of_both());
        let outcome = script(world, &filter, &prefix).run().fails_with(125);
        outcome.stderr_has("cannot fork: clone(child_stack=NULL, flags=CLONE_PIDFD|SIGCHLD): EPERM");
    })
    .host_only(),
];

/// Returns a filter that also answers EPERM to clone(2), whose number depends on the architecture.
fn filter_of_both() -> String {
    let number = if cfg!(target_arch = "x86_64") { "\\x38" } else { "\\xdc" };
    let refuse = format!("\\x15\\0\\0\\x01{number}\\0\\0\\0\\x06\\0\\0\\0\\x01\\0\\x05\\0");
    FILTER.replace(ALLOW, &(refuse + ALLOW))
}
