//! The executable: parse, then apply, then report. Everything else is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use netns_rs::plan::Plan;

fn main() -> ExitCode {
    plumbing::startup::run("netns-rs", Plan::parse, Plan::apply)
}
