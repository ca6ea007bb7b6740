//! `--audit`: tries, from inside a container, to escape from it and to learn about the host, and reports what succeeds.
//!
//! Each probe is data and a function. It runs in its own process: then a filter that kills is an answer, and what the
//! probe did ends with the process. The surprise: a probe that succeeds must not have an effect, so each stops before
//! that: files are opened and not written to, calls get arguments that the kernel refuses only after it has checked the
//! caller's privileges. `capabilities(7)`, `seccomp(2)`.

mod calls;
mod cgroups;
mod child;
mod devices;
mod exits;
mod kernel_files;
mod leaks;
mod look;
mod mounts;
mod namespaces;
mod privilege;
mod processes;
mod report;
mod trials;

use plumbing::process::startup;
use plumbing::process::trial::Trial;
use plumbing::{Fault, Status, narrate};
use serde::{Deserialize, Serialize};

use child::Ended;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    /// The consequence if it is open, with the CVE or the manual page.
    pub(crate) why: &'static str,
    pub(crate) by: By,
}

/// The ways to run a probe.
#[derive(Debug)]
pub(crate) enum By {
    /// By a function.
    Looking(fn() -> Result<Finding, Fault>),
    /// By system calls: open if any of them is answered.
    Calling(&'static [Trial]),
}

/// The danger of an open probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It reveals something, or one container can hinder others.
    Low,
    /// It exposes more of the kernel to attacks, or reveals secrets.
    Medium,
    /// It changes or reads something outside of the container.
    High,
    /// It is an escape from the container.
    Critical,
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was refused, or found nothing.
    #[serde(rename = "held")]
    Held,
    /// It succeeded.
    #[serde(rename = "open")]
    Open,
    /// Its target does not exist here.
    #[serde(rename = "not here")]
    NotHere,
    /// It could not be run.
    #[serde(rename = "unknown")]
    Unknown,
}

/// The result of a probe, with details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    pub(crate) found: String,
}

impl Finding {
    fn held(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Held, found: found.into() }
    }

    fn open(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Open, found: found.into() }
    }

    fn not_here(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::NotHere, found: found.into() }
    }

    fn unknown(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Unknown, found: found.into() }
    }

    /// Returns open with the list, or held if the list is empty.
    fn none_of(listed: &[String], otherwise: impl Into<String>) -> Finding {
        match listed {
            [] => Finding::held(otherwise),
            listed => Finding::open(look::some(listed)),
        }
    }
}

/// All probes, by topic.
pub(crate) const GROUPS: [(&str, &[Probe]); 9] = [
    ("root", exits::PROBES),
    ("kernel files", kernel_files::PROBES),
    ("cgroups", cgroups::PROBES),
    ("devices", devices::PROBES),
    ("mounts", mounts::PROBES),
    ("processes", processes::PROBES),
    ("namespaces", namespaces::PROBES),
    ("privilege", privilege::PROBES),
    ("system calls", calls::PROBES),
];

/// A probe and its finding.
pub(crate) type Found = (&'static str, &'static Probe, Finding);

/// Runs all probes and prints the results; the status is 1 if any is open.
pub(crate) fn run(as_json: bool) -> Result<Status, Fault> {
    // Before anything is opened: every descriptor that is open now was inherited.
    leaks::note_descriptors();
    let probes = GROUPS.iter().flat_map(|(group, probes)| probes.iter().map(move |probe| (*group, probe)));
    let found: Vec<Found> =
        probes.map(|(group, probe)| Ok((group, probe, answer(probe)?))).collect::<Result<_, Fault>>()?;
    if narrate::is_dry_run() {
        // A dry run has no results.
        return Ok(Status::SUCCESS);
    }
    startup::print(&if as_json { report::json(&found)? } else { report::text(&found) })?;
    let is_open = found.iter().any(|(.., finding)| finding.outcome == Outcome::Open);
    Ok(Status(u8::from(is_open)))
}

fn answer(probe: &'static Probe) -> Result<Finding, Fault> {
    let look = match probe.by {
        By::Calling(calls) => return trials::none_answers(calls),
        By::Looking(look) => look,
    };
    Ok(match child::in_child(probe.name, look)? {
        Ended::Answered(finding) => finding,
        Ended::Failed(text) => Finding::unknown(text),
        // An attacker would be killed in the same way.
        Ended::Filtered => Finding::held(child::FILTERED),
        Ended::Silent => Finding::unknown("no answer in time"),
    })
}
