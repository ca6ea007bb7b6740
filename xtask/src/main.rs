//! `cargo xtask`: everything that is done with the five tools short of running them, one file each.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the results are what a task is for")]

mod bench;
mod demo;
mod elf;
mod lint;
mod man;
mod peer_tests;
mod report;
mod row;
mod setup;
mod static_build;
mod suite;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Build, test, show, measure and document the five tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Build the static executables, and check their size and what they are linked with
    Build,
    /// Run every test that this machine and this user can run
    Test(test::Options),
    /// Run the end-to-end rows whose name contains a text, with tools built for debugging
    Row(row::Options),
    /// Write the manual pages and shell completions
    Man(man::Options),
    /// Assemble a container from the five tools, and look around in it
    Demo(demo::Options),
    /// Measure the tools, and containers made of them, beside their peers
    Bench(bench::Options),
    /// Run the tests that util-linux and two coreutils have for what we replace, with ours standing in for it
    PeerTests,
    /// Check format, lints, documentation, manual pages and the rules of the house
    Lint,
    /// Check the rules of the house that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Build => static_build::run(),
        Task::Test(options) => test::run(&options),
        Task::Row(options) => row::run(&options),
        Task::Man(options) => man::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::PeerTests => peer_tests::run(),
        Task::Lint => lint::run_alone(),
        Task::Tidy => tidy::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
