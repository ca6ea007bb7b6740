//! The eight kinds of namespaces: option, /proc name, clone flag and manual page, in one table; `namespaces(7)`.

use std::fmt::{self, Display, Formatter};

use nix::sched::CloneFlags;

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the kinds are the kernel's own names; ROWS has the rest")]
pub enum Kind {
    User,
    Mnt,
    Uts,
    Ipc,
    Net,
    Pid,
    Cgroup,
    Time,
}

/// The facts about a kind.
struct Row {
    kind: Kind,
    /// The name in /proc/PID/ns and in records.
    proc_name: &'static str,
    /// The long option in unshare(1) and nsenter(1).
    option: &'static str,
    flag: i32,
    flag_name: &'static str,
    manual: &'static str,
}

const fn row(
    kind: Kind,
    proc_name: &'static str,
    option: &'static str,
    flag: i32,
    flag_name: &'static str,
    manual: &'static str,
) -> Row {
    Row { kind, proc_name, option, flag, flag_name, manual }
}

/// The table, in the order of `Kind`, which is the order in which kinds are printed.
const ROWS: [Row; 8] = [
    row(Kind::User, "user", "user", libc::CLONE_NEWUSER, "CLONE_NEWUSER", "user_namespaces(7)"),
    row(Kind::Mnt, "mnt", "mount", libc::CLONE_NEWNS, "CLONE_NEWNS", "mount_namespaces(7)"),
    row(Kind::Uts, "uts", "uts", libc::CLONE_NEWUTS, "CLONE_NEWUTS", "uts_namespaces(7)"),
    row(Kind::Ipc, "ipc", "ipc", libc::CLONE_NEWIPC, "CLONE_NEWIPC", "ipc_namespaces(7)"),
    row(Kind::Net, "net", "net", libc::CLONE_NEWNET, "CLONE_NEWNET", "network_namespaces(7)"),
    row(Kind::Pid, "pid", "pid", libc::CLONE_NEWPID, "CLONE_NEWPID", "pid_namespaces(7)"),
    row(Kind::Cgroup, "cgroup", "cgroup", libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP", "cgroup_namespaces(7)"),
    row(Kind::Time, "time", "time", libc::CLONE_NEWTIME, "CLONE_NEWTIME", "time_namespaces(7)"),
];

impl Kind {
    /// All kinds, user first: the right to the others comes from it.
    pub const ALL: [Kind; 8] =
        [Kind::User, Kind::Mnt, Kind::Uts, Kind::Ipc, Kind::Net, Kind::Pid, Kind::Cgroup, Kind::Time];

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns `mnt`, as in /proc/PID/ns and in records.
    pub fn proc_name(self) -> &'static str {
        self.row().proc_name
    }

    /// Returns `mount`, as in `--mount`.
    pub fn option(self) -> &'static str {
        self.row().option
    }

    /// Returns `mount_namespaces(7)`.
    pub fn manual(self) -> &'static str {
        self.row().manual
    }

    /// Returns the inode of the kernel's initial namespace; `PROC_*_INIT_INO` of <linux/proc_ns.h>. `None` for the
    /// kinds for which older kernels do not fix it.
    pub fn first_inode(self) -> Option<u64> {
        match self {
            Kind::Ipc => Some(0xEFFF_FFFF),
            Kind::Uts => Some(0xEFFF_FFFE),
            Kind::User => Some(0xEFFF_FFFD),
            Kind::Pid => Some(0xEFFF_FFFC),
            Kind::Cgroup => Some(0xEFFF_FFFB),
            Kind::Time => Some(0xEFFF_FFFA),
            Kind::Net | Kind::Mnt => None,
        }
    }

    /// Returns the kind that /proc/PID/ns and records call `name`.
    pub fn of_proc_name(name: &str) -> Option<Kind> {
        ROWS.iter().find(|row| row.proc_name == name).map(|row| row.kind)
    }

    /// Returns the kind with this `CLONE_NEW*` flag.
    pub fn of_flag(flag: i32) -> Option<Kind> {
        ROWS.iter().find(|row| row.flag == flag).map(|row| row.kind)
    }
}

/// A set of kinds. It contains only `CLONE_NEW*` flags, which makes the calls that take it safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u8);

impl KindSet {
    /// The empty set.
    pub const EMPTY: KindSet = KindSet(0);

    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    /// Removes a kind.
    pub fn remove(&mut self, kind: Kind) {
        self.0 &= !(1 << kind as u8);
    }

    /// Returns whether the set contains the kind.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the kinds in the set, user first.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// Returns the flags for clone3(2), as a number.
    pub fn clone_flags(self) -> i32 {
        self.iter().fold(0, |flags, kind| flags | kind.row().flag)
    }

    /// Returns the flags for unshare(2) and setns(2).
    pub fn flags(self) -> CloneFlags {
        // CloneFlags has no name for CLONE_NEWTIME, but passes it on.
        CloneFlags::from_bits_retain(self.clone_flags())
    }

    /// Returns `CLONE_NEWUSER|CLONE_NEWNS`, as strace writes it.
    pub fn flag_names(self) -> impl Display {
        Names { kinds: self, name: |kind| kind.row().flag_name, between: "|", last: "|", none: "" }
    }

    /// Returns `user, mount and uts`, for sentences.
    pub fn names(self) -> impl Display {
        Names { kinds: self, name: Kind::option, between: ", ", last: " and ", none: "no" }
    }
}

/// The names of a set, which are put together only when they are printed.
struct Names {
    kinds: KindSet,
    name: fn(Kind) -> &'static str,
    between: &'static str,
    last: &'static str,
    none: &'static str,
}

impl Display for Names {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let count = self.kinds.iter().count();
        for (place, kind) in self.kinds.iter().enumerate() {
            let separator = match place {
                0 => "",
                _ if place + 1 == count => self.last,
                _ => self.between,
            };
            write!(formatter, "{separator}{}", (self.name)(kind))?;
        }
        if count == 0 { formatter.write_str(self.none) } else { Ok(()) }
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut set = KindSet::EMPTY;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_row() {
        for (kind, row) in Kind::ALL.into_iter().zip(&ROWS) {
            assert_eq!(kind, row.kind);
        }
    }

    #[test]
    fn a_set_is_printed_as_strace_writes_it() {
        let set: KindSet = [Kind::Mnt, Kind::User].into_iter().collect();
        assert_eq!(set.flag_names().to_string(), "CLONE_NEWUSER|CLONE_NEWNS");
        assert_eq!(set.names().to_string(), "user and mount");
        let set: KindSet = [Kind::Uts].into_iter().chain(set.iter()).collect();
        assert_eq!(set.names().to_string(), "user, mount and uts");
        assert_eq!(KindSet::EMPTY.names().to_string(), "no");
    }
}
