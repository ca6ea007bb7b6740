//! Binds that exchange mounts with the host, as a bundle requests with `shared` or `slave`. `mount_namespaces(7)`.
//!
//! The surprise: a private mount cannot become a peer of the host's again. So these trees are cloned before propagation is
//! stopped for all others, and only they keep their peers.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plumbing::kernel::look;
use plumbing::process::mountinfo::{self, Mount};
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::entry::{Bind, Entry, PropagationKind, What, quoted, shown};
use crate::mount_api;
use crate::mount_id::mount_id_of;

/// The clones, by the position of their entries in the list.
pub(crate) type Peers = BTreeMap<usize, OwnedFd>;

/// Clones the sources that keep their peers, and reports those that have none.
pub(crate) fn clone_all(entries: &[Entry]) -> Result<Peers, Fault> {
    let mut peers = Peers::new();
    for (number, entry) in entries.iter().enumerate() {
        let What::Bind(bind @ Bind { keeps_peers: Some(kind), .. }) = &entry.what else { continue };
        let goal = format!("bind {} on {}", shown(&bind.source), shown(&entry.target));
        report_without_peers(&goal, bind, &entry.target, *kind)?;
        let why = "before propagation is stopped: it keeps its peers on the host; mount_namespaces(7)";
        peers.insert(number, mount_api::clone_path(&goal, &bind.source, bind.recursive, why)?);
    }
    Ok(peers)
}

/// Reports a source on a mount that propagates nothing: the word would have no effect.
fn report_without_peers(goal: &str, bind: &Bind, target: &Path, kind: PropagationKind) -> Result<(), Fault> {
    let text = format!("openat(AT_FDCWD, {}, O_PATH)", quoted(&bind.source));
    let source = look(goal, text, || openat(CWD, &bind.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;
    // Engines ask for it for each device, but below a file nothing is mounted.
    let kind_of_file = look(goal, "fstat(fd)", || fstat(&source)).map(|stat| FileType::from_raw_mode(stat.st_mode))?;
    if kind_of_file != FileType::Directory {
        return Ok(());
    }
    let id = mount_id_of(goal, source.as_fd())?;
    let mounts = mountinfo::own()?;
    let Some(mount) = mounts.iter().find(|mount| mount.id == id) else { return Ok(()) };
    let Mount { peer_group, master, .. } = mount;
    let (lost, has_effect) = match kind {
        PropagationKind::Shared => ("mounts that are made below it stay in the container", peer_group.is_some()),
        _ => ("later mounts of the host do not appear below it", peer_group.is_some() || master.is_some()),
    };
    if has_effect {
        return Ok(());
    }
    let fault = Fault::new(format!(
        "cannot connect the mounts below {} with those of the host, so {lost}: {} is on a mount that is not shared here",
        shown(target),
        shown(&bind.source)
    ));
    narrate::caution(if is_in_first_namespace(Kind::User) == Some(false) {
        fault.with_remedy("in a user namespace, no mount can be shared with the host: the kernel forbids it")
    } else {
        fault.with_remedy(
            "begin the chain with unshare-rs --mount --propagation unchanged, and share the mount on the host: mount --make-shared",
        )
    })
}
