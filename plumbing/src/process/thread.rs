//! A thread as a target: by its own id, or in place of a first thread that has ended. `pidfd_open(2)`, `proc_pid_task(5)`.
//!
//! The surprise: /proc does not list /proc/TID, but it exists. Before Linux 6.9 (PIDFD_THREAD) no descriptor refers to a
//! thread, so its namespaces are joined by their files.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::target::{Target, Via, directory, linked_namespace, read_at, status_field};
use crate::Fault;
use crate::kernel::{call, look};
use crate::process::namespace::{Kind, KindSet};

/// The flag that pidfds of threads need; `PIDFD_THREAD` of <linux/pidfd.h> is O_EXCL.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(OFlags::EXCL.bits());

/// Opens the thread with this id. `fault` says why it cannot be opened as a process.
pub(super) fn open(tid: Pid, fault: Fault) -> Result<Target, Fault> {
    let number = tid.as_raw_nonzero().get();
    if !matches!(fault.errno(), Some(Errno::ENOENT | Errno::EINVAL)) {
        return Err(fault);
    }
    let Ok(dir) = directory(rustix::fs::CWD, &format!("/proc/{number}")) else { return Err(fault) };
    let Some(leader) = leader_of(&dir).filter(|leader| *leader != tid) else { return Err(fault) };
    match pidfd_open(tid, PIDFD_THREAD) {
        Ok(pidfd) => Target::of_thread(number, pidfd, dir, Via::Thread),
        Err(_) => {
            let goal = format!("open thread {number} of process {}", leader.as_raw_nonzero());
            let text = format!("pidfd_open({})", leader.as_raw_nonzero());
            let pidfd = look(goal, text, || pidfd_open(leader, PidfdFlags::empty()))?;
            Target::of_thread(number, pidfd, dir, Via::ThreadFiles)
        }
    }
}

fn leader_of(dir: &OwnedFd) -> Option<Pid> {
    let status = read_at(dir.as_fd(), "status").ok()?;
    status_field(&String::from_utf8_lossy(&status), "Tgid")?.parse().ok().and_then(Pid::from_raw)
}

impl Target {
    /// Returns the process, or one of its threads that still run if the first one has ended: the first one then has no
    /// namespaces and no directories.
    pub fn or_running_thread(self) -> Result<Target, Fault> {
        if self.state() != Some(b'Z') || self.has_ended()? {
            return Ok(self);
        }
        let Ok(tasks) = openat(self.dir(), "task", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        else {
            return Ok(self);
        };
        let Ok(threads) = rustix::fs::Dir::read_from(&tasks) else { return Ok(self) };
        let running = threads.flatten().find_map(|thread| {
            let number: i32 = thread.file_name().to_str().ok()?.parse().ok()?;
            Target::of_pid(number).ok().filter(|thread| self.has_running(thread))
        });
        // Until the process has ended, nothing else gets its pid: so the thread that was compared is one of its threads.
        let process = self.running()?;
        Ok(running.unwrap_or(process))
    }

    /// Returns whether `thread` runs and is one of this process's threads: its number may belong to another process by now.
    fn has_running(&self, thread: &Target) -> bool {
        let own = leader_of(&self.dir);
        own.is_some() && leader_of(&thread.dir) == own && !matches!(thread.state(), None | Some(b'Z' | b'X'))
    }

    /// Returns the inode of the namespace of one of its threads: the first one may have ended while others run.
    pub(super) fn inode_of_a_thread(&self, kind: Kind) -> Option<u64> {
        let tasks =
            openat(self.dir(), "task", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let threads = rustix::fs::Dir::read_from(&tasks).ok()?.flatten();
        threads
            .filter_map(|thread| {
                let link = format!("{}/ns/{}", thread.file_name().to_str().ok()?, kind.proc_name());
                linked_namespace(tasks.as_fd(), &link).ok()
            })
            .next()
    }

    /// Returns the letter for its state, as in /proc/PID/stat; `None` if it cannot be read.
    pub(super) fn state(&self) -> Option<u8> {
        let stat = read_at(self.dir(), "stat").ok()?;
        let after_name = stat.iter().rposition(|byte| *byte == b')')?;
        stat.get(after_name + 2).copied()
    }

    /// Joins the namespaces by their files, the user namespace first, whose rights count for the others. All of them are
    /// opened before.
    pub(super) fn join_by_files(&self, kinds: KindSet, why: &str) -> Result<(), Fault> {
        let open = |kind: Kind| {
            let path = format!("ns/{}", kind.proc_name());
            let shown = format!("/proc/{}/{path}", self.pid());
            let file = look(format!("open {shown}"), format!("openat({shown:?})"), || {
                openat(self.dir(), &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            })?;
            Ok((kind, shown, file))
        };
        let files = kinds.iter().map(open).collect::<Result<Vec<_>, Fault>>()?;
        files.iter().try_for_each(|(kind, shown, file)| {
            let set = KindSet::from_iter([*kind]);
            let goal = format!("enter the {} namespace of thread {}", kind.option(), self.pid());
            call(goal, format!("setns({shown}, {})", set.flag_names()), why, || nix::sched::setns(file, set.flags()))
        })
    }
}
