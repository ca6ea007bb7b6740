//! Whose namespaces are entered: a process by its pid, and where it is known the inode of its pidfd; or a container by
//! its name. `pidfd_open(2)`.
//!
//! A pid alone may have passed to another process since it was noted down. The inode never does (Linux 6.9, pidfs).

use std::ffi::OsStr;
use std::path::PathBuf;

use plumbing::Fault;
use plumbing::target::Target;

use crate::find::{self, Found, Reference, Runtime};

/// `PID`, `PID:INODE`, or a container's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// What is a number is a pid, always.
    Process { pid: i32, inode: Option<u64> },
    /// A container; or a network namespace, as `ip netns` names them.
    Named(Reference),
}

/// What an address leads to.
pub(crate) enum Opened {
    /// A process, held.
    Process(Target),
    /// A namespace without a process.
    Network(PathBuf),
}

impl Opened {
    /// The process, for what a namespace alone does not suffice for.
    pub(crate) fn process(self) -> Result<Target, Fault> {
        match self {
            Opened::Process(target) => Ok(target),
            Opened::Network(path) => Err(Fault::new(format!(
                "cannot take {} for a process: it is a named network namespace, which has none of its own",
                path.display()
            ))),
        }
    }
}

impl Address {
    /// Reads one from the command line.
    pub(crate) fn read(word: &OsStr) -> Result<Address, String> {
        let wrong = || {
            "valid is the pid of a running process, such as 4242 or 4242:7711 (its pidfd's inode), or the name of a \
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
            return Reference::read(word).map(Address::Named);
        }
        let inode = inode.map(|inode| inode.parse().map_err(|_| wrong())).transpose()?;
        let pid = pid.parse().ok().filter(|pid| *pid > 0).ok_or_else(wrong)?;
        Ok(Address::Process { pid, inode })
    }

    /// Narrowed to a runtime by an option of its own.
    pub(crate) fn of_runtime(self, runtime: Option<Runtime>) -> Result<Address, Fault> {
        match (self, runtime) {
            (Address::Named(reference), runtime) => reference.of_runtime(runtime).map(Address::Named),
            (Address::Process { pid, .. }, Some(_)) => {
                Err(Fault::usage(format!("option '--type' is about containers by name, and {pid} is a pid")))
            }
            (address, None) => Ok(address),
        }
    }

    /// Opens the process, and holds on to it; refuses one that is not the one meant.
    pub(crate) fn open(&self) -> Result<Opened, Fault> {
        let (pid, told) = match self {
            Address::Process { pid, inode } => (*pid, *inode),
            Address::Named(reference) => {
                return Ok(match find::resolve(reference)? {
                    Found::Container(container) => Opened::Process(container.target),
                    Found::Network(path) => Opened::Network(path),
                });
            }
        };
        let target = Target::of_pid(pid)?;
        let Some(told) = told else { return Ok(Opened::Process(target)) };
        match target.pidfd_inode()? {
            Some(real) if real == told => Ok(Opened::Process(target)),
            Some(real) => Err(Fault::new(format!(
                "cannot enter process {pid}: its pidfd has the inode {real}, not {told}; the pid belongs to another process"
            ))),
            None => Err(Fault::new(format!(
                "cannot enter process {pid}: this kernel gives pidfds no inode of their own, so {told} proves nothing"
            ))),
        }
    }
}
