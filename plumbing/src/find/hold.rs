//! Containers of `unshare-rs --hold`: each init has the mark of a hold, and in its command line its instructions, which
//! include the name. Nothing is stored on disk. `pid_namespaces(7)`.
//!
//! The surprise: such an init is neither confined nor in the container's cgroup. A command that runs in the
//! container shows how it is confined: see `held_command.rs`.

use crate::Fault;
use crate::cgroup::hierarchy::{Hierarchies, memberships};
use crate::cgroup::usage;
use crate::pipeline::mark::has_mark;
use crate::pipeline::record::Cgroup;
use crate::process::target::Target;

use super::claim::Claim;
use super::processes::{HELD_INIT, Process};
use super::{Runtime, Search};

/// Returns the claims of the held inits.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    let inits = search.processes.iter().filter(|process| process.program == HELD_INIT);
    inits.filter(|init| has_mark(&init.target).unwrap_or(false)).filter_map(of_init).collect()
}

fn of_init(init: &Process) -> Option<Claim> {
    let [_, _, name] = &init.argv[..] else { return None };
    let start_time = Some(init.target.start_time().ok()?);
    Some(Claim { start_time, ..Claim::new(Runtime::Hold, name, init.target.pid(), init.author) })
}

/// Returns the groups that the command is in and the init is not: those that were made for the container.
pub(super) fn groups(init: &Target, command: &Target) -> Result<Option<Cgroup>, Fault> {
    let around = init.read("cgroup")?;
    let is_own = |group: &_| !memberships(around.as_bytes()).any(|it| it == *group);
    let own: Vec<_> = memberships(command.read("cgroup")?.as_bytes()).filter(is_own).collect();
    let places = own.iter().map(|(controllers, path)| {
        let version = if controllers.is_empty() { 2 } else { 1 };
        (version, controllers.as_slice(), path.as_path())
    });
    if own.is_empty() {
        return Ok(None);
    }
    let mut cgroup = usage::name(places)?;
    let hierarchies = Hierarchies::discover()?;
    for (controllers, path) in &own {
        let hierarchy =
            controllers.first().and_then(|controller| hierarchies.v1(controller)).filter(|it| it.is_mounted());
        // Who joins it later finds that one, not another one that has its name by then.
        if let Some(inode) = hierarchy.map(|it| it.inode_with(command, path)).transpose()?.flatten() {
            cgroup.inodes.extend(controllers.iter().map(|controller| (controller.clone(), inode)));
        }
    }
    Ok(Some(cgroup))
}
