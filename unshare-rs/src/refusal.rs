//! Why the kernel refused to make namespaces: EPERM and ENOSPC have many causes, and each is verified before it is
//! reported. `user_namespaces(7)`, `namespaces(7)`.
//!
//! One call makes several kinds and does not report which one was refused. So they are tried again one by one, in
//! children that exit at once.

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::Fault;
use plumbing::confinement::privilege::{holds, is_mapped};
use plumbing::kernel::{Cloned, call, exit_now, fork};
use plumbing::process::kernel_text;
use plumbing::process::namespace::{Kind, KindSet};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::thread::CapabilitySet;

use crate::proc_status::field;
use crate::security_module;

/// The levels of user and pid namespaces that the kernel allows below the initial one.
const DEEPEST: usize = 32;
/// A bit that unshare(2) never accepts: the call fails before it makes anything.
const NO_FLAG: i32 = 1;

/// Adds the cause of a refusal as a remedy, if one is verified.
pub(crate) fn explain<T>(kinds: KindSet, outcome: Result<T, Fault>) -> Result<T, Fault> {
    outcome.map_err(|fault| match cause(kinds, fault.errno()) {
        Some(remedy) => fault.with_remedy(remedy),
        None => fault,
    })
}

fn cause(kinds: KindSet, errno: Option<Errno>) -> Option<String> {
    match errno? {
        Errno::ENOSPC => exhausted(kinds),
        Errno::EINVAL => unknown_kind(kinds),
        Errno::EPERM if !kinds.contains(Kind::User) && holds(CapabilitySet::SYS_ADMIN) == Some(false) => {
            Some("CAP_SYS_ADMIN is missing here; add --user --map-root-user to have it in a new user namespace".into())
        }
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS if is_filtered(kinds) => Some(
            "a seccomp filter refuses this call here, as the default filters of container engines do; run the \
             container with a filter that allows it (docker run --security-opt seccomp=PROFILE)"
                .into(),
        ),
        errno @ (Errno::EPERM | Errno::EACCES) if kinds.contains(Kind::User) => user_namespaces_forbidden(errno),
        _ => None,
    }
}

/// Reports kinds that the kernel lacks: it shows a link for each kind that it has.
fn unknown_kind(kinds: KindSet) -> Option<String> {
    let unknown = |kind: &Kind| !std::path::Path::new(&format!("/proc/self/ns/{}", kind.proc_name())).exists();
    let unknown: KindSet = kinds.iter().filter(unknown).collect();
    let is_visible = std::path::Path::new("/proc/self/ns").exists();
    (is_visible && !unknown.is_empty()).then(|| format!("this kernel has no {} namespaces", unknown.names()))
}

/// Explains ENOSPC: a limit of `user.max_*_namespaces`, here or in an outer user namespace, or too many nested levels.
fn exhausted(kinds: KindSet) -> Option<String> {
    let alone = kinds.iter().map(|kind| (kind, KindSet::from_iter([kind])));
    // A kind that requires the privileges of the new user namespace is tried together with that one.
    let with_user =
        |kind: KindSet| if kinds.contains(Kind::User) { kind.iter().chain([Kind::User]).collect() } else { kind };
    let kind = alone.into_iter().find(|(_, kind)| attempt(with_user(*kind)) == Some(Errno::ENOSPC))?.0;
    let sysctl = format!("user.max_{}_namespaces", kind.proc_name());
    let limit = kernel_text::read(format!("/proc/sys/{}", sysctl.replace('.', "/"))).ok();
    let limit = limit.as_deref().map(str::trim);
    if limit == Some("0") {
        return Some(format!("{sysctl} is 0 here; raise it with sysctl"));
    }
    let pids = field("NSpid").map_or(0, |pids| pids.split_whitespace().count());
    if kind == Kind::Pid && pids > DEEPEST {
        return Some(format!(
            "we are in {pids} nested pid namespaces, and the kernel allows only {DEEPEST} below the initial one"
        ));
    }
    let limited = format!(
        "{sysctl}, which is {} here, or the same limit of an outer user namespace, is used up",
        limit.unwrap_or("unknown")
    );
    Some(match kind {
        Kind::User | Kind::Pid => format!(
            "either {limited}, or {} namespaces are nested {DEEPEST} levels deep, the most that the kernel allows",
            kind.option()
        ),
        _ => limited,
    })
}

