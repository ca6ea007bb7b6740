//! What can be said of the source without running it: format, clippy, documentation, and the rules of the house.

use anyhow::Result;

use crate::report::Report;
use crate::{man, tidy, workspace};

const LINTS: &[(&str, &[&str])] = &[
    ("cargo fmt", &["fmt", "--all", "--check"]),
    ("cargo clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("cargo doc", &["doc", "--quiet", "--no-deps", "--workspace"]),
];

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
