//! `top`: the network namespaces with the most traffic. Changes nothing.
//!
//! The surprise: a packet for a container also passes the other end of its pair, and may be dropped there. So that end
//! belongs to the container here, and is left out of our own namespace.

use std::cmp::Reverse;

use plumbing::command_line::columns::fit;
use plumbing::command_line::units::bytes;
use plumbing::process::top::{self, Manner, Readings};
use plumbing::text::{Text, on_one_line};
use plumbing::{Fault, Status};
use serde::Serialize;

use crate::counters::Counters;
use crate::overview::{self, Contained, Port, Space};

/// What passes in each second, and what is dropped in each second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Rates {
    /// In bytes.
    received_per_second: f64,
    /// In bytes.
    sent_per_second: f64,
    received_packets_per_second: f64,
    sent_packets_per_second: f64,
    /// In packets.
    dropped_per_second: f64,
}

/// A namespace.
#[derive(Debug, Serialize)]
struct Line<'s> {
    #[serde(skip)]
    shown: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    own: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nsid: Option<i32>,
    names: &'s [Text],
    containers: &'s [Contained],
    process_count: usize,
    /// Absent if it was not there at the last reading, or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
    interfaces: Vec<Interface<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'s str>,
}

/// An interface.
#[derive(Debug, Serialize)]
struct Interface<'s> {
    name: &'s str,
    addresses: &'s [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
}

/// By what the namespaces are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Bytes,
    Received,
    Sent,
    Drops,
    Processes,
    Name,
}

/// The order that was chosen by keys.
struct View {
    order: Order,
    is_reversed: bool,
}

/// Shows all namespaces that can be found.
pub fn show(manner: Manner) -> Result<Status, Fault> {
    top::run(&mut View { order: Order::Bytes, is_reversed: false }, manner)
}

impl top::View for View {
    type Reading = Vec<Space>;

    fn read(&self) -> Result<Vec<Space>, Fault> {
        overview::count()
    }

    fn accept(&mut self, key: u8) -> bool {
        self.order = match key {
            b'b' => Order::Bytes,
            b'i' => Order::Received,
            b'o' => Order::Sent,
            b'd' => Order::Drops,
            b'p' => Order::Processes,
            b'n' => Order::Name,
            b'r' => {
                self.is_reversed = !self.is_reversed;
                return true;
            }
            _ => return false,
        };
        true
    }

    fn page(&self, readings: Readings<'_, Vec<Space>>, (columns, most): (usize, usize)) -> String {
        let lines = self.lines(&readings);
        let order = match self.order {
            Order::Bytes => "bytes",
            Order::Received => "in",
            Order::Sent => "out",
            Order::Drops => "drops",
            Order::Processes => "procs",
            Order::Name => "name",
        };
        let mut page = Vec::new();
        if most != usize::MAX {
            let keys = "b bytes i in o out d drops p procs n name r rev q quit";
            page.push(format!("{} namespaces by {order}: {keys}", lines.len()));
        }
        page.push(row(["IN/s", "OUT/s", "PKTIN/s", "PKTOUT/s", "DROP/s", "PROCS"].map(str::to_owned), "NAMESPACE"));
        page.extend(lines.iter().take(most.saturating_sub(2)).map(Line::row));
        page.iter().map(|line| fit(&on_one_line(line), columns) + "\n").collect()
    }

    fn list<'r>(&self, readings: Readings<'r, Vec<Space>>) -> (&'static str, impl Serialize) {
        ("namespaces", self.lines(&readings))
    }
}

impl View {
    fn lines<'r>(&self, readings: &Readings<'r, Vec<Space>>) -> Vec<Line<'r>> {
        let mut lines = lines(readings);
        // Stable: namespaces that are equal stay in the order in which they were found. One key, since each type of key
        // would be a sort of its own in the executable.
        lines.sort_by_cached_key(|line| {
            let name = if self.order == Order::Name { line.shown.clone() } else { String::new() };
            (Reverse(self.figure(line)), name)
        });
        if self.is_reversed {
            lines.reverse();
        }
        lines
    }
}

impl View {
    /// The largest is first.
    fn figure(&self, line: &Line<'_>) -> u64 {
        let rates = line.rates.unwrap_or_default();
        let figure = match self.order {
            Order::Bytes => rates.received_per_second + rates.sent_per_second,
            Order::Received => rates.received_per_second,
            Order::Sent => rates.sent_per_second,
            Order::Drops => rates.dropped_per_second,
            Order::Processes => line.process_count as f64,
            Order::Name => 0.0,
        };
        (figure * 1000.0) as u64
    }
}

