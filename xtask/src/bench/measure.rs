//! Runs the commands of a table in turn, each round in another order, and measures the time from spawn to the last wait,
//! and as a cross-check the CPU time of all children. posix_spawn(3), wait4(2), getrusage(2).

use std::io::{Read, pipe};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::host::{Host, View};
use super::table::{Run, Stage, Table};

/// The rounds that fill the caches and are not counted.
const WARM_UP: usize = 3;

/// The results of a row, in milliseconds.
pub enum Measured {
    Times {
        median: f64,
        p10: f64,
        p90: f64,
        /// The medians of the CPU time, in programs and in the kernel.
        user: f64,
        system: f64,
    },
    /// It did not run, for this reason.
    Not(String),
}

/// Measures every row that runs here.
pub fn measure(table: &Table, host: &Host, rounds: u32) -> Result<Vec<Measured>> {
    let runs: Vec<_> = table.rows.iter().map(|row| attempt(&row.run, host)).collect();
    let mut times: Vec<Vec<Spent>> = vec![Vec::new(); runs.len()];
    let mut order: Vec<usize> = (0..runs.len()).collect();
    // The same order in each bench.
    let mut dice = fastrand::Rng::with_seed(1);
    for round in 0..WARM_UP + rounds as usize {
        // A command finds in the processor's caches what the previous one left there: it must not always be the same one.
        dice.shuffle(&mut order);
        for &place in &order {
            let Ok((stages, view)) = &runs[place] else { continue };
            sleep(table.rest);
            let time = host.with_view(*view, || once(stages))?;
            let time = time.with_context(|| format!("{} worked at first", table.rows[place].name))?;
            if round >= WARM_UP {
                times[place].push(time);
            }
        }
    }
    let sum_up = |(run, mut times): (Result<_, String>, Vec<Spent>)| match run {
        Err(why) => Measured::Not(why),
        Ok(_) => {
            let middle = times.len() / 2;
            times.sort_unstable_by_key(|spent| spent.user);
            let user = milliseconds(times[middle].user);
            times.sort_unstable_by_key(|spent| spent.system);
            let system = milliseconds(times[middle].system);
            times.sort_unstable_by_key(|spent| spent.wall);
            let wall = |place: usize| milliseconds(times[place].wall);
            let (median, p10, p90) = (wall(middle), wall(times.len() / 10), wall(times.len() * 9 / 10));
            Measured::Times { median, p10, p90, user, system }
        }
    };
    Ok(runs.into_iter().zip(times).map(sum_up).collect())
}

/// The time of one run.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    user: Duration,
    system: Duration,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn attempt<'a>(run: &'a Run, host: &Host) -> Result<(&'a [Stage], View), String> {
    let (stages, view) = match run {
        Run::NotHere(what) => return Err(format!("{what}: not installed")),
        Run::Stages(stages) => (stages, View::Whole),
        Run::WithoutHybrid(stages) => (stages, View::WithoutHybrid),
    };
    first(stages, host, view).map(|()| (stages.as_slice(), view))
}

/// Runs a command for the first time, and returns its error as text.
fn first(stages: &[Stage], host: &Host, view: View) -> Result<(), String> {
    let attempt = || -> Result<()> {
        let (mut reader, writer) = pipe()?;
        let children = host.with_view(view, || start(stages, || Ok(writer.try_clone()?.into())))??;
        drop(writer);
        let ended = wait(children);
        let mut said = String::new();
        reader.read_to_string(&mut said)?;
        ended.with_context(|| said.trim().lines().next().unwrap_or("it printed nothing").to_owned())
    };
    attempt().map_err(|error| format!("does not run here: {error:#}"))
}

fn once(stages: &[Stage]) -> Result<Spent> {
    let ((user, system), begin) = (cpu()?, Instant::now());
    wait(start(stages, || Ok(Stdio::inherit()))?)?;
    let wall = begin.elapsed();
    let after = cpu()?;
    Ok(Spent { wall, user: after.0.saturating_sub(user), system: after.1.saturating_sub(system) })
}

/// Returns the CPU time of all children so far, and of theirs, as far as they were waited for: in programs and in the kernel.
fn cpu() -> Result<(Duration, Duration)> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let [user, system] = [usage.user_time(), usage.system_time()]
        .map(|spent| Duration::from_micros(spent.num_microseconds().cast_unsigned()));
    Ok((user, system))
}

fn start(stages: &[Stage], stderr: impl Fn() -> Result<Stdio>) -> Result<Vec<Child>> {
    let mut before = None;
    let mut children = Vec::new();
    for (place, Stage { program, arguments }) in stages.iter().enumerate() {
        let mut command = Command::new(program);
        command.args(arguments).stderr(stderr()?);
        // A pipe only between stages: opening /dev/null would add to what is measured.
        if let Some(reader) = before.take() {
            command.stdin(Stdio::from(reader));
        }
        if place + 1 < stages.len() {
            let (reader, writer) = pipe()?;
            before = Some(reader);
            command.stdout(writer);
        }
        children.push(command.spawn().with_context(|| format!("cannot start {}", program.display()))?);
    }
    Ok(children)
}

fn wait(children: Vec<Child>) -> Result<()> {
    for mut child in children {
        let status = child.wait()?;
        if !status.success() {
            bail!("{status}");
        }
    }
    Ok(())
}
