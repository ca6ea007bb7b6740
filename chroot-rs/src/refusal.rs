//! Remedies for mounts that the kernel refused: EPERM and EINVAL have many causes; each remedy here has checked its cause.
//! `mount_namespaces(7)`, `user_namespaces(7)`.

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::confinement::privilege::{capability_names, holds, lost_by_exec};
use plumbing::process::mountinfo::{self, Mount};
use plumbing::process::namespace::Kind;
use plumbing::process::procfs;
use plumbing::process::target::namespace_in_link;
use rustix::thread::CapabilitySet;

/// For each file system that shows a namespace: the kind of namespace, and the options that create one.
const OWNERS: [(&str, &str, &str); 5] = [
    ("proc", "pid", "--pid --fork"),
    ("sysfs", "net", "--net"),
    ("mqueue", "ipc", "--ipc"),
    ("cgroup", "cgroup", "--cgroup"),
    ("cgroup2", "cgroup", "--cgroup"),
];

/// Explains a failed call that needs CAP_SYS_ADMIN.
pub(crate) fn missing_admin(fault: Fault) -> Fault {
    missing(fault, CapabilitySet::SYS_ADMIN)
}

/// Explains that `open_tree(2)` clones mounts that were copied into a user namespace only with the mounts below them.
pub(crate) fn locked_below(fault: Fault, recursive: bool) -> Fault {
    match fault.errno() {
        Some(Errno::EINVAL) if !recursive && in_user_namespace() => fault.with_remedy(
            "in a user namespace a mount is cloned with the mounts below it, since they may hide something: omit norec",
        ),
        _ => missing_admin(fault),
    }
}

/// Explains that `mount_setattr(2)` does not clear a flag of a mount that was copied into a user namespace.
pub(crate) fn locked_flags(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) if holds(CapabilitySet::SYS_ADMIN) == Some(true) && in_user_namespace() => fault.with_remedy(
            "the flags of a mount that was copied into a user namespace are locked: keep them (ro, nosuid, nodev, noexec, \
             noatime), or run outside of the user namespace",
        ),
        _ => missing_admin(fault),
    }
}

/// Explains a failed call by a missing capability.
pub(crate) fn missing(fault: Fault, right: CapabilitySet) -> Fault {
    if fault.errno() != Some(Errno::EPERM) || holds(right) != Some(false) {
        return fault;
    }
    let name = capability_names(right).concat();
    if let Some(why) = lost_by_exec(right) {
        return fault.with_remedy(format!("{name} is missing here: {why}"));
    }
    // For all that --std mounts; a plain chroot needs the user namespace only.
    let more = if right == CapabilitySet::SYS_ADMIN { " --mount --pid --ipc --uts --fork" } else { "" };
    fault.with_remedy(format!(
        "{name} is missing here; a user has it in a user namespace: unshare-rs --map-root-user{more} -- chroot-rs ..."
    ))
}

/// Explains that `fsopen(2)` does not know a file system.
pub(crate) fn unknown_kind(fault: Fault, kind: &str) -> Fault {
    match fault.errno() {
        Some(Errno::ENODEV) => fault.with_remedy(format!("this kernel has no {kind}: run modprobe {kind} as root")),
        _ => fault,
    }
}

/// Explains that `fsconfig(2)` refuses a file system for a namespace that another user namespace owns.
pub(crate) fn refused_by_owner(fault: Fault, kind: &str) -> Fault {
    let owner = OWNERS.iter().find(|(known, ..)| *known == kind);
    match (fault.errno(), owner) {
        (Some(Errno::EPERM), Some((_, namespace, options)))
            if holds(CapabilitySet::SYS_ADMIN) == Some(true) && in_user_namespace() =>
        {
            fault.with_remedy(format!(
                "{kind} shows the {namespace} namespace, and it is owned by another user namespace; create your own: \
                 unshare-rs {options}"
            ))
        }
        _ => missing_admin(fault),
    }
}

