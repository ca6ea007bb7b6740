//! `--KIND=FILE`: binding a namespace to a file, which keeps it alive without any process in it. `namespaces(7)`.
//!
//! Binding is mounting, so it is done by a process that is still in the old mount and user namespaces. The link to a
//! new pid or time namespace is `/proc/PID/ns/*_for_children`; that of a pid namespace is dangling before the first
//! child.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use plumbing::Fault;
use plumbing::confinement::privilege::holds;
use plumbing::kernel::call;
use plumbing::process::mountinfo;
use plumbing::process::namespace::Kind;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::thread::CapabilitySet;

/// Binds namespaces of process `pid` to files: all of them, or none.
pub(crate) fn bind(pid: i32, targets: &[(Kind, PathBuf)]) -> Result<(), Fault> {
    for (index, (kind, file)) in targets.iter().enumerate() {
        if let Err(fault) = bind_one(pid, *kind, file) {
            targets[..index].iter().try_for_each(|(_, file)| release(file))?;
            return Err(explain(fault, *kind, file));
        }
    }
    Ok(())
}

fn bind_one(pid: i32, kind: Kind, file: &Path) -> Result<(), Fault> {
    let link = match kind {
        Kind::Pid => "pid_for_children",
        Kind::Time => "time_for_children",
        kind => kind.proc_name(),
    };
    let source = format!("/proc/{pid}/ns/{link}");
    let text = format!("mount({source:?}, {:?}, NULL, MS_BIND, NULL)", file.to_string_lossy());
    let goal = format!("keep the {} namespace at {}", kind.option(), file.display());
    call(goal, text, "the file keeps the namespace alive; nsenter(1) enters through it", || {
        mount(Some(source.as_str()), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    })
}

fn release(file: &Path) -> Result<(), Fault> {
    let text = format!("umount2({:?}, MNT_DETACH)", file.to_string_lossy());
    call(format!("release {}", file.display()), text, "either all namespaces are kept, or none", || {
        umount2(file, MntFlags::MNT_DETACH)
    })
}

fn explain(fault: Fault, kind: Kind, file: &Path) -> Fault {
    match fault.errno() {
        Some(Errno::ENOENT) if !file.exists() => {
            fault.with_remedy(format!("{} must exist: touch it first", file.display()))
        }
        Some(Errno::EINVAL) if kind == Kind::Mnt => match is_on_shared_mount(file) {
            Some(true) => fault.with_remedy(format!(
                "{} is on a shared mount, through which the mount namespace would be copied into itself; use a file \
                 below a private one: mount --bind DIR DIR && mount --make-private DIR",
                file.display()
            )),
            Some(false) => fault.with_remedy(
                "the file is on a private mount, as required, but Linux 6.18 sometimes refuses this, because it \
                 numbers mount namespaces per processor: run the command again, or on one processor with taskset(1)",
            ),
            None => fault,
        },
        Some(Errno::EPERM) if holds(CapabilitySet::SYS_ADMIN) == Some(false) => fault.with_remedy(
            "CAP_SYS_ADMIN is missing here, and mounting requires it; run as root, or inside your own user namespace",
        ),
        _ => fault,
    }
}

/// Reports whether a file is on a shared mount; `None` if this cannot be determined.
fn is_on_shared_mount(file: &Path) -> Option<bool> {
    let id = statx(CWD, file, AtFlags::empty(), StatxFlags::MNT_ID).ok()?.stx_mnt_id;
    mountinfo::own().ok()?.iter().find(|mount| mount.id == id).map(|mount| mount.peer_group.is_some())
}
