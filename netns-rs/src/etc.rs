//! What `ip netns exec` does besides entering: the files of /etc/netns/NAME in the place of those of /etc, and a /sys
//! that shows the interfaces of the namespace. `ip-netns(8)`, `mount_namespaces(7)`.
//!
//! All of it is in a mount namespace of its own. The surprise: where a file of /etc is a symbolic link, such as
//! resolv.conf of systemd-resolved, the mount is on the file that it leads to.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use plumbing::kernel::{call, look};
use plumbing::process::namespace_root;
use plumbing::{Fault, narrate};

use crate::capability;
use crate::name::Name;

const DIRECTORY: &str = "/etc/netns";

/// Makes the mounts, for this process and its children.
pub fn mount_all(name: &Name) -> Result<(), Fault> {
    own_mounts()?;
    fresh_sys()?;
    bind_files(name)
}

/// Moves this process into a mount namespace, in which it can mount without changing the host's.
pub fn own_mounts() -> Result<(), Fault> {
    call(
        "make a mount namespace",
        "unshare(CLONE_NEWNS)",
        "the mounts are for this command only; mount_namespaces(7)",
        || unshare(CloneFlags::CLONE_NEWNS),
    )
    .map_err(capability::needs_sys_admin)?;
    let why = "our mounts do not travel back, and those of the host still come in";
    namespace_root::propagate(|| {
        let (flags, name) = (MsFlags::MS_REC | MsFlags::MS_SLAVE, "MS_REC|MS_SLAVE");
        change("set the propagation of mounts", None, Path::new("/"), None, flags, name, why)
    })
}

/// The old /sys shows the interfaces of the namespace in which it was mounted.
fn fresh_sys() -> Result<(), Fault> {
    let goal = "mount a /sys of the network namespace";
    let detached = call(goal, "umount2(\"/sys\", MNT_DETACH)", "it shows the interfaces of another namespace", || {
        umount2("/sys", MntFlags::MNT_DETACH)
    });
    match detached {
        // It was no mount.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => outcome?,
    }
    change(
        goal,
        Some(Path::new("netns-rs")),
        Path::new("/sys"),
        Some("sysfs"),
        MsFlags::empty(),
        "0",
        "the interfaces of this one; sysfs(5)",
    )
}

fn bind_files(name: &Name) -> Result<(), Fault> {
    let directory = Path::new(DIRECTORY).join(name.as_os_str());
    let goal = format!("list {}", directory.display());
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => look(&goal, format!("openat(AT_FDCWD, {directory:?}, O_DIRECTORY)"), || entries)?,
    };
    for entry in entries {
        let file = look(&goal, "getdents64()", || entry)?.file_name();
        let (source, target) = (directory.join(&file), PathBuf::from("/etc").join(&file));
        let goal = format!("put {} in the place of {}", source.display(), target.display());
        let bound =
            change(&goal, Some(&source), &target, None, MsFlags::MS_BIND, "MS_BIND", "the command's own configuration");
        match bound {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => narrate::warn(fault),
            outcome => outcome?,
        }
    }
    Ok(())
}

fn change(
    goal: &str,
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    flag_names: &str,
    why: &str,
) -> Result<(), Fault> {
    let shown = |text: Option<String>| text.unwrap_or_else(|| "NULL".to_owned());
    let (from, of) = (source.map(|source| format!("{source:?}")), kind.map(|kind| format!("{kind:?}")));
    let text = format!("mount({}, {target:?}, {}, {flag_names}, NULL)", shown(from), shown(of));
    call(goal, text, why, || mount(source, target, kind, flags, None::<&str>))
}
