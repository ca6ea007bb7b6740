//! Which id maps a new user namespace gets, and which process writes them. `user_namespaces(7)`.
//!
//! A map of the caller's own id is written from inside, which needs no privilege outside. For groups, setgroups(2) must
//! first be denied permanently: a group can also deny access, so a process could gain access by leaving one. Ranges are
//! written from outside, by a process with privileges there.

use std::io::Write;

use plumbing::Fault;
use plumbing::kernel::{call, look};
use plumbing::process::kernel_text;

use crate::id_map::{self, Extent, Range, Span};
use crate::{accounts, map_refusal, subid};

/// The maps that the options ask for; pure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MapRequest {
    pub(crate) users: Side,
    pub(crate) groups: Side,
    pub(crate) setgroups: Option<Setgroups>,
}

/// The map of users, or that of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// The caller's id inside.
    pub(crate) single: Option<Id>,
    pub(crate) ranges: Vec<Wanted>,
}

/// An id inside the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Id {
    Number(u32),
    Name(String),
    /// The same id as outside.
    Own,
}

/// The value of one `--map-users` or `--map-groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Exact(Extent),
    /// The subordinate ids, mapped to the lowest free ids from 0 on.
    Auto,
    /// The subordinate ids, mapped to themselves.
    Subids,
    /// Every id of our own user namespace, mapped to itself.
    All,
}

/// The value of `--setgroups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Setgroups {
    /// setgroups(2) is allowed, the default of a new namespace
    Allow,
    /// setgroups(2) is denied permanently, also to root inside
    Deny,
}

/// Users or groups: their maps differ in three file names and a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Users,
    Groups,
}

/// The maps to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Maps {
    setgroups: Option<Setgroups>,
    inside: Vec<(Sort, Vec<Extent>)>,
    /// Whether we may map the root user outside, which gives its power over file capabilities to the namespace.
    may_map_root: bool,
    pub(crate) outside: Vec<(Sort, Vec<Extent>)>,
}

/// The caller's ids outside. Inside, before the map is written, the process sees only the overflow ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    uid: u32,
    gid: u32,
}

impl Caller {
    /// Reads the ids of this process.
    pub(crate) fn now() -> Caller {
        Caller { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }
}

impl Sort {
    /// Returns the name of the map file below /proc/PID.
    pub(crate) fn file(self) -> &'static str {
        if self == Sort::Users { "uid_map" } else { "gid_map" }
    }

    fn subid_file(self) -> &'static str {
        if self == Sort::Users { "/etc/subuid" } else { "/etc/subgid" }
    }

    fn id_of(self, name: &str) -> Result<u32, Fault> {
        if self == Sort::Users { accounts::user_id(name) } else { accounts::group_id(name) }
    }
}

impl MapRequest {
    /// Reports whether a map is requested.
    pub(crate) fn implies_user_namespace(&self) -> bool {
        self.users != Side::default() || self.groups != Side::default()
    }

    /// Looks up names, subordinate ids and our own maps, and computes the maps. `all_outside` says that the process
    /// itself will not have the right to write any map.
    pub(crate) fn resolve(&self, caller: Caller, all_outside: bool) -> Result<Maps, Fault> {
        let may_map_root = map_refusal::may_map_root();
        let mut maps = Maps { setgroups: self.setgroups, may_map_root, ..Maps::default() };
        for (sort, side, own) in [(Sort::Users, &self.users, caller.uid), (Sort::Groups, &self.groups, caller.gid)] {
            let Some(map) = side.resolve(sort, own, caller.uid)? else { continue };
            id_map::text(&map)?;
            if all_outside || !side.ranges.is_empty() {
                maps.outside.push((sort, map))
            } else {
                maps.inside.push((sort, map))
            }
        }
        if maps.inside.iter().any(|(sort, _)| *sort == Sort::Groups) {
            maps.setgroups = Some(Setgroups::Deny);
        }
        Ok(maps)
    }
}

impl Side {
    /// Reports whether the exact ranges contradict each other.
    pub(crate) fn has_contradiction(&self) -> bool {
        let exact: Vec<Extent> = self.ranges.iter().filter_map(Wanted::exact).collect();
        exact.iter().enumerate().any(|(index, one)| exact[..index].iter().any(|other| one.overlaps(*other)))
    }

    fn resolve(&self, sort: Sort, own: u32, uid: u32) -> Result<Option<Vec<Extent>>, Fault> {
        let single = match &self.single {
            None => None,
            Some(Id::Number(inner)) => Some(Extent::single(*inner, own)),
            Some(Id::Own) => Some(Extent::single(own, own)),
            Some(Id::Name(name)) => Some(Extent::single(sort.id_of(name)?, own)),
        };
        let ranges: Vec<Range> = self.ranges.iter().map(|range| range.resolve(sort, uid)).collect::<Result<_, _>>()?;
        Ok((single.is_some() || !ranges.is_empty()).then(|| id_map::compute(single, &ranges)))
    }
}

impl Wanted {
    fn exact(&self) -> Option<Extent> {
        match self {
            Wanted::Exact(extent) => Some(*extent),
            _ => None,
        }
    }

    fn resolve(&self, sort: Sort, uid: u32) -> Result<Range, Fault> {
        Ok(match self {
            Wanted::Exact(extent) => Range::Fixed(*extent),
            Wanted::Auto => Range::Lowest(subid::ranges(sort.subid_file(), uid)?),
            Wanted::Subids => Range::Same(subid::ranges(sort.subid_file(), uid)?),
            Wanted::All => Range::Same(own_ids(sort)?),
        })
    }
}

/// Returns the ids that our own user namespace has.
pub(crate) fn own_ids(sort: Sort) -> Result<Vec<Span>, Fault> {
    let path = format!("/proc/self/{}", sort.file());
    let map = look("read our own id map", format!("open({path:?})"), || kernel_text::read(&path))?;
    Ok(id_map::ids_inside(&map))
}

impl Maps {
    /// Allows or denies setgroups(2), through /proc/PID. This comes first: once there is a gid_map, the kernel no
    /// longer accepts "deny".
    pub(crate) fn prepare(&self, process: &str) -> Result<(), Fault> {
        let path = format!("/proc/{process}/setgroups");
        match self.setgroups {
            None => Ok(()),
            Some(Setgroups::Deny) => {
                write(&path, "deny", "the kernel requires this before an unprivileged gid_map; user_namespaces(7)")
            }
            Some(Setgroups::Allow) => {
                write(&path, "allow", "the default, unless an outer user namespace denies it; user_namespaces(7)")
            }
        }
    }

    /// Writes the single ids from inside.
    pub(crate) fn write_inside(&self) -> Result<(), Fault> {
        for (sort, map) in &self.inside {
            let path = format!("/proc/self/{}", sort.file());
            let why = match sort {
                Sort::Users => "the caller's user id inside; user_namespaces(7)",
                Sort::Groups => "the caller's group id inside; user_namespaces(7)",
            };
            write(&path, &id_map::text(map)?, why)
                .map_err(|fault| map_refusal::explain_inside(fault, map, self.may_map_root))?;
        }
        Ok(())
    }
}

/// Writes a whole map at once: the kernel accepts no second write.
pub(crate) fn write(path: &str, content: &str, why: &str) -> Result<(), Fault> {
    call(format!("map ids through {path}"), format!("write({path:?}, {content:?})"), why, || {
        // Neither O_CREAT nor O_TRUNC: the file exists, and takes exactly one write(2).
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        file.write_all(content.as_bytes())
    })
}
