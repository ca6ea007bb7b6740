//! `--list` and `--tree`: many groups as a table, as a tree with bars, as a picture, or as JSON. Changes nothing.
//!
//! The surprise: any user who may make a group chooses its name, so it is escaped; and it may be longer than a line, so on a
//! terminal its beginning is cut off.

use plumbing::Fault;
use plumbing::command_line::columns::{aligned, letter_width, padded, width};
use plumbing::command_line::picture::{self, TreeLine};
use plumbing::command_line::units::{bytes, percent};
use plumbing::json;
use plumbing::process::terminal;
use serde::Serialize;

use crate::groups::{Amount, Node};

/// The cells of a bar.
const BAR: usize = 8;

/// Returns the groups as a table, or as one JSON object for each.
pub(crate) fn list(nodes: &[Node], json: bool) -> Result<String, Fault> {
    if json {
        return nodes.iter().map(|node| json::line("the list of cgroups", node)).collect();
    }
    let mut rows = vec![["PROCS", "MEMORY", "MAX", "PIDS", "MAX", "CPU", "MAX", "GROUP"].map(str::to_owned)];
    for node in nodes {
        let [memory, memory_max] = amounts(node.memory, bytes);
        let [pids, pids_max] = amounts(node.pids, |count| count.to_string());
        rows.push([
            node.processes.to_string(),
            memory,
            memory_max,
            pids,
            pids_max,
            node.cpu.as_ref().map_or_else(none, |cpu| time(cpu.usage_usec)),
            cpu_limit(node),
            String::new(),
        ]);
    }
    let mut table = String::new();
    let width_of_line = terminal::columns();
    for (place, line) in aligned(&with_ends(&rows)).lines().enumerate() {
        let start = line.trim_end_matches('|').to_owned();
        let name = if place == 0 { "GROUP".to_owned() } else { state(&nodes[place - 1]) };
        let room = width_of_line.map(|all| all.saturating_sub(width(&start)));
        table += &format!("{start}{}\n", cut(&name, room));
    }
    Ok(table)
}

/// Marks the end of the last column, so that it keeps its width.
fn with_ends(rows: &[[String; 8]]) -> Vec<[String; 8]> {
    let end = |row: &[String; 8]| {
        let mut row = row.clone();
        row[7] = "|".to_owned();
        row
    };
    rows.iter().map(end).collect()
}

fn state(node: &Node) -> String {
    format!("{}{}", node.shown(), if node.is_frozen { " (frozen)" } else { "" })
}

/// Returns the groups as a tree, or as nested JSON.
pub(crate) fn tree(nodes: &[Node], json: bool) -> Result<String, Fault> {
    if json {
        let mut roots = Vec::new();
        let mut rest = nodes;
        while !rest.is_empty() {
            roots.push(branch(&mut rest));
        }
        return roots.iter().map(|root| json::line("the tree of cgroups", root)).collect();
    }
    let names: Vec<String> = in_order(nodes).map(|(depth, name)| format!("{}{name}", "  ".repeat(depth))).collect();
    let columns = terminal::columns();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let room = columns.map_or(longest, |columns| columns.saturating_sub(FIGURES)).max(19);
    let mut text = format!("{} {}\n", padded("GROUP", room), row(&HEADING.map(str::to_owned)));
    for (node, name) in nodes.iter().zip(&names) {
        let line = format!("{} {}", padded(&cut(name, Some(room)), room), figures(node, columns.is_some()));
        text += line.trim_end();
        text.push('\n');
    }
    Ok(text)
}

/// Returns the depth of each group, and its name in the one above it.
fn in_order(nodes: &[Node]) -> impl Iterator<Item = (usize, String)> {
    let mut above: Vec<usize> = Vec::new();
    nodes.iter().enumerate().map(move |(place, node)| {
        while above.last().is_some_and(|parent| !is_inside(node, &nodes[*parent])) {
            above.pop();
        }
        let name = above.last().map_or_else(|| state(node), |parent| name_in(node, &nodes[*parent]));
        above.push(place);
        (above.len() - 1, name)
    })
}

/// Returns the groups as a picture: a bar is the use of the memory limit.
pub(crate) fn picture(nodes: &[Node]) -> String {
    let line = |(node, (depth, text)): (&Node, (usize, String))| TreeLine {
        depth,
        text,
        note: notes(node),
        share: node.memory.and_then(|memory| Some(share(memory.current, memory.max?))),
    };
    picture::tree("Control groups", &nodes.iter().zip(in_order(nodes)).map(line).collect::<Vec<_>>())
}

