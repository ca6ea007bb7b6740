//! Groups left by runs whose guardian was killed: they have our mark, and their process has ended. `xattr(7)`.
//!
//! A run that makes a group removes such groups in the same parent, after its command has started; `--gc` looks
//! everywhere. A mark counts only on groups of our own user, and only groups without processes are removed. The
//! surprise: the group of a container in a pipe is empty until a command is entered, so an empty group is not
//! necessarily unused. What was marked in another pid namespace is over when that namespace is.

use std::ffi::OsStr;
use std::path::Path;

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::cgroup::mark::{self, Fate};
use plumbing::process::pid_namespaces::PidNamespaces;
use plumbing::text::Text;
use plumbing::text::on_one_line;
use plumbing::{Fault, narrate};
use serde::Serialize;

use crate::removal::{any_member, directories, remove_tree};
use crate::walk::{Go, Step, present, walk};

/// The number of our groups that a run checks; each costs some microseconds.
const SWEPT: usize = 256;

/// The number of groups of a hierarchy that `--gc` checks: a user with a delegated group can make any number in it.
const WALKED: usize = 100_000;

/// The result of `--gc`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The directories that were removed; in a dry run, those that would be removed.
    removed: Vec<Text>,
    /// Left groups that cannot be removed yet.
    kept: Vec<Kept>,
    #[serde(skip)]
    first_fault: Option<Fault>,
    #[serde(skip)]
    known: PidNamespaces,
}

#[derive(Debug, Serialize)]
struct Kept {
    path: Text,
    why: String,
}

/// Removes the groups that are left in `parent`, where this run has made `own`. Faults are not reported, because the guardian has no stderr; the next
/// run tries again, and `--gc` reports them.
pub(crate) fn sweep(parent: &Group, own: &OsStr) {
    let Ok(names) = directories(parent) else { return };
    let mut known = PidNamespaces::default();
    for name in names.iter().filter(|name| mark::is_name(name) && *name != own).take(SWEPT) {
        if let Some((group, Fate::Gone)) = marked(parent, name, &mut known)
            && matches!(any_member(&group, None), Ok(None))
        {
            remove_tree(parent, name, &group, None).ok();
        }
    }
}

/// Removes the groups that are left in all mounted hierarchies.
pub(crate) fn collect() -> Result<Report, Fault> {
    let mut report = Report::default();
    for hierarchy in Hierarchies::discover()?.iter() {
        if let Some(root) = hierarchy.mount_root() {
            report.walk(hierarchy, root)?;
        }
    }
    Ok(report)
}

/// Returns the group of this name, if it is one of ours, and what became of its process.
fn marked(parent: &Group, name: &OsStr, known: &mut PidNamespaces) -> Option<(Group, Fate)> {
    if !mark::is_name(name) {
        return None;
    }
    let group = parent.child(name).ok()?;
    let fate = group.mark()?.owner.fate_among(known);
    Some((group, fate))
}

impl Report {
    fn walk(&mut self, hierarchy: &Hierarchy, root: &Path) -> Result<(), Fault> {
        let Some(root) = present(hierarchy.open(root))? else { return Ok(()) };
        let mut walked = 0;
        walk(&root, None, |step| match step {
            Step::Down(_) if walked > WALKED => {
                let limit = format_args!("only the first {WALKED} groups of {} were checked", hierarchy.name());
                narrate::remark(limit);
                Ok(Go::No)
            }
            Step::Down(_) => {
                walked += 1;
                Ok(Go::On)
            }
            // The inner ones first: what is left in a group that is left can be removed while a process runs in the outer one.
            Step::Up(parent, name) => {
                match marked(parent, name, &mut self.known) {
                    Some((group, Fate::Gone)) => self.judge(parent, name, &group),
                    Some((group, Fate::Unknown)) if matches!(any_member(&group, None), Ok(None)) => {
                        let why = "its process belongs to another pid or time namespace, and may be running".to_owned();
                        self.kept.push(Kept { path: Text::from(group.shown()), why });
                    }
                    _ => {}
                }
                Ok(Go::On)
            }
        })
    }

    fn judge(&mut self, parent: &Group, name: &OsStr, group: &Group) {
        let path = Text::from(group.shown());
        match any_member(group, None) {
            Ok(Some(0)) => self.kept.push(Kept { path, why: "a process is running in it".to_owned() }),
            Ok(Some(pid)) => self.kept.push(Kept { path, why: format!("process {pid} is running in it") }),
            Ok(None) => match present(remove_tree(parent, name, group, None)) {
                Ok(Some(())) => self.removed.push(path),
                // Another process has removed it, such as a second --gc.
                Ok(None) => {}
                Err(fault) => self.keep(path, fault),
            },
            Err(fault) => self.keep(path, fault),
        }
    }

    fn keep(&mut self, path: Text, fault: Fault) {
        self.kept.push(Kept { path, why: fault.to_string() });
        self.first_fault.get_or_insert(fault);
    }

    /// Returns the report as lines of text or as JSON.
    pub(crate) fn text(&self, json: bool) -> Result<String, Fault> {
        if json {
            return plumbing::json::line("the removed cgroups", self);
        }
        let done = if narrate::is_dry_run() { "would remove" } else { "removed" };
        let removed = self.removed.iter().map(|path| format!("{done} {}\n", path.shown()));
        Ok(removed
            .chain(self.kept.iter().map(|kept| format!("kept {}: {}\n", kept.path.shown(), on_one_line(&kept.why))))
            .collect())
    }

    /// Returns the fault of the first removal that failed.
    pub(crate) fn fault(self) -> Result<(), Fault> {
        self.first_fault.map_or(Ok(()), Err)
    }
}
