//! The contents of cells. The kernel is asked for one only if a line that is shown, or a filter, needs it. `proc(5)`.
//!
//! The cell is empty if its subject has vanished meanwhile, or if we may not read it.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use plumbing::command_line::regular;
use plumbing::process::namespace::Kind;
use plumbing::process::nsid::{self, Nsid};
use plumbing::process::target::Target;
use plumbing::process::{accounts, timed_reads};
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

use super::column::Column;
use super::filter::Expression;
use super::inventory::Inventory;
use super::line::{Relation, Relations};
use super::mount::{self, Mount};
use super::parent_and_owner::KnownRelatives;
use super::process;
use crate::find::{self, Containers};

/// The maximum number of bytes of a command line; lsns has the same limit.
const COMMAND: usize = 8192;

/// The content of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Empty,
    Number(u64),
    Text(Vec<u8>),
    /// Several texts, one below the other.
    Lines(Vec<Vec<u8>>),
}

/// An inventory, and the answers to what was asked about it so far.
pub(crate) struct View<'a> {
    inventory: &'a Inventory,
    filter: Option<&'a Expression>,
    relatives: KnownRelatives,
    parents: RefCell<HashMap<i32, Option<i32>>>,
    commands: RefCell<HashMap<i32, Vec<u8>>>,
    nsids: RefCell<HashMap<u64, Option<Nsid>>>,
    netlink: OnceCell<Option<OwnedFd>>,
    mounts: OnceCell<Vec<Mount>>,
    users: OnceCell<HashMap<u32, Vec<u8>>>,
    containers: OnceCell<Option<Containers>>,
}

impl<'a> View<'a> {
    /// Returns a view without any answers yet.
    pub(crate) fn new(inventory: &'a Inventory, filter: Option<&'a Expression>) -> Self {
        View {
            inventory,
            filter,
            relatives: KnownRelatives::default(),
            parents: RefCell::default(),
            commands: RefCell::default(),
            nsids: RefCell::default(),
            netlink: OnceCell::new(),
            mounts: OnceCell::new(),
            users: OnceCell::new(),
            containers: OnceCell::new(),
        }
    }

    /// Returns the content of this column for a namespace and a process in it.
    pub(crate) fn cell(&self, column: Column, inode: u64, pid: Option<i32>) -> Cell {
        let Some(namespace) = self.inventory.namespaces.get(&inode) else { return Cell::Empty };
        let kind = namespace.kind;
        let number = |number: Option<u64>| number.map_or(Cell::Empty, Cell::Number);
        let text = |text: Option<Vec<u8>>| text.map_or(Cell::Empty, Cell::Text);
        match column {
            Column::Ns => Cell::Number(inode),
            Column::Type => Cell::Text(kind.proc_name().into()),
            Column::Path => text(pid.map(|pid| format!("/proc/{pid}/ns/{}", kind.proc_name()).into_bytes())),
            Column::Nprocs => Cell::Number(namespace.processes.into()),
            Column::Pid => number(pid.and_then(|pid| pid.try_into().ok())),
            Column::Ppid => number(pid.and_then(|pid| self.parent(pid)?.try_into().ok())),
            Column::Command => text(pid.and_then(|pid| self.command(pid))),
            Column::Uid => number(self.uid(inode, pid).map(u64::from)),
            Column::User => text(self.uid(inode, pid).map(|uid| self.user(uid))),
            Column::Netnsid if kind == Kind::Net => text(self.nsid(inode).map(|nsid| match nsid {
                Nsid::Number(number) => number.to_string().into_bytes(),
                Nsid::Unassigned => b"unassigned".to_vec(),
            })),
            Column::Netnsid => Cell::Empty,
            Column::Nsfs => self.mount_points(inode),
            Column::Pns => Cell::Number(self.relatives.of(self.inventory, inode).parent.unwrap_or_default()),
            Column::Ons => Cell::Number(self.relatives.of(self.inventory, inode).owner.unwrap_or_default()),
            Column::Holder => text(Some(namespace.holder.shown())),
            Column::Container => text(pid.and_then(|pid| self.container(pid))),
        }
    }