/// Returns what a group uses, and its limits, in words.
fn notes(node: &Node) -> String {
    let of = |name: &str, amount: Option<Amount>, unit: fn(u64) -> String| {
        let Amount { current, max } = amount?;
        let max = max.map_or_else(String::new, |max| format!(" of {}", unit(max)));
        Some(format!("{name} {}{max}", unit(current)))
    };
    let cpu = node.cpu.as_ref().and_then(|cpu| Some(format!("CPU limit {}", percent(cpu.max.as_deref()?)?)));
    let waiting = node.worst().filter(|(_, share)| *share >= 0.5);
    let processes = match node.processes {
        0 => None,
        1 => Some("1 process".to_owned()),
        number => Some(format!("{number} processes")),
    };
    let all = [
        processes,
        of("memory", node.memory, bytes),
        of("pids", node.pids.filter(|pids| pids.max.is_some()), |count| count.to_string()),
        cpu,
        waiting.map(|(name, share)| format!("waits for {name} {share:.0}%")),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

const HEADING: [&str; 7] = ["PROCS", "MEMORY", "USED", "OF", "PIDS", "CPU", "WAITING"];

fn row([processes, memory, used, of, pids, cpu, waiting]: &[String; 7]) -> String {
    format!("{processes:>5} {memory:>7} {used:<BAR$} {of:>6} {pids:>8} {cpu:>4}  {waiting}")
}

/// The cells of the figures of a tree.
const FIGURES: usize = 61;

fn figures(node: &Node, has_bars: bool) -> String {
    let [memory, of] = amounts(node.memory, bytes);
    let used = node.memory.and_then(|memory| Some(share(memory.current, memory.max?)));
    let used = used.map_or_else(String::new, |share| if has_bars { bar(share, BAR) } else { format!("{share}%") });
    let pids = match node.pids {
        Some(Amount { current, max: Some(max) }) => format!("{current}/{max}"),
        Some(Amount { current, max: None }) => current.to_string(),
        None => none(),
    };
    let waiting = node.worst().filter(|(_, share)| *share >= 0.5);
    let waiting = waiting.map_or_else(String::new, |(name, share)| {
        let bar = if has_bars { format!("{} ", bar(share as u64, 4)) } else { String::new() };
        format!("{bar}{name} {share:.0}%")
    });
    row(&[node.processes.to_string(), memory, used, of, pids, cpu_limit(node), waiting])
}

/// Returns a bar of so many cells for a share of a hundred.
fn bar(share: u64, cells: usize) -> String {
    let full = (share.min(100) as usize * cells).div_ceil(100);
    format!("{}{}", "#".repeat(full), ".".repeat(cells - full))
}

fn share(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

fn is_inside(node: &Node, other: &Node) -> bool {
    let path = |node: &Node| node.group.as_ref().map(|group| group.to_path()).unwrap_or_default();
    path(node).starts_with(path(other))
}

/// Returns the path of a group relative to one above it.
fn name_in(node: &Node, above: &Node) -> String {
    let path = |node: &Node| node.group.as_ref().map(|group| group.to_path()).unwrap_or_default();
    let (path, above) = (path(node), path(above));
    let rest = path.strip_prefix(&above).unwrap_or(&path);
    format!("{}{}", plumbing::text::Text::from(rest).shown(), if node.is_frozen { " (frozen)" } else { "" })
}

/// A group with the groups in it.
#[derive(Serialize)]
struct Branch<'n> {
    #[serde(flatten)]
    node: &'n Node,
    groups: Vec<Branch<'n>>,
}

/// Takes a group with those in it from the front of the list.
fn branch<'n>(rest: &mut &'n [Node]) -> Branch<'n> {
    let (node, mut inner) = (&rest[0], &rest[1..]);
    let mut groups = Vec::new();
    while inner.first().is_some_and(|next| is_inside(next, node)) {
        groups.push(branch(&mut inner));
    }
    *rest = inner;
    Branch { node, groups }
}

fn none() -> String {
    "-".to_owned()
}

/// Returns use and limit.
pub(crate) fn amounts(amount: Option<Amount>, unit: fn(u64) -> String) -> [String; 2] {
    match amount {
        Some(Amount { current, max }) => [unit(current), max.map_or_else(none, unit)],
        None => [none(), none()],
    }
}

/// Returns the CPU limit as a share of one CPU.
pub(crate) fn cpu_limit(node: &Node) -> String {
    node.cpu.as_ref().and_then(|cpu| percent(cpu.max.as_deref()?)).unwrap_or_else(none)
}

fn time(microseconds: u64) -> String {
    match microseconds / 1_000_000 {
        seconds if seconds < 100 => format!("{seconds}.{:02}s", microseconds / 10_000 % 100),
        seconds if seconds < 6000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Cuts off the beginning of a text that needs more room.
pub(crate) fn cut(text: &str, room: Option<usize>) -> String {
    let Some(room) = room.filter(|room| width(text) > *room) else { return text.to_owned() };
    let (mut kept, mut cells) = (Vec::new(), 2);
    for letter in text.chars().rev() {
        cells += letter_width(letter);
        if cells > room {
            break;
        }
        kept.push(letter);
    }
    format!("..{}", kept.iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbing::text::Text;

    fn node(path: &str) -> Node {
        Node { group: Some(Text::from(path)), ..Node::default() }
    }

    #[test]
    fn a_long_name_loses_its_beginning() {
        assert_eq!(cut("/a/b", Some(4)), "/a/b");
        assert_eq!(cut("/box/webserver", Some(8)), "..server");
        assert_eq!(cut("/box", None), "/box");
    }

    #[test]
    fn bars_and_times_are_short() {
        assert_eq!((bar(0, 4), bar(61, 4), bar(400, 4)), ("....".into(), "###.".into(), "####".into()));
        assert_eq!([time(1_234_567), time(130_000_000), time(7_260_000_000)], ["1.23s", "2m10s", "2h01m"]);
    }

    #[test]
    fn groups_are_nested_by_their_paths() {
        let nodes = ["/", "/a", "/a/b", "/a/b/c", "/d"].map(node);
        let tree = serde_json::to_value(branch(&mut &nodes[..])).unwrap();
        assert_eq!(tree["groups"][0]["groups"][0]["groups"][0]["group"], "/a/b/c");
        assert_eq!(tree["groups"][1]["group"], "/d");
        let text = super::tree(&nodes, false).unwrap();
        assert!(text.lines().any(|line| line.starts_with("      c ")), "{text}");
        assert!(text.lines().all(|line| width(line) <= terminal::WIDTH), "{text}");
    }
}
