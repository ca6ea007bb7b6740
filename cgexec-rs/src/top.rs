//! `--top`: the busiest groups, refreshed until a key ends it; or printed again and again with `--batch`. Changes nothing.
//!
//! The surprise: the files have totals only, so the first refresh needs two readings.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::columns::width;
use plumbing::command_line::units::bytes;
use plumbing::process::startup;
use plumbing::{Fault, Status, json};
use serde::Serialize;

use crate::groups::{self, Node};
use crate::listing::{amounts, cpu_limit, cut, terminal};
use crate::terminal::{Input, Screen};

/// How `--top` works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) delay: Duration,
    pub(crate) iterations: Option<u64>,
    pub(crate) batch: bool,
    pub(crate) json: bool,
}

/// The time between the two readings of the first refresh.
const FIRST: Duration = Duration::from_millis(250);

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

/// One refresh, in JSON.
#[derive(Debug, Serialize)]
struct Refresh<'n> {
    /// Seconds since 1970.
    time: f64,
    groups: Vec<Line<'n>>,
}

/// The groups at a time.
struct Reading {
    taken: Instant,
    nodes: Vec<Node>,
}

/// Shows the groups below the own groups of `hierarchies`.
pub(crate) fn show(hierarchies: &Hierarchies, manner: Manner) -> Result<Status, Fault> {
    let mut screen = if manner.batch || manner.json || terminal().is_none() { None } else { Some(Screen::open()?) };
    let mut view = View { order: Order::Cpu, is_reversed: false };
    let mut before = Reading::take(hierarchies)?;
    let mut pause = FIRST.min(manner.delay);
    let mut done = 0;
    loop {
        if let Some(status) = wait(&mut screen, &mut view, &before, pause)? {
            return Ok(status);
        }
        let now = Reading::take(hierarchies)?;
        let mut lines = now.lines(&before);
        view.sort(&mut lines);
        match &mut screen {
            Some(screen) => screen.draw(&view.page(&lines, screen.size()))?,
            None if manner.json => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
                startup::print(&json::line("the cgroups", &Refresh { time, groups: lines })?)?;
            }
            None => {
                startup::print(&view.page(&lines, (terminal().unwrap_or(80), usize::MAX)))?;
            }
        }
        before = now;
        done += 1;
        if manner.iterations.is_some_and(|most| done >= most) {
            return Ok(Status::SUCCESS);
        }
        pause = manner.delay;
    }
}

/// Waits for the next refresh; returns the status if a key or a signal ends the view.
fn wait(
    screen: &mut Option<Screen>,
    view: &mut View,
    before: &Reading,
    pause: Duration,
) -> Result<Option<Status>, Fault> {
    let due = Instant::now() + pause;
    let Some(screen) = screen else {
        std::thread::sleep(pause);
        return Ok(None);
    };
    loop {
        let rest = due.saturating_duration_since(Instant::now());
        match screen.input(rest)? {
            Input::Nothing if rest.is_zero() => return Ok(None),
            Input::Nothing => {}
            Input::End(status) => return Ok(Some(status)),
            Input::Key(b' ') => return Ok(None),
            Input::Key(key) => {
                if view.accept(key) {
                    let mut lines = before.lines(before);
                    view.sort(&mut lines);
                    // The rates come with the next reading.
                    return Ok(None);
                }
            }
        }
    }
}

impl Reading {
    fn take(hierarchies: &Hierarchies) -> Result<Reading, Fault> {
        Ok(Reading { taken: Instant::now(), nodes: groups::read(hierarchies)? })
    }

    fn lines(&self, before: &Reading) -> Vec<Line<'_>> {
        let path = |node: &Node| node.group.as_ref().map(|group| group.to_path()).unwrap_or_default();
        let known: HashMap<PathBuf, &Node> = before.nodes.iter().map(|node| (path(node), node)).collect();
        let seconds = self.taken.duration_since(before.taken).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
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
        self.nodes.iter().map(line).collect()
    }
}

/// The order that was chosen by keys.
struct View {
    order: Order,
    is_reversed: bool,
}

impl View {
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
            text += &format!("{}\n", cut_end(&format!("{} groups by {order}: {keys}", lines.len()), columns));
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

fn cut_end(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
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

    fn reading(taken: Instant, usages: &[(&str, u64)]) -> Reading {
        let node = |(path, usage_usec): &(&str, u64)| Node {
            group: Some(Text::from(*path)),
            cpu: Some(Cpu { usage_usec: *usage_usec, ..Cpu::default() }),
            ..Node::default()
        };
        Reading { taken, nodes: usages.iter().map(node).collect() }
    }

    #[test]
    fn the_busiest_group_is_first_and_lines_fit() {
        let start = Instant::now();
        let before =
            reading(start, &[("/", 0), ("/a", 0), ("/a-very-long-name-that-needs-more-than-the-room-left", 0)]);
        let usages =
            [("/", 1_500_000), ("/a", 500_000), ("/a-very-long-name-that-needs-more-than-the-room-left", 1_000_000)];
        let now = reading(start + Duration::from_secs(2), &usages);
        let mut lines = now.lines(&before);
        let mut view = View { order: Order::Name, is_reversed: false };
        assert!(view.accept(b'c') && !view.accept(b'x'));
        view.sort(&mut lines);
        let shares: Vec<_> = lines.iter().map(|line| line.cpu_percent.unwrap()).collect();
        assert_eq!(shares, [75.0, 50.0, 25.0]);
        let page = view.page(&lines, (80, 24));
        assert!(page.lines().all(|line| width(line) <= 80), "{page}");
        assert_eq!(view.page(&lines, (80, 4)).lines().count(), 4);
    }
}
