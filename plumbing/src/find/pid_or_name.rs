//! The process or container that a command line names: a pid, optionally with the inode of its pidfd, or a
//! container's name. `pidfd_open(2)`.
//!
//! A pid may have been reused since it was written down. The inode of a pidfd is never reused (Linux 6.9, pidfs).

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::Fault;
use crate::process::target::Target;

use super::{Found, Reference, Runtime, resolve};

/// An address: `PID`, `PID:INODE`, or a container's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidOrName {
    /// A process. A number is always a pid.
    Process {
        /// Its pid.
        pid: i32,
        /// The inode of its pidfd, if that was given.
        inode: Option<u64>,
    },
    /// A container, or a network namespace as `ip netns` names it.
    Named(Reference),
}

/// The result of opening an address.
pub enum OpenTarget {
    /// A process, held by its pidfd.
    Process(Target),
    /// A namespace without a process.
    Network(PathBuf),
}

impl OpenTarget {
    /// Returns the process; fails if there is only a namespace.
    pub fn process(self) -> Result<Target, Fault> {
        match self {
            OpenTarget::Process(target) => Ok(target),
            OpenTarget::Network(path) => Err(Fault::new(format!(
                "cannot use {} as a process: it is a named network namespace, which has no process",
                path.display()
            ))),
        }
    }
}

impl PidOrName {
    /// Parses an address from the command line.
    pub fn read(word: &OsStr) -> Result<PidOrName, String> {
        let wrong = || {
            "expected the pid of a running process, such as 4242 or 4242:7711 (its pidfd's inode), or the name of a \
             container, such as web or docker:web"
                .to_owned()
        };
        let text = word.to_str().unwrap_or("not a number");
        let (pid, inode) = match text.split_once(':') {
            Some((pid, inode)) => (pid, Some(inode)),
            None => (text, None),
        };
        let is_number = pid.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || pid.is_empty() {
            return Reference::read(word).map(PidOrName::Named);
        }
        let inode = inode.map(|inode| inode.parse().map_err(|_| wrong())).transpose()?;
        let pid = pid.parse().ok().filter(|pid| *pid > 0).ok_or_else(wrong)?;
        Ok(PidOrName::Process { pid, inode })
    }

    /// Restricts a name to the runtime of option `--type`.
    pub fn of_runtime(self, runtime: Option<Runtime>) -> Result<PidOrName, Fault> {
        match (self, runtime) {
            (PidOrName::Named(reference), runtime) => reference.of_runtime(runtime).map(PidOrName::Named),
            (PidOrName::Process { pid, .. }, Some(_)) => {
                Err(Fault::usage(format!("option '--type' applies only to names, and {pid} is a pid")))
            }
            (address, None) => Ok(address),
        }
    }

    /// Opens the process and keeps it open; refuses a process with a reused pid.
    pub fn open(&self) -> Result<OpenTarget, Fault> {
        let (pid, expected) = match self {
            PidOrName::Process { pid, inode } => (*pid, *inode),
            PidOrName::Named(reference) => {
                return Ok(match resolve(reference)? {
                    Found::Container(container) => OpenTarget::Process(container.target),
                    Found::Network(path) => OpenTarget::Network(path),
                });
            }
        };
        let target = Target::of_pid(pid)?;
        let Some(expected) = expected else { return Ok(OpenTarget::Process(target)) };
        match target.pidfd_inode()? {
            Some(real) if real == expected => Ok(OpenTarget::Process(target)),
            Some(real) => Err(Fault::new(format!(
                "cannot use process {pid}: its pidfd has the inode {real}, not {expected}; the pid was reused"
            ))),
            None => Err(Fault::new(format!(
                "cannot use process {pid}: pidfds have no inodes before Linux 6.9, so {expected} cannot be verified"
            ))),
        }
    }
}
