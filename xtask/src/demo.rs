//! `cargo xtask demo`: a container made with the five tools, on a root with the host's own programs, and a look around in
//! it. The demo runs exactly the line that it prints.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use container::{Rights, Way};

use crate::test::each_line;
use crate::{static_build, workspace};

mod container;

/// The options of `cargo xtask demo`.
#[derive(Args)]
pub struct Options {
    /// Assemble the container with a pipe instead of a chain
    #[arg(long)]
    pipe: bool,
    /// Let every tool print its kernel calls
    #[arg(long)]
    explain: bool,
    /// Use the five tools in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    tools: Option<PathBuf>,
}

/// CAP_NET_ADMIN and CAP_SYS_ADMIN; `capabilities(7)`.
const NEEDED: u64 = 1 << 12 | 1 << 21;
const EVERYBODY: &str = "4294967295";
const LOOK: &str = include_str!("demo/inside.sh");

/// Builds the tools, makes the container, checks it, and leaves nothing behind.
pub fn run(options: &Options) -> Result<ExitCode> {
    let tools = match &options.tools {
        Some(tools) => tools.clone(),
        None => {
            println!("== building the five tools");
            static_build::build()?
        }
    };
    let path = env::join_paths(
        std::iter::once(tools.clone()).chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )?;
    let shell = |line: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).env("PATH", &path);
        shell
    };
    println!("== what this user may do");
    let rights = rights(&shell)?;
    let way = if options.pipe { Way::Pipe } else { Way::Chain };
    let line = |command: &str| container::line(way, rights, options.explain, command);

    println!("== a container\nPATH={}:$PATH", tools.display());
    let look = line(&format!("/bin/sh -c '{}'", LOOK.trim_end().replace('\'', "'\\''")));
    println!("{look}\n== inside");
    let mut seen = Vec::new();
    let is_success = each_line(shell(&look).stdin(Stdio::null()), |line| seen.push(line.to_owned()))?;
    ensure!(is_success, "the container failed");
    check(&seen, way, rights)?;
    if std::io::stdin().is_terminal() {
        println!("== a shell in a container like this one: leave it with exit");
        // Its status is that of the last command, and does not concern the container.
        shell(&line("/bin/sh")).status().context("/bin/sh")?;
    }
    nothing_is_left()?;
    println!("== the container is gone, and nothing of it is left");
    Ok(ExitCode::SUCCESS)
}

/// Tries what only some users may do, and prints what is left out.
fn rights(shell: &impl Fn(&str) -> Command) -> Result<Rights> {
    if is_privileged()? {
        println!("everything");
        return Ok(Rights { is_privileged: true, limits: true, bridge: true });
    }
    println!("new namespaces, with root's privileges in them, through a user namespace");
    let may = |what: &str, line: String| -> Result<bool> {
        let output = shell(&line).stdin(Stdio::null()).output().context("/bin/sh")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().next().unwrap_or("the kernel refused it");
        if output.status.success() {
            println!("{what}")
        } else {
            println!("left out: {what}, because {why}")
        }
        Ok(output.status.success())
    };
    let limits = may("limits of memory and processes", container::limits_alone())?;
    let bridge = may("a network connected to the host's", container::bridge_alone())?;
    Ok(Rights { is_privileged: false, limits, bridge })
}

/// Reports whether this is root of the machine, not root of a container with fewer privileges.
fn is_privileged() -> Result<bool> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
    let status = read("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("/proc/self/status")?;
    let holds = u64::from_str_radix(effective.trim(), 16)? & NEEDED == NEEDED;
    Ok(workspace::is_root()? && holds && read("/proc/self/uid_map")?.trim_end().ends_with(EVERYBODY))
}

/// Demands that the container is as requested.
fn check(seen: &[String], way: Way, rights: Rights) -> Result<()> {
    let mut wanted = vec![format!("host name: {}", container::NAME)];
    if way == Way::Chain || rights.bridge {
        wanted.push("address: 127.0.0.1".to_owned());
    }
    if rights.limits {
        wanted.push(format!("memory limit: {}", container::MEMORY));
        wanted.push(format!("process limit: {}", container::PIDS));
    }
    if rights.bridge {
        wanted.push(format!("address: {}", container::ADDRESS));
    }
    let missing: Vec<_> = wanted.into_iter().filter(|line| !seen.contains(line)).collect();
    ensure!(missing.is_empty(), "not seen inside: {}", missing.join("; "));
    ensure!(seen.iter().any(|line| line.starts_with("uid: 0, ")), "not root inside");
    let processes = seen.iter().filter(|line| line.starts_with("process list: ")).count();
    ensure!((1..=5).contains(&processes), "{processes} processes are visible inside, so not only its own");
    Ok(())
}

/// Demands that objects outside the namespaces are removed. They go after the container's last process, which takes a moment.
fn nothing_is_left() -> Result<()> {
    let bridge = Path::new("/sys/class/net").join(container::BRIDGE);
    let mut left = Vec::new();
    for _ in 0..30 {
        left.clear();
        groups(Path::new("/sys/fs/cgroup"), &mut left);
        left.extend(bridge.exists().then(|| bridge.display().to_string()));
        if left.is_empty() {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!("left on this machine: {}", left.join(", "))
}

/// Lists groups of the container. Groups that vanish meanwhile or cannot be read do not belong to it.
fn groups(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = format!("cgexec-rs-{}", container::NAME);
        if entry.file_name().to_string_lossy().starts_with(&name) {
            found.push(entry.path().display().to_string());
        }
        groups(&entry.path(), found);
    }
}
