//! `chroot-rs --keep-root`: a command is confined where it is, without a privilege and without a change of the root.

use crate::harness::need::BUSYBOX;
use crate::harness::row::Row;
use crate::nsenter::docker::{self, Docker};

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--keep-root confines a command in its own root, for every user and without a namespace", &[BUSYBOX], |world| {
        let place = world.directory("keep-root");
        let look = "busybox grep -E ^\\(NoNewPrivs\\|Seccomp\\): /proc/self/status; ulimit -n; umask; echo $A-$B; busybox readlink /proc/self/root; pwd";
        let run = |options: &str| {
            world.sh(&format!("cd {}; export A=a; chroot-rs --keep-root {options} -- busybox sh -c '{look}'", place.display()))
        };
        let here = place.display();
        run("--seccomp default --rlimit nofile=33 --umask 027 --unsetenv A --setenv B=b")
            .succeeds()
            .stdout_is(&format!("NoNewPrivs:\t1\nSeccomp:\t2\n33\n0027\n-b\n/\n{here}\n"));
        // The control: the same process without the options, but with no_new_privs, unless that is switched off.
        let plain = run("").succeeds();
        assert!(plain.stdout.starts_with("NoNewPrivs:\t1\nSeccomp:\t0\n") && plain.stdout.ends_with(&format!("a-\n/\n{here}\n")), "{plain}");
        run("--allow-new-privs").succeeds().stdout_has("NoNewPrivs:\t0\n");
        let narrated = world.sh("chroot-rs --keep-root --explain --no-new-privs true").succeeds();
        for call in ["chroot(", "unshare(", "pivot_root(", "move_mount("] {
            assert!(!narrated.stderr.contains(&format!("chroot-rs: {call}")), "{narrated}");
        }
        // As a user, chroot(2) is refused: this is why the option exists.
        if !world.is_root {
            world.sh("chroot-rs --no-new-privs / true").fails_with(125).stderr_has("chroot(\"/\"): EPERM");
            world.sh("chroot-rs --keep-root --allow-new-privs --landlock-ro / true").fails_with(125).stderr_has("add --no-new-privs");
        }
        let descriptors = |options: &str| world.sh(&format!("exec 7</dev/null; chroot-rs --keep-root {options} busybox ls /proc/self/fd"));
        descriptors("").stdout_has("\n7\n");
        assert!(!descriptors("--preserve-fds 0").succeeds().stdout.contains("\n7\n"));
        descriptors("--preserve-fds 5").stdout_has("\n7\n");
        world.sh("SHELL=/bin/echo chroot-rs --keep-root").stdout_is("-i\n");
        world.sh("chroot-rs --keep-root /no/such/command").fails_with(127);
        for (line, named) in [
            ("--keep-root --std / true", "cannot be used with"),
            ("--keep-root --tmpfs /tmp true", "--keep-root changes no root"),
            ("--keep-root --read-only true", "--keep-root changes no root"),
            ("--keep-root --pipe", "cannot be used with"),
            ("--keep-root --oci . true", "cannot be used with"),
            ("--keep-root --audit", "cannot be used with"),
            ("--allow-new-privs / true", "--allow-new-privs needs"),
        ] {
            world.sh(&format!("chroot-rs {line}")).fails_with(125).stderr_has(named);
        }
    }),
    Row::new("--keep-root takes root's rights from a command", &[BUSYBOX], |world| {
        let look = "busybox sh -c 'busybox id -u; busybox grep CapEff /proc/self/status; busybox hostname x 2>/dev/null || echo no'";
        world.sh(&format!("chroot-rs --keep-root --capabilities none {look}")).stdout_is("0\nCapEff:\t0000000000000000\nno\n");
        world.sh(&format!("chroot-rs --keep-root --userspec 1234:4321 {look}")).stdout_is("1234\nCapEff:\t0000000000000000\nno\n");
    })
    .root_only(),
    Row::new("a set-user-ID program gains nothing below --keep-root", &[], |world| {
        let place = world.directory("keep-root-suid");
        let line = |options: &str| {
            format!(
                "cd {}; cp /bin/grep .; chmod 4755 grep; chroot-rs --keep-root --userspec 1234:4321 {options} -- ./grep Uid /proc/self/status",
                place.display()
            )
        };
        // The control. A directory that is mounted nosuid would make it worthless.
        world.sh(&line("--allow-new-privs")).stdout_is("Uid:\t1234\t0\t0\t0\n");
        world.sh(&line("")).stdout_is("Uid:\t1234\t1234\t1234\t1234\n");
    })
    .root_only()
    .host_only(),
    Row::new("--keep-root with Landlock and a filter works for a user in Docker's default container", docker::NEEDS, |world| {
        let docker = Docker::start(world, "docker-keep-root");
        let run = |options: &str| {
            docker.client(&format!(
                "run --rm --user 1000:1000 -v {}/chroot-rs:/chroot-rs:ro suite:busybox /chroot-rs {options} -- \
                 /bin/sh -c 'grep -E \"^(NoNewPrivs|Seccomp):\" /proc/self/status; echo x >/tmp/x && echo written'",
                world.tools.display()
            ))
        };
        run("--keep-root --seccomp default").succeeds().stdout_is("NoNewPrivs:\t1\nSeccomp:\t2\nwritten\n");
        run("--keep-root --landlock-ro / --landlock-scope signal --seccomp default").fails_with(1).stdout_is("NoNewPrivs:\t1\nSeccomp:\t2\n");
        // The control: chroot(2), which Docker lets root alone call.
        run("--no-new-privs /").fails_with(125).stderr_has("chroot(\"/\"): EPERM");
    })
    .root_only()
    .host_only(),
];
