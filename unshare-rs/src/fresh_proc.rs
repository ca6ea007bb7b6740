//! A proc file system for the new pid namespace: the old one still shows the processes of the old namespace. `proc(5)`.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;
use plumbing::Fault;
use plumbing::kernel::call;
use plumbing::process::mountinfo;
use plumbing::process::namespace::{Kind, KindSet};

use crate::options::Propagation;
use crate::propagation;

/// Mounts a proc file system at `dir`. `--propagation private` has already made the mounts private; in a new root they
/// are left as its owner set them.
pub(crate) fn mount(dir: &Path, propagation: Propagation, is_root_changed: bool) -> Result<(), Fault> {
    if propagation != Propagation::Private && !is_root_changed {
        match propagation::make_private(dir) {
            // `dir` is not a mount point yet.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
            made => made?,
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let shown = dir.display().to_string();
    let text = format!("mount(\"proc\", {shown:?}, \"proc\", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)");
    call(format!("mount a new proc at {shown}"), text, "it shows the pid namespace that we are in now; proc(5)", || {
        nix::mount::mount(Some("proc"), dir, Some("proc"), flags, None::<&str>)
    })
}

/// Adds the reason why the mount was refused in the namespaces that we made.
pub(crate) fn explain(fault: Fault, kinds: KindSet, has_forked: bool) -> Fault {
    if fault.errno() != Some(Errno::EPERM) || !kinds.contains(Kind::User) {
        return fault;
    }
    if !kinds.contains(Kind::Pid) {
        return fault.with_remedy("it would show a pid namespace that is not ours; add --pid --fork");
    }
    if !has_forked {
        return fault.with_remedy("it would show the old pid namespace, in which we still are; add --fork");
    }
    match covered() {
        Some(point) => fault.with_remedy(format!(
            "another mount covers {point} here, as in containers, and a new proc would reveal it; use the existing /proc"
        )),
        None => fault,
    }
}

/// Returns a mount point that covers a part of /proc.
fn covered() -> Option<String> {
    let is_below_proc = |point: &Path| point.starts_with("/proc") && point != Path::new("/proc");
    let mut points = mountinfo::own().ok()?.into_iter().map(|mount| mount.point);
    let covered = points.find(|point| is_below_proc(point) && point != Path::new(crate::binfmt::DEFAULT))?;
    Some(covered.display().to_string())
}
