//! Checks of the source that do not run the tools: format, clippy, documentation, and the rules of `tidy`.

use std::process::ExitCode;

use anyhow::Result;

use crate::report::Report;
use crate::{man, tidy, workspace};

const LINTS: &[(&str, &[&str])] = &[
    ("cargo fmt", &["fmt", "--all", "--check"]),
    ("cargo clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("cargo doc", &["doc", "--quiet", "--no-deps", "--workspace"]),
];

/// Runs `cargo xtask lint`: the tests that do not depend on the machine.
pub fn run_alone() -> Result<ExitCode> {
    let mut report = Report::default();
    run(&mut report)?;
    println!("{report}");
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts each lint as one test.
pub fn run(report: &mut Report) -> Result<()> {
    for (name, arguments) in LINTS {
        let mut cargo = workspace::cargo()?;
        report.check(name, workspace::must(cargo.args(*arguments).env("RUSTDOCFLAGS", "-D warnings")));
    }
    report.check("tidy", tidy::check());
    report.check("manual pages and completions", man::check());
    Ok(())
}
