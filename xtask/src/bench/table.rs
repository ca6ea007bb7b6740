//! A table: its rows, the row with which each is compared, and the ratios that the project has promised.

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::measure::Measured;

/// Commands that are measured together.
pub struct Table {
    pub title: &'static str,
    /// The pause before each command.
    pub rest: Duration,
    /// The row that makes the fewest kernel calls for the same result.
    pub floor: &'static str,
    pub rows: Vec<Row>,
    pub goals: Vec<Goal>,
}

/// One command of a table.
pub struct Row {
    pub name: String,
    pub run: Run,
    /// The row with which it is compared, in addition to the floor.
    pub peer: Option<&'static str>,
}

/// The ways to run a row.
pub enum Run {
    /// The stages of a pipeline; mostly one.
    Stages(Vec<Stage>),
    /// The same, in a mount namespace without cgroup v2 next to v1.
    WithoutHybrid(Vec<Stage>),
    /// The program is not installed.
    NotHere(&'static str),
}

/// A program with its full path, and its arguments.
#[derive(Clone)]
pub struct Stage {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// A promise: `row` takes at most this many times as long as `than`.
pub struct Goal {
    pub row: &'static str,
    pub than: &'static str,
    pub at_most: f64,
}

/// The result of a promise; `None` if one of the two does not run here.
pub struct Verdict {
    pub is_met: Option<bool>,
    said: String,
}

impl Table {
    /// Formats the table, aligned.
    pub fn text(&self, measured: &[Measured]) -> String {
        let width =
            self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(self.title.len());
        let floor = self.median(measured, self.floor);
        let mut text = String::new();
        let heads = ["median ms", "p10 ms", "p90 ms", "user ms", "system ms", "x peer", "x floor"]
            .map(|head| format!("{head:>11}"))
            .concat();
        let mut line = |line: String| writeln!(text, "{}", line.trim_end()).unwrap_or_default();
        line(String::new());
        line(format!("{:width$}{heads}", self.title));
        for (row, measured_row) in self.rows.iter().zip(measured) {
            let cells = match measured_row {
                Measured::Times { median, p10, p90, user, system } => {
                    let peer = row.peer.and_then(|peer| self.median(measured, peer));
                    let ratios = [peer.map(|peer| median / peer), floor.map(|floor| median / floor)];
                    let times = [median, p10, p90, user, system].map(|time| Some(*time));
                    [&times[..], &ratios]
                        .concat()
                        .into_iter()
                        .map(|cell| cell.map_or_else(|| format!("{:>11}", "-"), |number| format!("{number:>11.2}")))
                        .collect()
                }
                Measured::Not(why) => format!("  {why}"),
            };
            line(format!("{:width$}{cells}", row.name));
        }
        text
    }

    /// Checks the promises.
    pub fn verdicts(&self, measured: &[Measured]) -> Vec<Verdict> {
        let judge = |goal: &Goal| {
            let Goal { row, than, at_most } = goal;
            let ratio = self.median(measured, row).zip(self.median(measured, than)).map(|(row, than)| row / than);
            let found = ratio.map_or_else(|| "not measured here".to_owned(), |ratio| format!("it is {ratio:.2}"));
            Verdict {
                is_met: ratio.map(|ratio| ratio <= *at_most),
                said: format!("{}: `{row}` at most {at_most} of `{than}`: {found}", self.title),
            }
        };
        self.goals.iter().map(judge).collect()
    }

    fn median(&self, measured: &[Measured], name: &str) -> Option<f64> {
        let place = self.rows.iter().position(|row| row.name == name)?;
        match measured.get(place)? {
            Measured::Times { median, .. } => Some(*median),
            Measured::Not(_) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.is_met {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "open",
        };
        write!(f, "{word:<7}{}", self.said)
    }
}
