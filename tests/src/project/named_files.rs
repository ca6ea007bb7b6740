//! Files that options name, where somebody else may have put something in their place: a FIFO that nobody writes to, a
//! device without end. And what a filter over system calls does to our own end.

use crate::harness::need::{BASH, BUSYBOX, PERL};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a FIFO, a device or a file without end is refused where an option names a file", &[BASH, BUSYBOX], |world| {
        let place = world.directory("named-files");
        let line = |option: &str| format!("cd {}; mkfifo fifo 2>/dev/null; truncate -s 1G endless; chroot-rs {option} / true", place.display());
        for option in ["--env-file", "--seccomp"] {
            for (file, why) in [
                ("fifo", "it is a FIFO"),
                ("/dev/zero", "it is a device"),
                ("/", "it is a directory"),
                ("endless", "it is longer than 16 MiB"),
            ] {
                let refused = world.sh(&line(&format!("{option} {file}"))).fails_with(125);
                let refused = refused.stderr_has(why).stderr_has(&format!("{option} takes a regular file"));
                assert_eq!(refused.stderr.lines().count(), 2, "{refused}");
            }
        }
        let bundle = format!("mkdir -p {0}/bundle; cd {0}; mkfifo bundle/config.json; chroot-rs --oci bundle", place.display());
        world.sh(&bundle).fails_with(125).stderr_has("it is a FIFO").stderr_has("--oci takes");
        // Who opens it as others do waits.
        let waits = format!("cd {}; busybox timeout 1 busybox cat fifo", place.display());
        world.sh(&waits).fails_with(143);
    })
    .root_only(),
    Row::new("a pipe of the caller's own, and /dev/null, are files that an option may name", &[BASH], |world| {
        let show = "/ sh -c 'echo \"<$A>\"'";
        world.sh(&format!("chroot-rs --env-file <(sleep 0.2; echo A=1) {show}")).stdout_is("<1>\n");
        world.sh(&format!("(sleep 0.2; echo A=2) | chroot-rs --env-file /dev/stdin {show}")).stdout_is("<2>\n");
        world.sh(&format!("chroot-rs --env-file /dev/null {show}")).stdout_is("<>\n");
    })
    .root_only(),
    Row::new("our own failure keeps its status where a filter forbids exit_group(2), and has a signal where it forbids exit(2), too", &[BUSYBOX, PERL], |world| {
        let place = world.directory("no-exit");
        let profile = |names: &str| {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ERRNO"}}]}}"#
            );
            std::fs::write(place.join("profile"), text).expect("a file");
            format!("cd {}; chroot-rs --seccomp profile / ", place.display())
        };
        let one = profile(r#""exit_group""#);
        world.sh(&format!("{one} perl -e 'print syscall(`uname -m` =~ /x86/ ? 231 : 94, 3), \"\n\"'")).stdout_is("-1\n");
        world.sh(&format!("{one} /no/such")).fails_with(127).stderr_has("ENOENT");
        let both = profile(r#""exit_group", "exit""#);
        // What the C library does then.
        world.sh(&format!("{both} busybox true")).fails_with(139);
        world.sh(&format!("{both} /no/such")).fails_with(134).stderr_has("ENOENT");
    })
    .root_only()
    .host_only(),
];