/// Tries to make these kinds in a child that exits at once; returns the errno if the kernel refuses.
fn attempt(kinds: KindSet) -> Option<Errno> {
    let why = "find the kind that was refused: each is tried in a child that exits at once";
    match fork("try again", why).ok()? {
        Cloned::Child => {
            let text = format!("unshare({})", kinds.flag_names());
            let refused = call("try again", text, "is this kind refused?", || nix::sched::unshare(kinds.flags())).err();
            let errno = refused.and_then(|fault| fault.errno()).map_or(0, |errno| errno as i32);
            exit_now(plumbing::Status(u8::try_from(errno).unwrap_or(u8::MAX)))
        }
        Cloned::Parent { pid, .. } => match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, errno)) if errno != 0 => Some(Errno::from_raw(errno)),
            _ => None,
        },
    }
}

/// Reports whether a seccomp filter refuses unshare(2). Without a filter the kernel answers EINVAL to an invalid flag,
/// before it looks at the others.
fn is_filtered(kinds: KindSet) -> bool {
    let flags = CloneFlags::from_bits_retain(kinds.clone_flags() | NO_FLAG);
    let text = format!("unshare({}|{NO_FLAG:#x})", kinds.flag_names());
    let why = "an invalid flag: the kernel answers EINVAL, unless a filter answers first";
    field("Seccomp").as_deref() == Some("2")
        && call("try again", text, why, || nix::sched::unshare(flags)).err().and_then(|fault| fault.errno())
            != Some(Errno::EINVAL)
}

fn user_namespaces_forbidden(errno: Errno) -> Option<String> {
    if sysctl("kernel/unprivileged_userns_clone", "0") && holds(CapabilitySet::SYS_ADMIN) == Some(false) {
        return Some("kernel.unprivileged_userns_clone is 0 here; set it to 1 with sysctl".into());
    }
    if is_chrooted() {
        return Some(
            "we are in a chroot, where the kernel refuses user namespaces; enter the root with pivot_root(2) instead"
                .into(),
        );
    }
    if let Some(file) = unmapped() {
        return Some(format!(
            "our own id is not mapped in this user namespace (/proc/self/{file}); make the namespace with \
            --map-root-user or --map-current-user"
        ));
    }
    if let Some(remedy) = security_module::remedy() {
        return Some(remedy);
    }
    // Only a security module refuses a user namespace with this errno.
    (errno == Errno::EACCES).then(|| {
        let modules = kernel_text::read("/sys/kernel/security/lsm").unwrap_or_default();
        format!("a security module refuses it ({}); the rule is in its log (dmesg or the audit log)", modules.trim())
    })
}

fn sysctl(path: &str, value: &str) -> bool {
    kernel_text::read(format!("/proc/sys/{path}")).is_ok_and(|text| text.trim() == value)
}

/// Returns the id map in which our own id is missing.
fn unmapped() -> Option<&'static str> {
    let lacks =
        |file: &str, id: u32| kernel_text::read(format!("/proc/self/{file}")).is_ok_and(|map| !is_mapped(&map, id));
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    [("uid_map", uid), ("gid_map", gid)].into_iter().find(|(file, id)| lacks(file, *id)).map(|(file, _)| file)
}

/// Reports whether we are in a chroot: `/` is not the root of a mount, as it is in every mount namespace before a
/// chroot(2), or it differs from the root of process 1, as far as we may see that.
pub(crate) fn is_chrooted() -> bool {
    let root = statx(CWD, "/", AtFlags::empty(), StatxFlags::BASIC_STATS);
    let is_inside_a_mount = root.is_ok_and(|root| {
        root.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            && !root.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    });
    let place = |root: &str| rustix::fs::stat(root).ok().map(|stat| (stat.st_dev, stat.st_ino));
    let differs = matches!((place("/"), place("/proc/1/root/.")), (Some(ours), Some(first)) if ours != first);
    is_inside_a_mount
        || (differs && plumbing::process::target::own_namespace_inode(Kind::Mnt) == first_mount_namespace())
}

fn first_mount_namespace() -> Option<u64> {
    rustix::fs::stat("/proc/1/ns/mnt").ok().map(|stat| stat.st_ino)
}
