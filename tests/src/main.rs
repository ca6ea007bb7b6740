//! `suite` runs every end-to-end row that applies to this user and this machine, one after the other.
//!
//! It is a static program that needs nothing from the checkout, so the same file runs as root, as an unprivileged
//! user from a copy, and inside a virtual machine. Rows change the machine (namespaces, cgroups, interfaces), which
//! all rows share: that is why they never run in parallel.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the results are what a test run is for")]

mod cgexec;
mod chroot;
mod harness;
mod netns;
mod nsenter;
mod pipeline;
mod project;
mod unshare;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use chroot::landlock_sockets;
use harness::row::{self, Row, Verdict};
use harness::world::World;
use harness::{agreement, need, scan};
use nsenter::{fuse, list};
use project::{older_kernels, transparency};

/// The folders, in the order in which they run: what all other rows need comes first.
const FOLDERS: &[&[&[Row]]] = &[
    project::TOPICS,
    chroot::TOPICS,
    pipeline::TOPICS,
    cgexec::TOPICS,
    netns::TOPICS,
    unshare::TOPICS,
    nsenter::TOPICS,
];

/// Topics that run on the host only.
const HOST_FOLDERS: &[&[&[Row]]] =
    &[project::HOST_TOPICS, chroot::HOST_TOPICS, unshare::HOST_TOPICS, nsenter::HOST_TOPICS, pipeline::HOST_TOPICS];

/// Run the end-to-end tests of the five tools. The tools come from the directory that the variable TOOLS names, or else
/// from the directory of this program.
#[derive(Parser)]
#[command(name = "suite", version)]
struct Options {
    /// List the rows that would run, and run none
    #[arg(long)]
    list: bool,
    /// Assume that this is the project's own virtual machine
    #[arg(long)]
    in_vm: bool,
    /// Assume that this is the project's own virtual machine whose process 1 is systemd
    #[arg(long, requires = "in_vm")]
    under_systemd: bool,
    /// Fail a row whose need is not met
    #[arg(long)]
    deny_skips: bool,
    /// Run rows that failed once more, after all others, unless more than three failed
    #[arg(long)]
    second_run: bool,
    /// In rows with a table of cases, run only the cases that contain this text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    case: Option<String>,
    /// Try to create this kind of namespace, and exit
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    probe: Option<need::Probe>,
    /// Print the state of this process and its environment, and exit
    #[arg(long, hide = true, value_name = "ARGUMENT", num_args = 0.., allow_hyphen_values = true)]
    look: Option<Vec<std::ffi::OsString>>,
    /// Keep a thread of this process in a new uts namespace until stdin ends
    #[arg(long, hide = true)]
    apart: bool,
    /// Serve a FUSE file system that answers no write, in this directory
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    fuse: Option<std::path::PathBuf>,
    /// Print inherited state of this process that /proc does not show, and exit
    #[arg(long, hide = true)]
    show_inherited: bool,
    /// Truncate a file without opening it for writing, and print the result
    #[arg(long, hide = true, value_name = "FILE")]
    truncate: Option<std::path::PathBuf>,
    /// Try to reach sockets, and print the results
    #[arg(long, hide = true, value_name = "SOCKET", num_args = 1..)]
    reach: Vec<String>,
    /// Execute a command, with signals blocked and an odd environment
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true, value_name = "COMMAND")]
    hand_on: Vec<std::ffi::OsString>,
    /// Run only rows whose name contains this text, or one of several with | between
    filter: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.look.is_some() {
        // It reports the state at its start: the library under test sets SIGCHLD for itself.
        plumbing::process::inherited::hand_on();
        return agreement::look();
    }
    if let Some(probe) = options.probe {
        return probe.run();
    }
    if options.apart {
        return list::live_apart();
    }
    if let Some(path) = options.truncate {
        return older_kernels::truncate_file(&path);
    }
    if let Some(place) = options.fuse {
        return fuse::serve(&place);
    }
    if options.show_inherited {
        return transparency::show_inherited();
    }
    if !options.reach.is_empty() {
        return landlock_sockets::reach(&options.reach);
    }
    if !options.hand_on.is_empty() {
        return transparency::hand_on(&options.hand_on);
    }
    match World::new(options.in_vm, options.under_systemd, options.case.clone()) {
        Ok(world) => run(&options, &world),
        Err(error) => {
            eprintln!("suite: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The time in which everything that a row started has to end after the row.
const GRACE: Duration = Duration::from_secs(10);

/// If more rows than this fail, the cause is not a machine that was busy for a moment.
const MOST_UNSTEADY: usize = 3;

fn run(options: &Options, world: &World) -> ExitCode {
    let wanted = |row: &&Row| match &options.filter {
        None => !row.is_asked_for(),
        Some(text) => text.split('|').any(|part| row.name.contains(part)),
    };
    let host = if world.in_vm { &[][..] } else { HOST_FOLDERS };
    let rows = FOLDERS
        .iter()
        .chain(host)
        .copied()
        .flatten()
        .copied()
        .flatten()
        .filter(|row| row.applies_to(world))
        .filter(wanted);
    if options.list {
        rows.for_each(|row| println!("{}", row.name));
        return ExitCode::SUCCESS;
    }
    row::keep_panics_quiet();
    // When the first thread starts, the C library makes later children ignore one of its own signals: so a thread starts now,
    // before the first row, and all rows see the same.
    std::thread::spawn(|| ()).join().ok();
    let mut results = Results::default();
    rows.for_each(|row| results.run(row, options, world));
    if options.second_run && results.failed.len() <= MOST_UNSTEADY {
        results.run_failed_again(options, world);
    }
    results.failed.iter().for_each(|row| println!("failed: {}", row.name));
    println!("suite: {} passed, {} failed, {} skipped", results.passed, results.failed.len(), results.skipped);
    if results.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The results of the rows that have run.
#[derive(Default)]
struct Results {
    passed: usize,
    failed: Vec<&'static Row>,
    skipped: usize,
}

impl Results {
    fn run(&mut self, row: &'static Row, options: &Options, world: &World) {
        let (start, cases) = (Instant::now(), world.cases_chosen());
        match row.run(world).unless(&scan::descendants_after(GRACE)) {
            // None of its cases contains the text of `--case`, so it has shown nothing.
            Verdict::Passed if world.case.is_some() && world.cases_chosen() == cases => {}
            Verdict::Passed => {
                println!("ok {} ({:.2} s)", row.name, start.elapsed().as_secs_f32());
                self.passed += 1;
            }
            Verdict::Skipped(reason) if !options.deny_skips => {
                println!("skip {}: {reason}", row.name);
                self.skipped += 1;
            }
            Verdict::Failed(text) | Verdict::Skipped(text) => {
                println!("FAILED {}", row.name);
                text.lines().for_each(|line| println!("    {line}"));
                self.failed.push(row);
                scan::end_descendants();
            }
        }
    }

    fn run_failed_again(&mut self, options: &Options, world: &World) {
        for row in std::mem::take(&mut self.failed) {
            let failures = self.failed.len();
            self.run(row, options, world);
            if self.failed.len() == failures {
                println!("unsteady: {}", row.name);
            }
        }
    }
}
