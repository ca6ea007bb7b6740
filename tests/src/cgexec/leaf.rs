//! `--leaf`: limits where the only cgroup that can be the parent has processes, as in a container.

use crate::harness::need::{BASH, Need};
use crate::harness::row::Row;

use super::SHELL;

const NEEDS: &[Need] = &[BASH, Need::CgroupV2("pids")];

/// Runs `$INSIDE` in a group that is the root of its cgroup namespace, and of the only mount that it sees.
const APART: &str = r#"
v2=$(point cgroup2); place=$v2/leaf-test
echo +pids >$v2/cgroup.subtree_control; mkdir $place
(echo $BASHPID >$place/cgroup.procs; exec unshare --cgroup --mount bash -c "
    umount -l $v2; mount -t cgroup2 none $v2; cd $v2
    own() { sed -n 's/^0:://p' /proc/self/cgroup; }
    $INSIDE")
for i in $(seq 200); do rmdir $place/* $place 2>/dev/null; [ -d $place ] || break; sleep 0.05; done
[ ! -d $place ]
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--leaf makes limits possible where the only cgroup has processes, and moves none without it",
        NEEDS,
        |world| {
            let inside = "cgexec-rs --pids 9 -- true; echo without $?; own
            cgexec-rs --leaf --pids 9 -- sed -n 's/^0:://p' /proc/self/cgroup; own
            wc -l <cgroup.procs; cat cgroup.subtree_control
            # From here on, the group has no processes of its own.
            cgexec-rs --pids 9 -- sed -n 's/^0:://p' /proc/self/cgroup; own";
            let outcome = world.script(&format!("{SHELL}{APART}")).variable("INSIDE", inside).run().succeeds();
            let lines: Vec<_> =
                outcome.lines().into_iter().map(|line| line.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
            let expected = ["without ", "/", "/cgexec-rs-", "/leaf", "", "pids", "/cgexec-rs-", "/leaf"];
            assert_eq!(lines, expected, "{outcome}");
            outcome.stdout_has("without 125\n").stderr_has("remedy: --leaf moves the processes of the current cgroup");
        },
    )
    .root_only()
    .vm_only(),
    Row::new("--leaf does not use a directory of another user, and explains each move", NEEDS, |world| {
        let inside = "mkdir leaf; chown 54321 leaf; cgexec-rs --leaf --pids 9 -- true; echo $?; own; rmdir leaf
            cgexec-rs --leaf --pids 9 --explain -- true; echo $?; own";
        let outcome = world.script(&format!("{SHELL}{APART}")).variable("INSIDE", inside).run().succeeds();
        let outcome = outcome.stdout_is("125\n/\n0\n/leaf\n").stderr_has("leaf: it belongs to another user");
        outcome.stderr_has("/leaf/cgroup.procs\", \"").stderr_has("# --leaf: a group with processes cannot enable");
    })
    .root_only()
    .vm_only(),
];
