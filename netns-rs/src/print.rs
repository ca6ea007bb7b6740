//! What the subcommands that report print: lines for a person, or JSON.
//!
//! Names were chosen by others, so they are escaped: no name controls a terminal or begins a line.

use std::os::fd::{AsFd, OwnedFd};

use plumbing::process::startup;
use plumbing::{Fault, Status, json, narrate};

use crate::leftovers::Item;
use crate::name::Name;
use crate::netlink::Netlink;
use crate::nsid;
use crate::show::Network;

/// Prints names as `ip netns list` does: in the directory's order, each with its id if it has one.
pub fn names(names: &[(Name, Option<OwnedFd>)], as_json: bool) -> Result<Status, Fault> {
    let netlink = Netlink::route()?;
    let (mut lines, mut objects) = (String::new(), Vec::new());
    for (name, namespace) in names {
        let id = match namespace {
            Some(namespace) => nsid::of(&netlink, namespace.as_fd())?,
            None => {
                narrate::remark(format_args!("{} is stale: no namespace is mounted on it", name.shown()));
                None
            }
        };
        let mut object = serde_json::json!({"name": name.text()});
        lines.push_str(&name.shown());
        if let Some(id) = id {
            lines.push_str(&format!(" (id: {id})"));
            object["id"] = id.into();
        }
        lines.push('\n');
        objects.push(object);
    }
    startup::print(&if as_json { json::line("the list", &objects)? } else { lines })
}

/// Prints what was removed, or would be.
pub fn leftovers(items: &[Item], as_json: bool) -> Result<Status, Fault> {
    if as_json {
        return startup::print(&json::line("the list", &items)?);
    }
    let lines: String = items.iter().map(|item| format!("{} {}\n", item.kind, item.name)).collect();
    startup::print(&lines)
}

/// Prints the contents of a network namespace.
pub fn network(network: &Network, as_json: bool) -> Result<Status, Fault> {
    startup::print(&if as_json { json::line("what was found", network)? } else { network.to_text() })
}
