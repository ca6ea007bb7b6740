//! Id-mapped mounts: files that belong to one id on disk belong to another id through this mount. `mount_setattr(2)`,
//! `user_namespaces(7)`.
//!
//! The map is that of a user namespace, which exists only while the mount is made. The surprise: the kernel requires
//! CAP_SYS_ADMIN over the file system itself, so a user may map only file systems that were mounted in a user namespace.

use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use plumbing::kernel::{Cloned, call, exit_now, fork_into, look, mount_idmap, own};
use plumbing::process::exposure::in_the_open;
use plumbing::process::forward::wait_for;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::procfs;
use plumbing::{Fault, Status, narrate};
use rustix::fs::{OFlags, fstatfs};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::refusal;

/// The mapping of the ids of files, in the format of `uid_map` and `gid_map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMap {
    uids: String,
    gids: String,
}

const VALID: &str = "expected ONDISK-SEEN-COUNT, several joined by +, each for users and groups or, with u or g in \
                     front, for one of them";

/// Parses `0-1000-1+g5-6-1`.
pub(crate) fn parse(text: &str) -> Result<IdMap, String> {
    let mut map = IdMap { uids: String::new(), gids: String::new() };
    for range in text.split('+') {
        let (users, groups, range) = match (range.strip_prefix('u'), range.strip_prefix('g')) {
            (Some(range), _) => (true, false, range),
            (_, Some(range)) => (false, true, range),
            _ => (true, true, range),
        };
        let numbers: Option<Vec<u32>> = range.split('-').map(|number| number.parse().ok()).collect();
        let Some([on_disk, seen, count]) = numbers.as_deref() else { return Err(VALID.to_owned()) };
        let fits = |start: &u32| *count > 0 && start.checked_add(*count).is_some();
        if !fits(on_disk) || !fits(seen) {
            return Err(VALID.to_owned());
        }
        let line = format!("{on_disk} {seen} {count}\n");
        for (wanted, lines) in [(users, &mut map.uids), (groups, &mut map.gids)] {
            if wanted {
                lines.push_str(&line);
            }
        }
    }
    Ok(map)
}

/// Maps the ids of a mount that is not attached yet.
pub(crate) fn apply(goal: &str, mount: BorrowedFd<'_>, recursive: bool, map: &IdMap) -> Result<(), Fault> {
    let namespace = in_the_open(|| user_namespace(goal, map))?;
    let at = if recursive { "AT_EMPTY_PATH|AT_RECURSIVE" } else { "AT_EMPTY_PATH" };
    let text = format!("mount_setattr(fd, \"\", {at}, {{attr_set=MOUNT_ATTR_IDMAP, userns_fd=fd}})");
    let why = "ids on disk are replaced by those of the map; mount_setattr(2)";
    call(goal, text, why, || mount_idmap(mount, recursive, &namespace)).map_err(|fault| refused(fault, mount))
}

fn refused(fault: Fault, mount: BorrowedFd<'_>) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) if refusal::in_user_namespace() => fault.with_remedy(
            "mapping ids requires CAP_SYS_ADMIN over the file system, so in a user namespace it works only for file \
             systems that were mounted in it; run as root outside of user namespaces",
        ),
        Some(Errno::EINVAL) => {
            let kind = fstatfs(mount).map_or(0, |stat| stat.f_type);
            fault.with_remedy(format!(
                "the file system (magic {kind:#x}), or one that is mounted below it, does not support id-mapped mounts, or its \
                 ids are mapped already; for an overlay, map the layers instead; norec leaves out the mounts below"
            ))
        }
        _ => refusal::missing_admin(fault),
    }
}

/// Makes a user namespace with this map: a child creates it, and stays until a descriptor of it is open.
fn user_namespace(goal: &str, map: &IdMap) -> Result<OwnedFd, Fault> {
    let (reader, writer) = own(goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let kinds = KindSet::from_iter([Kind::User]);
    let why = "a user namespace only for its id map; user_namespaces(7)";
    match fork_into(kinds, goal, why)? {
        // A dry run makes no child, and only prints the parent's steps.
        Cloned::Child if narrate::is_dry_run() => {
            write_maps(goal, 0, map)?;
            open_namespace(goal, "self/ns/user")
        }
        Cloned::Child => {
            drop(writer);
            // Blocks until the parent closes its end of the pipe.
            let ended = rustix::io::read(&reader, &mut [0_u8; 1]);
            exit_now(if ended.is_ok() { Status::SUCCESS } else { Status::OURS })
        }
        Cloned::Parent { pid, pidfd } => {
            drop(reader);
            let namespace = seen_as(goal, &pidfd).and_then(|pid| {
                write_maps(goal, pid, map).and_then(|()| open_namespace(goal, &format!("{pid}/ns/user")))
            });
            drop(writer);
            wait_for(pid)?;
            namespace
        }
    }
}

/// Returns the child's pid in this /proc, which may show another pid namespace than ours, where our number of the child
/// belongs to another process.
fn seen_as(goal: &str, pidfd: &OwnedFd) -> Result<i32, Fault> {
    let path = format!("self/fdinfo/{}", pidfd.as_raw_fd());
    let text = look(goal, format!("read(\"/proc/{path}\")"), || procfs::read_text(&path))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| {
        Fault::new(format!("cannot {goal}: /proc does not show our pid namespace"))
            .with_remedy("mount one that does, e.g. with unshare-rs --mount-proc")
    })
}

fn write_maps(goal: &str, pid: i32, map: &IdMap) -> Result<(), Fault> {
    for (name, lines) in [("uid_map", &map.uids), ("gid_map", &map.gids)] {
        if lines.is_empty() {
            continue;
        }
        let path = format!("{pid}/{name}");
        let why = "the inside ids are those on disk, the outside ids those shown; user_namespaces(7)";
        call(goal, format!("write(\"/proc/{path}\", {lines:?})"), why, || {
            std::fs::File::from(procfs::open(&path, OFlags::WRONLY)?).write_all(lines.as_bytes())
        })?;
    }
    Ok(())
}

fn open_namespace(goal: &str, path: &str) -> Result<OwnedFd, Fault> {
    look(goal, format!("openat(\"/proc/{path}\")"), || procfs::open(path, OFlags::RDONLY))
}

impl IdMap {
    /// Makes a map from lines in the format of `uid_map` and `gid_map`.
    pub(crate) fn of_lines(uids: String, gids: String) -> IdMap {
        IdMap { uids, gids }
    }

    /// Returns the map in the notation of the option, for the record.
    pub(crate) fn shown(&self) -> String {
        let ranges = |prefix: &str, lines: &str| {
            lines.lines().map(|line| format!("{prefix}{}", line.replace(' ', "-"))).collect::<Vec<_>>().join("+")
        };
        let parts = if self.uids == self.gids {
            vec![ranges("", &self.uids)]
        } else {
            vec![ranges("u", &self.uids), ranges("g", &self.gids)]
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("+")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_ranges_for_users_groups_or_both() {
        let map = parse("0-1000-1").unwrap();
        assert_eq!((map.uids.as_str(), map.gids.as_str()), ("0 1000 1\n", "0 1000 1\n"));
        let text = "u0-100000-65536+g5-6-1";
        let map = parse(text).unwrap();
        assert_eq!((map.uids.as_str(), map.gids.as_str()), ("0 100000 65536\n", "5 6 1\n"));
        assert_eq!(map.shown(), text);
        for wrong in ["", "0", "0-1", "0-1-0", "0-1-2-3", "x0-1-2", "0-4294967295-2", "0-1--1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
