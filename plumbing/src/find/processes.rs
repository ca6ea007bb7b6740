//! The runtimes' own processes: daemons, whose command lines name their directories, and monitors, whose children are
//! containers.
//!
//! `proc_pid_cmdline(5)`. A process can choose its command line, so what it says counts only as a statement of its
//! user; what a process in a container says does not count at all, because root inside is not root here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::Fault;
use crate::kernel::look;
use crate::narrate;
use crate::process::namespace::Kind;
use crate::process::target::{Target, own_namespace_inode, read_at, stat_field, status_field};
use crate::process::{kernel_text, timed_reads};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use super::claim;

/// The maximum number of bytes of a command line that are examined.
const LONGEST: u64 = 64 << 10;

/// The text that LXC's monitor writes over the beginning of its command line.
pub(crate) const LXC_MONITOR: &str = "[lxc monitor]";
pub(crate) use crate::pipeline::assembly::INIT_NAME as HELD_INIT;

const PROGRAMS: &[&str] =
    &["dockerd", "containerd", "conmon", "systemd-nspawn", "lxc-start", "lxc-execute", LXC_MONITOR, HELD_INIT];

/// A process of a runtime.
pub(crate) struct Process {
    pub(crate) target: Target,
    pub(crate) program: &'static str,
    pub(crate) argv: Vec<OsString>,
    /// The user who counts as the author of its statements.
    pub(crate) author: u32,
}

