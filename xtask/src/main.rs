//! `cargo xtask`: everything that developers do with the five tools except running them, one file for each task.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the results are what a task is for")]

mod bench;
mod book;
mod cross;
mod demo;
mod elf;
mod engines;
mod lesson;
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
    /// Assemble a container from the five tools, and show what it sees
    Demo(demo::Options),
    /// Learn how a container works, by running each kernel mechanism separately
    Lesson(lesson::Options),
    /// Make a book of the lessons, the documents and a reference of the tools, as a static site
    Book(book::Options),
    /// Compare the speed of the tools, and of containers made with them, with their peers
    Bench(bench::Options),
    /// Run containers of docker, containerd and podman by the runtime in shell and by runc, and compare what they show
    Engines(engines::Options),
    /// Run the replaced tools' own tests (util-linux, two coreutils) on our tools
    PeerTests,
    /// Check format, lints, documentation, manual pages and the rules of `tidy`
    Lint,
    /// Check the rules that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Build => static_build::run(),
        Task::Test(options) => test::run(&options),
        Task::Row(options) => row::run(&options),
        Task::Man(options) => man::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Lesson(options) => lesson::run(&options),
        Task::Book(options) => book::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Engines(options) => engines::run(options),
        Task::PeerTests => peer_tests::run(),
        Task::Lint => lint::run_alone(),
        Task::Tidy => tidy::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
