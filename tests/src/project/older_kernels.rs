//! What a kernel or a sandbox lacks is done in another way, or refused; never left out. A filter that answers ENOSYS plays
//! the older kernel; the virtual machines have real ones.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::truncate;

use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("without mount_setattr(2) mounts are as restricted, each by itself", NEEDS, |world| {
        let options = "--bind $S:/m:ro --bind $S:/w:noexec --tmpfs /t --proc /p --mask /root --readonly-path /srv";
        let script = "touch /m/x || echo ro; touch \"/m/a b\\\\/x\" || echo rro; touch /w/x && echo rw; touch /srv/x || echo rp; \
                      grep -E ' /(m|w)(/a.*)? ' /p/self/mountinfo | cut -d' ' -f5,6";
        let expected = "ro\nrro\nrw\nrp\n/m ro,nosuid,nodev,relatime\n/m/a\\040b\\134 ro,nosuid,nodev,relatime\n\
                        /w rw,nosuid,nodev,noexec,relatime\n/w/a\\040b\\134 rw,nosuid,nodev,noexec,relatime\n";
        without(world, "restricted", "mount_setattr", options, script).succeeds().stdout_is(expected);
        without(world, "read-only", "mount_setattr", "--read-only", "touch /x || echo ro").succeeds().stdout_is("ro\n");
        for call in ["mount_setattr", "openat2"] {
            let options = "--read-only --tmpfs /new --bind $S/file:/etc/new/file --proc /p";
            let script = "cat /etc/new/file; touch /new/x && echo rw; for at in / /etc /etc/new /bin; do touch $at/x || echo ro; done; \
                          grep -E ' (/|/etc) ro,.* - tmpfs ' /p/self/mountinfo | cut -d' ' -f5 | sort -u";
            let outcome = without(world, &format!("new-{call}"), call, options, script).succeeds();
            outcome.stdout_is("hi\nrw\nro\nro\nro\nro\n/\n/etc\n");
        }
    }),
    Row::new("without mount_setattr(2) a container is as tight, and ids of a bind are not mapped", NEEDS, |world| {
        let script = "grep -E ' /(sys|proc/sys|dev/pts) ' /proc/self/mountinfo | cut -d' ' -f5,6; echo x >/proc/sys/kernel/domainname";
        let outcome = without(world, "std", "mount_setattr", "--std", script);
        for line in ["/sys ro,nosuid,nodev,noexec,relatime\n", "/proc/sys ro,nosuid,nodev,noexec,relatime\n"] {
            assert!(outcome.stdout.contains(line), "{outcome}");
        }
        outcome.stderr_has("Read-only file system");
        let mapped = without(world, "idmap", "mount_setattr", "--bind $S:/m:idmap=0-0-1", "true").fails_with(125);
        mapped.stderr_has("MOUNT_ATTR_IDMAP").stderr_has("ENOSYS");
    }),
    Row::new("without mount_setattr(2) a mount that is covered makes the whole fail", NEEDS, |world| {
        let at = source(world, "covered");
        let line = "mount -t tmpfs none $S/sub && mount -t tmpfs none $S/sub && exec chroot-rs --bind $S:/m:ro $S/root -- /bin/true";
        run(world, &at, "mount_setattr", line)
            .fails_with(125)
            .stderr_has("another mount covers the one on")
            .stderr_has("/m/sub");
    }),
    Row::new(
        "without openat2(2) or the new mount calls a root is walked, or the missing call is named",
        NEEDS,
        |world| {
            let script = "touch /m/x || echo ro; cat /m/file";
            without(world, "walk", "openat2", "--bind $S:/m/new:ro --bind $S:/m:ro", script)
                .succeeds()
                .stdout_is("ro\nhi\n");
            for call in ["fsopen", "open_tree", "move_mount"] {
                let outcome = without(world, call, call, "--tmpfs /t", "true").fails_with(125);
                outcome.stderr_has(call).stderr_has("ENOSYS (Function not implemented)");
            }
        },
    ),
    Row::new(
        "a root has many layers of long and odd names, also where the kernel takes them in one string",
        NEEDS,
        |world| {
            let at = source(world, "layers");
            let line = "name=$(printf 'n%.0s' $(seq 90)):\\; layers=$S/root; for i in 1 2 3 4 5 6 7 8; do \
                    mkdir \"$S/$name$i\" && echo $i >\"$S/$name$i/$i\"; ln -s \"$S/$name$i\" $S/layer$i; \
                    layers=$(printf '%s' \"$S/$name$i\" | sed 's/:/\\\\:/g'):$layers; done; \
                    exec chroot-rs --overlay \"$layers\" -- /bin/sh -c 'cat /1 /8; rm /1 && echo new >/8; cat /8 /1 2>/dev/null'";
            run(world, &at, "", line).stdout_is("1\n8\nnew\n");
        },
    ),
    Row::new("an overlay in memory needs no path, and where the kernel wants one it is gone afterwards", &[BUSYBOX, STRACE], |world| {
        let at = source(world, "detached");
        // The eighth fsconfig(2) creates the overlay; before Linux 6.15 it answers EINVAL.
        for (refusal, made) in [("", 1), ("-e inject=fsconfig:error=EINVAL:when=8", 2)] {
            let line = format!(
                "strace -f -qq -o $S/trace -e trace=fsconfig,umount2 {refusal} unshare-rs --mount --pid --fork -- chroot-rs --std --overlay $S/root -- \
                 /bin/sh -c 'echo new >/new && cat /new && grep -c upperdir /proc/self/mountinfo && grep -c upper/ /proc/self/mountinfo'; \
                 ls $S/root/new; grep -c 'CMD_CREATE.*= 0' $S/trace; grep -c umount2 $S/trace"
            );
            let outcome = world.script(&line).variable("S", at.display().to_string()).run();
            let lines = outcome.lines();
            assert_eq!(lines[..3], ["new", "1", "0"], "{outcome}");
            assert_eq!(lines.last().copied(), Some(made.to_string().as_str()), "{outcome}");
            outcome.stderr_has("No such file or directory");
        }
    })
    .root_only()
    .host_only(),
    Row::new("Landlock lets no file be truncated that may only be read", NEEDS, |world| {
        let at = source(world, "truncate");
        let suite = std::env::current_exe().expect("this program");
        fs::copy(suite, at.join("root/bin/suite")).expect("a copy");
        let line = "exec chroot-rs --std --bind $S:/m --landlock-ro /bin --landlock-ro /m --landlock-rw /tmp $S/root -- \
                    /bin/sh -c 'echo more >/tmp/f; /bin/suite --truncate /m/file; cat /m/file; /bin/suite --truncate /tmp/f'";
        let outcome = run(world, &at, "", line);
        let lines = outcome.lines();
        assert_eq!(lines[..4], ["truncate: EACCES", "open 0: EACCES", "open 3: EACCES", "hi"], "{outcome}");
        // Before Linux 6.2 truncating by path is refused everywhere, which is more than was asked for.
        assert!(["truncate: done", "truncate: EACCES"].contains(&lines[4]), "{outcome}");
        let line =
            "exec chroot-rs --std --bind $S:/m $S/root -- /bin/sh -c '/bin/suite --truncate /m/file; wc -c </m/file'";
        run(world, &at, "", line).stdout_is("truncate: done\nopen 0: done\nopen 3: done\n0\n");
    }),
];

