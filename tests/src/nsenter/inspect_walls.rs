//! What `--inspect` finds in a container that lacks one layer of defense, compared with a container that has it.

use crate::harness::need::{BUSYBOX, JQ, Need, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::inspect::{ALL, Container, NEEDS, finding, ids};

/// A finding, its severity, and two chains up to the container's command: one in which it is found, and one in which it
/// is not.
struct Layer {
    id: &'static str,
    severity: &'static str,
    missing: [&'static str; 2],
    present: [&'static str; 2],
}

const TRACED: &[Need] = &[BUSYBOX, JQ, UNSHARE];

const ALL_BUT_PID: &str = "--mount --ipc --uts --net --cgroup";

const LAYERS: &[Layer] = &[
    Layer {
        id: "traces-host",
        severity: "danger",
        missing: [ALL_BUT_PID, "chroot-rs --std --capabilities SYS_PTRACE $R --"],
        present: [ALL, "chroot-rs --std --capabilities SYS_PTRACE $R --"],
    },
    Layer {
        id: "device-creation",
        severity: "danger",
        missing: [ALL, "chroot-rs --std --capabilities MKNOD --tmpfs /srv:dev $R --"],
        present: [ALL, "chroot-rs --std --capabilities MKNOD --tmpfs /srv $R --"],
    },
    Layer {
        id: "host-devices",
        severity: "danger",
        missing: [ALL, "chroot-rs --std --bind /dev:/srv:dev $R --"],
        present: [ALL, "chroot-rs --std --bind /dev:/srv $R --"],
    },
    Layer {
        id: "host-proc",
        severity: "danger",
        missing: [ALL, "chroot-rs --std --bind /proc:/srv $R --"],
        present: [ALL, "chroot-rs --std --proc /srv $R --"],
    },
    Layer {
        id: "unmasked-kernel-file",
        severity: "weakness",
        missing: [ALL, "chroot-rs --pivot --proc /proc $R --"],
        present: [ALL, "chroot-rs --std $R --"],
    },
    Layer {
        id: "writable-cgroup",
        severity: "weakness",
        missing: [ALL, "chroot-rs --std --mount type=cgroup2,target=/srv $R --"],
        present: [ALL, "chroot-rs --std --mount type=cgroup2,target=/srv,ro $R --"],
    },
    Layer {
        id: "not-all-read",
        severity: "weakness",
        missing: [
            ALL,
            "chroot-rs --std --capabilities all --seccomp none $R -- /bin/sh -c 'for i in $(seq 300); do mount -t proc none /srv; done; exec \"$@\"' --",
        ],
        present: [ALL, "chroot-rs --std $R --"],
    },
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("each further layer of defense is reported where it is missing, and is not reported where it exists", NEEDS, |world| {
        for Layer { id, severity, missing: [namespaces, inner], present: [sound_namespaces, sound] } in LAYERS {
            let bad = Container::new(world, &format!("inspect-no-{id}"), namespaces, inner).isolation();
            assert_eq!(finding(&bad, id)["severity"], *severity, "{id}: {bad}");
            let good = Container::new(world, &format!("inspect-{id}"), sound_namespaces, sound).isolation();
            assert!(!ids(&good).contains(&(*id).to_owned()), "{id}: {good}");
        }
    })
    .root_only()
    .host_only(),
    Row::new("a first process that can do more than a process that may trace it is found", TRACED, |world| {
        let found = |first: &str, seconds: u32| {
            let container = format!("chroot-rs --std --capabilities SYS_PTRACE {}", world.busybox_root().display());
            let first = first.replace("CONTAINER", &format!("{container} -- /bin/sleep {seconds}"));
            let script = format!(
                "{first} & first=$!; trap 'kill -KILL $first' EXIT; until pid=$(pgrep -f '^/bin/sleep {seconds}'); do sleep 0.02; done; \
                 nsenter-rs --inspect $pid --json | jq -c '[.isolation.findings[].id]'"
            );
            world.script(&script).run().succeeds().stdout.contains("\"traces-stronger\"")
        };
        assert!(found("unshare --mount --pid --fork --kill-child sh -c '(exec CONTAINER); :'", 86471));
        assert!(!found("unshare-rs --mount --pid --fork --init --kill-child -- CONTAINER", 86472));
    })
    .root_only()
    .host_only(),
    Row::new("a mount that propagates to the host is found", NEEDS, |world| {
        let isolation = |name: &str, propagation: &str| {
            let chain = format!(
                "sh -c 'mkdir -p $D/s && mount -t tmpfs none $D/s && mount --make-shared $D/s && exec unshare-rs \
                 --pid-file $D/pid --mount --pid --propagation {propagation} --fork --kill-child -- \"$@\"' --"
            );
            let isolation = Container::of(world, name, &chain).isolation();
            world.sh(&format!("umount {}", world.shared_directory(name).join("s").display())).succeeds();
            isolation
        };
        assert_eq!(
            finding(&isolation("inspect-shared-mount", "unchanged"), "propagates-to-host")["severity"],
            "danger"
        );
        assert!(!ids(&isolation("inspect-private-mount", "private")).contains(&"propagates-to-host".to_owned()));
    })
    .root_only()
    .host_only(),
];
