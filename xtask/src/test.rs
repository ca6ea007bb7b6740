//! `cargo xtask test`: runs every test that this machine and this user can run, the cheapest part first. The results of
//! the parts are added up, and the sum is the last line.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::report::Report;
use crate::suite::{self, Suite};
use crate::{cross, lint, setup, static_build, vm, workspace};

/// The options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Install what the tests need with apt-get, and download the kernels of the virtual machines
    #[arg(long)]
    setup: bool,
    /// Run only the parts in virtual machines
    #[arg(long)]
    vm: bool,
    /// Skip the virtual machines
    #[arg(long, conflicts_with = "vm")]
    no_vm: bool,
    /// Run only the virtual machine with this kernel: 6.1, 6.12, or sid for Debian's newest
    #[arg(long, value_name = "SERIES", requires = "vm", value_parser = vm::series())]
    kernel: Option<String>,
    /// Run only the rows about systemd, in a virtual machine in which it is process 1
    #[arg(long, conflicts_with_all = ["vm", "no_vm", "arch"])]
    systemd: bool,
    /// Build for this architecture, and run the suite only in a virtual machine that emulates it
    #[arg(long, value_parser = ["aarch64"], conflicts_with_all = ["vm", "no_vm"])]
    arch: Option<String>,
    /// Run only end-to-end rows whose name contains this text
    filter: Option<String>,
}

/// Runs the parts, and prints the results in the last line.
pub fn run(options: &Options) -> Result<ExitCode> {
    match (&options.arch, options.setup) {
        (None, true) if options.systemd => setup::install_with_systemd()?,
        (None, true) => setup::install()?,
        (None, false) => setup::name_missing()?,
        (Some(_), true) => setup::install_for_aarch64()?,
        (Some(_), false) => {}
    }
    let mut report = Report::default();
    let done = match options {
        Options { arch: Some(_), .. } => on_aarch64(options, &mut report),
        Options { systemd: true, .. } => under_systemd(options, &mut report),
        _ => parts(options, &mut report),
    };
    if let Err(error) = done {
        report.check("the test run reaches its end", Err(error));
    }
    println!("{report}");
    let must_not_skip = env::var("CI").is_ok_and(|value| value == "true");
    let is_good = report.failed == 0 && !(must_not_skip && report.skipped > 0);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parts(options: &Options, report: &mut Report) -> Result<()> {
    let is_everything = !options.vm && options.filter.is_none();
    if is_everything {
        part("lint");
        lint::run(report)?;
    }
    part("release build");
    let tools = static_build::release(report)?;
    let suite = Suite::build(tools, options.filter.clone())?;
    if is_everything {
        part("unit tests");
        unit_tests(report)?;
    }
    if !options.vm {
        let done = suite::run(&suite, report);
        report.add("the folder of the suite comes and goes", done.map(|()| Report::default()));
    }
    if !options.no_vm && is_everything && vm::is_possible() {
        part("a virtual machine and a container side by side");
        let compared = vm::comparison::compare(&suite.tools);
        report.check("lesson 0 compares a virtual machine with a container", compared.map(|both| print!("{both}")));
    }
    if !options.no_vm {
        vm::run(&suite, options.kernel.as_deref(), report)?;
    }
    Ok(())
}

fn on_aarch64(options: &Options, report: &mut Report) -> Result<()> {
    part("release build for aarch64");
    let suite = cross::suite(options.filter.clone(), report)?;
    vm::run_on_aarch64(&suite, report)
}

fn under_systemd(options: &Options, report: &mut Report) -> Result<()> {
    part("release build");
    let suite = Suite::build(static_build::release(report)?, options.filter.clone())?;
    vm::run_under_systemd(&suite, report)
}

/// Prints the name of the part that runs now, on one line.
pub fn part(name: &str) {
    println!("== {name}");
}

/// Runs `cargo test` for the default members: what any user can run.
fn unit_tests(report: &mut Report) -> Result<()> {
    let mut account = Report::default();
    let is_success = each_line(workspace::cargo()?.args(["test", "--no-fail-fast"]), |line| {
        account += libtest_result(line).unwrap_or_default();
    })?;
    *report += account;
    if !is_success && account.failed == 0 {
        report.check("cargo test", Err(anyhow!("it ended without success")));
    }
    Ok(())
}

/// Parses `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn libtest_result(line: &str) -> Option<Report> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
    Some(Report { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

/// Runs a command, and prints each line of its stdout after `read` has got it. Returns whether the command succeeded.
pub fn each_line(command: &mut Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    for line in BufReader::new(child.stdout.take().context("stdout was not piped")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        read(&line);
        println!("{line}");
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_libtest_are_parsed() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        assert_eq!(libtest_result(line), Some(Report { passed: 3, failed: 2, skipped: 1 }));
        assert_eq!(libtest_result("test reads::a_line ... ok"), None);
    }
}
