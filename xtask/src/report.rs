//! The results of a run: every part adds to them, and the last line is the sum.

use std::fmt;
use std::ops::AddAssign;

use anyhow::Result;

/// The numbers of tests that passed, failed, and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Passed tests.
    pub passed: u32,
    /// Failed tests.
    pub failed: u32,
    /// Tests that this machine or user cannot run.
    pub skipped: u32,
}

impl Report {
    /// Prints and counts one result.
    pub fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("ok {name}");
                self.passed += 1;
            }
            Err(error) => {
                println!("FAILED {name}: {error:#}");
                self.failed += 1;
            }
        }
    }

    /// Prints and counts a test that cannot be run here.
    pub fn skip(&mut self, name: &str, reason: &str) {
        println!("skip {name}: {reason}");
        self.skipped += 1;
    }

    /// Adds the results of a part, or counts one failure if the part has none.
    pub fn add(&mut self, part: &str, account: Result<Self>) {
        match account {
            Ok(account) => *self += account,
            Err(error) => self.check(part, Err(error)),
        }
    }

    /// Parses `N passed, N failed, N skipped`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = ["passed", "failed", "skipped"].into_iter().zip(text.trim().split(", "));
        let mut next = || {
            let (word, part) = numbers.next()?;
            part.strip_suffix(word)?.strip_suffix(' ')?.parse().ok()
        };
        Some(Self { passed: next()?, failed: next()?, skipped: next()? })
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_parses_what_it_prints() {
        let report = Report { passed: 12, failed: 0, skipped: 3 };
        assert_eq!(Report::parse(&report.to_string()), Some(report));
        assert_eq!(Report::parse("12 passed, 0 failed"), None);
        assert_eq!(Report::parse("12 passed, 0 skipped, 1 failed"), None);
    }
}
