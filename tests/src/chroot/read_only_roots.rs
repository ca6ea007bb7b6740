//! Roots on a read-only file system that lack mount points: they get them, and stay unchanged, to the nanosecond.

use std::path::PathBuf;

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[Need::Program("busybox", "busybox-static"), Need::UserNamespaces];

/// Makes a root without any of the directories on which --std mounts: it has every kind of file and many modes, `sub` is a
/// writable mount, and `hidden` covers a file.
const MAKE: &str = "mkdir -p $S/root/bin $S/root/etc $S/root/usr/lib $S/root/sub $S/root/hidden $S/root/real && \
    cp $ROOT/bin/busybox $S/root/bin && for name in sh cat ls touch true grep readlink stat id mkdir; do \
    ln -s busybox $S/root/bin/$name; done && echo root:x:0:0:::/bin/sh >$S/root/etc/passwd && mkfifo $S/root/etc/pipe && \
    ln -s usr/lib $S/root/lib && ln -s $S/witness $S/root/evil && ln -s /real $S/root/link && ln -s / $S/root/top && \
    echo secret >$S/root/hidden/file && echo odd >\"$S/root/$(printf 'new\\nline')\" && chmod 711 $S/root/usr/lib && \
    chmod 751 $S/root && mkdir $S/witness $S/data && echo hi >$S/data/file && \
    list() { find $S/root $S/witness -printf '%p %T@ %C@ %m %y %s %l\\n'; find $S/root -type f -exec cksum {} +; } && \
    list >$S/before";

