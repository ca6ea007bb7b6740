//! The report, as text or JSON. `chroot-rs --audit --json` prints one object on one line.

use plumbing::Fault;
use serde::Serialize;

use super::{Found, Outcome, Severity};

/// The JSON of one probe.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    group: &'a str,
    severity: Severity,
    outcome: Outcome,
    found: &'a str,
    why: &'a str,
}

/// The JSON of the whole report.
#[derive(Serialize)]
struct Report<'a> {
    audit: u32,
    held: usize,
    open: usize,
    not_here: usize,
    unknown: usize,
    probes: Vec<Line<'a>>,
}

pub(crate) fn json(found: &[Found]) -> Result<String, Fault> {
    let line = |(group, probe, finding): &'_ Found| (*group, *probe, finding.clone());
    let lines: Vec<_> = found.iter().map(line).collect();
    let probes = lines
        .iter()
        .map(|(group, probe, finding)| Line {
            name: probe.name,
            group,
            severity: probe.severity,
            outcome: finding.outcome,
            found: &finding.found,
            why: probe.why,
        })
        .collect();
    let report = Report {
        audit: 1,
        held: count(found, Outcome::Held),
        open: count(found, Outcome::Open),
        not_here: count(found, Outcome::NotHere),
        unknown: count(found, Outcome::Unknown),
        probes,
    };
    plumbing::json::line("the report", &report)
}

/// Prints a table; below an open probe follows its reason.
pub(crate) fn text(found: &[Found]) -> String {
    let mut text = format!("{:<13}{:<24}{:<10}{:<10}FOUND\n", "GROUP", "PROBE", "SEVERITY", "OUTCOME");
    for (group, probe, finding) in found {
        let (severity, outcome) = (severity(probe.severity), outcome(finding.outcome));
        let found = on_one_line(&finding.found);
        text.push_str(format!("{group:<13}{:<24}{severity:<10}{outcome:<10}{found}", probe.name).trim_end());
        text.push('\n');
        if finding.outcome == Outcome::Open {
            text.push_str(&format!("{:<13}{}\n", "", probe.why));
        }
    }
    let [held, open, not_here, unknown] =
        [Outcome::Held, Outcome::Open, Outcome::NotHere, Outcome::Unknown].map(|outcome| count(found, outcome));
    text.push_str(&format!(
        "{} probes: {held} held, {open} open, {not_here} not here, {unknown} unknown\n",
        found.len()
    ));
    text
}

fn count(found: &[Found], outcome: Outcome) -> usize {
    found.iter().filter(|(.., finding)| finding.outcome == outcome).count()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::Open => "OPEN",
        Outcome::NotHere => "not here",
        Outcome::Unknown => "unknown",
    }
}

/// Replaces control characters: names come from the container, and must not end the line or control the terminal.
fn on_one_line(text: &str) -> String {
    text.chars().map(|letter| if plumbing::text::steers(letter) { '?' } else { letter }).collect()
}
