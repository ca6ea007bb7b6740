//! `--keep-root`: the command is confined in the root that it has. No step needs a privilege, so it works for every user and
//! in every container. `PR_SET_NO_NEW_PRIVS(2const)`.
//!
//! The surprise: descriptors are kept, as in a plain chroot, and neither Landlock nor a filter applies to what is open
//! already. `--preserve-fds 0` closes them.

use std::path::Path;

use plumbing::pipeline::gates::{Gates, Places};
use plumbing::process::closing::{close_from, end};
use plumbing::{Fault, Status};

use crate::accounts::Accounts;
use crate::command::Command;
use crate::confinement::Confinement;
use crate::identity::IdentityRequest;
use crate::root;

/// A command in the present root.
#[derive(Debug)]
pub(crate) struct Confined {
    pub(crate) identity: IdentityRequest,
    pub(crate) confinement: Confinement,
    /// How many descriptors after the first three are kept; all, if it is not given.
    pub(crate) preserve_fds: Option<u32>,
    pub(crate) gates: Places,
    pub(crate) command: Command,
}

impl Confined {
    /// Confines this process and executes the command, or the caller's shell.
    pub(crate) fn apply(&self) -> Result<Status, Fault> {
        let gates = Gates::take(&self.gates)?;
        self.confinement.read_files()?;
        let identity = self.identity.look_up(&root::open(Path::new("/"))?, &Accounts::default())?;
        identity.warn();
        let process = self.confinement.process(identity, false);
        self.confinement.report_missing_capabilities(&process)?;
        let mut is_closed = false;
        let confined = process.apply(|| {
            gates.pass()?;
            is_closed = self.preserve_fds.is_some();
            self.preserve_fds.map_or(Ok(()), |count| close_from(3_u32.saturating_add(count), None))
        });
        let done = confined.and_then(|()| self.command.exec_or_shell(&process.environment()));
        if is_closed { end(done) } else { done }
    }
}
