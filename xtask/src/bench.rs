//! `cargo xtask bench`: what each tool costs beside its peer, and a container beside those of bwrap, crun and runc.
//!
//! Only numbers of one table compare: its commands take turns in one run, from files that were all copied at the same
//! time, on one CPU. Even so other load moves them, the median more than the tenth percentile; least of all the CPU time,
//! which leaves out whatever was waited for.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::{static_build, workspace};
use scene::Scene;
use table::Table;

mod alone;
mod bundle;
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

/// Each by its name on the command line.
const BENCHES: [(&str, Tables); 5] = [
    ("alone", |scene| alone::tables(scene)),
    ("unshare", |scene| unshare::tables(scene)),
    ("enter", enter::tables),
    ("root", |scene| root::table(scene).map(|table| vec![table])),
    ("containers", |scene| containers::tables(scene)),
];

/// The one that gathers a crowd of its own.
const LIST: &str = "list";

/// What `cargo xtask bench` is told.
#[derive(Args)]
pub struct Options {
    /// How often each command is measured
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Let the commands run on every CPU
    #[arg(long)]
    unpinned: bool,
    /// Only this one
    #[arg(value_parser = BENCHES.map(|(name, _)| name).into_iter().chain([LIST]).collect::<Vec<_>>())]
    bench: Option<String>,
}

/// So long the machine rests before a command that changes cgroups: right after another one its wait for the kernel
/// would be over sooner than anybody meets it.
const REST: Duration = Duration::from_millis(50);

/// Builds, measures and prints.
pub fn run(options: &Options) -> Result<ExitCode> {
    let folder = static_build::build()?;
    build_floor()?;
    let mut scene = Scene::set(&folder)?;
    let measured = measure_all(options, &mut scene);
    let removed = scene.strike();
    let goals = measured?;
    removed.context("the bench leaves something behind")?;
    let missed: Vec<_> = goals.iter().filter(|goal| goal.is_met != Some(true)).collect();
    for goal in &goals {
        println!("{goal}");
    }
    match missed.is_empty() {
        true => println!("goals: all {} hold", goals.len()),
        false => println!("goals: {} of {} hold", goals.len() - missed.len(), goals.len()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Like the tools, so that only what it does not do makes the difference. A build of its own: with `--bin` cargo would
/// build no tool.
fn build_floor() -> Result<()> {
    let triple = workspace::release_triple()?;
    let what = ["build", "--release", "--package", "xtask", "--bin", "floor", "--target", &triple];
    workspace::must(workspace::cargo()?.args(what))
}

fn measure_all(options: &Options, scene: &mut Scene) -> Result<Vec<table::Verdict>> {
    let mut tables = Vec::new();
    for (_, bench) in BENCHES.iter().filter(|(name, _)| options.bench.as_ref().is_none_or(|only| only == name)) {
        tables.extend(bench(scene)?);
    }
    let host = host::Host::prepare(!options.unpinned)?;
    println!("{}", host.described());
    if !workspace::is_root()? {
        println!("not root: whatever the kernel refuses to this user is left out");
    }
    let mut goals = Vec::new();
    for table in tables {
        let measured = measure::measure(&table, &host, options.rounds)?;
        print!("{}", table.text(&measured));
        goals.extend(table.verdicts(&measured));
    }
    // It fills the machine, so it comes last.
    if options.bench.as_ref().is_none_or(|only| only == LIST) {
        goals.extend(list::verdicts(scene, &host, options.rounds)?);
    }
    Ok(goals)
}
