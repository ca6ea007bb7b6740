//! The containers that `unshare-rs --hold` keeps: each init bears the mark of a hold, and its orders, the name among
//! them, in its command line. Nothing of it is on disk.

use plumbing::assembly::has_mark;

use super::claim::Claim;
use super::processes::{HELD_INIT, Process};
use super::{Runtime, Search};

/// What the held inits say.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    let inits = search.processes.iter().filter(|process| process.program == HELD_INIT);
    inits.filter(|init| has_mark(&init.target).unwrap_or(false)).filter_map(of_init).collect()
}

fn of_init(init: &Process) -> Option<Claim> {
    let [_, _, name] = &init.argv[..] else { return None };
    let start_time = Some(init.target.start_time().ok()?);
    Some(Claim { start_time, ..Claim::new(Runtime::Hold, name, init.target.pid(), init.author) })
}
