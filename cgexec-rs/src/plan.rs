//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;

use plumbing::options::Narration;
use plumbing::startup::Parsed;
use plumbing::{Fault, Status, chain};

use crate::options::Options;

/// What to do.
#[derive(Debug)]
pub struct Plan {
    narration: Narration,
    command: Vec<OsString>,
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::options::parse::<Options>(argv)?
            .and_then(|options| Ok(Plan { narration: options.narration, command: options.command }))
    }

    /// Does it. Comes back with the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        self.narration.begin();
        chain::exec(&self.command)
    }
}
