//! `--memory 50%`: a part of the memory that there is for us. `proc_meminfo(5)`.
//!
//! As with systemd, that is the memory of the machine, or less if a cgroup above limits it. The surprise: in a container,
//! /proc/meminfo has the memory of the whole machine.

use plumbing::Fault;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::cgroup::usage::Member;
use plumbing::kernel::look;
use plumbing::process::kernel_text;

const TABLE: &str = "/proc/meminfo";

/// Returns so many thousandths of the memory, in bytes.
pub(crate) fn part(thousandths: u64, hierarchies: &Hierarchies) -> Result<u64, Fault> {
    let goal = "find out how much memory there is";
    let table = look(goal, format!("read({TABLE:?})"), || kernel_text::read(TABLE))?;
    let machine = total(&table).ok_or_else(|| Fault::new(format!("cannot {goal}: {TABLE} has no line MemTotal")))?;
    let mut all = machine;
    if let Some(hierarchy) = hierarchies.of("memory").ok().filter(|hierarchy| hierarchy.is_mounted()) {
        all = above(hierarchy)?.into_iter().fold(all, u64::min);
    }
    Ok((u128::from(all) * u128::from(thousandths) / 1000) as u64)
}

/// Returns the limits of our group and of those above it, as far as they can be seen.
fn above(hierarchy: &Hierarchy) -> Result<Vec<u64>, Fault> {
    let mut limits = Vec::new();
    for path in hierarchy.own_path().ancestors() {
        let Ok(group) = hierarchy.open(path) else { continue };
        limits.extend(Member { controllers: hierarchy.controllers.clone(), group }.memory_limits()?.0);
    }
    Ok(limits)
}

/// Reads `MemTotal:        8147316 kB`.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_memory_of_the_machine_is_in_the_first_line() {
        assert_eq!(super::total("MemTotal:        8147316 kB\nMemFree: 1 kB\n"), Some(8_147_316 << 10));
        assert_eq!(super::total("MemFree: 1 kB"), None);
    }
}
