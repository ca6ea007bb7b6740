//! Entering a network namespace by a name of `ip netns`: it has a file, but no process. `ip-netns(8)`.
//!
//! So of a target, only its network can be entered; whatever else the options take from a target is refused.

use std::path::PathBuf;

use plumbing::Fault;
use plumbing::process::namespace::Kind;

use super::Enter;
use super::credentials::Id;
use super::setns::{Selection, Source};

/// Returns the selection with the file in place of the target's network.
pub(crate) fn selection(enter: &Enter, file: PathBuf) -> Result<Selection, Fault> {
    let Selection { all, user_parent, .. } = enter.selection;
    let (of_target, mut sources): (Vec<_>, Vec<_>) =
        enter.selection.sources.iter().cloned().partition(|(_, source)| !matches!(source, Source::File(_)));
    let needs_process = enter.directories.need_target()
        || enter.environment
        || enter.join_cgroup
        || enter.follow_context
        || enter.like_target.is_some()
        || [enter.credentials.uid, enter.credentials.gid].contains(&Some(Id::Follow))
        || of_target.iter().any(|source| *source != (Kind::Net, Source::Target));
    if needs_process {
        return Err(Fault::new(format!(
            "cannot use more than the network of {}: it is a named network namespace, which has no process",
            file.display()
        )));
    }
    if all || !of_target.is_empty() {
        sources.push((Kind::Net, Source::File(file)));
    }
    Ok(Selection { all: false, sources, user_parent })
}
