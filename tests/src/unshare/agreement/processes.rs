//! The command's process, what it inherits, and which of the two processes outlives the other.

use crate::harness::agreement::case::{Case, Difference};

const SIGCHLD: &[Difference] = &[Difference::new("SigIgn", "`SIGCHLD` that the caller ignores")];
const DEATH_SIGNAL: &[Difference] =
    &[Difference::new("dies with its parent", "`--kill-child` holds together with `--setuid` and `--setgid`")];

/// Sends a signal to the tool while its command runs, and prints which of the two is left shortly after.
macro_rules! signalled {
    ($arguments:literal, $signal:literal) => {
        concat!(
            // Without job control, a shell's background process ignores SIGINT.
            "set -m; $unshare ",
            $arguments,
            r#" sleep 777 2>/dev/null & tool=$!
            until command=$(pgrep -P $tool -x sleep || pgrep -P $$ -x sleep); do sleep 0.01; done
            kill -"#,
            $signal,
            r#" $tool
            left() { state=$(cut -d" " -f3 /proc/$1/stat 2>/dev/null) && [ $state != Z ]; }
            for i in 1 2 3 4 5 6 7 8; do left $command || left $tool || break; sleep 0.02; done
            if left $tool; then echo the tool is left; else wait $tool; echo the tool ended with $?; fi
            left $command && echo the command is left && kill -KILL $command; wait $tool 2>/dev/null"#,
            "; true"
        )
    };
}

/// Cases about processes.
pub const CASES: &[Case] = &[
    Case::new("--fork"),
    Case::new("--kill-child"),
    Case::new("--kill-child=TERM"),
    Case::new("--kill-child=SIGTERM"),
    Case::new("--kill-child=kill"),
    Case::new("-r --kill-child --pid"),
    Case::new("--kill-child=NONE").ends(1),
    Case::new("--fork --fork"),
    Case::new("--fork").after("umask 027"),
    Case::new("-r").after("umask 027"),
    Case::new("").after("trap '' USR1 HUP TERM INT"),
    Case::new("--fork").after("trap '' USR1 HUP TERM INT"),
    Case::new("").command("grep Sig[PBIC] /proc/self/status"),
    Case::new("--fork").command("grep Sig[PBIC] /proc/self/status"),
    Case::new("-rf").after("trap '' PIPE").command("grep Sig[PBIC] /proc/self/status"),
    Case::script("exec env --block-signal=USR1,TERM,CHLD $unshare $look").host(),
    Case::script("exec env --block-signal=USR1,TERM,INT $unshare --fork $look").host(),
    Case::script("exec env --ignore-signal=CHLD $unshare --fork $look").host().differs(SIGCHLD),
    Case::script("exec env --ignore-signal=CHLD $unshare $look").host().differs(SIGCHLD),
    Case::script("exec env --ignore-signal=CHLD $unshare --fork sh -c 'exit 7'").host().ends(7),
    Case::new("--kill-child -S 1000 -G 1000").root().differs(DEATH_SIGNAL),
    Case::new("--kill-child -r --setuid 0").differs(&[]),
    Case::new("").after("export GREETING='a  b'; unset HOME"),
    Case::new("-r --fork").after("export GREETING='a  b'; unset HOME"),
    Case::new("-r").after("exec 7</dev/null"),
    Case::new("-r --fork").after("exec 7</dev/null"),
    Case::new("-r --pid --mount-proc --fork").after("exec 7</dev/null"),
    Case::new("").after("ulimit -n 123"),
    Case::script("exec setsid $unshare --fork $look"),
    Case::script(signalled!("--fork", "KILL")),
    Case::script(signalled!("--fork --kill-child", "KILL")),
    Case::script(signalled!("--kill-child=TERM", "KILL")),
    Case::script(signalled!("-r --pid --kill-child", "KILL")),
    Case::script(signalled!("-r --pid --fork", "KILL")),
    Case::script(signalled!("--fork", "TERM")),
    Case::script(signalled!("--fork", "INT")),
    Case::script(signalled!("--fork", "HUP")),
    Case::script(signalled!("--fork", "USR1")),
    Case::script(signalled!("--kill-child", "TERM")),
    Case::script(signalled!("--kill-child", "HUP")),
    Case::script(signalled!("-r --pid --mount-proc --kill-child", "INT")),
    Case::script(signalled!("-r", "TERM")),
    // The parent does not stop together with its child.
    Case::script(
        r#"$unshare --fork sh -c 'kill -STOP $$; exit 3' & parent=$!
        child() { cut -d' ' -f3 /proc/$(pgrep -P $parent)/stat; }
        until [ "$(child)" = T ]; do sleep 0.01; done
        sleep 0.05; echo $(cut -d' ' -f3 /proc/$parent/stat)
        kill -CONT $(pgrep -P $parent); wait $parent"#,
    )
    .ends(3),
];
