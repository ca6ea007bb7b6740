//! `--audit`: tries, from inside, the ways that lead out of a container or tell what is outside, and says which are open.
//!
//! Each probe is data and a function; it runs in a process of its own, so that a filter which kills is an answer, and
//! that whatever it did ends with it. The surprise: a probe that succeeds must not do anything, so each stops short of
//! its effect: files are opened and not written to, calls have arguments that the kernel refuses after it has looked at
//! our rights. `capabilities(7)`, `seccomp(2)`.

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

use plumbing::trial::Trial;
use plumbing::{Fault, Status, narrate, startup};
use serde::{Deserialize, Serialize};

use child::Ended;

/// One thing to try.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    /// What comes of it when it is open, with the CVE or the manual page.
    pub(crate) why: &'static str,
    pub(crate) by: By,
}

/// How it is tried.
#[derive(Debug)]
pub(crate) enum By {
    /// A function.
    Looking(fn() -> Result<Finding, Fault>),
    /// System calls of which none is to be answered.
    Calling(&'static [Trial]),
}

/// How bad it is that a probe is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It tells something, or lets one container hinder others.
    Low,
    /// It widens what of the kernel can be attacked, or tells secrets.
    Medium,
    /// It changes or reads what is outside.
    High,
    /// It leads out.
    Critical,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was refused, or there was nothing to be found.
    #[serde(rename = "held")]
    Held,
    /// It is possible.
    #[serde(rename = "open")]
    Open,
    /// What it would be tried on does not exist here.
    #[serde(rename = "not here")]
    NotHere,
    /// It could not be tried.
    #[serde(rename = "unknown")]
    Unknown,
}

/// What came of a probe, and what was seen.
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

    /// Open where something is listed, and held where nothing is.
    fn none_of(listed: &[String], otherwise: impl Into<String>) -> Finding {
        match listed {
            [] => Finding::held(otherwise),
            listed => Finding::open(look::some(listed)),
        }
    }
}

/// Every probe, by what it is about.
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

/// Tries all of them and prints what was found; 1 is the status when something is open.
pub(crate) fn run(as_json: bool) -> Result<Status, Fault> {
    // Before anything is opened: whatever is open now was left to us.
    leaks::note_descriptors();
    let probes = GROUPS.iter().flat_map(|(group, probes)| probes.iter().map(move |probe| (*group, probe)));
    let found: Vec<Found> =
        probes.map(|(group, probe)| Ok((group, probe, answer(probe)?))).collect::<Result<_, Fault>>()?;
    if narrate::is_dry_run() {
        // What was only told has found nothing out.
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
    Ok(match child::apart(probe.name, look)? {
        Ended::Told(finding) => finding,
        Ended::Failed(text) => Finding::unknown(text),
        // Whoever tries gets no further either.
        Ended::Filtered => Finding::held(child::FILTERED),
        Ended::Silent => Finding::unknown("gave no answer in time"),
    })
}
