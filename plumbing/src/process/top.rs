//! A view that is refreshed until a key ends it, or printed again and again: the loop of every `top`. Changes nothing.
//!
//! The surprise: the kernel has totals only, so the first refresh needs two readings.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::ser::SerializeMap;

use super::startup;
use super::terminal::{self, Input, Screen};
use crate::{Fault, Status, json, narrate};

/// How the view works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// The time between two refreshes.
    pub delay: Duration,
    /// How many refreshes; without a number, they do not end.
    pub iterations: Option<u64>,
    /// Print instead of drawing on the terminal.
    pub batch: bool,
    /// Print JSON.
    pub json: bool,
}

/// The time between two refreshes, if none is given.
pub const DELAY: Duration = Duration::from_secs(2);

/// The time between the two readings of the first refresh.
const FIRST: Duration = Duration::from_millis(250);

/// What is shown.
pub trait View {
    /// The totals at a time.
    type Reading;

    /// Reads the totals.
    fn read(&self) -> Result<Self::Reading, Fault>;

    /// Changes the order; returns whether the key means one.
    fn accept(&mut self, key: u8) -> bool;

    /// Returns lines for a person that fit into this many columns and lines.
    fn page(&self, readings: Readings<'_, Self::Reading>, size: (usize, usize)) -> String;

    /// Returns the name of the list, and the list.
    fn list<'r>(&self, readings: Readings<'r, Self::Reading>) -> (&'static str, impl Serialize);
}

/// Two readings, and the time between them.
#[derive(Debug)]
pub struct Readings<'r, R> {
    /// The earlier one.
    pub before: &'r R,
    /// The later one.
    pub now: &'r R,
    /// The seconds between them.
    pub seconds: f64,
}

impl<R> Readings<'_, R> {
    /// Returns how much a total has grown in each second.
    pub fn rate(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.seconds
    }
}

/// Shows the view.
pub fn run<V: View>(view: &mut V, manner: Manner) -> Result<Status, Fault> {
    let mut taken = Instant::now();
    let mut before = view.read()?;
    let is_drawn = !manner.batch && !manner.json && terminal::columns().is_some();
    let mut screen = if is_drawn { Some(Screen::open()?) } else { None };
    let mut pause = FIRST.min(manner.delay);
    // A dry run ends.
    let iterations = if narrate::is_dry_run() { Some(1) } else { manner.iterations };
    let mut done = 0;
    loop {
        if let Some(status) = wait(&mut screen, view, pause)? {
            return Ok(status);
        }
        let start = Instant::now();
        // What the first reading remarked is not repeated, least of all across the screen.
        let now = narrate::without_remarks(|| view.read())?;
        let seconds = start.duration_since(taken).as_secs_f64().max(0.001);
        show(view, Readings { before: &before, now: &now, seconds }, screen.as_mut(), manner.json)?;
        (before, taken) = (now, start);
        done += 1;
        if iterations.is_some_and(|most| done >= most) {
            return Ok(Status::SUCCESS);
        }
        pause = manner.delay;
    }
}

fn show<V: View>(
    view: &V,
    readings: Readings<'_, V::Reading>,
    screen: Option<&mut Screen>,
    as_json: bool,
) -> Result<(), Fault> {
    match screen {
        Some(screen) => {
            let size = screen.size();
            screen.draw(&view.page(readings, size))
        }
        None if as_json => {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let (name, list) = view.list(readings);
            startup::print(&json::line("the refresh", &Refresh { time, name, list })?).map(drop)
        }
        None => {
            let size = (terminal::columns().unwrap_or(terminal::WIDTH), usize::MAX);
            startup::print(&view.page(readings, size)).map(drop)
        }
    }
}

/// One refresh, in JSON: the seconds since 1970, and the list.
struct Refresh<L> {
    time: f64,
    name: &'static str,
    list: L,
}

impl<L: Serialize> Serialize for Refresh<L> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(2))?;
        members.serialize_entry("time", &self.time)?;
        members.serialize_entry(self.name, &self.list)?;
        members.end()
    }
}

/// Waits for the next refresh; returns the status if a key or a signal ends the view.
fn wait(screen: &mut Option<Screen>, view: &mut impl View, pause: Duration) -> Result<Option<Status>, Fault> {
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
            // The rates come with the next reading.
            Input::Key(key) if view.accept(key) => return Ok(None),
            Input::Key(_) => {}
        }
    }
}
