//! The executable: parse, then apply, then report. Everything else is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cgexec_rs::plan::Plan;

fn main() -> ExitCode {
    plumbing::startup::run("cgexec-rs", Plan::parse, Plan::apply)
}
