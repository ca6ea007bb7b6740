//! From options to a plan: adds what options imply, and refuses options that contradict each other. Pure.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use plumbing::Fault;
use plumbing::pipeline::gates::Places;
use plumbing::process::namespace::{Kind, KindSet};

use crate::binfmt::{self, Binfmt};
use crate::clock_offsets::ClockOffsets;
use crate::command::Command;
use crate::credentials::Credentials;
use crate::hold::NewHold;
use crate::init::Orders;
use crate::mapping::{MapRequest, Setgroups, Side, Wanted};
use crate::namespaces::Namespaces;
use crate::options::Options;
use crate::plan::{Action, Plan, Run};
use crate::values;
use plumbing::process::forward::Forward;

/// The longest file name (`NAME_MAX`): a container's name can become a file name.
const LONGEST_NAME: usize = 255;

/// Returns the plan, or a usage error that names the contradiction.
pub(crate) fn plan(options: Options) -> Result<Plan, Fault> {
    let mapping = mapping(&options);
    let kinds = kinds(&options, &mapping);
    check(&options, &mapping, kinds)?;
    let narration = options.narration;
    if !options.hold {
        return Ok(Plan { narration, action: Action::Run(Box::new(run(options, kinds, mapping))) });
    }
    check_hold(&options)?;
    let is_explained = narration.explain || narration.dry_run;
    let orders = Orders { name: options.name.clone().unwrap_or_default(), ttl_ms: options.ttl, is_explained };
    let offsets = offsets(&options);
    let new = NewHold { namespaces: namespaces(options, kinds, mapping), offsets, orders };
    Ok(Plan { narration, action: Action::Hold(new) })
}
fn run(options: Options, kinds: KindSet, mapping: MapRequest) -> Run {
    let clears = options.clear_env || !options.whitelist_env.is_empty();
    let (binfmt, proc_of_binfmt) = binfmt(&options);
    Run {
        persist: persist(&options),
        owner: options.owner,
        offsets: offsets(&options),
        fork: fork(&options),
        kill_child: kill_child(&options),
        die_with_parent: options.die_with_parent,
        detach: options.detach,
        binfmt,
        root: options.root.clone(),
        wd: options.wd.clone(),
        mount_proc: options.mount_proc.clone().or(proc_of_binfmt),
        credentials: Credentials {
            uid: options.setuid,
            gid: options.setgid,
            // The option keeps what a new user namespace gave; without one, nothing was given.
            keep_capabilities: options.keep_caps && kinds.contains(Kind::User),
        },
        pid_file: options.pid_file.clone(),
        init: options.init,
        name: options.name.clone(),
        gates: Places { ready: options.ready_fd, block: options.block_fd, fifo: None },
        command: Command {
            words: options.command.clone(),
            variables: clears.then(|| values::names(&options.whitelist_env)),
        },
        namespaces: namespaces(options, kinds, mapping),
    }
}

fn namespaces(options: Options, kinds: KindSet, mapping: MapRequest) -> Namespaces {
    Namespaces {
        kinds,
        mapping,
        propagation: options.propagation,
        hostname: options.hostname,
        domainname: options.domainname,
    }
}

fn offsets(options: &Options) -> ClockOffsets {
    ClockOffsets { monotonic: options.monotonic, boottime: options.boottime }
}

fn mapping(options: &Options) -> MapRequest {
    let ranges = |own: &[Wanted]| {
        let both = [(options.map_auto, Wanted::Auto), (options.map_subids, Wanted::Subids)];
        own.iter().cloned().chain(both.into_iter().filter_map(|(asked, range)| asked.then_some(range))).collect()
    };
    MapRequest {
        users: Side { single: options.single_ids.user.clone(), ranges: ranges(&options.map_users) },
        groups: Side { single: options.single_ids.group.clone(), ranges: ranges(&options.map_groups) },
        setgroups: options.setgroups,
    }
}

/// Returns the requested kinds of namespaces, with those that other options imply.
fn kinds(options: &Options, mapping: &MapRequest) -> KindSet {
    let mut kinds: KindSet =
        by_kind(options).into_iter().filter_map(|(kind, asked)| asked.is_some().then_some(kind)).collect();
    let has_binfmt = options.mount_binfmt.is_some() || options.load_interp.is_some();
    if options.mount_proc.is_some() || has_binfmt {
        kinds.insert(Kind::Mnt);
    }
    if mapping.implies_user_namespace() || options.owner.is_some() || has_binfmt {
        kinds.insert(Kind::User);
    }
    kinds
}

fn by_kind(options: &Options) -> [(Kind, &Option<Option<PathBuf>>); 8] {
    [
        (Kind::User, &options.user),
        (Kind::Mnt, &options.mount),
        (Kind::Uts, &options.uts),
        (Kind::Ipc, &options.ipc),
        (Kind::Net, &options.net),
        (Kind::Pid, &options.pid),
        (Kind::Cgroup, &options.cgroup),
        (Kind::Time, &options.time),
    ]
}

fn persist(options: &Options) -> Vec<(Kind, PathBuf)> {
    by_kind(options).into_iter().filter_map(|(kind, asked)| Some((kind, asked.clone().flatten()?))).collect()
}

