//! /dev of a container: the six devices and the links that every program may expect, and none that reaches hardware.
//! `null(4)`, `random(4)`, `tty(4)`.
//!
//! In a user namespace mknod(2) is refused; there each device is the host's, bound over an empty file.

use std::path::Path;

use crate::entry::{Attributes, Bind, Entry, Filesystem, Otherwise, What};
use crate::facts::Facts;

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// The list, for a /dev that stands `at`.
pub(crate) fn entries(facts: &Facts, at: &Path) -> Vec<Entry> {
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let dev = Filesystem::new(
        "tmpfs",
        &[("mode", "755"), ("size", "65536k")],
        attributes | Attributes::MOUNT_ATTR_STRICTATIME,
    );
    let mut list =
        vec![Entry::new(at, What::Fresh(dev, Otherwise::Refuse), "devices of its own, not the host's; devices(4)")];
    for (name, major, minor) in DEVICES {
        let (what, why) = match facts.makes_devices {
            true => (What::Device(major, minor), "a device that every program may expect; mknod(2)"),
            false => {
                (What::Bind(Bind::device(name, (major, minor))), "no device can be made here, so it is the host's")
            }
        };
        list.push(Entry::new(at.join(name), what, why));
    }
    for (name, to) in LINKS {
        list.push(Entry::new(at.join(name), What::Link(to.to_owned()), "a name that programs expect"));
    }
    list.push(pts(facts, at));
    let kept_in = attributes | Attributes::MOUNT_ATTR_NODEV;
    let shm = Filesystem::new("tmpfs", &[("mode", "1777"), ("size", "65536k")], kept_in);
    list.push(Entry::new(at.join("shm"), What::Fresh(shm, Otherwise::Refuse), "POSIX shared memory; shm_overview(7)"));
    let mqueue = Filesystem::new("mqueue", &[], kept_in);
    list.push(Entry::new(
        at.join("mqueue"),
        What::Fresh(mqueue, Otherwise::LeaveOut),
        "message queues; mq_overview(7)",
    ));
    list
}

/// Terminals of its own. Group 5 owns them by tradition, but where it is not mapped the kernel would refuse it.
fn pts(facts: &Facts, at: &Path) -> Entry {
    let mut parameters = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if facts.has_tty_group {
        parameters.push(("gid", "5"));
    }
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let devpts = Filesystem::new("devpts", &parameters, attributes);
    Entry::new(at.join("pts"), What::Fresh(devpts, Otherwise::Refuse), "terminals of its own; pts(4)")
}
