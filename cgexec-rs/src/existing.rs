//! `-g`: joining existing groups, as libcgroup's `cgexec` does. `cgexec(1)`, `cgroups(7)`.
//!
//! The surprise: its paths are relative to the mount point, not to the root of the hierarchy; these differ if only a
//! part of the hierarchy is mounted, as in a container.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};

use plumbing::cgroup::usage::Member;

/// The value of one `-g`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Existing {
    which: Which,
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// `*:`, all mounted hierarchies with controllers.
    All,
    /// `:`, the hierarchy of cgroup v2.
    V2,
    /// Those of the named controllers, as in `memory,name=systemd:`.
    Named(Vec<String>),
}

impl Existing {
    /// Parses `CONTROLLERS:PATH`; the path may contain more colons.
    pub(crate) fn parse(word: &OsStr) -> Result<Existing, Fault> {
        let wrong = || {
            Fault::usage(format!(
                "'{}' cannot be a group (-g); expected CONTROLLERS:PATH such as memory,pids:batch, *:batch or :batch",
                word.to_string_lossy().escape_debug()
            ))
        };
        let colon = word.as_bytes().iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let (controllers, path) = (&word.as_bytes()[..colon], &word.as_bytes()[colon + 1..]);
        let controllers = std::str::from_utf8(controllers).map_err(|_| wrong())?;
        let which = match controllers {
            "*" => Which::All,
            "" => Which::V2,
            named if named.split(',').any(str::is_empty) => return Err(wrong()),
            named => Which::Named(named.split(',').map(str::to_owned).collect()),
        };
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        Ok(Existing { which, path: path.strip_prefix("/").unwrap_or(&path).to_owned() })
    }

    /// Reads `--cgroup PATH`: the group of this path in every hierarchy that has it.
    pub(crate) fn of_path(path: &Path) -> Result<Existing, Fault> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        if below.as_os_str().is_empty() || !below.components().all(is_plain) {
            return Err(Fault::usage(format!(
                "'{}' cannot be a group (--cgroup); expected a path in the hierarchy such as /box/web",
                path.to_string_lossy().escape_debug()
            )));
        }
        Ok(Existing { which: Which::All, path: below.to_owned() })
    }

    /// Reads a path relative to the mount points, as libcgroup's tools have it: in every hierarchy with controllers.
    pub(crate) fn of_mount(word: &OsStr) -> Result<Existing, Fault> {
        let path = Path::new(word);
        let below = path.strip_prefix("/").unwrap_or(path);
        if below.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Ok(Existing { which: Which::All, path: below.to_owned() });
        }
        let shown = word.to_string_lossy().escape_debug().to_string();
        Err(Fault::usage(format!("'{shown}' cannot be a group; expected a path in the hierarchy such as box/web")))
    }

    /// Returns the path, relative to the mount point.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the hierarchies that the value selects, each with the controllers that were named.
    pub(crate) fn hierarchies<'h>(&self, all: &'h Hierarchies) -> Result<Vec<(Vec<String>, &'h Hierarchy)>, Fault> {
        let v2 = || all.v2().map(|v2| (Vec::new(), v2));
        let mut meant: Vec<(Vec<String>, &Hierarchy)> = Vec::new();
        match &self.which {
            Which::V2 => meant.extend(v2()),
            Which::All => {
                let real = |name: &String| !name.starts_with("name=");
                let v1 =
                    all.iter().filter(|hierarchy| hierarchy.controllers.iter().any(real) && hierarchy.is_mounted());
                meant.extend(v1.map(|hierarchy| (hierarchy.controllers.clone(), hierarchy)));
                if meant.is_empty() {
                    meant.extend(v2());
                }
            }
            Which::Named(names) => {
                for name in names {
                    let hierarchy = all.of(name)?;
                    match meant.iter_mut().find(|(_, known)| std::ptr::eq(*known, hierarchy)) {
                        Some((names, _)) => names.push(name.clone()),
                        None => meant.push((vec![name.clone()], hierarchy)),
                    }
                }
            }
        }
        if meant.is_empty() {
            let what = if self.which == Which::V2 { "cgroup v2 hierarchy" } else { "cgroup hierarchy" };
            return Err(Fault::new(format!("cannot join :{}: no {what} is mounted here", self.path.display())));
        }
        Ok(meant)
    }
}

/// Opens all groups, before the first one is joined.
pub(crate) fn open(groups: &[Existing], hierarchies: &Hierarchies) -> Result<Vec<Member>, Fault> {
    let mut opened = Vec::new();
    for existing in groups {
        for (controllers, hierarchy) in existing.hierarchies(hierarchies)? {
            let root = hierarchy.mount_root().unwrap_or(Path::new("/"));
            if hierarchy.version == 2 {
                require_offered(&hierarchy.open(root)?, &controllers)?;
            }
            let group = hierarchy.open(&root.join(&existing.path))?;
            if hierarchy.version == 2 {
                require_offered(&group, &controllers)?;
            }
            opened.push(Member { controllers, group });
        }
    }
    Ok(opened)
}

/// Checks that a group has the controllers: on v2 a group can exist without them, and joining it would limit nothing.
fn require_offered(group: &Group, controllers: &[String]) -> Result<(), Fault> {
    let offered = group.read("cgroup.controllers")?;
    match controllers.iter().find(|name| !offered.split(' ').any(|known| known == *name)) {
        None => Ok(()),
        Some(missing) => Err(Fault::new(format!(
            "cannot use the {missing} controller: no cgroup v1 hierarchy here has it, and {} lists: {}",
            group.shown().join("cgroup.controllers").display(),
            if offered.is_empty() { "nothing" } else { &offered }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_a_group_is_that_of_libcgroup() {
        let parse = |word: &str| Existing::parse(OsStr::new(word)).map(|group| (group.which, group.path));
        let named = Which::Named(vec!["memory".into(), "pids".into()]);
        assert_eq!(parse("memory,pids:a/b:c").unwrap(), (named, PathBuf::from("a/b:c")));
        assert_eq!(parse("*:/batch").unwrap(), (Which::All, PathBuf::from("batch")));
        assert_eq!(parse(":batch").unwrap(), (Which::V2, PathBuf::from("batch")));
        for wrong in ["memory", "memory,:x", ",:x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn controllers_of_one_hierarchy_are_joined_once() {
        let mountinfo = b"1 9 0:9 / /c rw - cgroup none rw,cpu,cpuacct\n2 9 0:8 / /m rw - cgroup none rw,memory\n";
        let all = Hierarchies::parse(b"3:memory:/\n2:cpu,cpuacct:/\n1:name=x:/\n0::/\n", mountinfo);
        let of = |word: &str| Existing::parse(OsStr::new(word)).unwrap().hierarchies(&all).map(|found| found.len());
        assert_eq!(of("cpu,cpuacct:x").unwrap(), 1);
        assert_eq!(of("cpu,memory:x").unwrap(), 2);
        assert_eq!(of("*:x").unwrap(), 2);
        assert!(of(":x").unwrap_err().to_string().contains("v2"));
        assert!(of("rdma:x").is_err());
    }
}
