//! What can be said of the source without running it: format, clippy, documentation, and the rules of the house.

use std::process::ExitCode;

use anyhow::Result;

use crate::report::Report;
use crate::{man, tidy, workspace};

const LINTS: &[(&str, &[&str])] = &[
    ("cargo fmt", &["fmt", "--all", "--check"]),
    ("cargo clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("cargo doc", &["doc", "--quiet", "--no-deps", "--workspace"]),
];

/// `cargo xtask lint`: the part of the tests that needs no machine.
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
