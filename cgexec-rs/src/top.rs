//! `--top`: the busiest groups. Changes nothing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::columns::{fit, width};
use plumbing::command_line::units::bytes;
use plumbing::process::top::{self, Manner, Readings};
use plumbing::{Fault, Status};
use serde::Serialize;

use crate::groups::{self, Node};
use crate::listing::{amounts, cpu_limit, cut};

/// By what the groups are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Cpu,
    Memory,
    Processes,
    Io,
    Waiting,
    Name,
}

/// A group, and what it has used in each second since the last reading.
#[derive(Debug, Serialize)]
struct Line<'n> {
    #[serde(flatten)]
    node: &'n Node,
    /// In percent of one CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    /// In percent of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_per_second: Option<u64>,
}

/// Shows the groups below the own groups of `hierarchies`.
pub(crate) fn show(hierarchies: &Hierarchies, manner: Manner) -> Result<Status, Fault> {
    top::run(&mut Groups { hierarchies, view: View { order: Order::Cpu, is_reversed: false } }, manner)
}

/// The groups, and their order.
struct Groups<'h> {
    hierarchies: &'h Hierarchies,
    view: View,
}

impl top::View for Groups<'_> {
    type Reading = Vec<Node>;

    fn read(&self) -> Result<Vec<Node>, Fault> {
        groups::read(self.hierarchies)
    }

    fn accept(&mut self, key: u8) -> bool {
        self.view.accept(key)
    }

    fn page(&self, readings: Readings<'_, Vec<Node>>, size: (usize, usize)) -> String {
        self.view.page(&self.view.lines(&readings), size)
    }

    fn list<'r>(&self, readings: Readings<'r, Vec<Node>>) -> (&'static str, impl Serialize) {
        ("groups", self.view.lines(&readings))
    }
}

fn lines<'r>(readings: &Readings<'r, Vec<Node>>) -> Vec<Line<'r>> {
    let path = |node: &Node| node.group.as_ref().map(|group| group.to_path()).unwrap_or_default();
    let known: HashMap<PathBuf, &Node> = readings.before.iter().map(|node| (path(node), node)).collect();
    let rate = |now, before| readings.rate(now, before);
    let line = |node| {
        let old: Option<&Node> = known.get(&path(node)).copied();
        let cpu = node.cpu.as_ref().zip(old.and_then(|old| old.cpu.as_ref()));
        let io = node.io.zip(old.and_then(|old| old.io));
        let throttled = cpu.and_then(|(now, old)| now.throttled_usec.zip(old.throttled_usec));
        // Microseconds in each second, as a share of a hundred.
        let percent = |rate: f64| (rate / 1000.0).round() / 10.0;
        Line {
            node,
            cpu_percent: cpu.map(|(now, old)| percent(rate(now.usage_usec, old.usage_usec))),
            throttled_percent: throttled.map(|(now, old)| percent(rate(now, old))),
            read_per_second: io.map(|(now, old)| rate(now.rbytes, old.rbytes) as u64),
            written_per_second: io.map(|(now, old)| rate(now.wbytes, old.wbytes) as u64),
        }
    };
    readings.now.iter().map(line).collect()
}

/// The order that was chosen by keys.
struct View {
    order: Order,
    is_reversed: bool,
}

