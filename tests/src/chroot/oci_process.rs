//! Words of engines about the process of a bundle and the propagation of its mounts: they hold for the command, and a
//! restriction that nothing here can keep is an error.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::chroot::oci::{bundle, within};
use crate::harness::need::{BUSYBOX, CRUN, Need};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// Priority, nice value, real-time priority and policy, as proc_pid_stat(5) numbers them; then I/O priority and machine.
const LOOK: &str = "cut -d' ' -f18,19,40,41 /proc/self/stat; ionice; uname -m";

type Change = fn(&mut Value);

const LINUX32: Change = |config| config["linux"]["personality"] = json!({"domain": "LINUX32", "flags": []});

/// Members, what the command sees with them, and whether only root of the first user namespace may have them.
const PROCESSES: [(Change, &str, bool); 7] = [
    (|_| {}, "20 0 0 0\nnone: prio 0\n$M\n", false),
    (
        |config| {
            config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
            config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
        },
        "25 5 0 3\nidle\n$M\n",
        false,
    ),
    (
        |config| {
            config["process"]["scheduler"] = json!({"policy": "SCHED_IDLE", "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
            config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
            config["process"]["execCPUAffinity"] = json!({"initial": "0"});
        },
        "20 0 0 5\nbest-effort: prio 6\n$M\n",
        false,
    ),
    (
        |config| {
            config["process"]["scheduler"] = json!({"policy": "SCHED_RR", "priority": 7});
            config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_RT", "priority": 3});
        },
        "-8 0 7 2\nrealtime: prio 3\n$M\n",
        true,
    ),
    (
        |config| config["process"]["scheduler"] = json!({"policy": "SCHED_OTHER", "nice": -3}),
        "17 -3 0 0\nnone: prio 0\n$M\n",
        true,
    ),
    (
        |config| {
            let flags = ["SCHED_FLAG_RESET_ON_FORK"];
            config["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "priority": 7, "flags": flags});
        },
        // The shell's children begin again with the default policy.
        "20 0 0 0\nnone: prio 0\n$M\n",
        true,
    ),
    (LINUX32, "20 0 0 0\nnone: prio 0\n$32\n", false),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("scheduler, I/O priority and personality of a bundle hold in chain and pipe", NEEDS, |world| {
        let machine = world.sh("uname -m").stdout.trim().to_owned();
        let other = if machine == "x86_64" { "i686" } else { "armv8l" };
        let at = bundle(world, "oci-process", json!(["/bin/sh", "-c", LOOK]), |_| {});
        let original = read(&at);
        for (change, seen, needs_root) in PROCESSES {
            write(&at, &original, change);
            let seen = seen.replace("$M", &machine).replace("$32", other);
            let own = world.as_root();
            for line in [
                format!("unshare-rs {own} --mount --pid --net --ipc --fork -- chroot-rs --oci $B"),
                format!("unshare-rs --hold --ttl 60 {own} --mount --pid --net --ipc | chroot-rs --pipe --oci $B | nsenter-rs --pipe --rm -- /bin/sh -c \"{LOOK}\""),
            ] {
                let outcome = within(world, &line, &at).run();
                if needs_root && !world.is_root {
                    outcome.fails_with(125).stdout_is("").stderr_has("EPERM").stderr_has("remedy: only CAP_SYS_NICE of the first user namespace");
                } else {
                    outcome.succeeds().stdout_is(&seen);
                }
            }
        }
    })
    .host_only(),
    Row::new("a bundle's personality is crun's", &[BUSYBOX, CRUN], |world| {
        let at = bundle(world, "oci-personality", json!(["/bin/uname", "-m"]), LINUX32);
        let theirs = format!(
            "unshare-rs --mount -- sh -c 'for at in $(findmnt -rno TARGET -t cgroup2); do umount $at; done; \
             exec crun --cgroup-manager=disabled run --bundle $B suite-personality-{}'",
            std::process::id()
        );
        let theirs = within(world, &theirs, &at).run().succeeds();
        assert_ne!(theirs.stdout, world.sh("uname -m").stdout, "the control");
        let ours = "unshare-rs --mount --pid --net --ipc --fork -- chroot-rs --oci $B";
        within(world, ours, &at).run().succeeds().stdout_is(&theirs.stdout);
    })
    .root_only()
    .host_only(),
    Row::new("values of a bundle that its policy would ignore are errors, and unknown flags are warnings", NEEDS, |world| {
        let wrongs: [(Change, &str); 4] = [
            (|config| config["process"]["scheduler"] = json!({"policy": "SCHED_RR", "nice": 1}), "SCHED_RR does not use nice"),
            (|config| config["process"]["scheduler"] = json!({"policy": "SCHED_FLY"}), "\"SCHED_FLY\" is no scheduling policy"),
            (|config| config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 9}), "the I/O priority 9"),
            (|config| config["linux"]["personality"] = json!({"domain": "LINUX64"}), "LINUX or LINUX32"),
        ];
        let at = bundle(world, "oci-process-wrong", json!(["/bin/true"]), |_| {});
        let original = read(&at);
        for (change, named) in wrongs {
            write(&at, &original, change);
            within(world, "chroot-rs --oci $B", &at).run().fails_with(125).stderr_has(named);
        }
        write(&at, &original, |config| {
            config["linux"]["personality"] = json!({"domain": "LINUX", "flags": ["ADDR_FLY"]});
        });
        let line = format!("unshare-rs {} --mount --pid --net --ipc --fork -- chroot-rs", world.as_root());
        within(world, &format!("{line} --oci $B"), &at).run().succeeds().stderr_has("warning: cannot set ADDR_FLY as linux.personality");
        within(world, &format!("{line} --strict --oci $B"), &at).run().fails_with(125).stderr_has("cannot set ADDR_FLY");
    })
    .host_only(),
    Row::new("a security label that nothing here gives is an error, and no label needs nothing", NEEDS, |world| {
        let own = world.as_root();
        let chain = format!("unshare-rs {own} --mount --pid --net --ipc --fork -- chroot-rs --oci $B");
        let pipe = format!("unshare-rs --hold --ttl 60 {own} --mount --pid --net --ipc | chroot-rs --pipe --oci $B | nsenter-rs --pipe --rm -- /bin/echo ran");
        let labels: [(Change, Option<&str>); 5] = [
            (|config| config["process"]["apparmorProfile"] = json!("suite-no-such"), Some("cannot run the command in the AppArmor profile \"suite-no-such\"")),
            (|config| config["process"]["selinuxLabel"] = json!("no_u:no_r:no_t:s0"), Some("cannot run the command in the SELinux context no_u:no_r:no_t:s0")),
            (|config| config["process"]["apparmorProfile"] = json!("unconfined"), None),
            (|config| config["process"]["apparmorProfile"] = json!(""), None),
            (|config| config["process"]["selinuxLabel"] = json!(""), None),
        ];
        let at = bundle(world, "oci-label", json!(["/bin/echo", "ran"]), |_| {});
        let original = read(&at);
        for (change, refusal) in labels {
            write(&at, &original, change);
            for line in [&chain, &pipe] {
                let outcome = within(world, line, &at).run();
                match refusal {
                    Some(text) => drop(outcome.fails_with(125).stdout_is("").stderr_has(text).stderr_has("remedy: ")),
                    None => drop(outcome.succeeds().stdout_is("ran\n")),
                }
            }
        }
    })
    .host_only(),
    Row::new("binds of a bundle exchange mounts with the host as their words say, like crun's", &[BUSYBOX, CRUN], |world| {
        let at = bundle(world, "oci-peers", json!(["/bin/true"]), |_| {});
        let original = read(&at);
        for (number, (word, mode, host_sees, container_sees)) in [
            ("rshared", "shared", "1", "1"),
            ("shared", "shared", "1", "1"),
            ("rslave", "shared", "0", "1"),
            ("rprivate", "shared", "0", "0"),
            ("rshared", "private", "0", "0"),
        ]
        .into_iter()
        .enumerate()
        {
            let inside = "mount -t tmpfs one /x/one; echo >/x/ready; until [ -e /x/go ]; do sleep 0.05; done; grep -c ' /x/two ' /proc/self/mountinfo";
            write(&at, &original, |config| {
                for set in ["bounding", "permitted", "effective"] {
                    config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
                }
                config["process"]["args"] = json!(["/bin/sh", "-c", inside]);
                let bind = json!({"destination": "/x", "type": "bind", "source": at.join("src"), "options": ["rbind", word]});
                config["mounts"].as_array_mut().expect("mounts").push(bind);
            });
            let run = |engine: &str| {
                // One mount namespace is the host of both.
                let line = format!(
                    "exec unshare --mount --propagation private bash -c 'cd $B; mkdir -p src; mount -t tmpfs t src; mkdir src/one src/two; mount --make-{mode} src; \
                     for at in $(findmnt -rno TARGET -t cgroup2); do umount $at; done; {engine} 2>err & \
                     for i in $(seq 400); do [ -e src/ready ] && break; sleep 0.05; done; grep -c \"/src/one \" /proc/self/mountinfo; \
                     mount -t tmpfs two src/two; touch src/go; wait; cat err >&2'"
                );
                within(world, &line, &at).run()
            };
            let ours = run("unshare-rs --mount --propagation unchanged --pid --net --ipc --fork -- chroot-rs --oci $B");
            let ours = ours.stdout_is(&format!("{host_sees}\n{container_sees}\n"));
            let is_warned = ours.stderr.contains("warning: cannot connect the mounts below /x with those of the host");
            assert_eq!(is_warned, mode == "private", "{ours}");
            let theirs = run(&format!("crun --cgroup-manager=disabled run --bundle $B suite-peers-{}-{number}", std::process::id()));
            theirs.stdout_is(&ours.stdout);
        }
    })
    .root_only()
    .host_only(),
    Row::new("a bind whose word can have no effect is a warning, or with --strict an error", NEEDS, |world| {
        let at = bundle(world, "oci-no-peers", json!(["/bin/cat", "/data/file"]), |_| {});
        let original = read(&at);
        for word in ["rshared", "rslave"] {
            write(&at, &original, |config| config["mounts"][5]["options"] = json!(["rbind", word]));
            // unshare-rs makes every mount private first, as unshare(1) does.
            let line = format!("unshare-rs {} --mount --pid --net --ipc --fork -- chroot-rs", world.as_root());
            let remedy = if world.is_root { "--propagation unchanged" } else { "in a user namespace" };
            let warned = within(world, &format!("{line} --oci $B"), &at).run().succeeds().stdout_is("hi\n");
            warned.stderr_has("warning: cannot connect the mounts below /data with those of the host").stderr_has(remedy);
            within(world, &format!("{line} --strict --oci $B"), &at).run().fails_with(125).stdout_is("");
        }
    })
    .host_only(),
];

fn read(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("config.json")).expect("read")).expect("JSON")
}

/// Writes the bundle's configuration with a change.
fn write(bundle: &Path, original: &Value, change: impl FnOnce(&mut Value)) {
    let mut config = original.clone();
    change(&mut config);
    fs::write(bundle.join("config.json"), config.to_string()).expect("a configuration");
}
