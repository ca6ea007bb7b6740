//! `map`: all network namespaces, their interfaces, which of these belong together, and the ports that accept
//! connections: as text, as JSON, for `dot(1)`, or as a picture.
//!
//! Names were chosen by others. So each of the forms escapes them in its own way.

pub mod picture;

use plumbing::command_line::columns::fit;
use plumbing::process::startup;
use plumbing::process::terminal::WIDTH;
use plumbing::text::on_one_line;
use plumbing::{Fault, Status, json};

use crate::overview::{self, Port, Space};

/// The forms of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines for a person.
    Text,
    /// One JSON value.
    Json,
    /// A graph for `dot(1)`.
    Dot,
    /// A picture, in one file.
    Svg,
}

/// The most interfaces of a namespace, and the most of its ports, that are shown to a person.
const SHOWN: usize = 64;

/// Prints the map.
pub fn print(form: Form) -> Result<Status, Fault> {
    let spaces = overview::take()?;
    startup::print(&match form {
        Form::Text => text(&spaces),
        Form::Json => json::line("the map", &spaces)?,
        Form::Dot => dot(&spaces),
        Form::Svg => picture::svg(&spaces),
    })
}

fn text(spaces: &[Space]) -> String {
    spaces.iter().map(|space| section(spaces, space)).collect::<Vec<_>>().join("\n")
}

/// Returns the lines about one namespace.
pub fn section(spaces: &[Space], space: &Space) -> String {
    let mut lines = vec![heading(space)];
    let ports: Vec<_> = space.interfaces.iter().filter(|port| port.name != "lo").collect();
    let is_bridge_here = |name: &String| ports.iter().any(|port| &port.name == name);
    for port in ports.iter().take(SHOWN).filter(|port| !port.bridge.as_ref().is_some_and(is_bridge_here)) {
        lines.push(format!("  {}", port.shown(spaces)));
        let members = ports.iter().take(SHOWN).filter(|member| member.bridge.as_ref() == Some(&port.name));
        lines.extend(members.map(|member| format!("    {}", member.shown(spaces))));
    }
    if ports.len() > SHOWN {
        lines.push(format!("  and {} more interfaces", ports.len() - SHOWN));
    }
    lines.extend(space.listening.iter().take(SHOWN).map(|listening| format!("  listens on {}", listening.shown())));
    if space.listening.len() > SHOWN {
        lines.push(format!("  and {} more ports", space.listening.len() - SHOWN));
    }
    lines.extend(space.unreadable.iter().map(|why| format!("  cannot be read: {why}")));
    lines.iter().map(|line| fit(&on_one_line(line), WIDTH) + "\n").collect()
}

fn heading(space: &Space) -> String {
    let runtimes = space.containers.iter().map(|container| {
        let (name, runtime) = (container.name.shown(), &container.runtime);
        format!("{runtime} {name} (pid {})", container.pid)
    });
    let inode = space.inode.map(|inode| format!("net:[{inode}]"));
    let facts = inode.into_iter().chain([space.reason()]).chain(runtimes.take(4));
    format!("{}: {}", space.shown(), facts.collect::<Vec<_>>().join(", "))
}

impl Port {
    /// Returns the interface with its addresses, and where it leads.
    pub fn shown(&self, spaces: &[Space]) -> String {
        let kind = self.kind.as_ref().filter(|kind| *kind != "veth");
        let mut line = self.name.clone();
        line.extend(kind.iter().map(|kind| format!(" {kind}")));
        line.push_str(&format!(" {}", self.state));
        line.extend(self.addresses.iter().map(|address| format!(" {address}")));
        if let Some(peer) = &self.peer {
            line.push_str(&format!(" -> {} of {}", peer.interface, spaces[peer.namespace].shown()));
        }
        line.extend(self.published.iter().map(|port| format!(" published {port}")));
        line
    }
}

/// Namespaces are boxes, interfaces are nodes in them.
fn dot(spaces: &[Space]) -> String {
    let mut lines = vec!["graph network {".to_owned(), "  node [shape=box]; rankdir=LR;".to_owned()];
    for (at, space) in spaces.iter().enumerate() {
        lines.push(format!("  subgraph cluster_{at} {{"));
        lines.push(format!("    label={};", quoted(&heading(space))));
        for (number, port) in space.interfaces.iter().enumerate() {
            let label = [vec![port.name.clone()], port.addresses.clone()].concat().join("\n");
            lines.push(format!("    n{at}_{number} [label={}];", quoted(&label)));
        }
        lines.push("  }".to_owned());
    }
    let number = |at: usize, name: &str| spaces[at].interfaces.iter().position(|port| port.name == name);
    for (at, space) in spaces.iter().enumerate() {
        for (own, port) in space.interfaces.iter().enumerate() {
            if let Some(bridge) = port.bridge.as_ref().and_then(|bridge| number(at, bridge)) {
                lines.push(format!("  n{at}_{own} -- n{at}_{bridge};"));
            }
            let peer = port.peer.as_ref().and_then(|end| Some((end.namespace, number(end.namespace, &end.interface)?)));
            // Each pair once.
            if let Some((there, peer)) = peer.filter(|peer| (at, own) < *peer) {
                lines.push(format!("  n{at}_{own} -- n{there}_{peer} [style=bold];"));
            }
        }
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

/// A string of dot: a backslash before a letter would mean something there.
fn quoted(text: &str) -> String {
    let lines = text.split('\n').map(|line| on_one_line(line).replace('\\', "\\\\").replace('"', "\\\""));
    format!("\"{}\"", lines.collect::<Vec<_>>().join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"b\\n\u{1b}\nc"), r#""a\"b\\n\\u{1b}\nc""#);
    }
}
