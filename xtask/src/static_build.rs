//! `cargo xtask build`: builds the five tools as they are shipped, and checks that each is small, needs no other file, and
//! loads nothing at run time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::elf;
use crate::report::Report;
use crate::workspace::{self, TOOLS};

const MEGABYTE: f64 = 1_000_000.0;

/// Builds, and prints the folder.
pub fn run() -> Result<ExitCode> {
    let mut report = Report::default();
    release(&mut report)?;
    println!("built: {}", shipped()?.display());
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the tools, counts each assertion about them, and returns their folder.
pub fn release(report: &mut Report) -> Result<PathBuf> {
    let folder = build()?;
    for tool in TOOLS {
        inspect(tool, &folder, report)?;
        ship(&folder.join(tool), &shipped()?.join(tool))?;
    }
    Ok(folder)
}

/// Builds the tools, and returns their folder.
pub fn build() -> Result<PathBuf> {
    let triple = workspace::release_triple()?;
    let packages = TOOLS.iter().flat_map(|tool| ["--package", tool]);
    workspace::must(workspace::release_build(&triple)?.args(packages))?;
    workspace::executables(&triple, "release")
}

/// Copies a tool in one step: the previous one may be running.
fn ship(tool: &Path, copy: &Path) -> Result<()> {
    let part = copy.with_extension("part");
    fs::copy(tool, &part).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, copy).with_context(|| format!("cannot write {}", copy.display()))
}

/// Returns the folder from which users can copy the tools: the same on every machine.
fn shipped() -> Result<PathBuf> {
    let folder = workspace::root()?.join("target/tools");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Counts the assertions about one tool.
pub fn inspect(tool: &str, folder: &Path, report: &mut Report) -> Result<()> {
    let path = folder.join(tool);
    let file = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (size, budget) = (file.len() as f64 / MEGABYTE, budget(tool));
    report.check(&format!("{tool} has {size:.2} MB, at most {budget}"), within(size, budget));
    report.check(&format!("{tool} is static"), elf::is_static(&file));
    report.check(&format!("{tool} is free of the name service switch"), elf::has_no_nss(&file));
    Ok(())
}

/// Returns the size limit in megabytes. netns-rs uses netlink, whose messages need a library, explains networks, and is a
/// runtime of CNI; nsenter-rs enters, lists, finds, inspects and copies, also what does not run; chroot-rs has the compiler of
/// filters and the audit with its sixty probes; cgexec-rs finds containers as well, views and watches groups, and assembles
/// eBPF programs.
fn budget(tool: &str) -> f64 {
    match tool {
        "netns-rs" => 3.3,
        "nsenter-rs" => 3.2,
        "chroot-rs" => 3.0,
        "cgexec-rs" => 2.9,
        _ => 2.0,
    }
}

fn within(size: f64, budget: f64) -> Result<()> {
    ensure!(size <= budget, "{size:.2} MB are more than the budget in xtask/src/static_build.rs");
    Ok(())
}
