//! The terminal of a command behind a border: which processes get keys, which are stopped by them, and the state of the
//! caller's terminal afterwards. Where it can differ, the caller's own terminal is tested, too, with which the kernel
//! does the work.

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;
use crate::nsenter::options::{PREAMBLE as SHARED, run};

const NEEDS: &[Need] = &[
    Need::Program("script", "bsdutils"),
    Need::Program("unshare", "util-linux"),
    Need::Program("nsenter", "util-linux"),
    Need::Program("pgrep", "procps"),
    Need::UserNamespaces,
];

const KEYS: &[Need] = &[
    Need::Program("script", "bsdutils"),
    Need::Program("unshare", "util-linux"),
    Need::Program("pgrep", "procps"),
    Need::Program("busybox", "busybox-static"),
    Need::UserNamespaces,
];

/// `at_terminal TYPIST` runs the file `session` in a terminal while TYPIST types; `sleeps` waits for a command
/// `sleep $N` and prints its pid. No other row or run uses this number.
const PREAMBLE: &str = r#"
sleeps() { for i in $(seq 500); do pid=$(pgrep -xf "sleep $N") && [ "$(state $pid)" = S ] && break; sleep 0.02; done; sleep 0.2; echo $pid; }
export N=86400$$
export -f sleeps state until_state child
at_terminal() {
    rm -f ended
    (eval "$1"; until [ -e ended ]; do sleep 0.05; done) |
        SHELL=$(command -v bash) script --quiet --return --command 'bash session; touch ended' /dev/null | tr -d '\r\004\b'
}
"#;