/// Explains that `fsmount(2)` refuses a new proc or sysfs that would show what is covered in the existing one.
pub(crate) fn too_revealing(fault: Fault, kind: &str) -> Fault {
    if fault.errno() != Some(Errno::EPERM) || !in_user_namespace() {
        return fault;
    }
    let Ok(mounts) = mountinfo::own() else { return fault };
    match covers(&mounts, kind) {
        Covers::NoneMounted => fault.with_remedy(format!(
            "in a user namespace a new {kind} requires a completely visible {kind} in this mount namespace, but there is none"
        )),
        Covers::By(over) if !over.is_empty() => fault.with_remedy(format!(
            "the {kind} that is mounted here is covered in part (by {}), and the kernel does not let a user namespace \
             mount a new one without these covers; run outside of that container",
            over.join(", ")
        )),
        Covers::By(_) => fault,
    }
}

enum Covers {
    NoneMounted,
    By(Vec<String>),
}

/// Lists the mounts on top of the mounts of this kind.
fn covers(mounts: &[Mount], kind: &str) -> Covers {
    let ids: Vec<_> = mounts.iter().filter(|mount| mount.fs_type == kind).map(|mount| mount.id).collect();
    if ids.is_empty() {
        return Covers::NoneMounted;
    }
    let over = mounts.iter().filter(|mount| ids.contains(&mount.parent));
    Covers::By(over.map(|mount| mount.point.display().to_string()).collect())
}

/// Explains EINVAL of `pivot_root(2)` and of a change of propagation at "/", where "/" is not a mount that can be left.
pub(crate) fn no_root_mount(fault: Fault) -> Fault {
    let Ok(mounts) = mountinfo::own() else { return missing_admin(fault) };
    let root = mounts.iter().find(|mount| mount.point == Path::new("/"));
    match (fault.errno(), root) {
        (Some(Errno::EINVAL), None) => fault.with_remedy(
            "the root of this process is not a mount point, so it was set by chroot(2); use pivot_root(2) instead, or run \
             outside of that chroot",
        ),
        (Some(Errno::EINVAL), Some(mount)) if mount.fs_type == "rootfs" => fault.with_remedy(
            "the root is the initramfs, which pivot_root(2) cannot leave before Linux 7.0; switch_root(8) to another \
             root first, or use --no-pivot",
        ),
        _ => missing_admin(fault),
    }
}

/// Adds the message that the kernel wrote into the file system context: `fsopen(2)`.
pub(crate) fn with_log(fault: Fault, context: BorrowedFd<'_>) -> Fault {
    let mut line = [0; 256];
    match rustix::io::read(context, &mut line) {
        Ok(length) if length > 2 => {
            let message = String::from_utf8_lossy(&line[2..length]);
            fault.with_remedy(format!("the kernel says: {}", message.trim_end().escape_debug()))
        }
        _ => fault,
    }
}

/// Reports whether our user namespace is not the initial one, which another one may equal in its id map. Where /proc does not
/// show namespaces, the map decides.
pub(crate) fn in_user_namespace() -> bool {
    let namespace = procfs::read_link("self/ns/user").ok();
    match namespace.and_then(|link| namespace_in_link(link.as_os_str().as_bytes())) {
        Some(inode) => Some(inode) != Kind::User.first_inode(),
        None => !maps_everything(&procfs::read_short("self/uid_map").unwrap_or_default()),
    }
}

/// Reports whether this is the id map of the initial user namespace.
pub(crate) fn maps_everything(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_on_top_of_a_proc_are_found_in_mountinfo() {
        let text = b"22 27 0:21 / /proc rw - proc proc rw\n23 22 0:5 /null /proc/kcore rw shared:2 - tmpfs dev rw\n";
        let mounts = mountinfo::parse(text);
        assert!(matches!(covers(&mounts, "proc"), Covers::By(over) if over == ["/proc/kcore"]));
        assert!(matches!(covers(&mounts, "sysfs"), Covers::NoneMounted));
    }
}