/// Returns all running processes of runtimes.
pub(crate) fn of_runtimes() -> Result<Vec<Process>, Fault> {
    let mut pids = Vec::new();
    for entry in look("list the processes", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))? {
        let entry = look("list the processes", "readdir(\"/proc\")", || entry)?;
        pids.extend(entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    let read = |pid: &i32| of_runtime(*pid).unwrap_or_default();
    let answers = timed_reads::each("read the command lines of processes", None, &pids, read)?;
    remark_on_silence(&pids, &answers);
    let answers = pids.into_iter().zip(answers);
    Ok(answers.filter_map(|(pid, answer)| Process::verified(pid, &answer?)).collect())
}

/// Prints which processes did not let us read their command lines.
fn remark_on_silence(pids: &[i32], answers: &[Option<Vec<u8>>]) {
    let silent: Vec<_> = pids.iter().zip(answers).filter(|(_, answer)| answer.is_none()).map(|(pid, _)| *pid).collect();
    if let [first, rest @ ..] = &silent[..] {
        let others = if rest.is_empty() { String::new() } else { format!(" and of {} others", rest.len()) };
        narrate::warn(format_args!(
            "cannot read the command line of process {first}{others}: the process keeps the reader waiting; if it is a \
             container runtime, its containers are not found"
        ));
    }
}

/// Returns the start time and the command line of a process if it is a runtime's.
fn of_runtime(pid: i32) -> Option<Vec<u8>> {
    let dir = openat(CWD, format!("/proc/{pid}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let file = openat(&dir, "cmdline", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut line = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut line).ok()?;
    program_of(&words(&line))?;
    let stat = read_at(dir.as_fd(), "stat").ok()?;
    let start_time = stat_field(&String::from_utf8_lossy(&stat), 22)?;
    Some([&start_time.to_ne_bytes()[..], &line].concat())
}

/// Splits the text of /proc/PID/cmdline into words.
fn words(line: &[u8]) -> Vec<OsString> {
    let whole = line.strip_suffix(b"\0").unwrap_or(line);
    whole.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

fn program_of(argv: &[OsString]) -> Option<&'static str> {
    let first = argv.first()?;
    if first.as_bytes().starts_with(LXC_MONITOR.as_bytes()) {
        return Some(LXC_MONITOR);
    }
    let name = Path::new(first).file_name()?;
    PROGRAMS.iter().copied().find(|program| name == *program)
}

impl Process {
    /// Opens the process to which an answer of [`of_runtime`] refers; `None` also if it has ended, or we may not examine
    /// it.
    fn verified(pid: i32, answer: &[u8]) -> Option<Process> {
        let (start_time, line) = answer.split_first_chunk()?;
        let target = Target::of_pid(pid).ok()?;
        if target.start_time().ok()? != u64::from_ne_bytes(*start_time) {
            return None;
        }
        let argv = words(line);
        let program = program_of(&argv)?;
        if claim::is_contained(&target, program == HELD_INIT) {
            return None;
        }
        let author = claim::author(&target)?;
        Some(Process { target, program, argv, author })
    }

    /// Returns the value of an option, given as `--option VALUE` or `--option=VALUE`, or for a letter as `-o VALUE` or
    /// `-oVALUE`.
    pub(crate) fn option(&self, names: &[&str]) -> Option<OsString> {
        let mut words = self.argv.iter().skip(1);
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            for name in names {
                let Some(rest) = word.as_bytes().strip_prefix(name.as_bytes()) else { continue };
                let is_letter = !name.starts_with("--");
                match rest {
                    [] => return words.next().cloned(),
                    [b'=', value @ ..] if !is_letter => return Some(OsStr::from_bytes(value).to_owned()),
                    value if is_letter && name.len() == 2 => return Some(OsStr::from_bytes(value).to_owned()),
                    _ => {}
                }
            }
        }
        None
    }

    /// Reports whether it shares our mount namespace, so that a path means the same to both.
    pub(crate) fn shares_mounts(&self) -> bool {
        self.target.namespace_inode(Kind::Mnt).is_ok_and(|inode| inode == own_namespace_inode(Kind::Mnt))
    }

    /// Returns its child in a pid namespace of its own, which is a container's first process. A child that still executes
    /// the monitor's own program is skipped until it has made the container's root: its root may be the host's before.
    /// Some runtimes leave it there for good, as an init in front of the command.
    pub(crate) fn contained_child(&self) -> Option<Target> {
        let own = self.target.namespace_inode(Kind::Pid).ok()?;
        let program = program_file(&self.target);
        self.children()
            .filter(|child| program.is_none() || program_file(child) != program || self.is_init_of_its_own(child))
            .find(|child| child.namespace_inode(Kind::Pid).is_ok_and(|inode| inode != own))
    }

    /// Reports whether a child has another root than the monitor, and runs a child of its own there.
    fn is_init_of_its_own(&self, child: &Target) -> bool {
        let root =
            |process: &Target| statat(process.dir(), "root", AtFlags::empty()).ok().map(|at| (at.st_dev, at.st_ino));
        let (own, theirs) = (root(&self.target), root(child));
        own.is_some() && theirs.is_some() && own != theirs && children_of(child).any(|command| root(&command) == theirs)
    }

    /// Returns its child in another mount namespace, or in one that we may not read.
    pub(crate) fn child_elsewhere(&self) -> Option<Target> {
        let mounts = |process: &Target| process.namespace_inode(Kind::Mnt).ok().flatten();
        self.children().find(|child| mounts(child).is_none_or(|inode| Some(inode) != mounts(&self.target)))
    }

    /// Returns the children of all its threads.
    pub(crate) fn children(&self) -> impl Iterator<Item = Target> {
        children_of(&self.target)
    }
}

fn children_of(process: &Target) -> impl Iterator<Item = Target> + use<> {
    let parent = process.pid();
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| kernel_text::read(task.path().join("children")).ok());
    let pids: Vec<i32> =
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    // Checked again with the child's pidfd open: its pid may have been reused.
    pids.into_iter().filter_map(|pid| Target::of_pid(pid).ok()).filter(move |child| parent_of(child) == Some(parent))
}

/// Returns device and inode of the file that a process executes. A path would not do: a container's program can have
/// the same path as one of the host.
fn program_file(process: &Target) -> Option<(u64, u64)> {
    statat(process.dir(), "exe", AtFlags::empty()).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

fn parent_of(process: &Target) -> Option<i32> {
    let status = process.read("status").ok()?;
    status_field(&status, "PPid")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_every_form() {
        let target = Target::of_pid(std::process::id().cast_signed()).unwrap();
        let argv = ["/usr/sbin/dockerd", "--data-root", "/a", "--exec-root=/b", "-D", "-gx", "--", "--host=no"];
        let argv = argv.map(OsString::from).to_vec();
        let process = Process { target, program: "dockerd", argv, author: 0 };
        assert_eq!(process.option(&["--data-root"]), Some("/a".into()));
        assert_eq!(process.option(&["--exec-root"]), Some("/b".into()));
        assert_eq!(process.option(&["-g"]), Some("x".into()));
        assert_eq!(process.option(&["--host"]), None);
        assert_eq!(program_of(&process.argv), Some("dockerd"));
        assert_eq!(program_of(&["[lxc monitor] /var/lib/lxc web".into()]), Some(LXC_MONITOR));
        assert_eq!(program_of(&["sh".into()]), None);
    }
}
