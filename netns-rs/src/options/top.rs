//! The options of `top`.

use std::time::Duration;

use clap::Args;
use plumbing::command_line::units;
use plumbing::process::top::{DELAY, Manner};

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print JSON, one line for each refresh
    #[arg(long, short)]
    json: bool,
    /// Print instead of drawing on the terminal
    #[arg(long)]
    batch: bool,
    /// Time between two refreshes; default: 2s
    #[arg(long, value_name = "TIME", value_parser = units::milliseconds)]
    delay: Option<u64>,
    /// Number of refreshes; default: no end
    #[arg(long, value_name = "N", value_parser = units::repetitions)]
    iterations: Option<u64>,
}

impl Top {
    /// Returns how it works.
    pub(crate) fn manner(&self) -> Manner {
        let &Top { json, batch, iterations, .. } = self;
        Manner { delay: self.delay.map_or(DELAY, Duration::from_millis), iterations, batch, json }
    }
}