/// Truncates a file in each way that does not open it for writing, and prints the results: by path, and by opening it with
/// the access modes 0 (O_RDONLY) and 3 (neither reading nor writing).
pub fn truncate_file(path: &Path) -> ExitCode {
    let shown = |answer: nix::Result<()>| answer.map_or_else(|errno| format!("{errno:?}"), |()| "done".to_owned());
    println!("truncate: {}", shown(truncate(path, 0)));
    for mode in [0, 3] {
        let flags = OFlag::from_bits_retain(mode) | OFlag::O_TRUNC;
        println!("open {mode}: {}", shown(open(path, flags, Mode::empty()).map(drop)));
    }
    ExitCode::SUCCESS
}

/// A directory with a file, a place for a mount, one with an odd name, and a root.
fn source(world: &World, name: &str) -> std::path::PathBuf {
    let at = world.directory(&format!("older-{name}"));
    let make = "mkdir $S/sub $S/'a b\\' && echo hi >$S/file && cp -r $ROOT $S/root";
    let script = world.script(make).variable("S", at.display().to_string());
    script.variable("ROOT", world.busybox_root().display().to_string()).run().succeeds();
    at
}

/// Runs chroot-rs where this call answers ENOSYS.
fn without(world: &World, name: &str, call: &str, options: &str, script: &str) -> Outcome {
    let at = source(world, name);
    let line = format!("mount -t tmpfs none $S/'a b\\' && exec chroot-rs {options} $S/root -- /bin/sh -c \"$C\"");
    fs::write(at.join("script"), script).expect("a script");
    run(world, &at, call, &format!("C=$(cat $S/script); {line}"))
}

fn run(world: &World, at: &Path, call: &str, line: &str) -> Outcome {
    let own = world.as_root();
    let calls = if call.is_empty() {
        "[]".to_owned()
    } else {
        format!(r#"[{{"names": ["{call}"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}}]"#)
    };
    let architectures = r#"["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]"#;
    let profile =
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "architectures": {architectures}, "syscalls": {calls}}}"#);
    fs::write(at.join("profile.json"), profile).expect("a profile");
    fs::write(at.join("line"), line).expect("a line");
    let start = format!(
        "export S; unshare-rs {own} --mount --pid --net --ipc --fork -- chroot-rs --seccomp $S/profile.json --skip-chdir / sh $S/line"
    );
    world.script(&start).variable("S", at.display().to_string()).run()
}
