//! Verbs for a group that exists: freezing, thawing, killing, moving processes into it, reclaiming its memory, setting its
//! limits, removing it. `cgroups(7)`.
//!
//! Each waits until the kernel has done it: a write to `cgroup.freeze` or `cgroup.kill` only begins it, and an event
//! reports the end. The surprise: v1's freezer reports nothing, and may stay in the state FREEZING for long.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::kernel::look;
use plumbing::{Fault, narrate};

use crate::ending::{self, Members};
use crate::limit_set::Limits;
use crate::refusal::explain;
use crate::supervise::{open_events, wait_for};
use crate::walk::{Go, Step, present, too_late, walk};
use crate::{ephemeral, removal, sites};

/// What to do with a group.
#[derive(Debug)]
pub(crate) enum Verb {
    /// `--freeze`
    Freeze,
    /// `--thaw`
    Thaw,
    /// `--kill`
    Kill,
    /// `--move`, with the pids.
    Move(Vec<i32>),
    /// `--reclaim`, with the number of bytes.
    Reclaim(u64),
    /// `--remove`
    Remove,
    /// The limits alone.
    Set(Limits),
}

/// Applies a verb to the own groups of `hierarchies`, and waits until it is done, but not after `deadline`.
pub(crate) fn apply(verb: &Verb, hierarchies: &Hierarchies, deadline: Instant) -> Result<(), Fault> {
    let members = Members::of_own(hierarchies)?;
    match verb {
        Verb::Freeze => refuse_own(&members, "freeze").and_then(|()| freeze(&members, true, deadline)),
        Verb::Thaw => freeze(&members, false, deadline),
        Verb::Kill => refuse_own(&members, "kill").and_then(|()| kill(&members, deadline)),
        Verb::Move(pids) => pids.iter().try_for_each(|pid| move_process(&members, *pid)),
        Verb::Reclaim(bytes) => reclaim(&members, *bytes),
        Verb::Remove => remove(&members, deadline),
        Verb::Set(limits) => set(limits, hierarchies),
    }
}

/// Refuses a group that we are in: nobody would thaw us, and a shell that is killed with its group is no answer.
fn refuse_own(members: &Members, what: &str) -> Result<(), Fault> {
    let ours = Hierarchies::discover()?;
    for member in members.iter() {
        let of_member = |hierarchy: &&Hierarchy| {
            hierarchy.version == member.group.version && hierarchy.controllers == member.controllers
        };
        if ours.iter().find(of_member).is_some_and(|own| own.own_path().starts_with(member.group.path())) {
            let shown = member.group.shown().display();
            return Err(Fault::new(format!("cannot {what} {shown}: this process is in it; start from another cgroup")));
        }
    }
    Ok(())
}

/// Returns the directory in the hierarchy of v1's freezer.
fn v1_freezer(members: &Members) -> Option<&Group> {
    members.iter().find(|member| member.group.version == 1 && member.serves("freezer")).map(|member| &member.group)
}

fn freeze(members: &Members, wanted: bool, deadline: Instant) -> Result<(), Fault> {
    match (members.v2(), v1_freezer(members)) {
        (None, None) => Err(Fault::new(
            "cannot freeze the cgroup: it is neither in the cgroup v2 hierarchy nor in that of v1's freezer",
        )),
        (v2, v1) => {
            v2.map_or(Ok(()), |group| freeze_v2(group, wanted, deadline))?;
            v1.map_or(Ok(()), |group| freeze_v1(group, wanted, deadline))
        }
    }
}

fn freeze_v2(group: &Group, wanted: bool, deadline: Instant) -> Result<(), Fault> {
    let (value, why) = if wanted {
        ("1", "no process of the group and of the groups in it runs any more; cgroups(7)")
    } else {
        ("0", "the processes of the group continue, unless a group above is frozen")
    };
    group.write("cgroup.freeze", value, why).map_err(|fault| explain(fault, group, "cgroup.freeze"))?;
    await_event(group, if wanted { b"frozen 1" } else { b"frozen 0" }, deadline)
}

fn freeze_v1(group: &Group, wanted: bool, deadline: Instant) -> Result<(), Fault> {
    let state = if wanted { "FROZEN" } else { "THAWED" };
    let why = "v1's freezer; cgroups(7)";
    group.write("freezer.state", state, why).map_err(|fault| explain(fault, group, "freezer.state"))?;
    poll_until(group, deadline, || Ok(group.read("freezer.state")? == state))
}

/// Thaws the groups inside that were frozen on their own: thawing the group does not thaw them.
fn thaw_inner(freezer: &Group, deadline: Instant) -> Result<(), Fault> {
    walk(freezer, Some(deadline), |step| {
        if let Step::Down(group) = step
            && group.read("freezer.self_freezing")? == "1"
        {
            group.write("freezer.state", "THAWED", "it was frozen on its own; v1's freezer")?;
        }
        Ok(Go::On)
    })
}

/// Kills all processes of a group. A process that waited for the group to become empty, such as a guardian, may remove the
/// directory of one hierarchy meanwhile; the processes of the others are killed nevertheless.
fn kill(members: &Members, deadline: Instant) -> Result<(), Fault> {
    if let Some(freezer) = v1_freezer(members) {
        present(kill_frozen(freezer, deadline))?;
    }
    present(ending::kill(members, "as --kill asks", Some(deadline)))?;
    for group in members.iter().map(|member| &member.group) {
        present(kill_rest(group, deadline))?;
    }
    Ok(())
}

