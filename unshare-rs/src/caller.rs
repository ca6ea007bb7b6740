//! `--die-with-parent`: the command ends with the process that started unshare-rs. `pidfd_open(2)`.
//!
//! The surprise: `PR_SET_PDEATHSIG` would be sent when the *thread* ends that started us, which a program with threads does
//! not notice. A pidfd is readable when the whole process has ended, also if another process gets its pid later.

use std::os::fd::OwnedFd;

use plumbing::Fault;
use plumbing::kernel::look;
use rustix::process::{PidfdFlags, getppid, pidfd_open};

use crate::values::Parent;

/// A pidfd of the process that started us.
pub(crate) struct Caller(OwnedFd);

impl Caller {
    /// Opens our parent. If it has ended before we looked, our parent is init or a subreaper, which does not end: a caller
    /// that knows its pid lets us notice.
    pub(crate) fn open(expected: Parent) -> Result<Caller, Fault> {
        let goal = "watch the caller";
        let Some(parent) = getppid() else {
            return Err(Fault::new(format!("cannot {goal}: it is in another pid namespace (getppid() returned 0)"))
                .with_remedy("start unshare-rs from a process of this pid namespace, such as a shell"));
        };
        if let Parent::Pid(pid) = expected
            && pid != parent.as_raw_nonzero().get()
        {
            let now = format!("our parent is process {parent}, not {pid} as --die-with-parent says");
            return Err(Fault::new(format!("cannot {goal}: it has ended already ({now})")));
        }
        let opened = look(goal, format!("pidfd_open({}, 0)", parent.as_raw_nonzero()), || {
            pidfd_open(parent, PidfdFlags::empty())
        });
        // Another process may have got the pid of a parent that has just ended.
        if getppid() != Some(parent) {
            return Err(Fault::new("cannot continue: the caller has ended in the meantime"));
        }
        opened.map(Caller)
    }

    /// Returns the pidfd.
    pub(crate) fn into_pidfd(self) -> OwnedFd {
        self.0
    }
}
