//! The label of a security module: which command has it, what it forbids, when a command cannot have it, and where it
//! is shown. A kernel has either AppArmor or SELinux; each of the virtual machines has one of them.

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;
use crate::unshare::apparmor_policy::{Profile, remove};
use crate::unshare::security_modules::{enforcing, is_apparmor};

/// `labelled ORDER` makes a target, `$P`, that wrote ORDER to attr/current; behind a border if AROUND contains one.
const PREAMBLE: &str = r#"
labelled() {
    $AROUND sh -c '[ -z "$1" ] || printf %s "$1" >/proc/self/attr/current && exec sleep 86495' - "$1" >/dev/null & OUTER=$!
    trap 'kill -KILL $P $OUTER 2>/dev/null' EXIT
    P=$OUTER
    case $AROUND in unshare*) P=$(child $OUTER);; esac
    for i in $(seq 500); do grep -qs '^sleep' /proc/$P/comm && break; sleep 0.01; done
}
label() { tr -d '\0\n' </proc/$1/attr/current; echo; }
"#;

const BORDER: &str = "AROUND='unshare -m -p -u --fork --kill-child --mount-proc';";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a command like a target has its security label, and is denied what the label denies", NEEDS, |world| {
        let like = |label: &str, make: &str, options: &[&str], refused: &str| {
            for (around, enter) in [("", "-u"), (BORDER, "-a"), (BORDER, "-a --sealed-copy")] {
                for option in options {
                    let line = format!(
                        "{around} labelled {make}; label $P; nsenter-rs -t $P {enter} {option} -- sh -c 'tr -d \"\\0\\n\" </proc/self/attr/current'; echo; \
                         nsenter-rs -t $P {enter} {option} -- unshare-rs --user true; echo $?; \
                         nsenter-rs -t $P {enter} -- sh -c 'tr -d \"\\0\\n\" </proc/self/attr/current'; echo; \
                         nsenter-rs -t $P {enter} -- unshare-rs --user true; echo $?"
                    );
                    let outcome = in_preamble(world, &line);
                    let lines: Vec<_> = outcome.stdout.lines().collect();
                    assert_eq!([lines[0], lines[1], lines[2], lines[4]], [label, label, "125", "0"], "{outcome}");
                    assert_ne!(lines[3], label, "{outcome}");
                    assert!(outcome.stderr.contains(refused), "{outcome}");
                }
            }
            let line = format!("labelled {make}; nsenter-rs --inspect $P; nsenter-rs --inspect $P --json | jq -r .isolation.confinement.label");
            let page = in_preamble(world, &line).succeeds();
            let row = page.stdout.lines().find_map(|line| line.strip_prefix("security label "));
            assert_eq!(row.map(str::trim), Some(label), "{page}");
            assert!(page.stdout.ends_with(&format!("\n{label}\n")) && !page.stdout.contains("unconfined-label"), "{page}");
        };
        if is_apparmor() {
            Profile::default().load("suite");
            like("suite (enforce)", "'changeprofile suite'", &["--like-target"], "by the profile \"suite\"");
            // A profile in complain mode denies nothing, which is a finding.
            Profile { complains: true, ..Profile::default() }.load("suite");
            let page = in_preamble(world, "labelled 'changeprofile suite'; nsenter-rs --inspect $P");
            page.succeeds().stdout_has("suite (complain)").stdout_has("unconfined-label");
            remove("suite");
        } else {
            let label = "system_u:system_r:refused_t";
            enforcing(|| like(label, label, &["--like-target", "--follow-context"], "does not allow system_u:system_r:refused_t to create"));
            let page = in_preamble(world, &format!("labelled {label}; nsenter-rs --inspect $P"));
            page.succeeds().stdout_has(label).stdout_has("unconfined-label");
        }
    })
    .root_only()
    .vm_only(),
    Row::new("if the command may not have the target's label, it is not run", NEEDS, |world| {
        if is_apparmor() {
            Profile::default().load("suite");
            Profile::default().load("other");
            let line = "labelled 'changeprofile other'; echo changeprofile suite >/proc/self/attr/current; \
                nsenter-rs -t $P -u --like-target -- echo unreachable";
            let outcome = in_preamble(world, line).fails_with(125).stdout_is("");
            let remedy = "remedy: AppArmor confines us by the profile \"suite\", which has no rule \"change_profile -> other,\"";
            outcome.stderr_has("write(\"/proc/self/attr/apparmor/exec\", \"exec other\"): EACCES").stderr_has(remedy);
            remove("other");
            remove("suite");
        } else {
            enforcing(|| {
                for option in ["--like-target", "--follow-context"] {
                    let line = format!("labelled system_u:system_r:apart_t; nsenter-rs -t $P -u {option} -- echo unreachable");
                    let outcome = in_preamble(world, &line).fails_with(125).stdout_is("");
                    outcome.stderr_has("remedy: add to the policy: allow allowed_t apart_t:process transition");
                }
            });
        }
    })
    .root_only()
    .vm_only(),
    Row::new("an error names a profile without the flag for detached mounts; with the flag, entering works", NEEDS, |world| {
        if !is_apparmor() {
            // SELinux checks labels, and a file has one on any mount.
            let line = "printf system_u:system_r:refused_t >/proc/self/attr/current; nsenter-rs -t $P -a -- echo entered";
            let entering = || drop(in_preamble(world, &format!("{BORDER} labelled; {line}")).stdout_is("entered\n"));
            return enforcing(entering);
        }
        let line = |option: &str| {
            format!(
                "{BORDER} labelled; echo changeprofile suite >/proc/self/attr/current; nsenter-rs -t $P -a {option} -- echo entered"
            )
        };
        let mut profile = Profile::default();
        profile.load("suite");
        let outcome = in_preamble(world, &line("")).fails_with(125).stdout_is("");
        let remedy = "remedy: AppArmor confines us by the profile \"suite\"";
        outcome.stderr_has("execveat(memfd").stderr_has("EACCES").stderr_has(remedy).stderr_has("attach_disconnected");
        // Root executes no detached file for this: the copy becomes the executable of the running process.
        in_preamble(world, &line("--sealed-copy")).succeeds().stdout_is("entered\n");
        profile.attaches_disconnected = true;
        profile.load("suite");
        in_preamble(world, &line("")).succeeds().stdout_is("entered\n");
        remove("suite");
    })
    .root_only()
    .vm_only(),
];

const NEEDS: &[Need] = &[Need::Program("unshare", "util-linux"), Need::Program("jq", "jq"), Need::UserNamespaces];

fn in_preamble(world: &World, line: &str) -> Outcome {
    run(world, &format!("{PREAMBLE}{line}"))
}