/// The command lines with which each tool enters.
const TOOLS: [&str; 2] = ["nsenter-rs -t $P -a", "nsenter --preserve-credentials -t $P $U -m -p"];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the key that stops a job stops a command behind a border, and its shell can continue both", NEEDS, |world| {
        for tool in [TOOLS[0], "nsenter-rs --no-pty -t $P -a"] {
            for command in ["sleep $N", "sh -c 'sleep $N; :'"] {
                let session = format!(
                    "set -m; before=$(stty -g); {tool} {command}; echo \"left $(($? > 128))\"; \
                     state $(pgrep -xf \"sleep $N\"); [ \"$before\" = \"$(stty -g)\" ] && echo restored; \
                     touch left; fg >/dev/null; echo \"ended $?\"; [ \"$before\" = \"$(stty -g)\" ] && echo restored; \
                     pgrep -xf \"sleep $N\""
                );
                let typist = "C=$(sleeps); printf '\\032'; until [ -e left ]; do sleep 0.05; done; until_state $C S; \
                              sleep 0.3; printf '\\003'";
                let outcome = typed(world, &session, typist);
                // The echo of the key may come before the stop or after it.
                let seen = outcome.stdout.replace("^Z", "");
                assert_eq!(seen, "left 1\nT\nrestored\n^Cended 130\nrestored\n", "{outcome}");
            }
        }
    })
    .host_only(),
    Row::new("the same key does nothing if no process could continue the job", NEEDS, |world| {
        for tool in TOOLS {
            // The tool itself leads the session of its terminal.
            let session = format!("exec {tool} sh -c 'sleep $N; :'");
            let typist = "C=$(sleeps); printf '\\032'; sleep 0.5; state $C >&2; kill -KILL $C";
            let outcome = typed(world, &session, typist);
            assert_eq!(outcome.stderr.lines().find(|line| line.len() == 1), Some("S"), "{outcome}");
        }
    })
    .host_only(),
    Row::new("the interrupt key reaches all processes of the command even if its stdin is a pipe", NEEDS, |world| {
        let tool = TOOLS[0];
        let session = format!(
            "set -m; (trap '' INT; exec seq 100000) | {tool} sh -c 'sleep $N </dev/tty; echo unreachable'; \
             echo \"ended $?\"; pgrep -xf \"sleep $N\""
        );
        typed(world, &session, "C=$(sleeps); printf '\\003'").stdout_is("^Cended 130\n");
    })
    .host_only(),
    Row::new("the keys of the caller's terminal stop, continue and interrupt a container that was given no terminal", KEYS, |world| {
        let (user, root) = (world.as_root(), world.busybox_root().display());
        let own = if world.is_root { "" } else { "-U -r" };
        let chain = |options: &str| format!("unshare-rs {user} --mount {options} -- chroot-rs --std {root} --");
        let pipe = format!(
            "unshare-rs {user} --mount --pid --ipc --hold | chroot-rs --std --pipe {root} | nsenter-rs --pipe --rm --stdin 9 9</dev/null --"
        );
        for (command, is_reached) in [
            (chain("--pid --fork --kill-child"), true),
            (chain("--pid --init"), true),
            (chain("--pid --fork --forward-signals"), true),
            (pipe, true),
            // No process of ours waits outside, so the command stays in the job. A user cannot mount /proc there.
            (chain(if world.is_root { "" } else { "--pid --fork" }), true),
            // The control: what waits outside passes nothing on.
            (format!("unshare {own} --mount --pid --ipc --fork chroot-rs --std {root} --"), false),
        ] {
            let stops = if is_reached { "until_state $C T" } else { "sleep 0.3" };
            // The shell's trap runs when its sleep has ended, so the key has reached both.
            let session = format!(
                "set -m; : | {command} sh -c \"trap 'echo got; exit' INT; sleep $N; echo passed\" 2>/dev/null | (trap '' INT; exec cat >log); \
                 C=$(pgrep -xf \"sleep $N\"); {stops}; state $C; touch left; fg >/dev/null; cat log; pgrep -xf \"sleep $N\""
            );
            let rest = if is_reached { "until_state $C S; sleep 0.3; printf '\\003'" } else { "printf '\\003'; sleep 0.3; kill $C" };
            let typist = format!("C=$(sleeps); printf '\\032'; until [ -e left ]; do sleep 0.05; done; {rest}");
            let outcome = typed(world, &session, &typist);
            let seen = outcome.stdout.replace("^Z", "").replace("^C", "");
            assert_eq!(seen, if is_reached { "T\ngot\n" } else { "S\npassed\n" }, "{command}\n{outcome}");
        }
    })
    .host_only(),
    Row::new("the interrupt key reaches a command that was given no terminal", NEEDS, |world| {
        let session = format!("set -m; {} sh -c 'sleep $N; :' </dev/null >/dev/null 2>&1; echo \"ended $?\"; pgrep -xf \"sleep $N\"", TOOLS[0]);
        typed(world, &session, "C=$(sleeps); printf '\\003'").stdout_is("^Cended 130\n");
    })
    .host_only(),
    Row::new("a command that was started in the background gets input once it is in the foreground", NEEDS, |world| {
        // As a shell with a line editor, the caller reads keys when it starts the job, and lines when it waits for it.
        let session = "set -m; stty -icanon -echo; nsenter-rs -t $P -a cat & sleep 0.7; stty sane; fg >/dev/null; \
                       echo \"ended $?\"";
        let typist = "sleep 1.7; printf 'typed\\n'; sleep 0.5; printf '\\004'";
        typed(world, session, typist).stdout_is("typed\ntyped\nended 0\n");
    })
    .host_only(),
    Row::new("the caller's terminal is restored when the command is killed or nsenter-rs is signaled", NEEDS, |world| {
        let tool = TOOLS[0];
        for (signal, of) in [("KILL", "C"), ("TERM", "T"), ("HUP", "T"), ("QUIT", "T")] {
            let session = format!(
                "before=$(stty -g); (C=$(sleeps); T=$(pgrep -f \"^nsenter-rs .*sleep $N\"); stty -a </dev/tty | grep -ow -- '-icanon'; kill -{signal} ${of}) & \
                 {tool} sleep $N; echo $(($? > 128)); [ \"$before\" = \"$(stty -g)\" ] && echo restored; pgrep -xf \"sleep $N\""
            );
            typed(world, &session, "").stdout_is("-icanon\n1\nrestored\n");
        }
    })
    .host_only(),
    Row::new("a command gets SIGHUP when the caller's terminal hangs up", NEEDS, |world| {
        let line = "contain -m -p --mount-proc; export P; \
            (C=$(sleeps); kill -KILL $(pgrep -f \"^script .*sleep $N\"); echo gone; for i in $(seq 300); do [ -d /proc/$C ] || break; sleep 0.01; done; ls -d /proc/$C 2>/dev/null) & \
            sleep 2 | script --quiet --command \"nsenter-rs -t $P -a sleep $N\" /dev/null >/dev/null 2>&1; wait $!";
        let outcome = run(world, &format!("{PREAMBLE}{line}"));
        assert_eq!(outcome.stdout, "gone\n", "{outcome}");
    })
    .host_only(),
];

fn typed(world: &World, session: &str, typist: &str) -> Outcome {
    let line = format!(
        "{WAITING}{SHARED}{PREAMBLE}cd $(mktemp -d -p .); printf %s \"$SESSION\" >session; contain -m -p --mount-proc; \
         export P U; at_terminal \"$TYPIST\""
    );
    world.script(&line).variable("SESSION", session).variable("TYPIST", typist).run()
}
