//! Why the kernel refused: EPERM and EINVAL from mounts have many causes; each one told here was looked up first.
//! `mount_namespaces(7)`, `user_namespaces(7)`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::mountinfo::{self, Mount};
use plumbing::privilege::{capability_names, holds};
use plumbing::procfs;
use rustix::thread::CapabilitySet;

/// What makes a namespace ours, for the file systems that show one.
const OWNERS: [(&str, &str, &str); 5] = [
    ("proc", "pid", "--pid --fork"),
    ("sysfs", "net", "--net"),
    ("mqueue", "ipc", "--ipc"),
    ("cgroup", "cgroup", "--cgroup"),
    ("cgroup2", "cgroup", "--cgroup"),
];

/// A call that needs CAP_SYS_ADMIN.
pub(crate) fn missing_admin(fault: Fault) -> Fault {
    missing(fault, CapabilitySet::SYS_ADMIN)
}

/// `open_tree(2)` refuses to clone a mount without those below it that came along into a user namespace.
pub(crate) fn locked_below(fault: Fault, recursive: bool) -> Fault {
    match fault.errno() {
        Some(Errno::EINVAL) if !recursive && in_user_namespace() => fault.with_remedy(
            "in a user namespace what is mounted below comes along, since it may hide something: leave norec out",
        ),
        _ => missing_admin(fault),
    }
}

/// `mount_setattr(2)` does not take back a flag that came along into a user namespace.
pub(crate) fn locked_flags(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) if holds(CapabilitySet::SYS_ADMIN) == Some(true) && in_user_namespace() => fault.with_remedy(
            "flags that a mount brought along into a user namespace are locked: ask for them (ro, nosuid, nodev, noexec, \
             noatime), or do it outside",
        ),
        _ => missing_admin(fault),
    }
}

/// A call that needs a capability which we may lack.
pub(crate) fn missing(fault: Fault, right: CapabilitySet) -> Fault {
    if fault.errno() != Some(Errno::EPERM) || holds(right) != Some(false) {
        return fault;
    }
    let name = capability_names(right).concat();
    fault.with_remedy(format!(
        "{name} is missing here: be root, or go through unshare-rs --user --map-root-user --mount first"
    ))
}

/// `fsopen(2)` knows the file systems of this kernel.
pub(crate) fn unknown_kind(fault: Fault, kind: &str) -> Fault {
    match fault.errno() {
        Some(Errno::ENODEV) => fault.with_remedy(format!("this kernel has no {kind}: modprobe {kind}, as root")),
        _ => fault,
    }
}

/// `fsconfig(2)` refuses to create what shows a namespace that another user namespace owns.
pub(crate) fn refused_by_owner(fault: Fault, kind: &str) -> Fault {
    let owner = OWNERS.iter().find(|(known, ..)| *known == kind);
    match (fault.errno(), owner) {
        (Some(Errno::EPERM), Some((_, namespace, options)))
            if holds(CapabilitySet::SYS_ADMIN) == Some(true) && in_user_namespace() =>
        {
            fault.with_remedy(format!(
                "{kind} shows the {namespace} namespace, and that belongs to another user namespace than ours; make an \
                 own one: unshare-rs {options}"
            ))
        }
        _ => missing_admin(fault),
    }
}

/// `fsmount(2)` refuses a new proc or sysfs that would show what is covered in the one that we see.
pub(crate) fn too_revealing(fault: Fault, kind: &str) -> Fault {
    if fault.errno() != Some(Errno::EPERM) || !in_user_namespace() {
        return fault;
    }
    let Ok(mounts) = mountinfo::own() else { return fault };
    match covers(&mounts, kind) {
        Covers::NoneMounted => fault.with_remedy(format!(
            "in a user namespace a new {kind} needs a wholly visible one in this mount namespace, and there is none"
        )),
        Covers::By(over) if !over.is_empty() => fault.with_remedy(format!(
            "the {kind} that is mounted here is covered in part (by {}), and the kernel does not let a user namespace \
             uncover that with a new one; start outside of that container",
            over.join(", ")
        )),
        Covers::By(_) => fault,
    }
}

enum Covers {
    NoneMounted,
    By(Vec<String>),
}

/// What is mounted on the mounts of this kind.
fn covers(mounts: &[Mount], kind: &str) -> Covers {
    let ids: Vec<_> = mounts.iter().filter(|mount| mount.fs_type == kind).map(|mount| mount.id).collect();
    if ids.is_empty() {
        return Covers::NoneMounted;
    }
    let over = mounts.iter().filter(|mount| ids.contains(&mount.parent));
    Covers::By(over.map(|mount| mount.point.display().to_string()).collect())
}

/// `pivot_root(2)`, and a change of propagation from "/" on, answer EINVAL where "/" is no mount that can be left.
pub(crate) fn no_root_mount(fault: Fault) -> Fault {
    let Ok(mounts) = mountinfo::own() else { return missing_admin(fault) };
    let root = mounts.iter().find(|mount| mount.point == Path::new("/"));
    match (fault.errno(), root) {
        (Some(Errno::EINVAL), None) => fault.with_remedy(
            "the root of this process is not a mount point, so it was set by chroot(2); go through pivot_root(2), or \
             start outside of that chroot",
        ),
        (Some(Errno::EINVAL), Some(mount)) if mount.fs_type == "rootfs" => fault.with_remedy(
            "the root is the initramfs, which pivot_root(2) cannot leave before Linux 7.0; switch_root(8) to another \
             root first, or take --no-pivot",
        ),
        _ => missing_admin(fault),
    }
}

/// Adds what the kernel wrote about it into the file system context: `fsopen(2)`.
pub(crate) fn with_log(fault: Fault, context: BorrowedFd<'_>) -> Fault {
    let mut line = [0; 256];
    match rustix::io::read(context, &mut line) {
        Ok(length) if length > 2 => {
            let told = String::from_utf8_lossy(&line[2..length]);
            fault.with_remedy(format!("the kernel says: {}", told.trim_end().escape_debug()))
        }
        _ => fault,
    }
}

/// Whether an id map is another than the initial user namespace's.
pub(crate) fn in_user_namespace() -> bool {
    let map = procfs::read_text("self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_a_proc_is_found_in_mountinfo() {
        let text = b"22 27 0:21 / /proc rw - proc proc rw\n23 22 0:5 /null /proc/kcore rw shared:2 - tmpfs dev rw\n";
        let mounts = mountinfo::parse(text);
        assert!(matches!(covers(&mounts, "proc"), Covers::By(over) if over == ["/proc/kcore"]));
        assert!(matches!(covers(&mounts, "sysfs"), Covers::NoneMounted));
    }
}
