//! `cargo xtask bench`: the cost of each tool compared with its peer, and of a container compared with bwrap, crun and runc.
//!
//! Only numbers of one table are comparable: its commands take turns in one run, from files that were all copied at the same
//! time, on one CPU. Even so other load affects them, the median more than the tenth percentile; least of all the CPU time,
//! which does not include waiting.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{static_build, workspace};
use results::Results;
use scene::Scene;
use serde_json::Value;
use table::Table;

mod alone;
mod bundle;
mod cgroup;
mod chart;
mod containers;
mod enter;
mod host;
mod list;
mod measure;
mod newest;
mod results;
mod root;
mod same_calls;
mod scale;
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
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with the results in this file, which an earlier run has written
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Draw the table of containers, as SVG, into this file
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Measure nothing: compare or draw the results in this file, which an earlier run has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "bench"])]
    from: Option<PathBuf>,
    /// Measure instead how time and memory grow up to this number of containers and names
    #[arg(long, value_name = "ITEMS", conflicts_with_all = ["bench", "compare", "chart", "from"])]
    scale: Option<usize>,
    /// Compare with the peers' newest releases, those of Debian sid, which are downloaded into target/newest
    #[arg(long, conflicts_with = "from")]
    newest: bool,
    /// Run only this bench
    #[arg(value_parser = BENCHES.map(|(name, _)| name).into_iter().chain([LIST]).collect::<Vec<_>>())]
    bench: Option<String>,
}

/// The pause before a command that changes cgroups: directly after another one its wait for the kernel would be shorter than
/// in practice.
const REST: Duration = Duration::from_millis(50);

/// Builds, measures and prints.
pub fn run(options: &Options) -> Result<ExitCode> {
    if let Some(file) = &options.from {
        return Conclusion::of(options)?.draw(&results::read(file)?).map(|()| ExitCode::SUCCESS);
    }
    let conclusion = Conclusion::of(options)?;
    let folder = static_build::build()?;
    build_floor()?;
    let newest = options.newest.then(newest::Newest::fetch).transpose()?;
    let mut scene = Scene::set(&folder, newest)?;
    let measured = match options.scale {
        Some(items) => scale::measure(&scene, items).map(|results| (Vec::new(), results)),
        None => measure_all(options, &mut scene),
    };
    let removed = scene.strike();
    let (goals, results) = measured?;
    removed.context("the bench left something behind")?;
    conclusion.draw(&results)?;
    let missed: Vec<_> = goals.iter().filter(|goal| goal.is_met != Some(true)).collect();
    for goal in &goals {
        println!("{goal}");
    }
    if options.scale.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    if missed.is_empty() {
        println!("goals: all {} hold", goals.len())
    } else {
        println!("goals: {} of {} hold", goals.len() - missed.len(), goals.len())
    }
    Ok(ExitCode::SUCCESS)
}

/// What is done with the results. It is prepared before the measuring, which changes the working directory: a mount namespace
/// is joined.
struct Conclusion {
    json: Option<PathBuf>,
    chart: Option<PathBuf>,
    before: Option<Value>,
    commit: Option<String>,
}

impl Conclusion {
    fn of(options: &Options) -> Result<Conclusion> {
        let place = |file: &Option<PathBuf>| file.as_ref().map(std::path::absolute).transpose();
        Ok(Conclusion {
            json: place(&options.json)?,
            chart: place(&options.chart)?,
            before: options.compare.as_ref().map(|file| results::read(file)).transpose()?,
            commit: results::commit(),
        })
    }

    /// Writes, compares and draws the results, as the options ask for.
    fn draw(&self, results: &Value) -> Result<()> {
        let mut results = results.clone();
        if results["commit"].is_null() {
            results["commit"] = self.commit.clone().into();
        }
        self.json.as_ref().map_or(Ok(()), |file| results::write(file, &results))?;
        if let Some(before) = &self.before {
            print!("{}", results::compared(before, &results));
        }
        if let Some(file) = &self.chart {
            let Some(svg) = chart::svg(&results, containers::TITLE) else { bail!("no container was measured") };
            std::fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Builds the floor like the tools, so that only the work that it does not do makes the difference. A separate build: with
/// `--bin` cargo would build no tool.
fn build_floor() -> Result<()> {
    let triple = workspace::release_triple()?;
    workspace::must(workspace::release_build(&triple)?.args(["--package", "xtask", "--bin", "floor"]))
}

fn measure_all(options: &Options, scene: &mut Scene) -> Result<(Vec<table::Verdict>, Value)> {
    let mut tables = Vec::new();
    for (_, bench) in BENCHES.iter().filter(|(name, _)| options.bench.as_ref().is_none_or(|only| only == name)) {
        tables.extend(bench(scene)?);
    }
    let newest = scene.newest.as_ref();
    // Only now: what the scene is made with may need older libraries.
    newest.map_or(Ok(()), newest::Newest::enter)?;
    let host = host::Host::prepare(!options.unpinned)?;
    let peers = newest.map_or_else(String::new, |newest| format!("; {}", newest.versions));
    let described = host.described() + &peers;
    println!("{described}");
    if !workspace::is_root()? {
        println!("not root: commands that the kernel refuses to this user are left out");
    }
    let (mut goals, mut results) = (Vec::new(), Results::default());
    for table in tables {
        let measured = measure::measure(&table, &host, options.rounds)?;
        print!("{}", table.text(&measured));
        results.add(&table, &measured);
        goals.extend(table.verdicts(&measured));
    }
    // It fills the machine with processes, so it comes last.
    if options.bench.as_ref().is_none_or(|only| only == LIST) {
        goals.extend(list::verdicts(scene, &host, options.rounds, &mut results)?);
    }
    Ok((goals, results.value(&described, options.rounds)))
}
