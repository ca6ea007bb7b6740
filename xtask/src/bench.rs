//! `cargo xtask bench`: the cost of each tool compared with its peer, and of a container compared with bwrap, crun and runc.
//!
//! Only numbers of one table are comparable: its commands take turns in one run, from files that were all copied at the same
//! time, on one CPU. Even so other load affects them, the median more than the tenth percentile; least of all the CPU time,
//! which does not include waiting.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::{static_build, workspace};
use scene::Scene;
use table::Table;

mod alone;
mod bundle;
mod cgroup;
mod containers;
mod enter;
mod host;
mod list;
mod measure;
mod root;
mod same_calls;
mod scene;
mod table;
mod unshare;

type Tables = fn(&mut Scene) -> Result<Vec<Table>>;

/// The benches, by their names on the command line.
const BENCHES: [(&str, Tables); 6] = [
    ("alone", |scene| alone::tables(scene)),
    ("unshare", |scene| unshare::tables(scene)),
    ("enter", enter::tables),
    ("cgroup", cgroup::tables),
    ("root", |scene| root::table(scene).map(|table| vec![table])),
    ("containers", |scene| containers::tables(scene)),
];

/// The bench that starts many processes.
const LIST: &str = "list";

/// The options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Number of measurements of each command
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Let the commands run on all CPUs
    #[arg(long)]
    unpinned: bool,
    /// Run only this bench
    #[arg(value_parser = BENCHES.map(|(name, _)| name).into_iter().chain([LIST]).collect::<Vec<_>>())]
    bench: Option<String>,
}

/// The pause before a command that changes cgroups: directly after another one its wait for the kernel would be shorter than
/// in practice.
const REST: Duration = Duration::from_millis(50);

/// Builds, measures and prints.
pub fn run(options: &Options) -> Result<ExitCode> {
    let folder = static_build::build()?;
    build_floor()?;
    let mut scene = Scene::set(&folder)?;
    let measured = measure_all(options, &mut scene);
    let removed = scene.strike();
    let goals = measured?;
    removed.context("the bench left something behind")?;
    let missed: Vec<_> = goals.iter().filter(|goal| goal.is_met != Some(true)).collect();
    for goal in &goals {
        println!("{goal}");
    }
    if missed.is_empty() {
        println!("goals: all {} hold", goals.len())
    } else {
        println!("goals: {} of {} hold", goals.len() - missed.len(), goals.len())
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the floor like the tools, so that only the work that it does not do makes the difference. A separate build: with
/// `--bin` cargo would build no tool.
fn build_floor() -> Result<()> {
    let triple = workspace::release_triple()?;
    workspace::must(workspace::release_build(&triple)?.args(["--package", "xtask", "--bin", "floor"]))
}

fn measure_all(options: &Options, scene: &mut Scene) -> Result<Vec<table::Verdict>> {
    let mut tables = Vec::new();
    for (_, bench) in BENCHES.iter().filter(|(name, _)| options.bench.as_ref().is_none_or(|only| only == name)) {
        tables.extend(bench(scene)?);
    }
    let host = host::Host::prepare(!options.unpinned)?;
    println!("{}", host.described());
    if !workspace::is_root()? {
        println!("not root: commands that the kernel refuses to this user are left out");
    }
    let mut goals = Vec::new();
    for table in tables {
        let measured = measure::measure(&table, &host, options.rounds)?;
        print!("{}", table.text(&measured));
        goals.extend(table.verdicts(&measured));
    }
    // It fills the machine with processes, so it comes last.
    if options.bench.as_ref().is_none_or(|only| only == LIST) {
        goals.extend(list::verdicts(scene, &host, options.rounds)?);
    }
    Ok(goals)
}