    fn open(&self, pid: i32, file: &str) -> Option<OwnedFd> {
        openat(&self.inventory.proc, format!("{pid}/{file}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    fn parent(&self, pid: i32) -> Option<i32> {
        *self.parents.borrow_mut().entry(pid).or_insert_with(|| {
            let stat = first(self.open(pid, "stat")?, 1024)?;
            // The name in parentheses may contain blanks and parentheses: the fields are counted from its end.
            let after_name = stat.rsplit(|byte| *byte == b')').next()?;
            std::str::from_utf8(after_name).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
        })
    }

    /// Reads the command lines of these processes, as far as they are not known yet. A process may keep the reader
    /// waiting: then it is shown by its name, and stderr says so.
    pub(crate) fn read_commands(&self, pids: impl Iterator<Item = i32>) -> Result<(), Fault> {
        let mut commands = self.commands.borrow_mut();
        let unknown: BTreeSet<_> = pids.filter(|pid| !commands.contains_key(pid)).collect();
        let unknown: Vec<_> = unknown.into_iter().collect();
        let read = |pid: &i32| self.open(*pid, "cmdline").and_then(|file| first(file, COMMAND)).unwrap_or_default();
        let proc = Some(self.inventory.proc.as_fd());
        let answers = timed_reads::each("read the command lines of processes", proc, &unknown, read)?;
        for (pid, answer) in unknown.into_iter().zip(answers) {
            if answer.is_none() {
                narrate::warn(format_args!(
                    "cannot read the command line of process {pid}: the process keeps the reader waiting; it is shown by its name"
                ));
            }
            commands.insert(pid, answer.unwrap_or_default());
        }
        Ok(())
    }

    /// Returns the words of the command line, separated by blanks; for a kernel thread, its name. The kernel returns no
    /// words of a process that has mapped a file over them (Linux 4.17; CVE-2018-1120): such a process is shown by its
    /// name, too.
    fn command(&self, pid: i32) -> Option<Vec<u8>> {
        if !self.commands.borrow().contains_key(&pid) {
            // For a filter: what is read for one process is needed for all others, too.
            let all = self.inventory.processes.iter().map(|process| process.pid);
            if let Err(fault) = self.read_commands(all.chain([pid])) {
                narrate::warn(fault);
                self.commands.borrow_mut().insert(pid, Vec::new());
            }
        }
        let mut line = self.commands.borrow().get(&pid)?.clone();
        if line.is_empty() {
            line = first(self.open(pid, "comm")?, COMMAND)?;
            return Some(line.strip_suffix(b"\n").unwrap_or(&line).to_vec());
        }
        line.pop_if(|last| *last == 0);
        Some(line.into_iter().map(|byte| if byte == 0 { b' ' } else { byte }).collect())
    }

    /// Returns the uid of the process; without a process, the uid that created the owning user namespace.
    fn uid(&self, inode: u64, pid: Option<i32>) -> Option<u32> {
        match pid {
            Some(pid) => fstat(process::open(self.inventory.proc.as_fd(), pid)?).ok().map(|stat| stat.st_uid),
            None => self.relatives.of(self.inventory, inode).maker,
        }
    }

    fn user(&self, uid: u32) -> Vec<u8> {
        let users = self.users.get_or_init(|| users(&passwd()));
        users.get(&uid).cloned().unwrap_or_else(|| uid.to_string().into_bytes())
    }

    fn container(&self, pid: i32) -> Option<Vec<u8>> {
        let containers = self.containers.get_or_init(|| find::all(None).ok()).as_ref()?;
        let container = containers.of(&Target::of_pid(pid).ok()?)?;
        Some(container.name().0.as_bytes().to_vec())
    }

    fn nsid(&self, inode: u64) -> Option<Nsid> {
        *self.nsids.borrow_mut().entry(inode).or_insert_with(|| {
            let netlink = self.netlink.get_or_init(nsid::open).as_ref()?;
            nsid::ask(netlink.as_fd(), self.inventory.open(inode)?.as_fd())
        })
    }

    fn mount_points(&self, inode: u64) -> Cell {
        let mounts = self.mounts.get_or_init(|| mount::of_namespaces(CWD, "/proc/self/mountinfo", u64::MAX).mounts);
        let mut points: Vec<Vec<u8>> = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.inode == inode) {
            if !points.contains(&mount.point) {
                points.push(mount.point.clone());
            }
        }
        if points.is_empty() { Cell::Empty } else { Cell::Lines(points) }
    }
}

impl Relations for View<'_> {
    fn parent_process(&self, pid: i32) -> Option<i32> {
        self.parent(pid)
    }

    fn relative(&self, namespace: u64, relation: Relation) -> Option<u64> {
        let relatives = self.relatives.of(self.inventory, namespace);
        let relative = if relation == Relation::Parent { relatives.parent } else { relatives.owner };
        relative.filter(|relative| *relative != namespace && self.inventory.namespaces.contains_key(relative))
    }

    fn first_process(&self, namespace: u64) -> Option<i32> {
        self.inventory.namespaces.get(&namespace)?.holder.pid()
    }

    fn is_wanted(&self, namespace: u64, pid: Option<i32>) -> bool {
        self.filter.is_none_or(|filter| filter.holds(&|column| self.cell(column, namespace, pid)))
    }
}

/// Reads the first bytes of a file of /proc. A single read suffices: the kernel generates the content at once.
fn first(file: OwnedFd, most: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; most];
    let length = rustix::io::read(file, &mut bytes[..]).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Reads /etc/passwd; a report has numbers instead of names where it cannot be read, and says so.
fn passwd() -> Vec<u8> {
    const LONGEST: u64 = 16 << 20;
    let read = regular::read(std::path::Path::new("/etc/passwd"), LONGEST).unwrap_or_else(|fault| {
        narrate::warn(format!("{fault}; users are shown as numbers"));
        None
    });
    read.unwrap_or_default()
}

/// Returns the names of users by uid; the first line with a uid counts. `passwd(5)`.
fn users(passwd: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut users = HashMap::new();
    for fields in accounts::entries(passwd) {
        if let Some(uid) = fields.get(2).and_then(|uid| accounts::id(uid)) {
            users.entry(uid).or_insert_with(|| fields[0].to_vec());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_user_counts() {
        let users = users(b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:\n\nbad\nworse:x:y:\na:x:7:7");
        assert_eq!(users.len(), 2);
        assert_eq!((&users[&0][..], &users[&7][..]), (&b"root"[..], &b"a"[..]));
    }
}
