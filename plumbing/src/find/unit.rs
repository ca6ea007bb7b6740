//! Units of systemd: a running unit has a cgroup of its name. Its first process is the oldest one in that cgroup
//! whose user namespace no user made.
//!
//! `systemd.unit(5)`. Only systemd knows which process is the main one; if the oldest process has ended, the main
//! process is another one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::cgroup::hierarchy::Hierarchy;
use crate::process::kernel_text;
use crate::process::target::Target;

use super::claim::{Claim, Group, is_roots};
use super::state_directory::StateDirectory;
use super::{Runtime, Search};

/// The types of units that have processes.
const SUFFIXES: [&str; 3] = [".service", ".scope", ".slice"];
/// The maximum depth at which systemd nests its own groups: slices, a user's manager, its slices and units.
const DEEPEST: usize = 8;

/// Reports whether a word is the full name of a unit, so that it can mean a unit without RUNTIME.
pub(super) fn is_name(word: &OsStr) -> bool {
    SUFFIXES.iter().any(|suffix| word.as_bytes().ends_with(suffix.as_bytes()))
}

/// Returns the claims of systemd's hierarchy about the unit of this name; `.service` can be omitted.
pub(super) fn claims(search: &Search, word: &OsStr) -> Vec<Claim> {
    let Some(word) = word.to_str() else { return Vec::new() };
    let name = if is_name(word.as_ref()) { word.to_owned() } else { format!("{word}.service") };
    let hierarchies = [search.hierarchies.v1("name=systemd"), search.hierarchies.v2()];
    let mut claims = Vec::new();
    for hierarchy in hierarchies.into_iter().flatten().filter(|hierarchy| hierarchy.is_mounted()) {
        let Some(root) = hierarchy.mount_root() else { continue };
        let Some(point) = hierarchy.open(root).ok().map(|group| group.shown().to_owned()) else { continue };
        let mut found = Vec::new();
        look_below(&point, &name, DEEPEST, &mut found);
        claims.extend(found.iter().filter_map(|group| of_group(hierarchy, root, &point, group, &name)));
    }
    claims
}

fn look_below(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        // systemd puts an underscore before names that would collide with those of the kernel.
        if entry.file_name().to_str().is_some_and(|own| own.strip_prefix('_').unwrap_or(own) == name) {
            found.push(entry.path());
        } else if depth > 0 && is_name(&entry.file_name()) {
            look_below(&entry.path(), name, depth - 1, found);
        }
    }
}

fn of_group(hierarchy: &Hierarchy, root: &Path, point: &Path, group: &Path, name: &str) -> Option<Claim> {
    let author = StateDirectory::of_system(group).ok()?.author;
    let path = root.join(group.strip_prefix(point).ok()?);
    // A user's process in a unit of root can be older than the daemon, and have mounts that the user made.
    let first = first_process(group, |it| author != 0 || is_roots(it)).or_else(|| first_process(group, |_| true))?;
    let in_it = |cgroup: &str| {
        crate::cgroup::hierarchy::memberships(cgroup.as_bytes())
            .any(|(controllers, own)| controllers == hierarchy.controllers && own.starts_with(&path))
    };
    // Checked again with the pidfd open.
    first.read("cgroup").is_ok_and(|cgroup| in_it(&cgroup)).then_some(())?;
    Some(Claim {
        start_time: Some(first.start_time().ok()?),
        group: Some(Group::Path(path.clone())),
        ..Claim::new(Runtime::Systemd, name, first.pid(), author)
    })
}

/// Returns the oldest eligible process in a group, or below it if a manager in the unit has divided the group.
fn first_process(group: &Path, is_eligible: impl Fn(&Target) -> bool + Copy) -> Option<Target> {
    let procs = kernel_text::read(group.join("cgroup.procs")).unwrap_or_default();
    let processes = procs.lines().filter_map(|pid| Target::of_pid(pid.parse().ok()?).ok());
    oldest(processes.filter(is_eligible)).or_else(|| {
        let below =
            std::fs::read_dir(group).ok()?.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
        oldest(below.filter_map(|entry| first_process(&entry.path(), is_eligible)))
    })
}

fn oldest(processes: impl Iterator<Item = Target>) -> Option<Target> {
    let aged = processes.filter_map(|process| Some((process.start_time().ok()?, process)));
    aged.min_by_key(|(start, process)| (*start, process.pid())).map(|(_, process)| process)
}
