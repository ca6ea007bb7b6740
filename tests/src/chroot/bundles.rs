//! Bundles as engines write them: null and empty lists, members of newer versions, capabilities that are not there,
//! working directories and mount points that the root lacks or that are behind links, devices under names of our own links.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::chroot::oci::{bundle, within};
use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

type Change = fn(&mut Value);

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("null and empty lists of a bundle mean that nothing was asked for", NEEDS, |world| {
        let changes: [Change; 4] = [
            |config| {
                for name in ["hooks", "annotations", "domainname"] {
                    config[name] = Value::Null;
                }
                for name in ["devices", "sysctl", "resources", "seccomp", "mountLabel", "personality"] {
                    config["linux"][name] = Value::Null;
                }
            },
            |config| {
                for name in ["rlimits", "capabilities", "oomScoreAdj", "apparmorProfile", "selinuxLabel", "ioPriority"] {
                    config["process"][name] = Value::Null;
                }
                config["process"]["user"] = json!({"uid": 0, "gid": 0, "umask": null, "additionalGids": null});
            },
            |config| {
                config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [],
                    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}],
                    "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO", "args": null}, {"names": ["mkdir"], "name": "", "action": "SCMP_ACT_ALLOW"}]});
            },
            |config| config["mounts"][5]["uidMappings"] = json!([]),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let at = bundle(world, &format!("bundle-null-{number}"), json!(["/bin/cat", "/data/file"]), change);
            let outcome = run(world, "chroot-rs --oci $B", &at).succeeds().stdout_is("hi\n");
            assert!(!outcome.stderr.contains("cannot"), "{number}\n{outcome}");
        }
        // The control: a value of another type is an error that names the member.
        let at = bundle(world, "bundle-type", json!(["/bin/true"]), |config| config["mounts"][1]["options"] = json!([1]));
        run(world, "chroot-rs --oci $B", &at).fails_with(125).stderr_has("its member mounts[1].options[0]: invalid type");
    }),
    Row::new("what a bundle grants and nobody knows is a warning by name, or with --strict an error", NEEDS, |world| {
        let changes: [(Change, &str); 4] = [
            (|config| config["linux"]["later"] = json!({"a": 1}), "warning: cannot do what linux.later of "),
            (|config| config["mounts"][2]["x-y"] = json!(1), "warning: cannot do what mounts[2].x-y of "),
            (|config| config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_FLY"]), "warning: cannot give the command \"CAP_FLY\" of "),
            (
                |config| config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL"]),
                "warning: cannot put CAP_KILL into the ambient set: what is ambient must be permitted and inheritable; continuing without it; \
                 remedy: add them to the permitted and the inheritable set",
            ),
        ];
        for (number, (change, warning)) in changes.into_iter().enumerate() {
            let at = bundle(world, &format!("bundle-grant-{number}"), json!(["/bin/cat", "/data/file"]), change);
            let outcome = run(world, "chroot-rs --oci $B", &at).succeeds().stdout_is("hi\n");
            outcome.stderr_has(warning);
            run(world, "chroot-rs --strict --oci $B", &at).fails_with(125).stdout_is("");
        }
        // The control: a restriction that is not done is refused.
        let at = bundle(world, "bundle-label", json!(["/bin/true"]), |config| config["linux"]["mountLabel"] = json!("x"));
        run(world, "chroot-rs --oci $B", &at).fails_with(125).stderr_has("linux.mountLabel is not supported");
    }),
    Row::new("a capability that is not there to give is a warning with its name", NEEDS, |world| {
        let at = bundle(world, "bundle-capability", json!(["/bin/true"]), |config| {
            let list = json!(["CAP_KILL", "CAP_WAKE_ALARM"]);
            config["process"]["capabilities"] = json!({"bounding": list, "permitted": list, "effective": list});
        });
        let without = "setpriv --bounding-set=-wake_alarm unshare-rs --mount --pid --ipc --net --fork -- chroot-rs";
        let warning = "chroot-rs: warning: cannot give the command CAP_WAKE_ALARM: this process does not have it; continuing without it; remedy: ";
        for rest in [
            "--oci $B",
            "--std --capabilities kill,wake_alarm $ROOT -- true",
            "--std --capability-set ambient=wake_alarm $ROOT -- true",
            "--proc /proc --capability-set permitted=kill,wake_alarm $ROOT -- true",
            "--capabilities kill,wake_alarm $ROOT true",
            "--keep-root --capability-set inheritable=wake_alarm -- true",
        ] {
            let outcome = within(world, &format!("{without} {rest}"), &at).run().succeeds();
            assert_eq!(outcome.stderr.matches(warning).count(), 1, "{rest}\n{outcome}");
            if rest.contains("--std") || rest.contains("--oci") {
                within(world, &format!("{without} --strict {rest}"), &at).run().fails_with(125);
            }
        }
        // The control: what nobody asked for by name is not missed, and what is there is given.
        for rest in ["--std $ROOT -- true", "--std --capabilities all $ROOT -- true", "--std --capabilities kill $ROOT -- true"] {
            let outcome = within(world, &format!("{without} {rest}"), &at).run().succeeds();
            assert!(!outcome.stderr.contains("cannot give"), "{rest}\n{outcome}");
        }
    })
    .root_only()
    .host_only(),
    Row::new("the working directory of a bundle is made, and entered with the rights of root", NEEDS, |world| {
        let show = json!(["/bin/sh", "-c", "pwd; id -u; stat -c '%a %u' ."]);
        let changes: [(Change, &str, &str); 5] = [
            (|config| config["process"]["cwd"] = json!("/srv/app/new"), "", "/srv/app/new\n0\n755 0\n"),
            (|config| config["process"]["cwd"] = json!("/app/new"), "ln -s srv/none $R/app", "/srv/none/new\n0\n755 0\n"),
            (
                |config| {
                    config["process"]["cwd"] = json!("/srv/ro");
                    config["root"]["readonly"] = json!(true);
                },
                "",
                "/srv/ro\n0\n755 0\n",
            ),
            (|config| config["process"]["cwd"] = json!("/data/sub"), "", "/data/sub\n0\n755 0\n"),
            (
                |config| {
                    config["process"]["cwd"] = json!("/root");
                    config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
                },
                "chmod 700 $R/root",
                "/root\n1000\n",
            ),
        ];
        for (number, (change, prepare, expected)) in changes.into_iter().enumerate() {
            let at = bundle(world, &format!("bundle-cwd-{number}"), show.clone(), change);
            let line = format!("R=$B/rootfs; {prepare}\nunshare-rs $OWN --mount --pid --ipc --net --fork -- chroot-rs --oci $B");
            let outcome = with_own(world, &line, &at);
            assert_eq!(outcome.stdout, expected, "{outcome}");
        }
        // The control: a plain chroot's user may not enter it.
        let script = "chmod 700 $B/rootfs/root; chroot-rs --user 1000:1000 $B/rootfs sh -c 'cd /root' 2>/dev/null || echo refused";
        let at = bundle(world, "bundle-cwd-control", show, |_| {});
        with_own(world, script, &at).stdout_is("refused\n");
    })
    .root_only()
    .host_only(),
    Row::new(
        "a link that takes the place of a bundle's root after the look for links is not followed",
        &[BUSYBOX, STRACE, Need::UserNamespaces],
        |world| {
            let at = bundle(world, "bundle-swapped", json!(["/bin/cat", "/secret"]), |_| {});
            let line = r#"cd $B; cp -r rootfs host; echo secret >host/secret; cat >enter <<'X'
                : >trace
                (until grep -q DELAYED trace; do sleep 0.02; done; mv rootfs away; ln -s host rootfs) &
                strace -qq -f -o trace -e trace=openat2 -e inject=openat2:delay_exit=2000000:when=1 chroot-rs "$@"
                echo $?; wait; rm rootfs; mv away rootfs
X
                enter() { unshare-rs $OWN --mount --pid --net --ipc --fork -- sh ./enter "$@"; }
                enter --oci . 2>err; grep -o 'ELOOP\|is not followed' err | sort -u
                # The controls: such a link is refused from the beginning, and followed where the command line names it.
                mv rootfs away; ln -s host rootfs
                unshare-rs $OWN --mount --pid --fork -- chroot-rs --oci . 2>&1 | grep -o 'is not followed'
                unshare-rs $OWN --mount --pid --fork -- chroot-rs --std rootfs cat /secret"#;
            let script = within(world, line, &at).variable("OWN", world.as_root().to_owned());
            script.run().succeeds().stdout_is("125\nELOOP\nis not followed\nis not followed\nsecret\n");
        },
    )
    .host_only(),
    Row::new("a mount point of a bundle is made behind a link whose target is missing, inside the root", NEEDS, |world| {
        let targets = [
            ("/etc/resolv.conf", "ln -s ../run/systemd/stub $R/etc/resolv.conf", "/run/systemd/stub"),
            ("/etc/resolv.conf", "ln -s /none-of-the-host/a/b $R/etc/resolv.conf", "/none-of-the-host/a/b"),
            ("/etc/resolv.conf", "ln -s ../../../../../../../none-of-the-host/c $R/etc/resolv.conf", "/none-of-the-host/c"),
            ("/a/b/file", "ln -s none $R/a", "/none/b/file"),
            ("/a/../srv/x/../y", "", "/srv/y"),
            ("srv/relative", "", "/srv/relative"),
            ("/../../srv/above", "", "/srv/above"),
        ];
        let at = bundle(world, "bundle-links", json!(["/bin/true"]), |_| {});
        let config: Value = serde_json::from_slice(&fs::read(at.join("config.json")).expect("read")).expect("JSON");
        for (destination, prepare, seen) in targets {
            let mut config = config.clone();
            let mount = json!({"destination": destination, "type": "bind", "source": "data/file", "options": ["bind"]});
            config["mounts"].as_array_mut().expect("a list").push(mount);
            config["process"]["args"] = json!(["/bin/cat", seen]);
            fs::write(at.join("config.json"), config.to_string()).expect("write");
            let line = format!("R=$B/rootfs; rm -rf $R/etc/resolv.conf $R/a; {prepare}\nunshare-rs $OWN --mount --pid --ipc --net --fork -- chroot-rs --oci $B && ls -d /none-of-the-host $B/none 2>/dev/null");
            with_own(world, &line, &at).stdout_is("hi\n");
        }
        // The control: without --oci, no link is followed.
        let line = "ln -sf none $B/rootfs/a; unshare-rs $OWN --mount -- chroot-rs --bind $B/data/file:/a/b/file $B/rootfs -- true";
        with_own(world, line, &at).fails_with(125).stderr_has("/a is a symbolic link in this root");
    }),
    Row::new("a setting of the kernel in a bundle is set in the container's own namespace, and nowhere else", NEEDS, |world| {
        let at = bundle(world, "bundle-sysctl", json!(["/bin/cat", "/proc/sys/net/ipv4/ip_default_ttl", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/conf/lo/rp_filter"]), |config| {
            config["linux"]["sysctl"] = json!({"net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "8191", "net/ipv4/conf/lo/rp_filter": "2"});
        });
        let now = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax";
            let before = world.sh(now).stdout;
            run(world, "chroot-rs --oci $B", &at).succeeds().stdout_is("77\n8191\n2\n");
            assert_eq!(world.sh(now).stdout, before);
            // In the host's namespace nothing is written; should it be, it is the value that the host has.
            let path = at.join("config.json");
            let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
            config["linux"]["sysctl"] = json!({"net.ipv4.ip_default_ttl": before.lines().next().expect("a line")});
            fs::write(&path, config.to_string()).expect("write");
            let line = "unshare-rs $OWN --mount --pid --ipc --uts --fork -- chroot-rs";
            let outcome = with_own(world, &format!("{line} --oci $B"), &at).succeeds();
            outcome.stderr_has(
                "warning: cannot set net.ipv4.ip_default_ttl: the net namespace is the host's; continuing without it; \
                 remedy: add --net to unshare-rs",
            );
            with_own(world, &format!("{line} --strict --oci $B"), &at).fails_with(125);
            for name in ["kernel.core_pattern", "net.ipv4.../../../kernel/core_pattern", "net//..//kernel.core_pattern"] {
            let mut config: Value = serde_json::from_slice(&fs::read(at.join("config.json")).expect("read")).expect("JSON");
            config["linux"]["sysctl"] = json!({name: "x"});
            fs::write(at.join("config.json"), config.to_string()).expect("write");
            run(world, "chroot-rs --oci $B", &at).fails_with(125);
        }
    })
    .root_only()
    .host_only(),
    Row::new("hooks of a bundle are left to the caller with a warning, not in silence", NEEDS, |world| {
        let at = bundle(world, "bundle-hooks", json!(["/bin/true"]), |config| config["hooks"] = json!({"prestart": [{"path": "/bin/true"}], "poststop": [], "poststart": null}));
        let warning = "config.json; continuing without it; remedy: run them around this chain of tools, as examples/oci-runtime.sh does, and add --hooks-by-caller\n";
        run(world, "chroot-rs --oci $B", &at).succeeds().stderr_has("warning: cannot run the hooks prestart of ").stderr_has(warning);
        run(world, "chroot-rs --strict --oci $B", &at).fails_with(125);
    }),
    Row::new("the command of a bundle gets no signal that its caller ignores, in the chain and in the pipe", NEEDS, |world| {
        let look = "/bin/grep SigIgn /proc/self/status";
        let at = bundle(world, "bundle-signals", json!(["/bin/grep", "SigIgn", "/proc/self/status"]), |_| {});
        let ignore = "trap '' HUP INT QUIT PIPE USR1 CHLD RTMIN+3";
        let none = "SigIgn:\t0000000000000000\n";
        let chain = "unshare-rs $OWN --mount --pid --ipc --net --fork -- chroot-rs";
        with_own(world, &format!("{ignore}; {chain} --oci $B"), &at).succeeds().stdout_is(none);
        let pipe = format!(
            "{ignore}; unshare-rs --hold --ttl 60 $OWN --mount --pid --ipc --net | chroot-rs --pipe --oci $B | nsenter-rs --pipe --rm -- {look}"
        );
        with_own(world, &pipe, &at).succeeds().stdout_is(none);
        // The control: other commands keep them, as after nohup(1).
        let kept = with_own(world, &format!("{ignore}; {chain} --std $ROOT -- {look}"), &at).succeeds();
        assert!(kept.stdout.starts_with("SigIgn:") && kept.stdout != none, "{kept}");
    })
    .host_only(),
    Row::new("a container's user can open the pipes that the command got in their direction, and owns nothing of the caller's", NEEDS, |world| {
        let write = "echo out >/dev/stdout; echo err >/dev/stderr; stat -L -c '%u %g %a' /proc/self/fd/1";
        let at = bundle(world, "bundle-pipes", json!(["/bin/sh", "-c", write]), |config| {
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        });
        let own = "unshare-rs --mount --pid --ipc --net --fork -- chroot-rs";
        for line in ["--oci $B".to_owned(), format!("--std --user 1000:1000 $ROOT -- sh -c \"{write}\"")] {
            run_alone(world, &format!("{own} {line} 2>&1 | grep -v warning"), &at).succeeds().stdout_is("out\nerr\n0 1000 620\n");
            // A file stays as it is.
            run_alone(world, &format!("{own} {line} >$B/log 2>&1; stat -c '%u %g' $B/log; tail -n 1 $B/log"), &at).stdout_is("0 0\n0 0 644\n");
        }
        let pipe = format!(
            "unshare-rs --hold --ttl 60 --mount --pid --ipc --net | chroot-rs --pipe --oci $B | nsenter-rs --pipe --rm -- sh -c \"{write}\" 2>&1 | cat"
        );
        run_alone(world, &pipe, &at).succeeds().stdout_is("out\nerr\n0 1000 620\n");
        // The other direction: into what the caller reads next, and out of what it has written.
        let other = "cat </dev/stdin; echo own >/dev/stdin && echo injected; exec 3</dev/stdout && echo took; chmod 666 /dev/stdout && echo changed";
        let script = |line: &str| format!("printf 'a\\n' | {{ {line} -c '{other}' 2>/dev/null; }} | cat");
        let confined = script(&format!("{own} --std --user 1000:1000 $ROOT -- sh"));
        run_alone(world, &confined, &at).stdout_is("a\n");
        // The controls: an owner can do all that, and others cannot even open the pipe.
        let owner = script("chown 1000 /proc/self/fd/0 /proc/self/fd/1; chroot-rs --user 1000:1000 --skip-chdir / sh");
        run_alone(world, &owner, &at).stdout_is("a\ninjected\ntook\nchanged\n");
        let plain = format!("chroot-rs --user 1000:1000 --bind /dev:/dev --bind /proc:/proc $B/rootfs sh -c \"{write}\" 2>&1 | cat");
        run_alone(world, &plain, &at).stdout_has("/dev/stdout: Permission denied");
    })
    .root_only()
    .host_only(),
    Row::new("the command of a bundle leads its own session also in the host's pid namespace", NEEDS, |world| {
        let look = "set -- $(sed 's/.*) //' /proc/$$/stat); [ $3 $4 = \"$$ $$\" ] && echo own || echo shared";
        let look = look.replace("[ $3 $4", "[ \"$3 $4\"");
        let at = bundle(world, "bundle-session", json!(["/bin/sh", "-c", look]), |_| {});
        let line = "unshare-rs $OWN --mount --ipc --net --fork -- chroot-rs";
        with_own(world, &format!("{line} --oci $B"), &at).succeeds().stdout_is("own\n");
        // The control: a command that is not a bundle's stays where the keys of the caller's terminal reach it.
        fs::write(at.join("look"), &look).expect("a script");
        with_own(world, &format!("{line} --std --bind $B:/mnt $ROOT -- sh /mnt/look"), &at).succeeds().stdout_is("shared\n");
    })
    .root_only()
    .host_only(),
    Row::new("config.json can be in a directory that root of the user namespace may not search", NEEDS, |world| {
        let at = bundle(world, "bundle-closed", json!(["/bin/cat", "/data/file", "/proc/self/uid_map"]), |_| {});
        let mut config: Value = serde_json::from_slice(&fs::read(at.join("config.json")).expect("read")).expect("JSON");
        config["root"]["path"] = json!(at.join("rootfs"));
        config["mounts"][5]["source"] = json!(at.join("data"));
        let close = "chown -R 100000:100000 $B/rootfs; mkdir -m 700 $B/closed; mv $B/config.json $B/closed";
        fs::write(at.join("config.json"), config.to_string()).expect("write");
        run_alone(world, close, &at).succeeds();
        let line = "unshare-rs --map-users 0:100000:65536 --map-groups 0:100000:65536 --setuid 0 --setgid 0 --mount --pid --ipc --net --fork -- \
                    chroot-rs --oci $B/closed";
        let map = "         0     100000      65536\n";
        run_alone(world, &format!("{line} --config-fd 3 3<$B/closed/config.json"), &at).succeeds().stdout_is(&format!("hi\n{map}"));
        // The control: the path cannot be used there.
        run_alone(world, line, &at).fails_with(125).stderr_has("config.json\", O_RDONLY|O_NONBLOCK): EACCES");
        run_alone(world, "chroot-rs --oci $B/closed --config-fd 9", &at).fails_with(125).stderr_has("descriptor 9 is not open");
        run_alone(world, "chroot-rs --oci $B/closed --config-fd 3 3<$B", &at).fails_with(125).stderr_has("it is a directory");
        run_alone(world, "chroot-rs --config-fd 3 / true 3<$B/closed/config.json", &at).fails_with(125).stderr_has("--oci");
    })
    .root_only()
    .host_only(),
    Row::new("a device of a bundle may have the name of a link of ours, and /dev/ptmx stays the container's own", NEEDS, |world| {
        let look = json!(["/bin/sh", "-c", "readlink /dev/ptmx; stat -c %F /dev/core /dev/fuse /dev/stdin; ls /dev/pts/ptmx"]);
        let at = bundle(world, "bundle-ptmx", look, |config| {
            config["linux"]["devices"] = json!([
                {"type": "c", "path": "/dev/ptmx", "major": 5, "minor": 2, "fileMode": 0o666},
                {"type": "c", "path": "/dev/core", "major": 1, "minor": 3},
                {"type": "c", "path": "/dev/null", "major": 1, "minor": 3, "fileMode": 0o666},
                {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}]);
        });
        let expected = "pts/ptmx\ncharacter special file\ncharacter special file\nsymbolic link\n/dev/pts/ptmx\n";
        run(world, "chroot-rs --oci $B", &at).stdout_is(expected);
    })
    .root_only()
    .host_only(),
];

/// Runs a line as it is.
fn run_alone(world: &World, line: &str, at: &Path) -> Outcome {
    within(world, line, at).run()
}

/// Runs a line in the namespaces of a container.
fn run(world: &World, line: &str, at: &Path) -> Outcome {
    with_own(world, &format!("unshare-rs $OWN --mount --pid --ipc --net --uts --fork -- {line}"), at)
}

/// Runs a line in which $OWN is replaced by the options that make the caller root.
pub fn with_own(world: &World, line: &str, at: &Path) -> Outcome {
    within(world, &line.replace("$OWN", world.as_root()), at).run()
}
