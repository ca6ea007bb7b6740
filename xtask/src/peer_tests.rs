//! `cargo xtask peer-tests`: runs the own tests of the replaced tools on our tools. Their licenses differ from ours, so the
//! tests are downloaded into target, and never copied.
//!
//! Each tool has its own messages: where a test compares one, it is changed to expect any message.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::report::Report;
use crate::workspace;

mod archive;
mod coreutils;
mod util_linux;
mod uutils;

type Tests = fn(&Place) -> Result<Report>;

const PROJECTS: [(&str, Tests); 3] = [
    ("util-linux's tests of unshare, nsenter and lsns", util_linux::run),
    ("GNU coreutils' tests of chroot, and those that change their user by it", coreutils::run),
    ("uutils coreutils' tests of chroot", uutils::run),
];
const TOOLS: [&str; 3] = ["unshare-rs", "nsenter-rs", "chroot-rs"];
/// Programs that download, build and run the tests, and their Debian packages.
const NEEDS: [(&str, &str); 5] =
    [("cc", "gcc"), ("make", "make"), ("ip", "iproute2"), ("setpriv", "util-linux"), ("timeout", "coreutils")];
/// The time limit in seconds for one script; none takes a tenth of it.
const LIMIT: &str = "120";

/// The result of one test.
enum Verdict {
    Passed,
    /// The test says that it cannot run, and why: a tool that does nothing makes some tests say so.
    Skipped(String),
    /// The tool for which it was written fails it here, too.
    Unpassable(String),
    Failed(String),
}

/// A folder that every user can read, with the tools in it; removed at the end.
struct Place {
    folder: PathBuf,
}

/// Downloads what is missing, and runs the tests with the tools of a debug build.
pub fn run() -> Result<ExitCode> {
    ensure!(workspace::is_root()?, "most of the tests skip themselves if the user is not root");
    for (program, package) in NEEDS {
        ensure!(workspace::program(program).is_some(), "{program} is not installed (apt-get install {package})");
    }
    let mut cargo = workspace::cargo()?;
    workspace::must(cargo.arg("build").args(TOOLS.iter().flat_map(|tool| ["--package", tool])))?;
    let place = Place::new()?;
    let mut report = Report::default();
    for (name, tests) in PROJECTS {
        report.add(name, tests(&place));
    }
    println!("{report}");
    Ok(if report.failed + report.skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Verdict {
    fn add_to(self, report: &mut Report, name: &str) {
        match self {
            Verdict::Passed => report.check(name, Ok(())),
            Verdict::Skipped(why) => report.skip(name, &why),
            Verdict::Unpassable(why) => println!("left out {name}: {why}"),
            Verdict::Failed(said) => report.check(name, Err(anyhow::anyhow!(said))),
        }
    }
}

impl Place {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("peer-tests-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let place = Self { folder };
        fs::set_permissions(&place.folder, fs::Permissions::from_mode(0o755))?;
        let built = workspace::executables(&workspace::host_triple()?, "debug")?;
        for tool in TOOLS {
            fs::copy(built.join(tool), place.tool(tool)).with_context(|| format!("cannot copy {tool}"))?;
        }
        Ok(place)
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a folder in this folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Returns the folder in which downloads and builds are kept.
fn cache() -> Result<PathBuf> {
    let folder = workspace::target()?.join("peer-tests");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Writes a script that runs something else in its place.
fn write_program(path: &Path, line: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{line}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Replaces text in a downloaded file; fails if the file does not contain the old text.
fn replace(path: &Path, old: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(text.contains(old), "{} does not contain {old:?} any more", path.display());
    fs::write(path, text.replace(old, new)).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a test to its end; returns whether it succeeded, its status, and its output.
fn outcome(program: &mut Command) -> Result<(bool, Option<i32>, String)> {
    let output = program.output().with_context(|| format!("cannot start {program:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), output.status.code(), String::from_utf8_lossy(&said).trim().to_owned()))
}
