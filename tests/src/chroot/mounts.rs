//! Roots and their mounts, seen from inside: the requested mounts are there, in the requested order, and nothing of the
//! host is.

use crate::harness::narration::compare;
use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::trace::{self, place};
use crate::harness::world::World;
use crate::project::explain::script;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];
const STRACE: &[Need] = &[Need::Program("strace", "strace"), BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("mounts are made in the order of the command line", NEEDS, |world| {
        let text = "--bind $S:/m --tmpfs /m/sub --bind $S/file:/m/sub/again --tmpfs /t --bind $S:/t/below:ro";
        inside(world, "order", text, "cat /m/file /m/sub/again /t/below/file; ls /m/sub")
            .stdout_is("hi\nhi\nhi\nagain\n");
        // In the opposite order, the later mount hides the earlier one.
        inside(world, "covered", "--bind $S/file:/m/sub/again --tmpfs /m", "ls /m").stdout_is("");
    }),
    Row::new("a mount gets the requested restrictions, with everything mounted below it", NEEDS, |world| {
        let options = "--bind $S:/m:ro --bind $S:/w --tmpfs /t:size=64k,mode=700 --proc /p --mask /root --mask /etc/group \
                       --readonly-path /srv --mount type=tmpfs,target=/n,noexec,ro";
        let script = "touch /m/x || echo ro; touch /m/sub/x || echo rro; touch /w/x && echo rw; touch /srv/x || echo rp; \
                      touch /n/x || echo ro; ls /root; cat /etc/group; ls -ld /t | cut -c1-10; \
                      grep -cE ' /(m|w|t|m/sub|w/sub) r[wo],nosuid,nodev' /p/self/mountinfo; \
                      head -c 100000 /dev/zero >/t/x || echo full";
        let expected = "ro\nrro\nrw\nrp\nro\ndrwx------\n5\n";
        let outcome = inside_of(world, "restricted", &format!("--dev /dev {options}"), script, true);
        assert!(outcome.stdout.starts_with(expected), "{outcome}");
        assert!(outcome.stdout.ends_with("full\n"), "{outcome}");
    }),
    Row::new("mount options are added to the mounts of --std, in a chain and in a pipe", NEEDS, |world| {
        let options = "--std --bind $S:/data:ro --tmpfs /run --mask /proc/meminfo --readonly-path /tmp";
        let script = "cat /data/file; touch /data/x || echo ro; touch /tmp/x || echo ro; touch /run/x && echo rw; \
                      wc -c </proc/meminfo; [ ! -e /sub ]";
        let expected = "hi\nro\nro\nrw\n0\n";
        let own = "--mount --pid --net --cgroup --ipc --uts";
        for (name, line) in [
            ("chain", "unshare-rs $OWN $NS --fork -- chroot-rs $O $ROOT -- /bin/sh -c \"$C\""),
            (
                "pipe",
                "unshare-rs --hold $OWN $NS | chroot-rs --pipe $O $ROOT | nsenter-rs --pipe --rm -- /bin/sh -c \"$C\"",
            ),
        ] {
            let at = source(world, &format!("added-{name}"));
            let line = line.replace("$O ", &format!("{options} ")).replace("$NS", own);
            shell(world, &at, &line, script).succeeds().stdout_is(expected);
        }
    }),
    Row::new("the record lists the requested mounts", NEEDS, |world| {
        let at = source(world, "recorded");
        let line = "unshare-rs --hold $OWN --mount --pid | chroot-rs --pipe --std --bind $S:/srv:ro --tmpfs /run:size=1m \
                    --read-only $ROOT | tee $S/record | nsenter-rs --pipe --rm -- /bin/true; cat $S/record";
        let outcome = shell(world, &at, line, "").succeeds();
        let record: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("a record");
        let mounts = record["root"]["mounts"].as_array().expect("mounts");
        let last: Vec<_> = mounts.iter().rev().take(2).map(|mount| mount["target"].as_str()).collect();
        assert_eq!(last, [Some("/run"), Some("/srv")], "{outcome}");
        assert_eq!(mounts[mounts.len() - 2]["options"].to_string(), r#"["rbind","rro","rnosuid","rnodev"]"#);
        assert_eq!(record["root"]["read_only"], true);
    }),
    Row::new("a read-only root is not written to, even if a mount point is missing", NEEDS, |world| {
        let at = source(world, "read-only");
        let line = "cp -r $ROOT $S/root && list() { find $S/root -printf '%p %T@ %C@ %m %y %s\\n'; } && list >$S/before; \
                    unshare-rs $OWN --mount -- chroot-rs --read-only --tmpfs /tmp $S/root -- \
                    /bin/sh -c 'touch /x /bin/x; touch /tmp/x && echo rw'; \
                    unshare-rs $OWN --mount -- chroot-rs --read-only --tmpfs /not/there $S/root -- \
                    /bin/sh -c 'touch /x /not/x; touch /not/there/x && echo rw'; \
                    ls $S/root/not; list | cmp - $S/before && echo same";
        let outcome = shell(world, &at, line, "").succeeds().stdout_is("rw\nrw\nsame\n");
        assert_eq!(outcome.stderr.matches("Read-only file system").count(), 4, "{outcome}");
    }),
    Row::new("an overlay keeps changes in memory, or in the directory of --upper", NEEDS, |world| {
        let at = source(world, "layers");
        let line = "mkdir $S/up $S/odd:name && echo top >$S/odd:name/file && mkdir $S/mid $S/mid/sub && before=$(ls -lR $S $ROOT | cksum); \
                    unshare-rs $OWN --mount -- chroot-rs --overlay $S/odd\\\\:name:$S/mid:$ROOT -- /bin/sh -c \
                    'cat /file; rm -r /srv /sub && mkdir /srv && echo changed >/bin/sh && ls /srv; ls -d /old /proc/1' ; \
                    [ \"$before\" = \"$(ls -lR $S $ROOT | cksum)\" ] && echo same; \
                    unshare-rs $OWN --mount -- chroot-rs --overlay $ROOT --upper $S/up -- /bin/sh -c 'echo kept >/kept'; \
                    cat $S/up/upper/kept; chmod -R 700 $S/up";
        shell(world, &at, line, "").succeeds().stdout_is("top\nsame\nkept\n");
    }),
    Row::new("an overlay that the kernel refuses is explained by the layer, and none is guessed", &[BUSYBOX, Need::UserNamespaces], |world| {
        let script = "
            chmod 755 $D $D/..; cp -a $ROOT $D/low; mkdir $D/low/srv/sub $D/up; chown 4000:4000 $D/up
            why() { \"$@\" >/dev/null 2>$D/err; echo $?; sed -n \"s|$D|D|g; s/; use .*//; s/.*remedy: //p\" $D/err; }
            user() { setpriv --reuid 4000 --regid 4000 --clear-groups unshare-rs --map-root-user --mount -- chroot-rs \"$@\" -- /bin/true; }
            root() { chroot-rs \"$@\" -- /bin/true; }
            why user --overlay $D/low
            mount -t tmpfs none $D/low/srv; why user --overlay $D/low; why user --overlay $D/low --upper $D/up; why root --overlay $D/low
            umount $D/low/srv; mount -t tmpfs -o mode=755 none $D/up; mkdir $D/up/upper $D/up/work $D/up/upper/m; chown -R 4000 $D/up
            why user --overlay $D/low --upper $D/up; mount -t tmpfs none $D/up/upper/m; why user --overlay $D/low --upper $D/up
            for n in 1 2; do mkdir $D/on$n $D/m$n; mount -t tmpfs none $D/m$n; mkdir $D/m$n/u $D/m$n/w; done
            mount -t overlay -o lowerdir=$D/low,upperdir=$D/m1/u,workdir=$D/m1/w none $D/on1; why root --overlay $D/on1
            mount -t overlay -o lowerdir=$D/on1,upperdir=$D/m2/u,workdir=$D/m2/w none $D/on2; why root --overlay $D/on2; why root --overlay $D/on2/bin
            why root --overlay /proc; mkdir $D/on1/c; why root --overlay $D/low --upper $D/on1/c";
        let covered = |layer: &str, below: &str| {
            format!("125\nthe layer D/{layer} has mounts below it (D/{below}), and a user namespace may not show what they cover\n")
        };
        let stacked = |layer: &str| {
            format!("125\nthe layer D/{layer} is an overlay, and so is its own layer D/on1: the kernel stacks two file systems at most\n")
        };
        // The controls: the same layers without the mounts, for root outside of user namespaces, and one overlay less.
        let expected = "0\n".to_owned()
            + &covered("low", "low/srv").repeat(2)
            + "0\n0\n"
            + &covered("up/upper", "up/upper/m")
            + "0\n"
            + &stacked("on2")
            + &stacked("on2/bin")
            + "125\nthe layer /proc is in a proc file system, which cannot be a layer\n\
               125\nthe kernel says: overlay: filesystem on D/on1/c/upper not supported as upperdir\n";
        world
            .apart("refused-layers", script)
            .variable("ROOT", world.busybox_root().display().to_string())
            .run()
            .stdout_is(&expected);
    })
    .root_only()
    .host_only(),
    Row::new("nothing of the old root is left, for every kind of new root", NEEDS, |world| {
        let script = "cat /p/self/mountinfo | grep -v ' - proc ' | wc -l; [ ! -e /../../etc/os-release ]";
        for (name, root) in [
            ("directory", "$ROOT"),
            ("layers", "--overlay $ROOT"),
            ("memory", "--tmpfs-root --bind $ROOT/bin:/bin:ro"),
            ("descriptor", "--root-fd 7"),
        ] {
            let at = source(world, &format!("left-{name}"));
            let line = format!(
                "exec 7<$ROOT; unshare-rs $OWN --mount --pid --fork -- chroot-rs --pivot --proc /p {} -- /bin/sh -c \"$C\"",
                root
            );
            let expected = if name == "memory" { "2\n" } else { "1\n" };
            shell(world, &at, &line, script).succeeds().stdout_is(expected);
        }
    }),
    Row::new("nothing of the old root is left if a mount covers it", NEEDS, |world| {
        let at = source(world, "covered-root");
        let line = "unshare-rs $OWN --mount --pid --fork -- sh -c 'mount -t tmpfs none / && mount -t tmpfs none / && \
                    exec chroot-rs --pivot --proc /proc $ROOT -- /bin/sh -c \"$C\"'";
        let script = "wc -l </proc/self/mountinfo; [ ! -e /../etc/os-release ]";
        shell(world, &at, &format!("export C; {line}"), script).succeeds().stdout_is("2\n");
    }),
    Row::new("ids of a bind are mapped, or the error says why they cannot be", NEEDS, |world| {
        let at = source(world, "mapped");
        if world.is_root {
            let line = "chown 5:6 $S/file; chroot-rs --bind $S:/m:ro,idmap=u5-1000-1+g6-1001-1 $ROOT -- /bin/stat -c %u:%g /m/file";
            shell(world, &at, line, "").succeeds().stdout_is("1000:1001\n");
            let line = "chroot-rs --bind /proc:/proc:idmap=0-1000-1 $ROOT -- /bin/true";
            shell(world, &at, line, "").fails_with(125).stderr_has("does not support id-mapped mounts");
        } else {
            let line = "unshare-rs $OWN --mount -- chroot-rs --bind $S:/m:idmap=0-0-1 $ROOT -- /bin/true";
            shell(world, &at, line, "").fails_with(125).stderr_has("remedy:");
        }
    }),
    Row::new("the error of a mount that fails names the mount and the reason", NEEDS, |world| {
        for (number, (options, expected)) in [
            ("--bind $S/nothing:/m", "bind"),
            ("--bind $S/file:/etc", "the target is a directory in this root"),
            ("--bind $S:/bin/busybox", "/bin/busybox is not a directory in this root"),
            ("--bind $S:/bin/sh/x", "/bin/sh is a symbolic link in this root"),
            ("--mask /nothing", "the root has no such file"),
            ("--readonly-path /nothing", "the root has no such file"),
            ("--tmpfs /tmp:huge=none-such", "the kernel says"),
            ("--tmpfs /tmp:size=none-such", "size=none-such: expected bytes"),
            ("--tmpfs /tmp:fly", "Unknown parameter"),
            ("--tmpfs tmp", "expected an absolute path"),
            ("--bind /a:/b/../c", "without .."),
        ]
        .into_iter()
        .enumerate()
        {
            let outcome =
                inside_of(world, &format!("why-{number}"), options, "true", false).fails_with(125).stderr_has(expected);
            assert!(outcome.stdout.is_empty(), "{outcome}");
        }
    }),
    Row::new("the requested mounts are made by exactly the calls that are printed", STRACE, |world| {
        let prefix = place(world, "explain-mounts");
        let as_root = ["--no-pivot --tmpfs /tmp:size=1m $ROOT", "--no-pivot --read-only --tmpfs /missing $ROOT"];
        for (at, options) in [
            "--bind /bin:/srv/bin:ro --tmpfs /tmp:size=1m --proc /proc --dev /dev --mask /etc --readonly-path /bin $ROOT",
            "--overlay $ROOT --tmpfs /new --read-only",
            "--tmpfs-root --bind $ROOT/bin:/bin --read-only",
            "--mount type=tmpfs,target=/tmp,size=1m --read-only $ROOT",
            "--read-only --bind /bin:/missing/bin --tmpfs /etc/missing $ROOT",
            "--tmpfs-root --bind $ROOT/bin:/bin:ro --bind $ROOT:/m:ro --tmpfs /m/missing/twice --tmpfs /m/missing/too",
        ]
        .iter()
        .chain(as_root.iter().filter(|_| world.is_root))
        .enumerate()
        {
            let line = |mode: &str| {
                format!(
                    "unshare-rs $OWN --mount --pid --ipc --fork -- $TRACE chroot-rs {mode} {options} -- /bin/true; s=$?; \
                     rmdir $ROOT/srv/bin 2>/dev/null; exit $s"
                )
            };
            let outcome = script(world, &line("--explain"), &prefix).run().succeeds();
            let complaints = compare(&trace::read(&prefix)).complaints;
            assert!(complaints.is_empty(), "{}\n{outcome}", complaints.join("\n"));
            let dry = script(world, &line("--dry-run"), &prefix).run().succeeds();
            let changed = crate::harness::narration::changes(&trace::read(&prefix));
            assert!(changed.is_empty(), "{changed:#?}\n{dry}");
            // A dry run has no descriptors, so it cannot know their numbers.
            let descriptor = |call: String| {
                let mut parts = call.split("/proc/self/fd/").map(str::to_owned).collect::<Vec<_>>();
                for part in parts.iter_mut().skip(1) {
                    *part = part.trim_start_matches(|digit: char| digit.is_ascii_digit()).to_owned();
                }
                parts.join("/proc/self/fd/N")
            };
            let printed = |outcome: &Outcome| {
                let calls = crate::harness::narration::narrated_calls(&outcome.stderr);
                calls.into_iter().map(|call| descriptor(call.to_string())).collect::<Vec<_>>()
            };
            assert!(at == 1 && !world.is_root || printed(&outcome) == printed(&dry), "{outcome}\n{dry}");
        }
    }),
];

/// Makes a directory of the host to show: `file` in it says hi, and `sub` is empty.
fn source(world: &World, name: &str) -> std::path::PathBuf {
    let at = world.directory(&format!("chroot-{name}"));
    std::fs::create_dir(at.join("sub")).expect("mkdir");
    std::fs::write(at.join("file"), "hi\n").expect("a file");
    at
}

/// Runs a line in which `$S` is that directory, `$ROOT` the root, `$C` the command's script.
fn shell(world: &World, at: &std::path::Path, line: &str, script: &str) -> Outcome {
    let own = world.as_root();
    let script = world.script(line).variable("C", script).variable("OWN", own).variable("S", at.display().to_string());
    script.variable("ROOT", world.busybox_root().display().to_string()).run()
}

#[track_caller]
fn inside(world: &World, name: &str, options: &str, script: &str) -> Outcome {
    inside_of(world, name, options, script, false).succeeds()
}

/// Runs the script in a copy of the root with these mounts; `sub` of the source is a mount if `is_mounted`.
fn inside_of(world: &World, name: &str, options: &str, script: &str, is_mounted: bool) -> Outcome {
    let at = source(world, name);
    let first = if is_mounted { "mount -t tmpfs none $S/sub &&" } else { "" };
    let line = format!(
        "[ -d $S/root ] || cp -r $ROOT $S/root; export C; \
         unshare-rs $OWN --mount --pid --fork -- sh -c '{first} exec chroot-rs {options} $S/root -- /bin/sh -c \"$C\"'"
    );
    shell(world, &at, &line, script)
}
