//! What is dangerous, each with its reason; and who the process is, on which it depends how dangerous.
//!
//! A danger leads to the host by itself. A weakness is a wall less: it takes another fault to get through.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::namespace::Kind;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::id_maps::Ids;
use super::namespaces::Namespaces;
use super::status::Status;

/// The most examples of one finding.
const EXAMPLES: usize = 8;
/// The most bytes of an example.
const LONGEST: usize = 192;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Danger,
    Weakness,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) id: &'static str,
    /// Our own words alone.
    pub(super) reason: String,
    /// What it was found at, where there is more to say; the first few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) about: Vec<Text>,
    /// How many there are.
    pub(super) count: usize,
}

/// One for each id and reason, however often something inside provokes it: nothing can be hidden in a crowd.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, severity: Severity, id: &'static str, reason: impl Into<String>) {
        self.put(severity, id, reason.into(), None);
    }

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

    /// Dangers first.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|finding| finding.severity);
    }

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

/// Who the process is to the host.
#[derive(Debug)]
pub(super) struct Standing {
    /// Uid 0 inside is uid 0 outside.
    pub(super) maps_root: bool,
    /// It is uid 0 inside.
    pub(super) is_root: bool,
    pub(super) no_new_privs: bool,
    /// What it holds, or has again after its next execve(2), with power over the host.
    pub(super) power: CapabilitySet,
}

impl Standing {
    pub(super) fn of(namespaces: &Namespaces, ids: Option<&Ids>, status: &Status) -> Standing {
        let is_root = ids.is_some_and(|ids| ids.is_root);
        // Where the link is not ours to read, the map tells: only the first namespace maps everything to itself.
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
            power,
        }
    }

    /// Whether the host takes it for its own root.
    pub(super) fn is_host_root(&self) -> bool {
        self.maps_root && self.is_root
    }

    /// How bad it is that the host's root could do something: `None` where the process cannot become that.
    pub(super) fn as_root(&self) -> Option<Severity> {
        match (self.maps_root, self.is_root, self.no_new_privs) {
            (true, true, _) => Some(Severity::Danger),
            // By a set-user-ID program.
            (true, false, false) => Some(Severity::Weakness),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_one_kind_hides_no_other() {
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