/// The ways in which such a root becomes read-only, as commands in a mount namespace: by its mount, by its file system as on
/// a medium or in an image (here a tmpfs), or by the option.
const KINDS: [(&str, &str, &str); 3] = [
    ("mount", "mount --bind $S/root $S/root && mount -o remount,bind,ro $S/root", "$S/root"),
    (
        "file system",
        "mount -t tmpfs -o mode=751 none $S/data/m && cp -a $S/root/. $S/data/m && mount -t tmpfs -o remount,ro none $S/data/m",
        "$S/data/m",
    ),
    ("option", "true", "--read-only $S/root"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a read-only root gets the mount points that it lacks, in a chain and in a pipe, and stays unchanged",
        NEEDS,
        |world| {
            let inside = "cat /new/file /usr/lib/a/b /hidden/none 2>&1; ls /proc/1 >/dev/null && ls -d /dev/null /sys/kernel; \
                      cat /etc/hostname; readlink /lib; readlink /evil; stat -c '%a %F' / /usr/lib /etc/pipe; echo x >/sub/x && cat /sub/x; \
                      for at in / /etc /bin /usr /usr/lib /real /hidden; do touch $at/x 2>/dev/null && echo wrote $at; done; \
                      echo x 2>/dev/null >/etc/passwd && echo wrote; echo x 2>/dev/null >\"$(echo /new*line)\" && echo wrote; ls /new?line";
            let expected = "hi\nhi\ncat: can't open '/hidden/none': No such file or directory\n/dev/null\n/sys/kernel\nHOST\n\
                        usr/lib\nS/witness\n751 directory\n711 directory\n644 fifo\nx\n/new?line\n";
            let options = "--std --bind $S/data:/new --bind $S/data/file:/usr/lib/a/b";
            for (form, line) in [
                ("chain", "unshare-rs --mount --pid --net --ipc --fork -- chroot-rs $O -- /bin/sh -c \"$C\""),
                (
                    "pipe",
                    "unshare-rs --hold --mount --pid --net --ipc | chroot-rs --pipe $O | nsenter-rs --pipe --rm -- /bin/sh -c \"$C\"",
                ),
            ] {
                for (kind, mounts, root) in KINDS {
                    let at = stage(world, &format!("{form}-{}", kind.replace(' ', "-")));
                    let line = line.replace("$O", &format!("{options} {root}"));
                    let more = format!(
                        "mount -t tmpfs none {0}/sub && mount -t tmpfs none {0}/hidden",
                        root.trim_start_matches("--read-only ")
                    );
                    // Mounts below a root stay writable unless the option is given.
                    let outcome =
                        shell(world, &at, &format!("mkdir $S/data/m; {mounts}; {more}; {line}"), inside).succeeds();
                    let expected = expected.replace("HOST", &hostname()).replace("S/", &format!("{}/", at.display()));
                    let expected = if kind == "option" { expected.replace("fifo\nx\n", "fifo\n") } else { expected };
                    let expected =
                        if kind == "option" { expected } else { expected.replace("x\n/new", "x\nwrote /hidden\n/new") };
                    let outcome = outcome.stdout_is(&expected);
                    let mut printed = outcome.stderr.lines().filter(|line| line.starts_with("chroot-rs:"));
                    assert!(
                        printed.all(|line| line.contains("warning: every user of this machine can reach ")),
                        "{kind} {form}\n{outcome}"
                    );
                }
            }
        },
    ),
    Row::new("locked mounts below a root are kept where a directory is covered by a copy", NEEDS, |world| {
        let at = stage(world, "locked");
        let line = "mount -t tmpfs none $S/root/hidden && mount -t tmpfs none $S/root/sub && touch $S/root/sub/here && \
                    unshare-rs --user --map-root-user --mount --pid --fork -- \
                    chroot-rs --std --read-only --tmpfs /sub/none --tmpfs /none $S/root -- /bin/sh -c \"$C\"";
        shell(world, &at, line, "ls /sub /hidden; ls -d /none")
            .succeeds()
            .stdout_is("/hidden:\n\n/sub:\nhere\nnone\n/none\n");
    }),
    Row::new("the record lists the directories that were covered by a copy", NEEDS, |world| {
        let at = stage(world, "record");
        let line = "unshare-rs --hold --mount --pid | chroot-rs --pipe --std --read-only --bind $S/data:/usr/lib/new $S/root | \
                    tee $S/record | nsenter-rs --pipe --rm -- /bin/true; cat $S/record";
        let outcome = shell(world, &at, line, "").succeeds();
        let record: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("a record");
        assert_eq!(record["root"]["covered"], serde_json::json!(["/", "/etc", "/usr/lib"]), "{outcome}");
    }),
    Row::new(
        "no link of a read-only root leads a mount point out of it, before and after it is covered by a copy",
        NEEDS,
        |world| {
            for (name, options) in [
                ("before", "--tmpfs /evil/new"),
                ("after", "--tmpfs /new --tmpfs /evil/new"),
                ("link", "--tmpfs /link/new"),
            ] {
                let at = stage(world, &format!("evil-{name}"));
                let line = format!("unshare-rs --mount -- chroot-rs --read-only {options} $S/root -- /bin/true");
                shell(world, &at, &line, "").fails_with(125).stderr_has("is a symbolic link in this root");
            }
        },
    ),
    Row::new("links of a bundle's read-only root are followed to the missing mount points", NEEDS, |world| {
        let at = stage(world, "bundle");
        let config = serde_json::json!({
            "ociVersion": "1.0.2",
            "root": {"path": "root", "readonly": true},
            "process": {"cwd": "/", "args": ["/bin/sh", "-c", "ls -d /real/new /other; ls /etc; touch /x /real/x 2>/dev/null || echo ro"],
                        "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]},
            "mounts": [
                {"destination": "/link/new", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/top/other", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/proc", "type": "proc", "source": "proc"},
            ],
        });
        std::fs::write(at.join("config.json"), config.to_string()).expect("a bundle");
        let line = "mount --bind $S/root $S/root && mount -o remount,bind,ro $S/root && \
                    unshare-rs --mount --pid --fork -- chroot-rs --oci $S";
        shell(world, &at, line, "").succeeds().stdout_is("/other\n/real/new\npasswd\npipe\nro\n");
    }),
    Row::new("a mount point can be made in a read-only directory of the host or of a bind", NEEDS, |world| {
        let at = stage(world, "host");
        let line = "unshare-rs --mount --pid --fork -- chroot-rs --std --host-root --bind $S/data:/usr/lib/none/such \
                    --bind $S/root:/m:ro --tmpfs /m/etc/new -- /bin/sh -c \"$C\"";
        let script = "cat /usr/lib/none/such/file; ls /m/etc; touch /usr/lib/x /m/x /m/etc/x 2>/dev/null || echo ro; [ ! -e /usr/lib/x ]";
        shell(world, &at, line, script).succeeds().stdout_is("hi\nnew\npasswd\npipe\nro\n");
    }),
    Row::new("an error says which directory cannot be covered by a copy, and nothing is changed", NEEDS, |world| {
        let at = stage(world, "refused");
        let many = "(cd $S/data && mkdir m && mount -t tmpfs none m && mkdir m/bin && cp $ROOT/bin/busybox m/bin && seq 1 5001 | xargs touch && \
                    seq 1 5001 | sed s,^,m/, | xargs touch && mount -t tmpfs -o remount,ro none m); \
                    unshare-rs --mount -- chroot-rs --tmpfs /none $S/data/m -- /bin/busybox true";
        shell(world, &at, many, "")
            .fails_with(125)
            .stderr_has("EROFS")
            .stderr_has("remedy: / is on a read-only file system, and cannot be replaced by a writable copy");
        let at = stage(world, "made-up");
        let line = "unshare-rs --mount --pid --fork -- chroot-rs --read-only --mount type=proc,target=/p,ro --tmpfs /p/none $S/root -- /bin/true";
        shell(world, &at, line, "").fails_with(125).stderr_has("cannot make the directory /p/none");
    }),
];

fn hostname() -> String {
    nix::unistd::gethostname().expect("gethostname()").to_string_lossy().into_owned()
}

fn stage(world: &World, name: &str) -> PathBuf {
    world.directory(&format!("read-only-{name}"))
}

/// Runs a line in a new mount namespace, in which `$S/root` is such a root, and checks that the root, the witness and the
/// mounts of that namespace and of ours are unchanged, except for mounts that the line makes itself.
fn shell(world: &World, at: &std::path::Path, line: &str, script: &str) -> Outcome {
    let own = if world.is_root { "" } else { "--user --map-root-user" };
    let text = format!(
        "{MAKE}; sort /proc/self/mountinfo >$S/mounts; export C; \
         unshare-rs {own} --mount -- bash -c \"$LINE\"; status=$?; \
         list | cmp - $S/before >&2 && sort /proc/self/mountinfo | cmp - $S/mounts >&2 || exit 99; exit $status"
    );
    let script =
        world.script(&text).variable("C", script).variable("LINE", line).variable("S", at.display().to_string());
    script.variable("ROOT", world.busybox_root().display().to_string()).run()
}
