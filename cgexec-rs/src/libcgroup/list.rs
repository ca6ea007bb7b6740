//! `lscgroup` and `lssubsys`: lists groups, and controllers with their mount points. `lscgroup(1)`, `lssubsys(1)`.

use std::fmt::Write;
use std::path::Path;

use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::kernel::look;
use plumbing::process::{procfs, startup};
use plumbing::text::Text;
use plumbing::{Fault, Status};

use super::get::controllers_in;
use super::spec;
use crate::existing::Existing;

/// Lists groups with the groups in them; without `named`, all groups of all hierarchies with controllers.
pub(super) fn groups(named: &[Existing]) -> Result<Status, Fault> {
    let all = Hierarchies::discover()?;
    let mut text = String::new();
    let top = Existing::of_mount("/".as_ref())?;
    if named.is_empty() {
        for hierarchy in all.iter().filter(|hierarchy| hierarchy.is_mounted() && !controllers(hierarchy).is_empty()) {
            list(hierarchy, &top, &mut text)?;
        }
    }
    for group in named {
        for (_, hierarchy) in group.hierarchies(&all)? {
            list(hierarchy, group, &mut text)?;
        }
    }
    startup::print(&text)
}

/// Returns the controllers that name the hierarchy in a list; on v2 those of its root group.
fn controllers(hierarchy: &Hierarchy) -> String {
    let root = hierarchy.mount_root().unwrap_or(Path::new("/"));
    let names = hierarchy.open(root).and_then(|root| controllers_in(hierarchy, &root)).unwrap_or_default();
    names.into_iter().filter(|name| name != "cgroup").collect::<Vec<_>>().join(",")
}

fn list(hierarchy: &Hierarchy, group: &Existing, text: &mut String) -> Result<(), Fault> {
    let names = controllers(hierarchy);
    let root = hierarchy.mount_root().unwrap_or(Path::new("/")).to_owned();
    let mut lines = Vec::new();
    spec::each(&spec::open_in(hierarchy, group)?, |inner| {
        let below = inner.path().strip_prefix(&root).unwrap_or(inner.path());
        let shown = Text(Path::new("/").join(below).into_os_string()).shown();
        // libcgroup writes a group that was named as a directory, and those in it not.
        let slash = if below == group.path() && shown != "/" { "/" } else { "" };
        lines.push(format!("{names}:{shown}{slash}\n"));
        Ok(())
    })?;
    lines.sort_unstable();
    text.extend(lines);
    Ok(())
}

/// A command line of lssubsys.
#[derive(Debug)]
pub(crate) struct Controllers {
    pub(super) all: bool,
    pub(super) numbers: bool,
    pub(super) mounts: Mounts,
    pub(super) named: Vec<String>,
}

/// Which mount points are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    None,
    First,
    All,
}

impl Controllers {
    /// Prints a line for each hierarchy, or for each of its mount points.
    pub(super) fn print(&self) -> Result<Status, Fault> {
        let all = Hierarchies::discover()?;
        let known = look("list the controllers", "read(\"/proc/cgroups\")", || procfs::read_text("cgroups"))?;
        let mut text = String::new();
        for hierarchy in all.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            let names = controllers(hierarchy);
            let is_named = self.named.is_empty() || names.split(',').any(|name| self.named.iter().any(|it| it == name));
            if !names.is_empty() && (self.all || is_named) {
                self.line(hierarchy, &names, number(&known, &names), &mut text);
            }
        }
        if self.all {
            let mounted: Vec<String> = all.iter().filter(|hierarchy| hierarchy.is_mounted()).map(controllers).collect();
            let is_mounted = |name: &str| mounted.iter().any(|names| names.split(',').any(|it| it == name));
            for name in rows(&known).map(|(name, _)| name).filter(|name| !is_mounted(name)) {
                writeln!(text, "{name}").ok();
            }
        }
        startup::print(&text)
    }

    fn line(&self, hierarchy: &Hierarchy, names: &str, number: u32, text: &mut String) {
        let points = hierarchy.mount_points().map(|point| Text(point.as_os_str().to_owned()).shown());
        let points: Vec<String> = match self.mounts {
            Mounts::None if self.numbers => vec![number.to_string()],
            Mounts::None => Vec::new(),
            Mounts::First => points.take(1).collect(),
            Mounts::All => points.collect(),
        };
        // Writing to a String cannot fail.
        if points.is_empty() {
            writeln!(text, "{names}").ok();
        }
        points.iter().for_each(|point| {
            writeln!(text, "{names} {point}").ok();
        });
    }
}

/// Returns the rows of /proc/cgroups: controller and number of its hierarchy.
fn rows(known: &str) -> impl Iterator<Item = (&str, u32)> {
    known.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?, fields.next()?.parse().ok()?))
    })
}

fn number(known: &str, names: &str) -> u32 {
    let first = names.split(',').next().unwrap_or_default();
    rows(known).find(|(name, _)| *name == first).map_or(0, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_of_controllers_is_parsed() {
        let known = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t5\t1\nrdma\t0\t1\t1\n";
        assert_eq!(rows(known).collect::<Vec<_>>(), [("cpu", 3), ("rdma", 0)]);
        assert_eq!((number(known, "cpu,cpuacct"), number(known, "misc")), (3, 0));
    }
}
