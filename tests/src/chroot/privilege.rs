//! Other ways to confine a command: limits, mask, environment, secure bits, files, keyring; the same in the chain and in
//! the pipe, as root and as an unprivileged user.

use std::fs;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("resource limits apply in the chain and in the pipe", NEEDS, |world| {
        let options = "--rlimit nofile=64:128 --rlimit core=0 --rlimit as=1G";
        let script = "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -v";
        everywhere(world, options, script, "64\n128\n0\n1048576\n");
    }),
    Row::new("the error for a limit that may not be raised gives the reason", NEEDS, |world| {
        world
            .sh("ulimit -n 100; unshare-rs --user --map-root-user -- chroot-rs --rlimit nofile=200 --skip-chdir / true")
            .fails_with(125)
            .stderr_has(
                "cannot set RLIMIT_NOFILE: prlimit64(0, RLIMIT_NOFILE, {rlim_cur=200, rlim_max=200}, NULL): EPERM",
            )
            .stderr_has("remedy: the hard limit is 100 here");
    }),
    Row::new("the file mode mask applies in the chain and in the pipe", NEEDS, |world| {
        everywhere(world, "--umask 077", "umask; touch /tmp/x; stat -c %a /tmp/x", "0077\n600\n");
    }),
    Row::new("the environment is the one that was asked for, in the chain and in the pipe", NEEDS, |world| {
        let file = world.directory("environment").join("variables");
        fs::write(&file, "# who\nA=file\nB=b b\nSECRET\n").expect("a file");
        let own = format!("--env-file {} --setenv A=line --setenv EMPTY= --unsetenv HOME", file.display());
        let script = "env | grep -E \"^(A|B|SECRET|EMPTY|HOME|LEAK)=\" | sort";
        let set = "SECRET=s LEAK=l";
        everywhere_with(world, set, &own, script, "A=line\nB=b b\nEMPTY=\nSECRET=s\n");
        let kept = "--keep-env --unsetenv SECRET --unsetenv HOME";
        everywhere_with(world, set, kept, script, "LEAK=l\n");
    }),
    Row::new("a plain chroot changes the environment as its options say", &[], |world| {
        let line = "A=1 B=2 chroot-rs --unsetenv A --setenv C=3 --skip-chdir / env";
        let outcome = world.script(line).run();
        if world.is_root {
            let outcome = outcome.succeeds().stdout_has("B=2\n").stdout_has("C=3\n");
            assert!(!outcome.lines().contains(&"A=1"), "{outcome}");
            let clean = world.sh("LEAK=1 chroot-rs --clear-env --skip-chdir / env").succeeds().stdout_has("PATH=");
            assert!(!clean.stdout.contains("LEAK"), "{clean}");
        }
    }),
    Row::new("secure bits apply in the chain and in the pipe", NEEDS, |world| {
        // Without the bit, root gets the bounding set back at the exec.
        let options = "--securebits noroot,noroot_locked --capabilities chown,kill";
        let expected = "CapEff:\t0000000000000021\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000021\n";
        let script = "grep -E \"^Cap(Eff|Bnd|Amb)\" /proc/self/status";
        everywhere(world, options, script, expected);
        // no_cap_ambient_raise alone would forbid what the capabilities of a user other than root need.
        let options = "--securebits noroot,no_cap_ambient_raise --capabilities chown,kill";
        everywhere(world, options, script, expected);
    }),
    Row::new(
        "capabilities are those of a preset, or of each set that an option names, in the chain and in the pipe",
        NEEDS,
        |world| {
            let sets = "grep ^Cap /proc/self/status | cut -f2 | tr \"\\n\" \" \"";
            let sets_of = |inheritable: &str, rest: &str, bounding: &str, ambient: &str| {
                let wide = |hex: &str| format!("{hex:0>16} ");
                [inheritable, rest, rest, bounding, ambient].map(wide).concat()
            };
            for (options, expected) in [
                ("--capabilities docker", sets_of("0", "a80425fb", "a80425fb", "0")),
                ("--capabilities default", sets_of("0", "a00405fb", "a00405fb", "0")),
                ("", sets_of("0", "a00405fb", "a00405fb", "0")),
                ("--capabilities default,NET_RAW", sets_of("0", "a00425fb", "a00425fb", "0")),
                ("--capabilities podman", sets_of("0", "800405fb", "800405fb", "0")),
                ("--capabilities none", sets_of("0", "0", "0", "0")),
                (
                    "--capabilities none --capability-set bounding=kill --securebits noroot",
                    sets_of("0", "0", "20", "0"),
                ),
                ("--capabilities chown,kill --capability-set ambient=kill", sets_of("20", "21", "21", "20")),
                ("--capabilities chown,kill --capability-set inheritable=chown", sets_of("1", "21", "21", "0")),
            ] {
                everywhere(world, options, sets, &expected);
            }
            if world.is_root {
                let options = "--userspec +7:+8 --capabilities chown,kill --capability-set ambient=kill";
                everywhere(world, options, sets, &sets_of("20", "20", "21", "20"));
                everywhere(
                    world,
                    "--userspec +7:+8 --capabilities podman --capability-set ambient=none",
                    sets,
                    &sets_of("0", "0", "800405fb", "0"),
                );
            }
        },
    ),
    Row::new(
        "user, primary group and other groups are those of the options, in the chain and in the pipe",
        NEEDS,
        |world| {
            let script = "id -u; id -g; id -G";
            everywhere(world, "--group root", "id -u; id -g", "0\n0\n");
            if world.is_root {
                // The root's own passwd and group files have the names user and its group.
                everywhere(world, "--user user --group root", script, "1000\n0\n0\n");
                everywhere(world, "--user +7 --group user --groups 5,root", script, "7\n1000\n1000 0 5\n");
                everywhere(world, "--group 9 --groups 5", script, "0\n9\n9 5\n");
                let root = world.busybox_root().display();
                let alone = world.sh(&format!("setpriv --groups 5,6 chroot-rs --group user {root} /bin/id -G"));
                alone.succeeds().stdout_is("1000 5 6\n");
            }
            for line in lines(world, "", "--group no-such", "true") {
                world.sh(&line).fails_with(125).stderr_has("there is no group \"no-such\"");
            }
        },
    ),
    Row::new("--new-session starts a session, in the chain and in the pipe", NEEDS, |world| {
        let script = "[ $(cut -d\" \" -f6 /proc/self/stat) = $$ ] && echo own";
        everywhere(world, "--new-session", script, "own\n");
    }),
    Row::new("Landlock allows only the named paths, in the chain and in the pipe", NEEDS, |world| {
        let options = "--landlock-ro /bin --landlock-ro /proc --landlock-rw /tmp --landlock-rw /dev/null";
        let script = "ls / 2>/dev/null || echo refused; cat /etc/passwd 2>/dev/null || echo refused; \
                      echo x >/tmp/x && cat /tmp/x; echo x >/dev/null && echo null; echo x 2>/dev/null >/bin/x || echo refused; \
                      grep -c . /bin/busybox >/dev/null && echo read";
        everywhere(world, options, script, "refused\nrefused\nx\nnull\nrefused\nread\n");
        let failed = world.sh(&lines(world, "", "--landlock-ro /no/such", "true")[0]).fails_with(125);
        failed.stderr_has(
            "cannot allow access below /no/such: openat2(AT_FDCWD, \"/no/such\", O_PATH, RESOLVE_NO_SYMLINKS): ENOENT",
        );
    }),
    Row::new("a container leaves the session keyring of its caller, in the chain and in the pipe", NEEDS, |world| {
        for line in lines(world, "", "--explain", "true") {
            let line = line.replace("nsenter-rs --pipe", "nsenter-rs --explain --pipe");
            world.sh(&line).succeeds().stderr_has("keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)");
        }
    }),
];

#[track_caller]
fn everywhere(world: &World, options: &str, script: &str, expected: &str) {
    everywhere_with(world, "", options, script, expected);
}

#[track_caller]
fn everywhere_with(world: &World, variables: &str, options: &str, script: &str, expected: &str) {
    for line in lines(world, variables, options, script) {
        world.sh(&line).succeeds().stdout_is(expected);
    }
}

/// Returns the chain and the pipe.
fn lines(world: &World, variables: &str, options: &str, script: &str) -> [String; 2] {
    let root = world.busybox_root().display();
    let user = world.as_root();
    let export = if variables.is_empty() { String::new() } else { format!("export {variables};") };
    [
        format!(
            "{export} unshare-rs {user} --mount --pid --fork -- chroot-rs --std {options} {root} -- /bin/sh -c '{script}'"
        ),
        format!(
            "{export} unshare-rs --hold --ttl 60 {user} --mount --pid | chroot-rs --pipe --std {options} {root} | \
             nsenter-rs --pipe --rm -- /bin/sh -c '{script}'"
        ),
    ]
}
