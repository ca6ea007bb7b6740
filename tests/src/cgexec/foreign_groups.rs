//! Which cgroups a container sees: its own, in each hierarchy, and none of the machine's.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::mounts::mounts_of;
use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[BUSYBOX];

/// A group that somebody else has on this machine, in every hierarchy.
const SECRET: &str = "secret-customer";

/// Prints the names of all groups that can be seen.
const LIST: &str = "find /sys/fs/cgroup -type d";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a container sees no cgroup of the host by name, in any hierarchy", NEEDS, |world| {
        let _groups = Groups::make();
        let own = "unshare-rs --mount --pid --cgroup --fork --kill-child --";
        // The control: a cgroup namespace alone, begun in the root of a hierarchy or outside of the mounts, hides none.
        world.sh(&format!("{own} {LIST}")).succeeds().stdout_has(SECRET);
        let root = world.busybox_root().display();
        let (limit, std) = ("cgexec-rs --memory 64M --pids 40", format!("chroot-rs --std {root} -- {LIST}"));
        let enter = "nsenter-rs --pipe --rm --";
        for script in [
            format!("{limit} -- {own} {std}"),
            format!("{limit} -- unshare-rs --mount --pid --fork -- {std}"),
            format!("{own} {std}"),
            format!("unshare-rs --mount --pid --fork -- {std}"),
            format!(
                "unshare-rs --hold --mount --pid --cgroup | {limit} --pipe | chroot-rs --pipe --std {root} | {enter} {LIST}"
            ),
            format!("unshare-rs --hold --mount --pid --cgroup | chroot-rs --pipe --std {root} | {enter} {LIST}"),
            format!("unshare-rs --hold --mount --pid | {limit} --pipe | chroot-rs --pipe --std {root} | {enter} {LIST}"),
        ] {
            let seen = world.sh(&script).succeeds();
            assert!(!seen.stdout.contains(SECRET), "a group of the host is seen\n{seen}");
        }
    })
    .root_only(),
    Row::new("a container finds its limits where programs look for them", NEEDS, |world| {
        let root = world.busybox_root().display();
        // On v1, runtimes such as Java's look for limits only if these four controllers are mounted.
        let v1 = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; \
                  ls cpu/cpu.shares cpuacct/cpuacct.usage >&2; cat cpuset/cpuset.cpus | grep -q .";
        let v2 = "cd /sys/fs/cgroup; cat memory.max pids.max";
        let look = format!("if [ -e /sys/fs/cgroup/memory ]; then {v1}; else {v2}; fi");
        for namespace in ["--cgroup", ""] {
            let script = format!(
                "cgexec-rs --memory 64M --pids 40 -- unshare-rs --mount --pid {namespace} --fork -- \
                 chroot-rs --std {root} -- /bin/sh -c '{look}'"
            );
            world.sh(&script).succeeds().stdout_is("67108864\n40\n");
        }
    })
    .root_only(),
    Row::new("an unprivileged container does not see the root of a cgroup hierarchy", NEEDS, |world| {
        // Only roots have this file.
        let list = "find /sys/fs/cgroup -name release_agent";
        let own = "unshare-rs --user --map-root-user --mount --pid --cgroup --fork --";
        world.sh(&format!("{own} {list} -maxdepth 2")).stdout_has("release_agent");
        let root = world.busybox_root().display();
        world.sh(&format!("{own} chroot-rs --std {root} -- {list}")).succeeds().stdout_is("");
    })
    .user_only()
    .host_only(),
    Row::new("an existing cpuset without a CPU, and a group of another user, are named as what keeps a process out", &[BUSYBOX], |world| {
        let script = "
            mkdir $D/cg; mount -t cgroup -o cpuset none $D/cg; g=cpuset-empty-$$; mkdir $D/cg/$g
            join() { \"$@\" cgexec-rs -g cpuset:/$g -- true 2>&1 | sed -n \"s|$D/cg/$g|G|g; s/.*remedy: //p\"; }
            join; cgexec-rs --cgroup /$g --cpuset-cpus 0; join; cgexec-rs --cgroup /$g --cpuset-mems 0; join
            chmod 755 $D; join setpriv --reuid 4000 --regid 4000 --clear-groups; chown -R 4000 $D/cg/$g; join setpriv --reuid 4000 --regid 4000 --clear-groups
            rmdir $D/cg/$g";
        // The control: the third and the last try, in which nothing is missing.
        let fill = "fill it: cgexec-rs --cgroup PATH --cpuset-cpus 0 --cpuset-mems 0\n";
        let expected = format!(
            "G has an empty cpuset.cpus and an empty cpuset.mems; {fill}G has an empty cpuset.mems; {fill}\
             G/tasks belongs to uid 0, and we are uid 4000; cgroup v1 groups belong to root, which can chown one to you, \
             including its tasks file\n"
        );
        world.apart("empty-cpuset", script).run().stdout_is(&expected);
    })
    .root_only()
    .host_only(),
    Row::new("the audit finds a mount that shows the cgroups of the host", NEEDS, |world| {
        let groups = Groups::make();
        let place = world.directory("foreign-groups");
        let root = place.join("root");
        world.sh(&format!("cp -r {} {}", world.busybox_root().display(), root.display())).succeeds();
        fs::copy(world.tools.join("chroot-rs"), root.join("bin/chroot-rs")).expect("a copy");
        let audit = |bind: &str| {
            let script = format!(
                "cgexec-rs --memory 64M --pids 40 -- unshare-rs --mount --pid --cgroup --fork -- \
                 chroot-rs --std {bind} {} -- /bin/chroot-rs --audit --json",
                root.display()
            );
            let report: Value = serde_json::from_str(&world.sh(&script).stdout).expect("JSON");
            let probes = report["probes"].as_array().expect("probes");
            let probe = probes.iter().find(|probe| probe["name"] == "cgroup-namespace").expect("the probe");
            (probe["outcome"].as_str().expect("text").to_owned(), probe["found"].as_str().expect("text").to_owned())
        };
        let (outcome, found) = audit("");
        assert_eq!(outcome, "held", "{found}");
        // One of v1 and one of v2, where both are mounted.
        for group in groups.0.first().into_iter().chain(groups.0.last()) {
            let point = group.parent().expect("a parent").display();
            let (outcome, found) = audit(&format!("--bind {point}:/srv"));
            assert_eq!(outcome, "open", "{point}: {found}");
            assert!(found.contains("/srv is the root of its hierarchy"), "{found}");
        }
    })
    .root_only(),
];

/// A group of this name in the root of each hierarchy, as long as this lives.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make() -> Self {
        let mounts = mounts_of("cgroup").into_iter().chain(mounts_of("cgroup2"));
        let groups = Self(mounts.map(|mount| PathBuf::from(mount.point).join(SECRET)).collect());
        for group in &groups.0 {
            match fs::create_dir(group) {
                // A hierarchy may be mounted twice.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("mkdir {}: {error}", group.display()),
                _ => {}
            }
        }
        assert!(!groups.0.is_empty(), "no cgroup hierarchy is mounted");
        groups
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            // Whatever a failed row left in it stays to be found.
            fs::remove_dir(group).ok();
        }
    }
}