impl View {
    /// Returns the groups in this order.
    fn lines<'r>(&self, readings: &Readings<'r, Vec<Node>>) -> Vec<Line<'r>> {
        let mut lines = lines(readings);
        self.sort(&mut lines);
        lines
    }

    /// Changes the order; returns whether the key means one.
    fn accept(&mut self, key: u8) -> bool {
        self.order = match key {
            b'c' => Order::Cpu,
            b'm' => Order::Memory,
            b'p' => Order::Processes,
            b'i' => Order::Io,
            b'w' => Order::Waiting,
            b'n' => Order::Name,
            b'r' => {
                self.is_reversed = !self.is_reversed;
                return true;
            }
            _ => return false,
        };
        true
    }

    fn sort(&self, lines: &mut [Line<'_>]) {
        let thousandths = |share: f64| (share * 1000.0) as u64;
        // Stable: groups that are equal stay in the order of their names.
        match self.order {
            Order::Cpu => lines.sort_by_key(|line| Reverse(thousandths(line.cpu_percent.unwrap_or(0.0)))),
            Order::Memory => lines.sort_by_key(|line| Reverse(line.node.memory.map(|memory| memory.current))),
            Order::Processes => lines.sort_by_key(|line| Reverse(line.node.processes)),
            Order::Io => lines.sort_by_key(|line| Reverse(line.io())),
            Order::Waiting => {
                lines.sort_by_key(|line| Reverse(line.node.worst().map(|(_, share)| thousandths(share))));
            }
            Order::Name => lines.sort_by_key(|line| line.node.group.as_ref().map(|group| group.to_path())),
        }
        if self.is_reversed {
            lines.reverse();
        }
    }

    /// Returns the lines that fit into this many columns and lines.
    fn page(&self, lines: &[Line<'_>], (columns, most): (usize, usize)) -> String {
        let order = match self.order {
            Order::Cpu => "CPU",
            Order::Memory => "memory",
            Order::Processes => "procs",
            Order::Io => "disks",
            Order::Waiting => "waiting",
            Order::Name => "name",
        };
        let keys = "c CPU m memory p procs i disks w wait n name r rev q quit";
        let mut text = String::new();
        if most != usize::MAX {
            text += &format!("{}\n", fit(&format!("{} groups by {order}: {keys}", lines.len()), columns));
        }
        text += &format!(
            "{}\n",
            row(["CPU%", "OF", "MEMORY", "OF", "PROCS", "DISK/s", "WAITING"].map(str::to_owned), "GROUP", columns)
        );
        for line in lines.iter().take(most.saturating_sub(2)) {
            text += &format!("{}\n", row(line.figures(), &line.node.shown(), columns));
        }
        text
    }
}

fn row([cpu, cpu_max, memory, memory_max, processes, io, waiting]: [String; 7], name: &str, columns: usize) -> String {
    let start = format!("{cpu:>6} {cpu_max:>6} {memory:>7} {memory_max:>7} {processes:>6} {io:>7} {waiting:>10} ");
    let room = columns.saturating_sub(width(&start));
    format!("{start}{}", cut(name, Some(room)))
}

impl Line<'_> {
    fn io(&self) -> u64 {
        self.read_per_second.unwrap_or(0) + self.written_per_second.unwrap_or(0)
    }

    fn figures(&self) -> [String; 7] {
        let none = || "-".to_owned();
        let [memory, memory_max] = amounts(self.node.memory, bytes);
        let waiting = self.node.worst().filter(|(_, share)| *share >= 0.5);
        [
            self.cpu_percent.map_or_else(none, |percent| format!("{percent:.1}")),
            cpu_limit(self.node),
            memory,
            memory_max,
            self.node.processes.to_string(),
            if self.node.io.is_some() { bytes(self.io()) } else { none() },
            waiting.map_or_else(none, |(name, share)| format!("{name} {share:.0}%")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Cpu;
    use plumbing::text::Text;

    fn nodes(usages: &[(&str, u64)]) -> Vec<Node> {
        let node = |(path, usage_usec): &(&str, u64)| Node {
            group: Some(Text::from(*path)),
            cpu: Some(Cpu { usage_usec: *usage_usec, ..Cpu::default() }),
            ..Node::default()
        };
        usages.iter().map(node).collect()
    }

    #[test]
    fn the_busiest_group_is_first_and_lines_fit() {
        let before = nodes(&[("/", 0), ("/a", 0), ("/a-very-long-name-that-needs-more-than-the-room-left", 0)]);
        let usages =
            [("/", 1_500_000), ("/a", 500_000), ("/a-very-long-name-that-needs-more-than-the-room-left", 1_000_000)];
        let now = nodes(&usages);
        let mut view = View { order: Order::Name, is_reversed: false };
        assert!(view.accept(b'c') && !view.accept(b'x'));
        let lines = view.lines(&Readings { before: &before, now: &now, seconds: 2.0 });
        let shares: Vec<_> = lines.iter().map(|line| line.cpu_percent.unwrap()).collect();
        assert_eq!(shares, [75.0, 50.0, 25.0]);
        let page = view.page(&lines, (80, 24));
        assert!(page.lines().all(|line| width(line) <= 80), "{page}");
        assert_eq!(view.page(&lines, (80, 4)).lines().count(), 4);
    }
}
