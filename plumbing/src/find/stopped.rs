//! Containers that do not run, found by the same files of their runtimes: how they ended, and the layers of their files.
//!
//! Only the stores of root and of the caller are read: nothing confirms what another user says about a container without a
//! process. The surprise: a store also has the containers that run, and after a crash of the machine it says of others that
//! they do. So the running ones are found first, and left out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::state_directory::{StateDirectory, Unusable};
use super::{Reference, Runtime, Search, all, docker, lxc, storage};
use crate::Fault;
use crate::text::Text;

/// A container that does not run.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// The runtime that made it.
    pub runtime: Runtime,
    /// Its names; the first is the one to show.
    pub names: Vec<OsString>,
    /// The runtime's own id, if there is one.
    pub id: Option<String>,
    /// The image that it was made from.
    pub image: Option<String>,
    /// The user whose store has it.
    pub author: u32,
    /// How it ended, as its runtime has written it down.
    pub end: End,
    /// The directories of its files, the topmost one first; or why they are not known.
    pub layers: Result<Vec<PathBuf>, String>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct End {
    /// The runtime's word: `exited`, `created`, `dead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Text>,
    /// The exit status of its first process; 128+N: signal N.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Whether the kernel killed a process of it because memory ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_killed: Option<bool>,
    /// The runtime's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// When it began, as the runtime writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Text>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Text>,
    /// How often the runtime has restarted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u64>,
    /// The file that says all this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Text>,
}

/// Finds the containers that do not run; if one is `wanted`, only that one.
pub fn stopped(wanted: Option<&Reference>) -> Result<Vec<Stopped>, Fault> {
    let running = all(None)?;
    let ids: BTreeSet<_> = running.all.iter().filter_map(|it| Some((it.runtime, it.id.clone()?))).collect();
    let names: BTreeSet<_> =
        running.all.iter().flat_map(|it| it.names.iter().map(|name| (it.runtime, name.clone()))).collect();
    let mut found = stored(wanted)?;
    found.retain(|it| match &it.id {
        Some(id) => !ids.contains(&(it.runtime, id.clone())),
        None => it.names.iter().all(|name| !names.contains(&(it.runtime, name.clone()))),
    });
    Ok(found)
}

/// Returns what the stores have on a container, whether it runs or not.
pub fn stored(wanted: Option<&Reference>) -> Result<Vec<Stopped>, Fault> {
    let search = Search::begin(None)?;
    let mut found: Vec<_> =
        [docker::stored, storage::stored, lxc::stored].into_iter().flat_map(|source| source(&search)).collect();
    let own = search.own;
    found.retain(|it| {
        wanted.is_none_or(|wanted| {
            wanted.runtime.is_none_or(|runtime| runtime == it.runtime)
                && wanted.means_author(it.author, own)
                && (it.names.contains(&wanted.word) || wanted.is_id(it.id.as_deref()))
        })
    });
    found.sort_by(|one, other| (one.runtime, &one.names).cmp(&(other.runtime, &other.names)));
    for passed_over in search.passed_over.borrow().iter() {
        crate::narrate::remark(format_args!("skipped: {passed_over}"));
    }
    Ok(found)
}

impl Stopped {
    /// Returns the name to show, safe on a terminal.
    pub fn shown(&self) -> String {
        Text(self.names.first().cloned().unwrap_or_default()).shown()
    }

    /// Returns the beginning of a command that opens its files: `chroot-rs --overlay …`, for a shell.
    pub fn command(&self) -> Result<String, String> {
        let layers = self.layers.as_ref().map_err(Clone::clone)?;
        let mut line = "chroot-rs --overlay ".to_owned();
        let joined = layers.iter().map(|layer| layer.to_string_lossy()).collect::<Vec<_>>().join(":");
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:,+@%".contains(letter);
        match layers.iter().find(|layer| layer.to_str().is_none_or(|path| path.contains(':'))) {
            Some(odd) => return Err(format!("the path of a layer has a colon, or is not UTF-8: {}", odd.display())),
            None if joined.chars().all(is_plain) => line.push_str(&joined),
            None => line.push_str(&format!("'{}'", joined.replace('\'', "'\\''"))),
        }
        Ok(line)
    }
}

/// Returns the layers as docker and containers-storage keep them. With overlayfs: `ID/diff`, and in `ID/lower` the links of
/// the others. With the driver vfs, which copies: `dir/ID`.
pub(super) fn layers(store: &StateDirectory, driver: &str, id: &str) -> Result<Vec<PathBuf>, String> {
    if id.is_empty() || id.contains('/') || id.starts_with('.') {
        return Err("the store names no layer".to_owned());
    }
    let top = if driver == "vfs" { Path::new("dir").join(id) } else { Path::new(id).join("diff") };
    let mut layers = vec![store.path.join(top)];
    // The lowest layer has no such file.
    let lower = match store.read(format!("{id}/lower")) {
        Err(Unusable::Absent) => Vec::new(),
        Err(Unusable::Wrong(why)) => return Err(why),
        Err(Unusable::LeftOut) => {
            return Err(format!("{}/{id}/lower was left out: too many files", store.path.display()));
        }
        Ok(lower) => lower,
    };
    for link in String::from_utf8_lossy(&lower).trim_end().split(':').filter(|link| !link.is_empty()) {
        let name = link.strip_prefix("l/").filter(|name| !name.contains('/') && !name.starts_with('.'));
        let name = name.ok_or_else(|| format!("{}/{id}/lower has an unknown form", store.path.display()))?;
        // `l/NAME` leads to `../ID/diff`.
        let directory = store.below("l").map_err(|_| format!("{}/l cannot be opened", store.path.display()))?;
        let to = rustix::fs::readlinkat(directory.as_fd(), name, Vec::new());
        let to = to.map_err(|error| format!("{}/l/{name}: {error}", store.path.display()))?;
        let to = to.to_string_lossy().into_owned();
        let layer = to.strip_prefix("../").and_then(|to| to.strip_suffix("/diff"));
        let layer = layer.filter(|id| !id.contains('/') && !id.starts_with('.'));
        let layer = layer.ok_or_else(|| format!("{}/l/{name} leads elsewhere", store.path.display()))?;
        layers.push(store.path.join(layer).join("diff"));
    }
    match layers.iter().find(|layer| !Path::new(layer).is_dir()) {
        Some(missing) => Err(format!("{} is missing", missing.display())),
        None => Ok(layers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_layers_that_cannot_be_read_is_no_lowest_layer() {
        let path = std::env::temp_dir().join(format!("nsenter-rs-layers-{}", std::process::id()));
        std::fs::create_dir_all(path.join("top/diff")).unwrap();
        let store = StateDirectory::of_system(&path).unwrap();
        assert_eq!(layers(&store, "overlay2", "top"), Ok(vec![path.join("top/diff")]));
        nix::unistd::mkfifo(&path.join("top/lower"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let why = format!("{}/top/lower is not a regular file", path.display());
        assert_eq!(layers(&store, "overlay2", "top"), Err(why));
        std::fs::remove_dir_all(&path).unwrap();
    }
}
