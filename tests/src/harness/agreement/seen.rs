//! The findings of one run, by key: each `key: value` of the look, every other line of the output, and the exit status.

use std::collections::BTreeMap;

use nix::unistd::Pid;

use super::frame::Frame;
use crate::harness::script::Outcome;

/// The variables of the case itself, and those that bash sets for each program.
const NOT_COMPARED: [&str; 6] =
    ["variable _", "variable unshare", "variable look", "variable root", "variable dir", "variable SHLVL"];

/// The findings.
pub struct Seen {
    /// The values by key; `output` has the lines without a key, `status` the exit status, `stderr` whether there was
    /// any.
    pub by_key: BTreeMap<String, String>,
    /// The text on stderr.
    pub stderr: String,
    /// The exit status.
    pub status: i32,
}

impl Seen {
    /// Reads the findings from an outcome.
    pub fn of(outcome: &Outcome, started: Pid, frame: &Frame) -> Self {
        let mut by_key = BTreeMap::new();
        let mut output = String::new();
        for line in outcome.stdout.lines() {
            match line.split_once(": ") {
                Some((key, _)) if NOT_COMPARED.contains(&key) => {}
                Some((key, value)) => {
                    by_key.insert(key.to_owned(), frame.in_words(key, value, started));
                }
                None => output.extend([line, "\n"]),
            }
        }
        by_key.insert("output".to_owned(), output);
        let said = if outcome.stderr.is_empty() { "nothing" } else { "something" };
        by_key.insert("stderr".to_owned(), said.to_owned());
        by_key.insert("status".to_owned(), outcome.status.to_string());
        Self { by_key, stderr: outcome.stderr.clone(), status: outcome.status }
    }

    /// Returns each key whose values differ, with both values.
    pub fn disagreements(&self, other: &Self) -> Vec<(String, String, String)> {
        let looked = |seen: &Self| seen.by_key.contains_key("pid").to_string();
        if looked(self) != looked(other) {
            return vec![("the command was run".to_owned(), looked(self), looked(other))];
        }
        let keys: std::collections::BTreeSet<_> = self.by_key.keys().chain(other.by_key.keys()).collect();
        let value = |seen: &Self, key: &str| seen.by_key.get(key).cloned().unwrap_or_else(|| "(missing)".to_owned());
        let both = keys.into_iter().map(|key| (key.clone(), value(self, key), value(other, key)));
        both.filter(|(_, mine, others)| mine != others).collect()
    }
}