fn fork(options: &Options) -> Option<Forward> {
    match options {
        Options { init: true, .. } => Some(Forward::AllButStops),
        Options { forward_signals: true, .. } => Some(Forward::Termination),
        Options { fork: true, .. } | Options { detach: true, .. } => Some(Forward::Nothing),
        _ => kill_child(options).map(|_| Forward::Nothing),
    }
}

/// Returns the signal with which the command ends together with unshare-rs.
fn kill_child(options: &Options) -> Option<Signal> {
    options.kill_child.or(options.die_with_parent.map(|_| Signal::SIGKILL))
}

/// Returns what to do about binfmt_misc, and the place of the proc file system that it needs if no directory was given.
fn binfmt(options: &Options) -> (Binfmt, Option<PathBuf>) {
    let interpreter = options.load_interp.clone();
    match (&options.mount_binfmt, &interpreter) {
        (Some(Some(dir)), _) => (Binfmt { dir: Some(dir.clone()), interpreter }, None),
        (None, None) => (Binfmt::default(), None),
        _ => (Binfmt { dir: Some(binfmt::DEFAULT.into()), interpreter }, Some("/proc".into())),
    }
}

fn check(options: &Options, mapping: &MapRequest, kinds: KindSet) -> Result<(), Fault> {
    let needs = [
        ("--hostname", options.hostname.is_some(), Kind::Uts, "sets the name of a new namespace: add --uts"),
        ("--domainname", options.domainname.is_some(), Kind::Uts, "sets the name of a new namespace: add --uts"),
        ("--monotonic", options.monotonic.is_some(), Kind::Time, "sets a clock of a new namespace: add --time"),
        ("--boottime", options.boottime.is_some(), Kind::Time, "sets a clock of a new namespace: add --time"),
        ("--setgroups", options.setgroups.is_some(), Kind::User, "applies to a new user namespace: add --user"),
    ];
    if let Some((option, .., what)) = needs.iter().find(|(_, given, kind, _)| *given && !kinds.contains(*kind)) {
        return Err(Fault::usage(format!("option '{option}' {what}")));
    }
    if let Some(name) = &options.name {
        let wrong = |valid| {
            format!("'{}' cannot be the name of a container (--name); {valid}", name.to_string_lossy().escape_debug())
        };
        plumbing::pipeline::name::check(name, LONGEST_NAME).map_err(|valid| Fault::usage(wrong(valid)))?;
    }
    if options.name.is_some() && !options.hold && !options.init {
        return Err(Fault::usage("option '--name' names a hold or an init: add --hold or --init"));
    }
    if options.ttl.is_some() && !options.hold {
        return Err(Fault::usage("option '--ttl' applies to a hold: add --hold"));
    }
    if matches!(options.pid, Some(Some(_))) && fork(options).is_none() {
        return Err(Fault::usage(
            "option '--pid=FILE' keeps a pid namespace, which exists only once it has a first process: add --fork",
        ));
    }
    for (option, side) in [("--map-users", &mapping.users), ("--map-groups", &mapping.groups)] {
        if side.has_contradiction() {
            return Err(Fault::usage(format!("options '{option}' map an id twice: their ranges overlap")));
        }
    }
    // The kernel accepts a gid_map that is written from inside only after setgroups(2) was denied.
    let is_from_inside = mapping.groups.single.is_some() && mapping.groups.ranges.is_empty() && options.owner.is_none();
    if is_from_inside && mapping.setgroups == Some(Setgroups::Allow) {
        return Err(Fault::usage(
            "option '--setgroups=allow' cannot be used with a single mapped group (--map-group, --map-root-user, \
             --map-current-user): the kernel accepts such a map only after 'deny'; map a range with --map-groups",
        ));
    }
    Ok(())
}

/// Refuses options that apply to a command, because a hold has none.
fn check_hold(options: &Options) -> Result<(), Fault> {
    let of_a_command = [
        ("--fork", options.fork),
        ("--kill-child", options.kill_child.is_some()),
        ("--die-with-parent", options.die_with_parent.is_some()),
        ("--forward-signals", options.forward_signals),
        ("--detach", options.detach),
        ("--init", options.init),
        ("--mount-proc", options.mount_proc.is_some()),
        ("--mount-binfmt", options.mount_binfmt.is_some()),
        ("--load-interp", options.load_interp.is_some()),
        ("--root", options.root.is_some()),
        ("--wd", options.wd.is_some()),
        ("--setuid", options.setuid.is_some()),
        ("--setgid", options.setgid.is_some()),
        ("--keep-caps", options.keep_caps),
        ("--clear-env", options.clear_env),
        ("--whitelist-env", !options.whitelist_env.is_empty()),
        ("--owner", options.owner.is_some()),
        ("--pid-file", options.pid_file.is_some()),
        ("--ready-fd", options.ready_fd.is_some()),
        ("--block-fd", options.block_fd.is_some()),
        ("COMMAND", !options.command.is_empty()),
    ];
    if let Some((option, _)) = of_a_command.iter().find(|(_, given)| *given) {
        return Err(Fault::usage(format!("the argument '--hold' cannot be used with '{option}'")));
    }
    match persist(options).first() {
        Some((kind, _)) => Err(Fault::usage(format!(
            "the argument '--hold' cannot be used with '--{}=FILE': the init keeps the namespace alive",
            kind.option()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
