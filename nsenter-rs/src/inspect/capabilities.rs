//! The five sets, and how each differs from what Docker leaves to a container. `capabilities(7)`.
//!
//! The surprise: what counts is the user namespace in which they are held; all of them in one of its own are less than
//! one of them in the host's.

use plumbing::privilege::{DOCKER_CAPABILITIES, capability_names, capability_set};
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::status::Status;

#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    effective: Set,
    permitted: Set,
    inheritable: Set,
    bounding: Set,
    ambient: Set,
}

#[derive(Debug, Serialize)]
struct Set {
    names: Vec<String>,
    /// What Docker's default has not, and what only that has.
    more_than_docker: Vec<String>,
    less_than_docker: Vec<String>,
    #[serde(skip)]
    set: CapabilitySet,
}

impl Capabilities {
    pub(super) fn of(status: &Status) -> Capabilities {
        let docker = docker();
        // Docker raises neither of the two.
        let none = CapabilitySet::empty();
        Capabilities {
            effective: Set::new(status.effective, docker),
            permitted: Set::new(status.permitted, docker),
            inheritable: Set::new(status.inheritable, none),
            bounding: Set::new(status.bounding, docker),
            ambient: Set::new(status.ambient, none),
        }
    }

    /// The sets by name, for a person.
    pub(super) fn shown(&self) -> [(&'static str, String); 5] {
        [
            ("effective", &self.effective),
            ("permitted", &self.permitted),
            ("inheritable", &self.inheritable),
            ("bounding", &self.bounding),
            ("ambient", &self.ambient),
        ]
        .map(|(name, set)| (name, set.shown()))
    }
}

/// What Docker leaves by default.
pub(super) fn docker() -> CapabilitySet {
    capability_set(&DOCKER_CAPABILITIES).unwrap_or(CapabilitySet::empty())
}

/// Every one that this kernel has.
pub(super) fn all() -> CapabilitySet {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    let last: u32 = last.and_then(|last| last.trim().parse().ok()).unwrap_or(40);
    CapabilitySet::from_bits_retain(1u64.checked_shl(last + 1).map_or(u64::MAX, |above| above - 1))
}

impl Set {
    fn new(set: CapabilitySet, docker: CapabilitySet) -> Set {
        Set {
            names: capability_names(set),
            more_than_docker: capability_names(set.difference(docker)),
            less_than_docker: capability_names(docker.difference(set)),
            set,
        }
    }

    /// In the fewest names: those in it, or those that it has not, or how it differs from Docker's.
    fn shown(&self) -> String {
        let short = |set: CapabilitySet| {
            let names = capability_names(set);
            names.into_iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect::<Vec<_>>()
        };
        let signed = |sign: char, set| short(set).into_iter().map(move |name| format!(" {sign}{name}"));
        let (all, docker) = (all(), docker());
        let (missing, more, less) =
            (all.difference(self.set), self.set.difference(docker), docker.difference(self.set));
        let count = |set: CapabilitySet| set.bits().count_ones();
        match [count(self.set), count(missing), count(more) + count(less)] {
            [0, ..] => "none".to_owned(),
            [_, 0, _] => "all".to_owned(),
            [these, those, other] if these < those.min(other) => short(self.set).join(" "),
            [_, those, other] if those < other => "all".to_owned() + &signed('-', missing).collect::<String>(),
            _ => "Docker's default".to_owned() + &signed('+', more).chain(signed('-', less)).collect::<String>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_told_by_what_it_has_and_lacks_against_dockers() {
        let shown = |set| Set::new(set, docker()).shown();
        assert_eq!(shown(docker()), "Docker's default");
        assert_eq!(shown(docker() | CapabilitySet::SYS_ADMIN), "Docker's default +SYS_ADMIN");
        assert_eq!(shown(docker().difference(CapabilitySet::MKNOD)), "Docker's default -MKNOD");
        assert_eq!(shown(CapabilitySet::CHOWN | CapabilitySet::BPF), "CHOWN BPF");
        assert_eq!(shown(CapabilitySet::empty()), "none");
        assert_eq!(shown(all()), "all");
        assert_eq!(shown(all().difference(CapabilitySet::SYS_RESOURCE)), "all -SYS_RESOURCE");
    }
}
