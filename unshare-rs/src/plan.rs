//! The plan of a command line: parsed first, then applied step by step, in the order that the kernel requires.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use plumbing::command_line::options::Narration;
use plumbing::pipeline::gates::{Gates, Places};
use plumbing::process::exposure::{self, Exposure};
use plumbing::process::namespace::Kind;
use plumbing::process::sealed;
use plumbing::process::startup::Parsed;
use plumbing::{Fault, Status};

use crate::binfmt::Binfmt;
use crate::clock_offsets::ClockOffsets;
use crate::command::Command;
use crate::credentials::{self, Credentials};
use crate::detached::{Handover, Setup};
use crate::first_process::{Role, Tether};
use crate::hold::NewHold;
use crate::mapping::Caller;
use crate::namespaces::{self, Namespaces};
use crate::old_namespaces::{Outside, OutsideWork};
use crate::options::Options;
use crate::reaper::Forked;
use crate::values::Parent;
use crate::{caller, first_process, fresh_proc, hold, init, new_root, reaper, refusal, request};
use plumbing::process::forward::Forward;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) narration: Narration,
    pub(crate) action: Action,
}

/// The ways in which unshare-rs can work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Create namespaces and become the command.
    Run(Box<Run>),
    /// Create namespaces with a small init that keeps them, and print a record.
    Hold(NewHold),
    /// Run as that init; only `--hold` itself asks for this.
    Init(init::Orders),
}

/// A command in new namespaces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) namespaces: Namespaces,
    pub(crate) persist: Vec<(Kind, PathBuf)>,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) offsets: ClockOffsets,
    pub(crate) fork: Option<Forward>,
    pub(crate) kill_child: Option<Signal>,
    pub(crate) die_with_parent: Option<Parent>,
    pub(crate) detach: bool,
    pub(crate) binfmt: Binfmt,
    pub(crate) root: Option<PathBuf>,
    pub(crate) wd: Option<PathBuf>,
    pub(crate) mount_proc: Option<PathBuf>,
    pub(crate) credentials: Credentials,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) init: bool,
    pub(crate) name: Option<OsString>,
    pub(crate) gates: Places,
    pub(crate) command: Command,
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        if let Some(orders) = init::Orders::from_argv(&argv) {
            return Ok(Parsed::Plan(Plan { narration: Narration::default(), action: Action::Init(orders) }));
        }
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(request::plan)
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        match &self.action {
            // The id maps are written through our own /proc.
            Action::Run(run) if run.root.is_some() => Exposure::IMAGE.hiding_itself(),
            Action::Run(_) | Action::Hold(_) => Exposure::NEIGHBORS.hiding_itself(),
            Action::Init(_) => Exposure::NOBODY,
        }
    }

    /// Applies the plan. Returns the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.action {
            Action::Run(run) => run.apply(),
            Action::Hold(new) => hold::hold(new),
            Action::Init(orders) => init::run(orders),
        }
    }
}

impl Run {
    fn apply(&self) -> Result<Status, Fault> {
        let kinds = self.namespaces.kinds;
        // First of all: a later parent would be another process.
        let caller = self.die_with_parent.map(caller::Caller::open).transpose()?;
        if self.init && kinds.contains(Kind::Pid) {
            sealed::ensure(
                "the init keeps running, and the command must not reach a file of the host through /proc/1/exe",
            )?;
        }
        let gates = Gates::take(&self.gates)?;
        let maps = self.namespaces.mapping.resolve(Caller::now(), self.owner.is_some())?;
        let work = OutsideWork { maps: &maps, persist: &self.persist, pid_file: self.pid_file.as_deref() };
        let outside = Outside::start(work, self.fork.is_some())?;
        if let Some(owner) = self.owner {
            credentials::become_owner(owner)?;
        }
        if !kinds.is_empty() {
            refusal::explain(kinds, namespaces::unshare(kinds))?;
        }
        // Only children enter new pid and time namespaces, so the steps that need these come after the fork. The maps
        // come first: without a map every id is the overflow id, so no file can be created.
        maps.prepare("self")?;
        outside.map()?;
        maps.write_inside()?;
        // Before the first child, which enters the time namespace: after that the offsets cannot change.
        self.offsets.write()?;
        let handover = self.detach.then(Handover::open).transpose()?;
        match self.fork()? {
            Role::First(tether) => {
                let mut setup = Setup::of(handover);
                self.become_command(tether, outside, gates, &mut setup).inspect_err(|_| setup.fail())
            }
            Role::Waiting(child) => {
                drop(gates);
                outside.publish(child.pid())?;
                outside.end()?;
                match handover {
                    Some(handover) => handover.leave(*child),
                    None => child.tied_to(caller).wait(false),
                }
            }
        }
    }

    fn fork(&self) -> Result<Role, Fault> {
        let why = match self.fork {
            Some(Forward::Termination) => {
                "the child becomes the command, and TERM and INT are forwarded to it; signalfd(2)"
            }
            _ => "the child is the first process of the new pid namespace, if there is one; pid_namespaces(7)",
        };
        match self.fork {
            Some(forward) => first_process::fork(self.kill_child, forward, why),
            None => Ok(Role::First(Tether::default())),
        }
    }

    /// Finishes the set-up, in the process that becomes the command or its init.
    fn become_command(
        &self,
        tether: Tether,
        outside: Outside<'_>,
        gates: Gates,
        setup: &mut Setup,
    ) -> Result<Status, Fault> {
        self.namespaces.set_up()?;
        self.set_up_files()?;
        // Not the init, which its owner is to enter; it runs from a sealed copy.
        if !self.init {
            exposure::hide_if_exposed()?;
        }
        self.credentials.apply()?;
        if self.credentials.change_identity() {
            tether.tie()?;
        }
        // Namespaces are kept and the pid is published only now, when every step that can fail has succeeded.
        outside.finish()?;
        match self.fork {
            Some(_) => drop(outside),
            None => outside.end()?,
        }
        if self.init {
            drop(tether);
            match reaper::fork(self.kill_child, self.namespaces.kinds, self.name.as_deref())? {
                Forked::Command => {}
                Forked::Init(init) => {
                    drop(gates);
                    setup.close();
                    return init.run();
                }
            }
        }
        exposure::hide_if_exposed()?;
        if self.gates.block.is_some() {
            setup.end();
        }
        gates.pass()?;
        setup.ready();
        self.command.exec()
    }

    fn set_up_files(&self) -> Result<(), Fault> {
        let changes_root = self.root.is_some();
        self.binfmt.before_root(changes_root)?;
        new_root::enter(self.root.as_deref(), self.wd.as_deref())?;
        if let Some(dir) = &self.mount_proc {
            fresh_proc::mount(dir, self.namespaces.propagation, changes_root)
                .map_err(|fault| fresh_proc::explain(fault, self.namespaces.kinds, self.fork.is_some()))?;
        }
        self.binfmt.after_root(changes_root)
    }
}
