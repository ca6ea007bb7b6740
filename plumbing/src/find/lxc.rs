//! Containers of LXC (also those of LXD and Incus): the parent of each is a monitor whose command line names it, `[lxc
//! monitor] DIRECTORY NAME`.

use std::ffi::OsString;

use super::claim::{Claim, Group};
use super::processes::{LXC_MONITOR, Process};
use super::{Runtime, Search};

/// Returns the claims of the monitors.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    search.processes.iter().filter_map(of_monitor).collect()
}

fn of_monitor(monitor: &Process) -> Option<Claim> {
    let name: OsString = match monitor.program {
        LXC_MONITOR => {
            // A name contains no space; a directory can.
            let title = monitor.argv.first()?.to_str()?;
            title.strip_prefix(LXC_MONITOR)?.rsplit_once(' ')?.1.into()
        }
        "lxc-start" | "lxc-execute" => monitor.option(&["--name", "-n"])?,
        _ => return None,
    };
    let child = monitor.contained_child()?;
    let start_time = Some(child.start_time().ok()?);
    let group = name.to_str().map(|name: &str| Group::Component(format!("lxc.payload.{name}")));
    Some(Claim { start_time, group, ..Claim::new(Runtime::Lxc, name, child.pid(), monitor.author) })
}
