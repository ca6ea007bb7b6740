//! How many system calls the tools make for a container. The numbers hardly differ between machines, so unlike times they
//! can be limited by a row.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::need::{BUSYBOX, STRACE};
use crate::harness::row::Row;
use crate::harness::world::World;

/// The most calls of each tool, in a root whose path has few names. A hierarchy of cgroup v1 in which the caller has a group
/// of its own is one mount more, and a directory with the heat of a processor one mask more.
const MOST: [(&str, usize); 2] = [("unshare-rs", 42), ("chroot-rs", 355)];
const PER_MOUNT: usize = 10;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "a container without limits costs each tool no more system calls than its budget",
    &[BUSYBOX, STRACE],
    |world| {
        let groups = fs::read_to_string("/proc/self/cgroup").expect("/proc/self/cgroup");
        let own = groups.lines().filter(|line| !line.ends_with(":/")).count();
        let heat = world.sh("ls -d /sys/devices/system/cpu/cpu*/thermal_throttle 2>/dev/null").stdout.lines().count();
        let made = calls(world, "true", "");
        for (tool, most) in MOST {
            let (count, most) = (made[tool], most + if tool == "chroot-rs" { (own + heat) * PER_MOUNT } else { 0 });
            assert!(count <= most, "{tool} makes {count} calls, the budget is {most}: {made:?}");
            // The control: it made them at all, and the budget is not far above them.
            assert!(count * 4 > most * 3, "{tool} makes {count} calls, lower the budget of {most}");
        }
        // Each further mount is counted.
        let more = calls(world, "true", &" --tmpfs /tmp/more".repeat(10));
        assert!(more["chroot-rs"] >= made["chroot-rs"] + 60, "{made:?} {more:?}");
        // Where few descriptors may be open at the same time, each is closed when it is no longer needed.
        let frugal = calls(world, "ulimit -n 40", "");
        assert!(frugal["chroot-rs"] > made["chroot-rs"] + 40, "{made:?} {frugal:?}");
    },
)
.root_only()
.host_only()];

/// Counts the calls of each program of a chain of three, which begins after `before`.
fn calls(world: &World, before: &str, mounts: &str) -> BTreeMap<String, usize> {
    let directory = world.directory("budget");
    let (root, trace) = (world.busybox_root().display(), directory.join("trace"));
    // A build for debugging asks about each descriptor before it closes it.
    world
        .sh(&format!(
            "{before}; strace -f -qq -s 64 -e signal=none -e trace='!fcntl' -o {} unshare-rs --mount --pid --ipc --uts --cgroup --hostname lab --fork -- \
             chroot-rs --std{mounts} --overlay {root} -- /bin/true",
            trace.display()
        ))
        .succeeds();
    let text = fs::read_to_string(&trace).expect("a trace");
    let (mut programs, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ').map(|(pid, call)| (pid, call.trim_start())) else { continue };
        if call.starts_with('<') {
            continue;
        }
        if let Some(path) = call.strip_prefix("execve(\"").and_then(|rest| rest.split('"').next()) {
            programs.insert(pid.to_owned(), path.rsplit('/').next().unwrap_or_default().to_owned());
        }
        // The child of unshare-rs, before it becomes the next tool.
        let program = programs.get(pid).map_or("unshare-rs", String::as_str);
        *counts.entry(program.to_owned()).or_default() += 1;
    }
    counts
}
