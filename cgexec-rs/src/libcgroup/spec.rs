//! What several of libcgroup's tools need: groups by their paths, parameters by their names, groups below a group.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use rustix::fs::{AtFlags, Mode, statat};

use crate::existing::Existing;
use crate::removal::files;
use crate::walk::{Go, Step, walk};

/// Reports whether the kernel answered that a group or file does not exist.
pub(super) fn is_missing(fault: &Fault) -> bool {
    fault.errno() == Some(Errno::ENOENT)
}

/// Returns the controller of a parameter: `memory` of `memory.max`.
pub(super) fn controller_of(parameter: &str) -> Result<&str, Fault> {
    match parameter.split_once('.') {
        Some((controller, _)) if !controller.is_empty() && !parameter.contains('/') => Ok(controller),
        _ => Err(Fault::usage(format!("{parameter:?} is no parameter; expected CONTROLLER.NAME such as memory.max"))),
    }
}

/// Opens the group in the hierarchy that has this controller. The controller `cgroup` is the kernel's own: its files are in
/// every group, and the one of v2 is meant if there is one.
pub(super) fn open<'h>(
    all: &'h Hierarchies,
    group: &Existing,
    controller: &str,
) -> Result<(&'h Hierarchy, Group), Fault> {
    let hierarchy = match controller {
        "cgroup" => all.v2().or_else(|| all.iter().find(|it| it.is_mounted())).ok_or_else(nothing_mounted)?,
        named => all.of(named)?,
    };
    Ok((hierarchy, open_in(hierarchy, group)?))
}

/// Opens the group in one hierarchy.
pub(super) fn open_in(hierarchy: &Hierarchy, group: &Existing) -> Result<Group, Fault> {
    let root = hierarchy.mount_root().unwrap_or(std::path::Path::new("/"));
    hierarchy.open(&root.join(group.path()))
}

/// Returns the fault that no hierarchy is mounted.
pub(super) fn nothing_mounted() -> Fault {
    Fault::new("cannot find a cgroup: no cgroup hierarchy is mounted here")
}

/// Checks that v2 has the controllers.
pub(super) fn offers(top: &Group, controllers: &[String]) -> Result<(), Fault> {
    let offered = top.read("cgroup.controllers")?;
    match controllers.iter().find(|name| !offered.split(' ').any(|known| known == *name)) {
        None => Ok(()),
        Some(missing) => Err(Fault::new(format!("cannot use the {missing} controller: no mounted hierarchy has it"))),
    }
}

/// Returns the names of a controller's files that can be read, sorted. `cgroup.*` belongs to the controller `cgroup`.
pub(super) fn parameters(group: &Group, controller: &str) -> Result<Vec<String>, Fault> {
    let belongs = |name: &String| name.strip_prefix(controller).is_some_and(|rest| rest.starts_with('.'));
    let mut names: Vec<_> =
        files(group)?.into_iter().filter(|name| belongs(name) && may(group, name, Mode::RUSR)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Reports whether a file of the group has this bit of its mode: the kernel's files that cannot be read or written lack it.
pub(super) fn may(group: &Group, file: &str, bit: Mode) -> bool {
    let stat = group.dir().and_then(|dir| statat(dir, file, AtFlags::SYMLINK_NOFOLLOW).ok());
    stat.is_some_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(bit))
}

/// Calls `visit` for the group and every group below it, each before the groups in it.
pub(super) fn each(group: &Group, mut visit: impl FnMut(&Group) -> Result<(), Fault>) -> Result<(), Fault> {
    walk(group, None, |step| {
        if let Step::Down(group) = step {
            visit(group)?;
        }
        Ok(Go::On)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_begins_with_its_controller() {
        assert_eq!(controller_of("memory.max").unwrap(), "memory");
        assert_eq!(controller_of("memory.kmem.tcp.usage").unwrap(), "memory");
        for wrong in ["nodot", ".max", "", "../memory.max"] {
            assert!(controller_of(wrong).is_err(), "{wrong}");
        }
    }
}
