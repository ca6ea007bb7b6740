//! The exit status: that of the command, or one of the tool.

use crate::harness::agreement::case::{Case, Difference};

const SIGKILL: &[Difference] = &[Difference::new("status", "a command that a signal ended")];
const NO_DIRECTORY: &[Difference] = &[Difference::new("status", "a command below a path that is not a directory")];

/// Cases about exit statuses.
pub const CASES: &[Case] = &[
    Case::new("").command("true"),
    Case::new("").command("false").ends(1),
    Case::new("--fork").command("false").ends(1),
    Case::new("-r").command("sh -c 'exit 77'").ends(77),
    Case::new("-r --fork").command("sh -c 'exit 77'").ends(77),
    Case::new("-rpf --mount-proc").command("sh -c 'exit 255'").ends(255),
    Case::new("-rf").command("sh -c 'exit 125'").ends(125),
    Case::new("-r").command("sh -c 'kill -TERM $$'").ends(143),
    Case::new("-rf").command("sh -c 'kill -TERM $$'").ends(143),
    // The peer tries to restore the default action of SIGKILL, which cannot be changed.
    Case::new("-rf").command("sh -c 'kill -KILL $$'").ends(1).differs(SIGKILL),
    Case::new("-rf --kill-child").command("sh -c 'kill -INT $$'").ends(130),
    Case::new("-rf").command("sh -c 'kill -SEGV $$'").ends(139),
    // Pid 1 of a pid namespace can be killed only from outside, not by itself.
    Case::new("-rpf").command("sh -c 'kill -KILL $$; exit 3'").ends(3),
    Case::new("-r").command("no-such-program").ends(127),
    Case::new("-rf").command("no-such-program").ends(127),
    Case::new("").command("/no/such/program").ends(127),
    Case::new("").command("/etc/passwd/program").ends(126).differs(NO_DIRECTORY),
    Case::new("-rf").command("/etc/passwd").ends(126),
    Case::new("").command("/").ends(126),
    Case::new("").command("''").ends(127),
    Case::new("").after("PATH=$TOOLS:/no/such/directory:/usr/bin:/bin").command("true"),
    Case::new("").after("printf '#!/no/such/interpreter' >$dir/x; chmod +x $dir/x").command("$dir/x").ends(127),
    Case::new("").after("printf 'echo $0' >$dir/x; chmod +x $dir/x").command("$dir/x"),
    Case::new("--version").command(">/dev/null"),
    Case::new("-V").command(">/dev/null"),
    Case::new("--help").command(">/dev/null"),
    Case::new("-h").command(">/dev/null"),
    Case::new("--no-such-option").ends(1),
    Case::new("-Z").ends(1),
    Case::new("--fork=1").ends(1),
    Case::new("-r --propagation").command("").ends(1),
    // The words after the command belong to the command.
    Case::new("-r").command("$look --fork -Z -- --help"),
    Case::new("-r --").command("$look --fork -Z -- --help"),
    Case::new("-r").command("printf '%s|' a 'b  c' '' '*' -- -x"),
    Case::new("").command("sh -c 'echo $0 $1 $2' --map-root-user -r --"),
    Case::script("exec $unshare -r <<<'echo from $((40 + 2)); exit 7'").ends(7),
    Case::script("SHELL=/bin/sh exec $unshare -r <<<'echo from $((40 + 2)); exit 7'").ends(7),
    Case::script("SHELL=/no/such/shell exec $unshare -r </dev/null").ends(127),
    Case::script("unset SHELL; exec $unshare -r <<<'echo $((40 + 2))'"),
    Case::script("exec $unshare -rf <<<'echo $$ >/dev/null; exit 9'").ends(9),
    Case::script("$unshare -r echo one | $unshare -rf cat | $unshare -rpf tr a-z A-Z"),
    Case::script("exec $unshare -rpf sh -c 'true & true & wait; (exit 6); echo $?'"),
    Case::script("$unshare -rpf sh -c '(sleep 0.05; echo late) & exit 4' | cat; echo ${PIPESTATUS[0]}"),
];
