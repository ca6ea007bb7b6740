//! What the subcommands that report print: lines for a person, or JSON.
//!
//! Names were chosen by others, so they are escaped: no name controls a terminal or begins a line.

use std::ffi::OsStr;

use plumbing::pipeline::record::Network;
use plumbing::process::startup;
use plumbing::text::Text;
use plumbing::{Fault, Status, json, narrate};
use serde::Serialize;

use crate::leftovers::Item;
use crate::listing::{Named, Numbered, Process};
use crate::show;

/// Prints names as `ip netns list` does: each with its id if it has one.
pub fn names(names: &[Named], as_json: bool) -> Result<Status, Fault> {
    for named in names.iter().filter(|named| named.stale) {
        narrate::remark(format_args!("{} is stale: no network namespace is mounted on it", named.name.shown()));
    }
    let id = |named: &Named| named.id.map(|id| format!(" (id: {id})")).unwrap_or_default();
    list(names, as_json, |named| format!("{}{}", named.name.shown(), id(named)))
}

/// Prints ids as `ip netns list-id` does.
pub fn ids(ids: &[Numbered], as_json: bool) -> Result<Status, Fault> {
    list(ids, as_json, |Numbered { nsid, current, name }| {
        let current =
            current.map(|id| if id < 0 { "current-nsid unassigned ".into() } else { format!("current-nsid {id} ") });
        let name = name.as_ref().map(|name| format!("(iproute2 netns name: {})", name.shown()));
        format!("nsid {nsid} {}{}", current.unwrap_or_default(), name.unwrap_or_default())
    })
}

/// Prints the names of one namespace; an empty line if it has none, as `ip netns identify` does.
pub fn names_of(names: &[Named], as_json: bool) -> Result<Status, Fault> {
    if names.is_empty() && !as_json {
        return startup::print("\n");
    }
    list(names, as_json, |named| named.name.shown())
}

/// Prints processes.
pub fn processes(processes: &[Process], as_json: bool) -> Result<Status, Fault> {
    list(processes, as_json, |process| process.pid.to_string())
}

/// Prints an event of the directory of names.
pub fn event(event: &str, name: &OsStr, as_json: bool) -> Result<Status, Fault> {
    let name = Text(name.to_owned());
    if as_json {
        return startup::print(&json::line("an event", &serde_json::json!({"event": event, "name": name}))?);
    }
    startup::print(&format!("{event} {}\n", name.shown()))
}

fn list<T: Serialize>(items: &[T], as_json: bool, line: impl Fn(&T) -> String) -> Result<Status, Fault> {
    if as_json {
        return startup::print(&json::line("the list", &items)?);
    }
    let lines: String = items.iter().map(|item| line(item) + "\n").collect();
    startup::print(&lines)
}

/// Prints what was removed, or would be.
pub fn leftovers(items: &[Item], as_json: bool) -> Result<Status, Fault> {
    list(items, as_json, |item| format!("{} {}", item.kind, item.name))
}

/// Prints the contents of a network namespace.
pub fn network(network: &Network, as_json: bool) -> Result<Status, Fault> {
    startup::print(&if as_json { json::line("what was found", network)? } else { show::text(network) })
}
