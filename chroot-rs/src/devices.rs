//! /dev of a container: the six devices and the links that every program may expect, and nothing that reaches hardware.
//! `null(4)`, `random(4)`, `tty(4)`.
//!
//! Each device is the host's, bound over an empty file on a nodev file system: on another, a device made with CAP_MKNOD
//! (`--capabilities docker`) would open the host's disk. The bind is read-only, because a changed mode would be changed
//! on the host; the device can be written to nevertheless.

use std::path::Path;

use crate::entry::{Attributes, Bind, Device, Entry, Filesystem, Otherwise, What};
use crate::facts::Facts;

/// The devices: name, major and minor number.
pub const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The links: name and target.
pub const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Returns the list for a /dev that is mounted `at`.
pub(crate) fn entries(facts: &Facts, at: &Path) -> Vec<Entry> {
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let dev = Filesystem::new(
        "tmpfs",
        &[("mode", "755"), ("size", "65536k")],
        attributes | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_STRICTATIME,
    );
    let mut list =
        vec![Entry::new(at, What::Fresh(dev, Otherwise::Refuse), "a new /dev, without the host's devices; devices(4)")];
    list.extend(nodes(false, at));
    list.push(pts(facts, at));
    let kept_in = attributes | Attributes::MOUNT_ATTR_NODEV;
    let shm = Filesystem::new("tmpfs", &[("size", "65536k")], kept_in);
    list.push(Entry::new(at.join("shm"), What::Fresh(shm, Otherwise::Refuse), "POSIX shared memory; shm_overview(7)"));
    let mqueue = Filesystem::new("mqueue", &[], kept_in);
    list.push(Entry::new(
        at.join("mqueue"),
        What::Fresh(mqueue, Otherwise::LeaveOut),
        "message queues; mq_overview(7)",
    ));
    list
}

/// Returns only the devices and links; the devices are `made` here, or bound from the host.
pub(crate) fn nodes(made: bool, at: &Path) -> Vec<Entry> {
    let device = |(name, major, minor): (&str, u32, u32)| {
        let what = if made {
            What::Device(Device::character(major, minor))
        } else {
            What::Bind(Bind::device(name, (major, minor)))
        };
        Entry::new(at.join(name), what, "a device that every program may expect; null(4)")
    };
    let link =
        |(name, to): (&str, &str)| Entry::new(at.join(name), What::Link(to.to_owned()), "a name that programs expect");
    DEVICES.into_iter().map(device).chain(LINKS.into_iter().map(link)).collect()
}

/// Returns a new devpts. Group 5 owns terminals by tradition, but where it is not mapped the kernel would refuse it.
fn pts(facts: &Facts, at: &Path) -> Entry {
    let mut parameters = vec![("ptmxmode", "0666"), ("mode", "0620")];
    if facts.has_tty_group {
        parameters.push(("gid", "5"));
    }
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let devpts = Filesystem::new("devpts", &parameters, attributes);
    Entry::new(at.join("pts"), What::Fresh(devpts, Otherwise::Refuse), "new pseudo-terminals; pts(4)")
}
