//! `--detach`, `--pid-file` and `--error-fd`: what an engine needs of a tool that starts its container.

use crate::harness::need::{Need, PERL, STRACE};
use crate::harness::row::Row;

/// Starts a command line as an engine's shim does: as a subreaper, which then prints the status of each child, and whether the
/// last one has the pid in the file `p`.
const SHIM: &str = r#"shim() { perl -e '
    (syscall($ENV{PRCTL}, 36, 1, 0, 0, 0) == 0) or die "prctl: $!";
    my $started = fork // die; if (!$started) { exec @ARGV or die } my $last = "";
    while ((my $pid = wait) > 0) { $last = ($pid == $started ? "line" : "orphan"); print "$last ", $? >> 8, "\n"; $known{$pid} = $last }
    if (open my $file, "<", "p") { my $pid = 0 + <$file>; print "the pid of the $known{$pid}\n" if $known{$pid} }
    ' -- "$@"; rm -f p; }; [ $(uname -m) = aarch64 ] && export PRCTL=167 || export PRCTL=157
    "#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("with --detach no process of ours stays between a command and the subreaper that collects it", &[Need::UserNamespaces, PERL], |world| {
        let own = world.as_root();
        let detached = "line 0\norphan 7\nthe pid of the orphan\n";
        // Controls: without --detach, the line waits, and with --init alone the init is ours.
        for (options, expected) in [
            ("--fork", "line 7\n"),
            ("--detach", detached),
            ("--detach --pid", detached),
            ("--detach --pid --init", detached),
            ("--detach --init", detached),
        ] {
            let line = format!("{SHIM} shim unshare-rs {own} {options} --pid-file p -- sh -c 'until [ -s p ]; do :; done; exit 7'");
            world.sh(&line).succeeds().stdout_is(expected);
        }
        let enter = format!(
            "{SHIM} unshare-rs {own} --mount --pid --uts --fork --kill-child --pid-file q -- sleep 86491 & until [ -s q ]; do sleep 0.01; done
            for options in '' --detach; do
                shim nsenter-rs --target $(cat q) --all --wd=. $options --pid-file p -- sh -c 'until [ -s p ]; do :; done; exit 7'
            done; kill -KILL $(cat q); wait; rm q"
        );
        world.sh(&enter).stdout_is(&format!("line 7\n{detached}"));
    })
    .host_only(),
    Row::new("with --detach a command that does not start is an error with its status, and leaves nothing", &[Need::UserNamespaces], |world| {
        let own = world.as_root();
        for (line, status, said) in [
            ("--detach -- /no/such", 127, "cannot run /no/such"),
            ("--detach --pid --init -- /no/such", 127, "cannot run /no/such"),
            ("--detach --pid-file /no/such/p -- true", 125, "/no/such/.p."),
            ("--detach --wd /no/such -- true", 125, "/no/such"),
            ("--detach --kill-child -- true", 125, "'--kill-child"),
            ("--detach --hold", 125, "'--detach'"),
        ] {
            world.sh(&format!("unshare-rs {own} {line}")).fails_with(status).stderr_has(said);
        }
        for line in ["--detach -- true", "--pid-file p -- true", "--console-socket s -- true"] {
            world.sh(&format!("nsenter-rs {line}")).fails_with(125).stderr_has("need a container");
        }
        // With a gate, the line ends before somebody opens it: here, only after that.
        let gate = format!("mkfifo gate; exec 9<>gate; unshare-rs {own} --detach --block-fd 9 -- sh -c 'echo opened >&8; echo >end' 8>&1 | cat & \
            unshare-rs {own} --detach --block-fd 9 --pid-file p -- echo in vain; echo left; kill -KILL $(cat p); until grep -qs '^State:.Z' /proc/$(cat p)/status || [ ! -e /proc/$(cat p) ]; do :; done; echo >&9; wait; rm gate end p");
        world.sh(&gate).succeeds().stdout_is("left\nopened\n");
    })
    .host_only(),
    Row::new("with --detach a process that is killed before it runs the command is an error", &[Need::UserNamespaces, STRACE], |world| {
        let own = world.as_root();
        for options in ["", "--init"] {
            // Control: with another signal, which does not end it, the command runs.
            for (signal, status) in [("KILL", 125), ("CHLD", 0)] {
                let line = format!("strace -f -qq -o calls -e trace=sethostname -e inject=sethostname:signal={signal}
                    unshare-rs {own} --uts --pid --hostname killed --detach {options} -- true");
                let outcome = world.sh(&line.replace('\n', " "));
                match status {
                    0 => outcome.succeeds(),
                    _ => outcome.fails_with(status).stderr_has("the process that prepared it was killed (status 137)"),
                };
            }
        }
    })
    .host_only(),
    Row::new("--error-fd takes what a tool says, and the command's stderr stays its own", &[Need::UserNamespaces], |world| {
        let own = world.as_root();
        // The control: without it, both are mixed.
        let line = format!("unshare-rs --error-fd 8 {own} --mount --pid --fork --explain -- sh -c 'echo mine >&2' 8>said 2>stderr; cat stderr; grep -c execve said
            unshare-rs {own} --mount --pid --fork --explain -- sh -c 'echo mine >&2' 2>stderr; grep -c -e mine -e execve stderr
            unshare-rs {own} --mount --pid --fork --kill-child --pid-file q -- sleep 86492 & until [ -s q ]; do sleep 0.01; done
            nsenter-rs --error-fd=8 --target $(cat q) --all -- /no/such 8>said 2>stderr; echo $?; cat stderr; grep -c 'cannot run /no/such' said
            kill -KILL $(cat q); wait 2>/dev/null; rm q
            for tool in 'cgexec-rs --show 99999999' 'netns-rs show 99999999' 'chroot-rs /no/such'; do set -- $tool; tool=$1; shift; $tool --error-fd 8 \"$@\" 8>said 2>stderr; cat stderr; grep -c ^$tool: said; done
            unshare-rs --error-fd 8 -- true 8>&-");
        world.sh(&line).stdout_is("mine\n1\n2\n127\n1\n1\n1\n1\n").stderr_has("descriptor 8 is not open (--error-fd)");
    })
    .host_only(),
];
