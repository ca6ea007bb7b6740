//! The findings, each with its reason, and the standing of the process on the host, on which their severity depends.
//!
//! A danger leads to the host by itself. A weakness removes one layer of defense; an attacker still needs another flaw.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::process::namespace::Kind;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::id_maps::Ids;
use super::namespaces::Namespaces;
use super::proc_status::ProcStatus;

/// The maximum number of examples of one finding.
const EXAMPLES: usize = 8;
/// The maximum number of bytes of an example.
const LONGEST: usize = 192;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Danger,
    Weakness,
}

/// One finding.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) id: &'static str,
    /// The reason. It may have the name of a cgroup, so it is escaped when it is printed.
    pub(super) reason: String,
    /// The first few objects at which it was found, if it is about any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) about: Vec<Text>,
    /// How often it was found.
    pub(super) count: usize,
}

/// The findings: one for each id and reason, however often something inside causes it, so that a large number cannot
/// hide another finding.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding about the process as a whole.
    pub(super) fn add(&mut self, severity: Severity, id: &'static str, reason: impl Into<String>) {
        self.put(severity, id, reason.into(), None);
    }

    /// Adds a finding about an object, such as a mount point.
    pub(super) fn add_at(&mut self, severity: Severity, id: &'static str, reason: impl Into<String>, about: Text) {
        self.put(severity, id, reason.into(), Some(shortened(about)));
    }

    fn put(&mut self, severity: Severity, id: &'static str, reason: String, about: Option<Text>) {
        let same = |known: &&mut Finding| (known.severity, known.id, &known.reason) == (severity, id, &reason);
        let known = match self.0.iter_mut().find(same) {
            Some(known) => known,
            None => {
                self.0.push(Finding { severity, id, reason, about: Vec::new(), count: 0 });
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        if let Some(about) = about {
            if known.about.contains(&about) {
                return;
            }
            if known.about.len() < EXAMPLES {
                known.about.push(about);
            }
        }
        known.count += 1;
    }

    /// Sorts the findings, dangers first.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|finding| finding.severity);
    }

    /// Returns the findings in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }
}

fn shortened(about: Text) -> Text {
    match about.0.to_str() {
        _ if about.0.len() <= LONGEST => about,
        Some(text) => {
            let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            Text::from(&*format!("{}…", &text[..end]))
        }
        None => Text::from(OsStr::from_bytes(&about.0.as_bytes()[..LONGEST])),
    }
}

/// The standing of the process on the host.
#[derive(Debug)]
pub(super) struct Standing {
    /// Whether uid 0 inside is uid 0 outside.
    pub(super) maps_root: bool,
    /// Whether the process is uid 0 inside, or can become it.
    pub(super) is_root: bool,
    pub(super) no_new_privs: bool,
    /// Whether it holds, or gets at its next execve(2), the capability to unmount in its mount namespace.
    pub(super) may_unmount: bool,
    /// The capabilities with power over the host that it holds, or gets at its next execve(2).
    pub(super) power: CapabilitySet,
}

impl Standing {
    /// Determines the standing of a process from what was read about it.
    pub(super) fn of(namespaces: &Namespaces, ids: Option<&Ids>, status: &ProcStatus) -> Standing {
        let is_root = ids.is_some_and(|ids| ids.is_root);
        // If we may not read the link, the map shows it: only the initial user namespace maps every id to itself.
        let in_host_user =
            namespaces.is_host(Kind::User).unwrap_or_else(|| ids.is_some_and(super::id_maps::Ids::maps_all));
        let held = status.permitted | status.effective | status.ambient;
        let power = match (in_host_user, is_root) {
            (false, _) => CapabilitySet::empty(),
            (true, false) => held,
            (true, true) => held | status.bounding,
        };
        Standing {
            maps_root: in_host_user || ids.is_some_and(|ids| ids.root_outside == Some(0)),
            is_root,
            no_new_privs: status.no_new_privs,
            may_unmount: (if is_root { held | status.bounding } else { held }).contains(CapabilitySet::SYS_ADMIN),
            power,
        }
    }

    /// Returns whether the host treats the process as its own root.
    pub(super) fn is_host_root(&self) -> bool {
        self.maps_root && self.is_root
    }

    /// Returns the severity of what only the host's root can do; `None` if the process cannot become the host's root.
    pub(super) fn as_root(&self) -> Option<Severity> {
        match (self.maps_root, self.is_root, self.no_new_privs) {
            (true, true, _) => Some(Severity::Danger),
            // It can become root by a set-user-ID program.
            (true, false, false) => Some(Severity::Weakness),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_findings_of_one_kind_hide_no_other() {
        let mut findings = Findings::default();
        for number in 0..100_000 {
            findings.add_at(Severity::Weakness, "a", "reason", Text::from(&*format!("/{number}")));
        }
        findings.add(Severity::Danger, "b", "other");
        findings.sort();
        findings.add_at(Severity::Weakness, "c", "long", Text::from(&*"ü".repeat(4000)));
        assert!(findings.iter().all(|finding| finding.about.iter().all(|about| about.0.len() < LONGEST + 8)));
        let found: Vec<_> = findings.iter().map(|finding| (finding.id, finding.count, finding.about.len())).collect();
        assert_eq!(found, [("b", 1, 0), ("a", 100_000, EXAMPLES), ("c", 1, 1)]);
    }
}
