//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use plumbing::namespace::{Kind, KindSet};
use plumbing::options::Narration;
use plumbing::startup::Parsed;
use plumbing::{Fault, Status, chain};

use crate::first_process::Role;
use crate::id_map::IdMap;
use crate::options::{Options, Propagation};
use crate::{first_process, fresh_proc, hold, host_name, id_map, init, propagation, refusal};

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Make namespaces of our own and become the command.
    Run(Run),
    /// Make them around a small init and print a record.
    Hold(Hold),
    /// Be that init; only `--hold` itself asks for this.
    Init(init::Orders),
}

/// The namespaces and what is set up in them.
#[derive(Debug, PartialEq, Eq)]
pub struct Namespaces {
    pub(crate) kinds: KindSet,
    pub(crate) id_map: Option<IdMap>,
    pub(crate) propagation: Propagation,
    pub(crate) hostname: Option<OsString>,
}

/// A command in namespaces of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    narration: Narration,
    namespaces: Namespaces,
    fork: bool,
    kill_child: Option<Signal>,
    mount_proc: Option<PathBuf>,
    command: Vec<OsString>,
}

/// Namespaces held open for a pipeline.
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    narration: Narration,
    pub(crate) namespaces: Namespaces,
    pub(crate) orders: init::Orders,
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        if let Some(orders) = init::Orders::from_argv(&argv) {
            return Ok(Parsed::Plan(Plan::Init(orders)));
        }
        plumbing::options::parse::<Options>(argv)?.and_then(Plan::of)
    }

    fn of(options: Options) -> Result<Plan, Fault> {
        let kinds = options.kinds();
        if options.hostname.is_some() && !kinds.contains(Kind::Uts) {
            return Err(Fault::usage("option '--hostname' sets the name of a new namespace: add --uts"));
        }
        // Told here, because clap waives what an option needs where that excludes something else that was given.
        for (option, is_given) in [("--name", options.name.is_some()), ("--ttl", options.ttl.is_some())] {
            if is_given && !options.hold {
                return Err(Fault::usage(format!("option '{option}' is about a held container: add --hold")));
            }
        }
        let id_map = match (options.map_root_user, options.map_current_user) {
            (true, _) => Some(IdMap::Root),
            (_, true) => Some(IdMap::Current),
            _ => None,
        };
        let namespaces = Namespaces { kinds, id_map, propagation: options.propagation, hostname: options.hostname };
        let narration = options.narration;
        if options.hold {
            let orders = init::Orders { name: options.name.unwrap_or_default(), ttl_ms: options.ttl };
            return Ok(Plan::Hold(Hold { narration, namespaces, orders }));
        }
        Ok(Plan::Run(Run {
            narration,
            namespaces,
            fork: options.fork || options.kill_child.is_some(),
            kill_child: options.kill_child,
            mount_proc: options.mount_proc.map(PathBuf::from),
            command: options.command,
        }))
    }

    /// Does it. Comes back with the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match self {
            Plan::Run(run) => run.apply(),
            Plan::Hold(plan) => {
                plan.narration.begin();
                hold::hold(plan)
            }
            Plan::Init(orders) => init::run(orders),
        }
    }
}

impl Run {
    fn apply(&self) -> Result<Status, Fault> {
        self.narration.begin();
        let caller = id_map::Caller::now();
        let kinds = self.namespaces.kinds;
        if !kinds.is_empty() {
            refusal::explain(kinds, unshare(kinds))?;
        }
        // The new pid and time namespaces hold for children only, so what needs them waits for the fork; and a user
        // namespace without a map has nobody: no file could be made in it.
        if let Some(id_map) = self.namespaces.id_map {
            id_map.write(caller)?;
        }
        if self.fork
            && let Role::Waited(status) = first_process::fork(self.kill_child)?
        {
            return Ok(status);
        }
        set_up(&self.namespaces)?;
        if let Some(dir) = &self.mount_proc {
            fresh_proc::mount(dir)?;
        }
        // Last, and again: a change of credentials or the exec of the id map's helper would have cleared it.
        chain::exec(&self.command_or_shell())
    }

    fn command_or_shell(&self) -> Vec<OsString> {
        if !self.command.is_empty() {
            return self.command.clone();
        }
        vec![std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into())]
    }
}

/// What is done inside the new namespaces, the same for a command and for a held container.
pub(crate) fn set_up(namespaces: &Namespaces) -> Result<(), Fault> {
    if namespaces.kinds.contains(Kind::Mnt) {
        // Before any mount: otherwise it would travel back to the namespace that this one was copied from.
        propagation::set(namespaces.propagation)?;
    }
    if let Some(name) = &namespaces.hostname {
        host_name::set(name)?;
    }
    Ok(())
}

fn unshare(kinds: KindSet) -> Result<(), Fault> {
    let why = format!("own {} namespaces from here on; {}", kinds.names(), manuals(kinds));
    plumbing::kernel::call(
        format!("create the {} namespaces", kinds.names()),
        format!("unshare({})", kinds.flag_names()),
        &why,
        || nix::sched::unshare(kinds.flags()),
    )
}

/// The manual pages of these kinds.
pub(crate) fn manuals(kinds: KindSet) -> String {
    kinds.iter().map(Kind::manual).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Plan, Fault> {
        let argv = std::iter::once(&"unshare-rs").chain(words).map(OsString::from).collect();
        match Plan::parse(argv)? {
            Parsed::Plan(plan) => Ok(plan),
            Parsed::Text(text) => panic!("a plan, not {text}"),
        }
    }

    #[test]
    fn implied_namespaces_are_in_the_plan() {
        let Ok(Plan::Run(run)) = parse(&["-r", "--mount-proc", "--kill-child", "true"]) else { panic!("a plan") };
        assert_eq!(run.namespaces.kinds.names(), "user and mount");
        assert_eq!((run.fork, run.kill_child), (true, Some(Signal::SIGKILL)));
        assert_eq!(run.mount_proc, Some(PathBuf::from("/proc")));
    }

    #[test]
    fn what_contradicts_itself_is_refused_before_anything_happens() {
        for words in [
            &["--hostname", "x", "true"][..],
            &["--hold", "--fork"],
            &["--hold", "true"],
            &["--name", "x"],
            &["--name", "x", "true"],
            &["--ttl", "5", "true"],
            &["--ttl", "soon", "--hold"],
            &["--kill-child=NONE", "true"],
            &["--propagation", "upwards", "true"],
            &["-r", "-c", "true"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
