//! `nsenter-rs --list` compared with `lsns`, on a machine with two thousand more processes in two hundred more namespaces.
//!
//! The processes sleep in groups, each of which shares a mount, a UTS, an IPC and a network namespace; a whole group is
//! killed at the end, and otherwise ends by itself.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use plumbing::process::target::stat_field;

use super::host::Host;
use super::measure;
use super::results::Results;
use super::scene::Scene;
use super::table::{Goal, Row, Run, Stage, Table, Verdict};
use crate::workspace;

/// The title of the table.
pub const TITLE: &str = "listing, with 2000 sleepers";
const GROUPS: usize = 50;
const EACH: usize = 40;
/// The limit of rounds: a run takes a second, so a few are as good as many short ones.
const ROUNDS: u32 = 20;
/// The field of /proc/PID/stat; `proc_pid_stat(5)`.
const PROCESS_GROUP: usize = 5;
const OURS: &str = "nsenter-rs --list";
const PEER: &str = "lsns";

/// Starts the sleepers, measures, and kills them.
pub fn verdicts(scene: &Scene, host: &Host, rounds: u32, results: &mut Results) -> Result<Vec<Verdict>> {
    let rows = vec![
        row(OURS, quiet(scene, "nsenter-rs", "--list"), Some(PEER)),
        row(PEER, quiet(scene, "lsns", ""), None),
        row("nsenter-rs --list -t net", quiet(scene, "nsenter-rs", "--list -t net"), Some("lsns -t net")),
        row("lsns -t net", quiet(scene, "lsns", "-t net"), None),
        row(
            "nsenter-rs --list, all columns",
            quiet(scene, "nsenter-rs", "--list --output-all"),
            Some("lsns, all columns"),
        ),
        row("lsns, all columns", quiet(scene, "lsns", "--output-all"), None),
    ];
    let goals = vec![Goal { row: OURS, than: PEER, at_most: 1.0 }];
    let table = Table { title: TITLE, rest: Duration::ZERO, floor: "none", rows, goals };
    let crowd = Crowd::gather(scene)?;
    let measured = measure::measure(&table, host, rounds.min(ROUNDS));
    crowd.disperse()?;
    let measured = measured?;
    print!("{}", table.text(&measured));
    results.add(&table, &measured);
    Ok(table.verdicts(&measured))
}

fn row(name: &str, run: Run, peer: Option<&'static str>) -> Row {
    Row { name: name.to_owned(), run, peer }
}

/// Returns a command that discards its output, run by a shell.
fn quiet(scene: &Scene, program: &'static str, arguments: &str) -> Run {
    let path = scene.path(&format!("bin/{program}"));
    if !std::path::Path::new(&path).exists() {
        return Run::NotHere(program);
    }
    let line = format!("exec '{path}' {arguments} >/dev/null");
    Run::Stages(vec![Stage { program: "/bin/sh".into(), arguments: vec!["-c".to_owned(), line] }])
}

struct Crowd(Vec<Child>);

impl Crowd {
    fn gather(scene: &Scene) -> Result<Crowd> {
        let mut crowd = Crowd(Vec::new());
        let sleepers = format!("for i in $(seq {}); do sleep 300 & done; exec sleep 300", EACH - 1);
        for _ in 0..GROUPS {
            let mut leader = Command::new(scene.path("bin/unshare-rs"));
            if !workspace::is_root()? {
                leader.args(["--user", "--map-root-user"]);
            }
            leader.args(["--mount", "--uts", "--ipc", "--net", "--", "sh", "-c", &sleepers]);
            leader.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
            crowd.0.push(leader.spawn().context("cannot start unshare-rs")?);
        }
        let patience = Instant::now() + Duration::from_secs(60);
        while crowd.count()? < GROUPS * EACH {
            ensure!(Instant::now() < patience, "the sleepers did not start in time");
            sleep(Duration::from_millis(100));
        }
        Ok(crowd)
    }

    /// Counts the sleepers by their process groups: other processes of the machine may end meanwhile.
    fn count(&self) -> Result<usize> {
        let is_ours = |group: u64| self.0.iter().any(|leader| u64::from(leader.id()) == group);
        let directories = std::fs::read_dir("/proc")?.flatten();
        let stats = directories.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        Ok(stats.filter_map(|stat| stat_field(&stat, PROCESS_GROUP)).filter(|group| is_ours(*group)).count())
    }

    fn disperse(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        for mut leader in self.0.drain(..) {
            killpg(Pid::from_raw(leader.id().cast_signed()), Signal::SIGKILL)?;
            leader.wait()?;
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: cannot kill the sleepers: {error:#}");
        }
    }
}
