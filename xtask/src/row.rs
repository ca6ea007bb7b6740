//! `cargo xtask row`: runs only the end-to-end rows for a change, with the tools built for debugging and without a virtual
//! machine.
//!
//! A mistyped name must not count as success: a text that matches nothing is a failure.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::report::Report;
use crate::suite::{self, Copy, Suite, User};
use crate::test::part;
use crate::vm;
use crate::workspace::{self, TOOLS};

/// The options of `cargo xtask row`.
#[derive(Args)]
pub struct Options {
    /// Run the rows as root only
    #[arg(long)]
    root: bool,
    /// Run the rows as an unprivileged user only
    #[arg(long, conflicts_with = "root")]
    user: bool,
    /// Run the rows about systemd, in the virtual machine in which it is process 1
    #[arg(long, conflicts_with_all = ["root", "user", "list", "case"])]
    systemd: bool,
    /// In rows with a table of cases, run only the cases that contain this text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    case: Option<String>,
    /// Print the names of the rows, and run none
    #[arg(long)]
    list: bool,
    /// A part of the rows' names, or several with | between them
    #[arg(required_unless_present = "list")]
    text: Option<String>,
}

impl Options {
    /// Makes the options to run rows as root only.
    pub fn as_root(text: String, case: Option<String>) -> Options {
        Options { root: true, user: false, case, list: false, systemd: false, text: Some(text) }
    }
}

/// Builds, then runs the rows as each requested user that this user can become.
pub fn run(options: &Options) -> Result<ExitCode> {
    let suite = build(options)?;
    let copy = Copy::new(&suite)?;
    if options.systemd {
        let done = under_systemd(options, &suite, &copy);
        copy.remove()?;
        return done;
    }
    let done = if options.list { list(options, &copy) } else { run_rows(options, &copy) };
    copy.remove()?;
    done
}

/// Builds everything in the dev profile: a release build takes minutes.
fn build(options: &Options) -> Result<Suite> {
    let mut cargo = workspace::cargo()?;
    cargo.args(["build", "--quiet"]).args(TOOLS.iter().flat_map(|tool| ["--package", tool]));
    workspace::must(&mut cargo)?;
    let tools = workspace::executables(&workspace::host_triple()?, "debug")?;
    Suite::build(tools, options.text.clone())
}

fn users(options: &Options) -> Result<Vec<User>> {
    let is_root = workspace::is_root()?;
    ensure!(is_root || !options.root, "--root: this user is not root");
    let wanted = |user: &User| match user {
        User::Root => is_root && !options.user,
        User::Unprivileged => !options.root,
    };
    Ok([User::Root, User::Unprivileged].into_iter().filter(wanted).collect())
}

fn list(options: &Options, copy: &Copy) -> Result<ExitCode> {
    let mut names = BTreeSet::new();
    for user in users(options)? {
        let printed = workspace::stdout_of(copy.command(user)?.arg("--list"))?;
        names.extend(printed.lines().map(str::to_owned));
    }
    names.iter().for_each(|name| println!("{name}"));
    matched(options, names.len())?;
    Ok(ExitCode::SUCCESS)
}

fn run_rows(options: &Options, copy: &Copy) -> Result<ExitCode> {
    copy.strip().context("binutils")?;
    let mut report = Report::default();
    for user in users(options)? {
        part(user.part());
        let mut command = copy.command(user)?;
        command.args(options.case.iter().map(|text| format!("--case={text}")));
        report += suite::count(&mut command)?;
    }
    matched(options, (report.passed + report.failed + report.skipped) as usize)?;
    println!("{report}");
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn under_systemd(options: &Options, suite: &Suite, copy: &Copy) -> Result<ExitCode> {
    copy.strip().context("binutils")?;
    let mut report = Report::default();
    let suite = Suite { tools: copy.tools(), programs: suite.programs.clone(), filter: suite.filter.clone() };
    vm::run_under_systemd(&suite, &mut report)?;
    // One of them is that the machine boots.
    matched(options, (report.passed + report.failed).saturating_sub(1) as usize)?;
    println!("{report}");
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the number of rows that matched, added over the users. Zero is a failure.
fn matched(options: &Options, count: usize) -> Result<()> {
    let text = options.text.as_deref().unwrap_or_default();
    let case = options.case.as_ref().map(|case| format!(" with a case that contains {case:?}")).unwrap_or_default();
    ensure!(count > 0, "no row matches {text:?}{case}; `cargo xtask row --list` prints the names");
    println!("{count} {} {text:?}{case}", if count == 1 { "row matches" } else { "rows match" });
    Ok(())
}