fn lines<'r>(readings: &Readings<'r, Vec<Space>>) -> Vec<Line<'r>> {
    let spaces = readings.now;
    // The rates of each interface of each namespace.
    let rates_of = |space: &Space| -> Vec<Option<Rates>> {
        let old = readings.before.iter().find(|old| identity(old) == identity(space));
        let rates = |port: &Port| {
            let before = old?.interfaces.iter().find(|old| old.index == port.index && old.name == port.name)?;
            Some(Rates::of(readings, &port.counters?, &before.counters?))
        };
        space.interfaces.iter().map(rates).collect()
    };
    let rates: Vec<_> = spaces.iter().map(rates_of).collect();
    let line = |(at, space): (usize, &'r Space)| {
        let interface = |(port, rates): (&'r Port, &Option<Rates>)| Interface {
            name: &port.name,
            addresses: &port.addresses,
            rates: *rates,
        };
        Line {
            shown: space.shown(),
            inode: space.inode,
            own: space.own,
            nsid: space.nsid,
            names: &space.names,
            containers: &space.containers,
            process_count: space.process_count,
            rates: sum(spaces, at, &rates),
            interfaces: space.interfaces.iter().zip(&rates[at]).map(interface).collect(),
            unreadable: space.unreadable.as_deref(),
        }
    };
    spaces.iter().enumerate().map(line).collect()
}

fn identity(space: &Space) -> (Option<u64>, Option<i32>) {
    (space.inode, space.nsid.filter(|_| space.inode.is_none()))
}

/// Adds the rates of the interfaces, and what was dropped at the other ends of pairs in our own namespace.
fn sum(spaces: &[Space], at: usize, rates: &[Vec<Option<Rates>>]) -> Option<Rates> {
    let space = &spaces[at];
    let mut sum = Rates::default();
    for (port, rate) in space.interfaces.iter().zip(&rates[at]) {
        let far = port.peer.as_ref().filter(|peer| peer.namespace != at);
        let Some(rate) = rate.filter(|_| !(port.is_repeated || space.own && far.is_some())) else { continue };
        let far = far.filter(|far| spaces[far.namespace].own).and_then(|far| {
            let ports = &spaces[far.namespace].interfaces;
            rates[far.namespace][ports.iter().position(|port| port.name == far.interface)?]
        });
        sum.received_per_second += rate.received_per_second;
        sum.sent_per_second += rate.sent_per_second;
        sum.received_packets_per_second += rate.received_packets_per_second;
        sum.sent_packets_per_second += rate.sent_packets_per_second;
        sum.dropped_per_second += rate.dropped_per_second + far.map_or(0.0, |far| far.dropped_per_second);
    }
    rates[at].iter().any(Option::is_some).then_some(sum)
}

impl Rates {
    fn of(readings: &Readings<'_, Vec<Space>>, now: &Counters, before: &Counters) -> Rates {
        let rate = |now, before| (readings.rate(now, before) * 10.0).round() / 10.0;
        Rates {
            received_per_second: rate(now.received, before.received),
            sent_per_second: rate(now.sent, before.sent),
            received_packets_per_second: rate(now.received_packets, before.received_packets),
            sent_packets_per_second: rate(now.sent_packets, before.sent_packets),
            dropped_per_second: rate(now.dropped, before.dropped),
        }
    }
}

impl Line<'_> {
    fn row(&self) -> String {
        let figure = |of: fn(Rates) -> f64, text: fn(u64) -> String| {
            self.rates.map_or_else(|| "-".to_owned(), |rates| text(of(rates).round() as u64))
        };
        let addresses = self.interfaces.iter().filter(|port| port.name != "lo").flat_map(|port| port.addresses);
        let name = [self.shown.as_str()].into_iter().chain(addresses.map(String::as_str)).collect::<Vec<_>>().join(" ");
        let figures = [
            figure(|rates| rates.received_per_second, bytes),
            figure(|rates| rates.sent_per_second, bytes),
            figure(|rates| rates.received_packets_per_second, |count| count.to_string()),
            figure(|rates| rates.sent_packets_per_second, |count| count.to_string()),
            figure(|rates| rates.dropped_per_second, |count| count.to_string()),
            self.process_count.to_string(),
        ];
        row(figures, &name)
    }
}

fn row([received, sent, packets_in, packets_out, dropped, processes]: [String; 6], name: &str) -> String {
    format!("{received:>7} {sent:>7} {packets_in:>8} {packets_out:>8} {dropped:>7} {processes:>5}  {name}")
}

#[cfg(test)]
mod tests;
