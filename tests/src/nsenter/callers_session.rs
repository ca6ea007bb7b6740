//! A command behind a border that was given no terminal has no way to the caller's terminal, to the caller's process
//! group or to the inode of the caller's null device. Each attack is also tried with the tools of util-linux, where it
//! must succeed.

use crate::harness::need::{BUSYBOX, NSENTER, Need, SCRIPT, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::options::run;

const NEEDS: &[Need] = &[UNSHARE, NSENTER, SCRIPT, BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("without a terminal on 0 to 2, a container cannot open its caller's terminal", NEEDS, |world| {
        let (user, root) = (world.as_root(), world.busybox_root().display());
        // Each command, and whether it must reach the terminal: those of the controls must.
        let commands = [
            ("nsenter --preserve-credentials -t $P $U -m -p".to_owned(), true),
            ("nsenter-rs -t $P -a".to_owned(), false),
            // Without a pid namespace to enter, the command leads the process group of the shell's job.
            ("nsenter-rs -t $P $U -m".to_owned(), false),
            (format!("unshare-rs {user} --mount -- chroot-rs --dev /dev {root} --"), true),
            (format!("unshare-rs {user} --mount -- chroot-rs --std {root} --"), false),
            (format!("unshare-rs {user} --mount --pid --fork -- chroot-rs --std {root} --"), false),
        ];
        let attack = "sh -c '(: <>/dev/tty) 2>/dev/null && echo reached || echo refused' </dev/null >>out 2>&1";
        let lines: Vec<_> = commands.iter().map(|(command, _)| format!("{command} {attack}")).collect();
        let session = world.directory("callers-tty").join("session");
        std::fs::write(session, format!("set -m\n{}", lines.join("\n"))).expect("a file");
        let expected: String =
            commands.iter().map(|(_, reaches)| if *reaches { "reached\n" } else { "refused\n" }).collect();
        run(world, "contain -m -p --mount-proc; cd callers-tty; type_in 'bash session'; cat out").stdout_is(&expected);
    })
    .root_only()
    .host_only(),
    Row::new("the maker of a user namespace, who may trace a command in it, gets no way to the terminal of its caller", NEEDS, |world| {
        let attack = "sh -c '(: <>/dev/tty) 2>/dev/null && echo reached || echo refused' </dev/null >>out 2>&1";
        let script = format!(
            "cd {} || exit
             setpriv --reuid 54321 --regid 54321 --clear-groups unshare -U -r -n sleep 86480 & S=$!
             unshare -U -r -n sleep 86481 & O=$!
             for pid in $S $O; do for i in $(seq 500); do [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done; done
             cat >session <<END
             set -m
             tty >>out
             nsenter -t $S -U -n --preserve-credentials -- tty >>out
             nsenter-rs -t $S -U -n -- tty >>out
             nsenter-rs -t $O -U -n -- tty >>out
             nsenter -t $S -U -n --preserve-credentials -- {attack}
             nsenter-rs -t $S -U -n -- {attack}
             nsenter-rs -t $O -U -n -- {attack}
             nsenter-rs -t $S -U -n --no-fork -- tty 2>&1 | grep -c 'remedy: add --no-pty' >>out
             nsenter-rs -t $S -U -n --no-fork --no-pty -- tty >>out
END
             script -qec 'bash session' /dev/null </dev/null >/dev/null; kill $S $O; wait 2>/dev/null; cat out",
            world.directory("makers-tty").display()
        );
        let outcome = world.sh(&script).succeeds();
        let lines = outcome.lines();
        assert!(lines.len() == 9 && lines[0].starts_with("/dev/"), "{outcome}");
        // The controls: nsenter(1) hands the terminal over, and so do we where only the caller could trace the command.
        assert_eq!((lines[1], lines[3], lines[4], lines[6]), (lines[0], lines[0], "reached", "reached"), "{outcome}");
        assert!(lines[2].starts_with("/dev/") && lines[2] != lines[0], "{outcome}");
        assert_eq!(lines[5], "refused", "{outcome}");
        // Without a process outside, nobody could pass on what is typed.
        assert_eq!((lines[7], lines[8]), ("1", lines[0]), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("a container's kill(0) does not reach its caller's process group", NEEDS, |world| {
        let survives = |command: &str| {
            let line = format!(
                "contain -m -p --mount-proc; setsid -w bash -c \"{command} sh -c 'echo ran; kill -KILL 0'; echo survived\" </dev/null"
            );
            let outcome = run(world, &line);
            assert!(outcome.stdout.starts_with("ran\n"), "{outcome}");
            outcome.stdout.ends_with("survived\n")
        };
        let (user, root) = (world.as_root(), world.busybox_root().display());
        assert!(!survives("nsenter --preserve-credentials -t $P $U -m -p"), "the control");
        assert!(survives("nsenter-rs -t $P -a"));
        assert!(!survives(&format!("unshare-rs {user} --mount --pid --fork -- chroot-rs {root}")), "the control");
        assert!(survives(&format!("unshare-rs {user} --mount --pid --fork -- chroot-rs --std {root} --")));
        assert!(survives(&pipe(&format!("{user} --mount --pid"), &root)));
    })
    .host_only(),
    Row::new("root of a container cannot change the inode of its caller's null device", NEEDS, |world| {
        let changes = |command: &str| {
            // The mode that the device has, so that the machine stays as it is.
            let script = "for fd in 0 1; do chmod 666 /proc/self/fd/$fd 2>&- && echo changed >&2; done; cat; echo gone; echo ran >&2";
            let line = format!("contain -m -p --mount-proc; exec 2>&1 >/dev/null </dev/null; {command} sh -c '{script}'");
            let outcome = run(world, &line);
            assert!(outcome.stdout.ends_with("ran\n"), "{outcome}");
            outcome.stdout.contains("changed")
        };
        let root = world.busybox_root().display();
        assert!(changes("nsenter -t $P -m -p"), "the control");
        assert!(!changes("nsenter-rs -t $P -a"));
        assert!(changes(&format!("unshare-rs --mount -- chroot-rs --proc /proc {root} --")), "the control");
        assert!(!changes(&format!("unshare-rs --mount --pid --fork -- chroot-rs --std {root} --")));
        assert!(!changes(&pipe("--mount --pid", &root)));
    })
    .root_only()
    .host_only(),
];

/// Returns the pipe that runs a command in a new container; the command's stdin is the null device.
fn pipe(options: &str, root: &dyn std::fmt::Display) -> String {
    format!(
        "unshare-rs {options} --hold | chroot-rs --std --pipe {root} | nsenter-rs --pipe --rm --stdin 9 9</dev/null --"
    )
}
