//! What is left of runs whose guardian was killed: groups with our mark, whose process has ended. `xattr(7)`.
//!
//! A run that makes a group clears what is left in the same place, after its command was let go; `--gc` looks everywhere.
//! Only groups of our own user are believed to be marked, and only those without processes are removed. The surprise: the
//! group of a container in a pipe is empty until a command is entered, so emptiness alone says nothing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::fault::on_one_line;
use plumbing::group::Group;
use plumbing::hierarchy::{Hierarchies, Hierarchy};
use plumbing::kernel::look;
use plumbing::mark::{self, Fate};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use serde::Serialize;

use crate::removal::{any_member, directories, remove_tree};

/// How many groups of ours a run looks at; each costs some microseconds.
const SWEPT: usize = 256;

/// How many groups of a hierarchy `--gc` looks at: whoever has a group delegated can make any number in it.
const WALKED: usize = 100_000;

/// What came of `--gc`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The directories that were removed; in a dry run, those that would have been.
    removed: Vec<Text>,
    /// Left groups that cannot be removed yet.
    kept: Vec<Kept>,
    #[serde(skip)]
    first_fault: Option<Fault>,
}

#[derive(Debug, Serialize)]
struct Kept {
    path: Text,
    why: String,
}

/// Removes what is left in `parent`. Nobody is there to hear of a fault; the next run tries again, and `--gc` reports.
pub(crate) fn sweep(parent: &Group) {
    let Ok(names) = directories(parent, Path::new(".")) else { return };
    for name in names.iter().filter(|name| mark::is_name(name)).take(SWEPT) {
        if let Some(group) = left(parent, name)
            && matches!(any_member(&group), Ok(None))
        {
            remove_tree(parent, name, &group).ok();
        }
    }
}

/// Looks through all mounted hierarchies, and removes what is left.
pub(crate) fn collect() -> Result<Report, Fault> {
    let mut report = Report::default();
    for hierarchy in Hierarchies::discover()?.iter() {
        if let Some(root) = hierarchy.mount_root() {
            report.walk(hierarchy, root)?;
        }
    }
    Ok(report)
}

/// The group of this name, if it is one of ours and its process has ended.
fn left(parent: &Group, name: &OsStr) -> Option<Group> {
    if !mark::is_name(name) {
        return None;
    }
    let group = parent.child(name).ok()?;
    (group.mark()?.owner.fate() == Fate::Gone).then_some(group)
}

impl Report {
    fn walk(&mut self, hierarchy: &Hierarchy, root: &Path) -> Result<(), Fault> {
        let mut pending: Vec<PathBuf> = vec![root.to_owned()];
        let mut walked = 0;
        while let Some(path) = pending.pop() {
            let Some(parent) = present(hierarchy.open(&path))? else { continue };
            let text = format!("getdents({:?})", parent.shown());
            let names = look("list the cgroups", text, || directories(&parent, Path::new(".")));
            for name in present(names)?.unwrap_or_default() {
                walked += 1;
                if walked > WALKED {
                    let limit = format_args!("only the first {WALKED} groups of {} were looked at", hierarchy.name());
                    narrate::remark(limit);
                    return Ok(());
                }
                if let Some(group) = left(&parent, &name) {
                    self.judge(&parent, &name, &group);
                }
                // What was removed is passed over when its turn comes.
                pending.push(path.join(name));
            }
        }
        Ok(())
    }

    fn judge(&mut self, parent: &Group, name: &OsStr, group: &Group) {
        let path = Text::from(group.shown());
        match any_member(group) {
            Ok(Some(0)) => self.kept.push(Kept { path, why: "a process runs in it".to_owned() }),
            Ok(Some(pid)) => self.kept.push(Kept { path, why: format!("process {pid} runs in it") }),
            Ok(None) => match remove_tree(parent, name, group) {
                Ok(()) => self.removed.push(path),
                Err(fault) => self.keep(path, fault),
            },
            Err(fault) => self.keep(path, fault),
        }
    }

    fn keep(&mut self, path: Text, fault: Fault) {
        self.kept.push(Kept { path, why: fault.to_string() });
        self.first_fault.get_or_insert(fault);
    }

    /// For a person, or as JSON.
    pub(crate) fn text(&self, json: bool) -> Result<String, Fault> {
        if json {
            return plumbing::json::line("what was removed", self);
        }
        let done = if narrate::is_dry_run() { "would remove" } else { "removed" };
        let removed = self.removed.iter().map(|path| format!("{done} {}\n", path.shown()));
        Ok(removed
            .chain(self.kept.iter().map(|kept| format!("kept {}: {}\n", kept.path.shown(), on_one_line(&kept.why))))
            .collect())
    }

    /// The first removal that failed.
    pub(crate) fn fault(self) -> Result<(), Fault> {
        self.first_fault.map_or(Ok(()), Err)
    }
}

/// `None` for a group that has gone since.
fn present<T>(found: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::ENODEV)) => Ok(None),
        Err(fault) => Err(fault),
    }
}
