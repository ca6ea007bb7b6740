//! Units of systemd, by the paths of their groups. Pure. `systemd.unit(5)`, `systemd.slice(5)`.
//!
//! Each unit's group has the name of the unit, and is in the groups of its slices. The surprise: the units of a user are
//! in the group of a service, `user@UID.service`, and belong to another manager than that service itself.

use std::path::{Path, PathBuf};

/// Ends of the names of units that have groups.
const KINDS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// Whose units they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// Process 1.
    System,
    /// `user@UID.service`
    User,
}

/// Returns the innermost unit that a group belongs to, as the path of the unit's group.
pub(crate) fn innermost(group: &Path) -> Option<&Path> {
    let is_unit = |path: &&Path| name(path).is_some_and(|name| KINDS.iter().any(|kind| name.ends_with(kind)));
    group.ancestors().find(is_unit)
}

/// Returns the highest group above one that no unit made; `None` for the root.
pub(crate) fn outermost(group: &Path) -> Option<&Path> {
    group.ancestors().filter(|path| path.file_name().is_some()).last()
}

/// Returns the unit of a group's name. systemd puts `_` in front of names that look like files of the kernel, as in
/// `_memory.slice`, and of those that begin with `_`.
fn name(group: &Path) -> Option<&str> {
    let name = group.file_name()?.to_str()?;
    Some(name.strip_prefix('_').unwrap_or(name))
}

/// Where a new scope belongs, so that it stays under the limits of the slice in which its process was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The slice; `None`: the manager's default.
    pub(crate) slice: Option<String>,
    /// The service that the process was in: when it is stopped, the scope is stopped.
    pub(crate) service: Option<String>,
    /// The group of the slice.
    path: Option<PathBuf>,
}

impl Origin {
    /// Finds it in the path of the group.
    pub(crate) fn of(group: &Path, manager: Manager) -> Origin {
        let is_manager =
            |path: &&Path| name(path).is_some_and(|name| name.starts_with("user@") && name.ends_with(".service"));
        let start = match manager {
            Manager::System => Some(Path::new("/")),
            Manager::User => group.ancestors().filter(is_manager).last(),
        };
        let mut origin = Origin { slice: None, service: None, path: None };
        let Some(below) = start.and_then(|start| group.strip_prefix(start).ok()) else { return origin };
        let mut path = start.unwrap_or(group).to_owned();
        for part in below.components() {
            path.push(part);
            match name(&path) {
                Some(name) if name.ends_with(".slice") => {
                    origin.slice = Some(name.to_owned());
                    origin.path = Some(path.clone());
                }
                Some(name) if name.ends_with(".service") => {
                    origin.service = Some(name.to_owned());
                    break;
                }
                _ => break,
            }
        }
        origin
    }

    /// Returns the group that a new scope will have.
    pub(crate) fn path_of(&self, scope: &str, manager: Manager, uid: u32) -> PathBuf {
        let default = match manager {
            Manager::System => "/system.slice".to_owned(),
            Manager::User => format!("/user.slice/user-{uid}.slice/user@{uid}.service/app.slice"),
        };
        self.path.clone().unwrap_or_else(|| default.into()).join(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_decides_whose_a_group_is() {
        for (group, unit) in [
            ("/system.slice/web.service", Some("/system.slice/web.service")),
            ("/system.slice/web.service/a/leaf", Some("/system.slice/web.service")),
            (
                "/user.slice/user-7.slice/user@7.service/app.slice",
                Some("/user.slice/user-7.slice/user@7.service/app.slice"),
            ),
            ("/init.scope", Some("/init.scope")),
            ("/box/web", None),
            ("/", None),
        ] {
            assert_eq!(innermost(Path::new(group)), unit.map(Path::new), "{group}");
        }
        assert_eq!(outermost(Path::new("/box/web")), Some(Path::new("/box")));
        assert_eq!(outermost(Path::new("/")), None);
    }

    #[test]
    fn a_scope_belongs_to_the_slice_of_its_process_and_ends_with_its_service() {
        let user = "/user.slice/user-7.slice/user@7.service";
        let (in_session, in_app) =
            ("/user.slice/user-7.slice/session-2.scope", format!("{user}/app.slice/a.service/x"));
        for (group, manager, slice, service, path) in [
            (
                "/system.slice/web.service/a",
                Manager::System,
                Some("system.slice"),
                Some("web.service"),
                "/system.slice",
            ),
            (in_session, Manager::System, Some("user-7.slice"), None, "/user.slice/user-7.slice"),
            (in_session, Manager::User, None, None, &format!("{user}/app.slice")),
            (&in_app, Manager::User, Some("app.slice"), Some("a.service"), &format!("{user}/app.slice")),
            (&in_app, Manager::System, Some("user-7.slice"), Some("user@7.service"), "/user.slice/user-7.slice"),
            ("/_cpu.slice/__a.service", Manager::System, Some("cpu.slice"), Some("_a.service"), "/_cpu.slice"),
            ("/init.scope", Manager::System, None, None, "/system.slice"),
            ("/", Manager::System, None, None, "/system.slice"),
        ] {
            let origin = Origin::of(Path::new(group), manager);
            assert_eq!((origin.slice.as_deref(), origin.service.as_deref()), (slice, service), "{group}");
            assert_eq!(origin.path_of("s.scope", manager, 7), Path::new(path).join("s.scope"), "{group}");
        }
    }
}
