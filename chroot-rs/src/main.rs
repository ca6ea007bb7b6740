//! The executable: parse, then apply, then report. Everything else is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use chroot_rs::plan::Plan;

fn main() -> ExitCode {
    plumbing::startup::run("chroot-rs", Plan::parse, Plan::apply)
}
