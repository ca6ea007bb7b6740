//! `cgclassify`: moves running processes into groups. `cgclassify(1)`.
//!
//! The surprise: on v1 libcgroup writes to `tasks`, which moves one thread, not the process.

use std::os::unix::ffi::OsStrExt;

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::kernel::{call, look};
use plumbing::process::procfs;
use plumbing::process::target::status_field;
use plumbing::{Fault, Status, narrate};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::rules::{self, Process};
use super::with_status;
use crate::existing::{self, Existing};
use crate::refusal::explain;
use crate::removal::members_of;

/// A command line of cgclassify.
#[derive(Debug)]
pub(crate) struct Classify {
    pub(super) groups: Vec<Existing>,
    pub(super) replace_idle: bool,
    pub(super) pids: Vec<String>,
}

/// A process could not be moved.
const NOT_MOVED: Status = Status(1);
/// A word is no pid.
const NO_PID: Status = Status(2);

impl Classify {
    /// Moves each process that can be moved; the status is that of the last one that cannot.
    pub(super) fn apply(&self) -> Result<Status, Fault> {
        let named = existing::open(&self.groups, &Hierarchies::discover()?);
        // In libcgroup it is the first move that fails.
        let named = named.map_err(|fault| fault.with_status(NOT_MOVED))?;
        let mut members = Vec::new();
        let mut status = Status::SUCCESS;
        for word in &self.pids {
            match word.parse::<i32>() {
                Ok(pid) if pid > 0 => {
                    let moved = if self.groups.is_empty() {
                        by_rules(pid).map(|found| members.extend(found))
                    } else {
                        move_to(&named, pid)
                    };
                    if let Err(fault) = moved {
                        narrate::remark(fault);
                        status = NOT_MOVED;
                    }
                }
                _ => {
                    narrate::remark(format_args!("'{}' is no pid", word.escape_debug()));
                    status = NO_PID;
                }
            }
        }
        if self.replace_idle {
            members.extend(named);
            end_idle_process(&members)?;
        }
        Ok(status)
    }
}

/// Moves a process as cgrules.conf says; returns the groups.
fn by_rules(pid: i32) -> Result<Vec<Member>, Fault> {
    let found = rules::groups(&Process::read(pid)?)?;
    move_to(&found, pid).map(|()| found)
}

fn move_to(members: &[Member], pid: i32) -> Result<(), Fault> {
    members.iter().try_for_each(|member| {
        let file = if member.group.version == 2 { "cgroup.procs" } else { "tasks" };
        let moved = member.group.write(file, &pid.to_string(), "as cgclassify asks");
        moved.map_err(|fault| explain(fault, &member.group, file))
    })
}

impl Process {
    /// Reads who a process is: its effective user and group, its program and its name.
    fn read(pid: i32) -> Result<Process, Fault> {
        let goal = format!("find out who process {pid} is");
        let read = |file: &str| {
            look(&goal, format!("read(\"/proc/{pid}/{file}\")"), || procfs::read(&format!("{pid}/{file}")))
        };
        let status = String::from_utf8_lossy(&read("status")?).into_owned();
        let id = |key| status_field(&status, key)?.split_whitespace().nth(1)?.parse().ok();
        let (Some(uid), Some(gid)) = (id("Uid"), id("Gid")) else {
            return Err(Fault::new(format!("cannot {goal}: its status has no ids")));
        };
        // A kernel thread has no program.
        let program = procfs::read_link(&format!("{pid}/exe")).ok();
        let comm = read("comm")?;
        let mut names = program.map(|program| rules::names(program.as_os_str().as_bytes())).unwrap_or_default();
        names.push(comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec());
        Ok(Process { uid, gid, pid, names })
    }
}

/// The command line of the process with which `cgcreate -c` of libcgroup keeps a scope alive.
const IDLE: &[u8] = b"libcgroup_systemd_idle_thread";

/// Ends the idle process of libcgroup in the groups: now another process keeps them alive.
pub(super) fn end_idle_process(members: &[Member]) -> Result<(), Fault> {
    let is_idle = |pid: i32| {
        let line = procfs::read(&format!("{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(IDLE)
    };
    for member in members {
        for pid in members_of(&member.group, None)?.into_iter().filter(|pid| is_idle(*pid)) {
            let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
                continue;
            };
            // The number may have gone to another process before it was opened.
            if !is_idle(pid) {
                continue;
            }
            let text = format!("pidfd_send_signal({pid}, SIGTERM)");
            call(format!("end the idle process {pid}"), text, "the group has another process now (-r)", || {
                pidfd_send_signal(&process, Signal::TERM)
            })
            .map_err(with_status)?;
        }
    }
    Ok(())
}
