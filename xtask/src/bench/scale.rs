//! Whether the time and the memory for one container, or one name, stay the same when there are many of them; and how many
//! containers a second all CPUs together make. Measured on demand only, since it fills the machine.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::containers;
use super::scene::Scene;
use super::table::{Run, Stage};

/// How long a guardian may take to remove its group.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures with a hundredth, a tenth and all of the `items`; prints and returns the results.
pub fn measure(scene: &Scene, items: usize) -> Result<Value> {
    let mut holds = Holds { scene, inits: Vec::new() };
    let mut names = Names { scene, count: 0 };
    println!(
        "\n{:>8}{:>14}{:>14}{:>14}{:>14}{:>14}",
        "items", "ms per hold", "KiB per hold", "find ms", "ms per name", "names ms"
    );
    let mut points = Vec::new();
    for count in [items / 100, items / 10, items].into_iter().filter(|count| *count > 0) {
        let per_hold = holds.grow(count)?;
        let memory = holds.memory()?;
        let find = timed(scene, &["nsenter-rs", "--list", "--containers"])?;
        let per_name = names.grow(count)?;
        let listing = timed(scene, &["netns-rs", "list"])?;
        println!("{count:>8}{per_hold:>14.2}{memory:>14.0}{find:>14.1}{per_name:>14.2}{listing:>14.1}");
        points.push(json!({
            "items": count, "ms_per_hold": per_hold, "kib_per_hold": memory, "find_ms": find, "ms_per_name": per_name,
            "names_ms": listing,
        }));
    }
    drop((holds, names));
    let each = (items / 10).max(10);
    let mut rates = serde_json::Map::new();
    for row in containers::tables(scene)?.into_iter().flat_map(|table| table.rows) {
        let Run::Stages(stages) = row.run else { continue };
        if let [stage] = &stages[..]
            && let Some(rate) = rate(stage, each)
        {
            println!("{:40}{rate:>10.0} a second", row.name);
            rates.insert(row.name, json!(rate));
        }
    }
    Ok(json!({ "points": points, "containers_per_second": rates }))
}

/// Containers that are held at the same time, each with a cgroup of its own.
struct Holds<'a> {
    scene: &'a Scene,
    inits: Vec<i32>,
}

impl Holds<'_> {
    /// Makes holds until there are `count`; returns the milliseconds for each.
    fn grow(&mut self, count: usize) -> Result<f64> {
        let (begin, first) = (Instant::now(), self.inits.len());
        while self.inits.len() < count {
            let name = format!("bench-scale-{}-{}", std::process::id(), self.inits.len());
            let mut hold = Command::new(self.scene.path("bin/unshare-rs"));
            hold.args(["--hold", "--name", &name, "--mount", "--pid", "--ipc", "--uts"]);
            let mut hold = hold.stdout(Stdio::piped()).spawn().context("unshare-rs")?;
            let mut limit = Command::new(self.scene.path("bin/cgexec-rs"));
            limit.args(["--pipe", "--pids", "100"]).stdin(hold.stdout.take().context("no pipe")?);
            let output = limit.output().context("cgexec-rs")?;
            ensure!(hold.wait()?.success() && output.status.success(), "cannot hold container {}", self.inits.len());
            let record: Value = serde_json::from_slice(&output.stdout).context("the record of a container")?;
            self.inits.push(record["init"]["pid"].as_i64().context("no init")?.try_into()?);
        }
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / (count - first) as f64)
    }

    /// Returns the KiB for each container: its init and its guardian, and their share of what several processes map.
    fn memory(&self) -> Result<f64> {
        let guardians = processes()?.into_iter().filter(|pid| is_guardian(*pid));
        let shares = guardians.chain(self.inits.iter().copied()).map(share);
        Ok(shares.sum::<u64>() as f64 / self.inits.len() as f64)
    }

    fn end(&mut self) -> Result<()> {
        for init in self.inits.drain(..) {
            kill(Pid::from_raw(init), Signal::SIGKILL).with_context(|| format!("cannot kill the init {init}"))?;
        }
        let begin = Instant::now();
        while processes()?.into_iter().any(is_guardian) {
            ensure!(begin.elapsed() < PATIENCE, "a guardian does not end");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Holds<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: cannot end the containers: {error:#}");
        }
    }
}

fn processes() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").context("/proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Returns whether a process is a guardian of ours: all of them were started from the files of the scene.
fn is_guardian(pid: i32) -> bool {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    exe.to_string_lossy().contains(&format!("xtask-bench-{}/bin/cgexec-rs", std::process::id()))
}

fn share(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let share = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    share.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// Named network namespaces.
struct Names<'a> {
    scene: &'a Scene,
    count: usize,
}

impl Names<'_> {
    /// Adds names until there are `count`; returns the milliseconds for each.
    fn grow(&mut self, count: usize) -> Result<f64> {
        let (begin, first) = (Instant::now(), self.count);
        while self.count < count {
            self.call("add", self.count)?;
            self.count += 1;
        }
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / (count - first) as f64)
    }

    fn call(&self, verb: &str, number: usize) -> Result<()> {
        let name = format!("bench-scale-{}-{number}", std::process::id());
        let status = Command::new(self.scene.path("bin/netns-rs")).args([verb, &name]).status().context("netns-rs")?;
        if status.success() { Ok(()) } else { bail!("netns-rs {verb} {name}: {status}") }
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        for number in 0..self.count {
            if let Err(error) = self.call("delete", number) {
                eprintln!("xtask: {error:#}");
            }
        }
    }
}

/// Returns the milliseconds of one run.
fn timed(scene: &Scene, words: &[&str]) -> Result<f64> {
    let begin = Instant::now();
    let mut command = Command::new(scene.path(&format!("bin/{}", words[0])));
    let status = command.args(&words[1..]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{}: {status}", words.join(" "));
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}

/// Returns how many containers a second all CPUs make; `None` if the command does not run here.
fn rate(stage: &Stage, each: usize) -> Option<f64> {
    // The last argument of a runtime is the name of the container, which must not be taken.
    let is_named = stage.program.ends_with("crun") || stage.program.ends_with("runc");
    let once = &|worker: usize, number: usize| {
        let mut words = stage.arguments.clone();
        if let Some(name) = words.last_mut().filter(|_| is_named) {
            name.push_str(&format!("-{worker}-{number}"));
        }
        let mut command = Command::new(&stage.program);
        let command = command.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    if !once(workers, 0) {
        return None;
    }
    let begin = Instant::now();
    let all_worked = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || (0..each).all(|number| once(worker, number)))).collect();
        workers.into_iter().all(|worker| worker.join().unwrap_or(false))
    });
    all_worked.then(|| (workers * each) as f64 / begin.elapsed().as_secs_f64())
}