/// Kills what v1's freezer has frozen, which dies only when it is thawed; with the signal pending, it does nothing else.
fn kill_frozen(freezer: &Group, deadline: Instant) -> Result<(), Fault> {
    ending::signal_listed(freezer, Signal::SIGKILL, "as --kill asks", Some(deadline))?;
    freeze_v1(freezer, false, deadline)?;
    thaw_inner(freezer, deadline)
}

/// Waits until no process is in the group; v1 kills only those that are listed.
fn kill_rest(group: &Group, deadline: Instant) -> Result<(), Fault> {
    if group.version == 2 {
        return await_event(group, b"populated 0", deadline);
    }
    ending::kill_listed(group, "as --kill asks", Some(deadline))?;
    poll_until(group, deadline, || Ok(removal::any_member(group, Some(deadline))?.is_none()))
}

/// Waits until `cgroup.events` has this line.
fn await_event(group: &Group, line: &[u8], deadline: Instant) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let events = open_events(group)?;
    loop {
        let text = group.read("cgroup.events")?;
        if text.as_bytes().split(|byte| *byte == b'\n').any(|found| found == line) {
            return Ok(());
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(too_late(group, &String::from_utf8_lossy(line)));
        }
        // Reading it through this descriptor makes it ready for the next event.
        let mut buffer = [0; 256];
        let goal = format!("watch {}", group.shown().display());
        look(goal, "pread(cgroup.events)", || rustix::io::pread(&events, &mut buffer[..], 0))?;
        wait_for(&[(events.as_fd(), PollFlags::POLLPRI)], Some(rest.min(Duration::from_millis(200))))?;
    }
}

fn poll_until(group: &Group, deadline: Instant, mut is_done: impl FnMut() -> Result<bool, Fault>) -> Result<(), Fault> {
    while !narrate::is_dry_run() && !is_done()? {
        if Instant::now() >= deadline {
            return Err(too_late(group, "the change"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn move_process(members: &Members, pid: i32) -> Result<(), Fault> {
    for member in members.iter() {
        let why = "the whole process moves, with all its threads; cgroups(7)";
        let moved = member.group.write("cgroup.procs", &pid.to_string(), why);
        moved.map_err(|fault| explain(fault, &member.group, "cgroup.procs"))?;
    }
    Ok(())
}

fn reclaim(members: &Members, bytes: u64) -> Result<(), Fault> {
    let has_file =
        |group: &&Group| removal::files(group).is_ok_and(|files| files.iter().any(|it| it == "memory.reclaim"));
    let Some(group) = members.v2().filter(has_file) else {
        return Err(Fault::new(
            "cannot reclaim memory: the group has no memory.reclaim, which needs the memory controller of cgroup v2 and \
             Linux 5.19",
        ));
    };
    let reclaimed = group.write("memory.reclaim", &bytes.to_string(), "the kernel gives up page cache, or swaps out");
    reclaimed.map_err(|fault| match fault.errno() {
        Some(Errno::EAGAIN) => fault.with_remedy("less than that could be reclaimed; the rest is in use"),
        _ => explain(fault, group, "memory.reclaim"),
    })
}

/// Removes the group from each hierarchy, with the empty groups in it.
fn remove(members: &Members, deadline: Instant) -> Result<(), Fault> {
    // All of them are checked before the first is removed.
    for member in members.iter() {
        let shown = member.group.shown().display();
        if let Some(pid) = removal::any_member(&member.group, Some(deadline))? {
            let who = if pid > 0 { format!("process {pid}") } else { "a process that we do not see".to_owned() };
            let fault = Fault::new(format!("cannot remove {shown}: {who} is in it"));
            return Err(fault.with_remedy("end its processes with --kill, or move them with --move"));
        }
        if member.group.path().parent().is_none() {
            return Err(Fault::new(format!("cannot remove {shown}: it is the root of its hierarchy")));
        }
    }
    for (member, parent) in members.with_parents()? {
        let name: OsString = member.group.path().file_name().unwrap_or_default().to_owned();
        // Another process may remove it first.
        present(removal::remove_tree(&parent, &name, &member.group, Some(deadline)))?;
    }
    Ok(())
}

/// Sets limits of the group, each in the hierarchy of its controller.
fn set(limits: &Limits, groups: &Hierarchies) -> Result<(), Fault> {
    let all = Hierarchies::discover()?;
    let limits = limits.clone().resolved(&all)?;
    let mut settings = Vec::new();
    for controller in limits.controllers() {
        let hierarchy = sites::hierarchy_of(&all, &controller)?;
        let Some(own) = groups.iter().find(|known| known.controllers == hierarchy.controllers) else {
            return Err(Fault::new(format!(
                "cannot set a limit of the {controller} controller: the group is not in the {} hierarchy",
                hierarchy.name()
            )));
        };
        let program = limits.programs(&controller).filter(|_| own.version == 2);
        let reset = limits.reset_v1(&controller).filter(|_| own.version == 1);
        let new = limits.settings(&controller, own.version)?;
        let all = reset.into_iter().chain(new).collect::<Vec<_>>();
        settings.push((own.open(own.own_path())?, all, program));
    }
    for (group, settings, program) in &settings {
        settings.iter().try_for_each(|setting| ephemeral::apply(group, setting))?;
        program.iter().try_for_each(|program| program.replace(group))?;
    }
    Ok(())
}
