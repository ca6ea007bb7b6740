//! The five capability sets, and how each differs from what Docker grants to a container. `capabilities(7)`.
//!
//! The surprise: the user namespace in which capabilities are held decides their power; all capabilities in another
//! user namespace are less than a single one in the host's.

use plumbing::confinement::privilege::{DOCKER_CAPABILITIES, capability_names, capability_set};
use plumbing::process::kernel_text;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::proc_status::ProcStatus;

/// The capability sets, as a member of `isolation`.
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
    /// The capabilities that Docker's default lacks, and those that only Docker's default has.
    more_than_docker: Vec<String>,
    less_than_docker: Vec<String>,
    #[serde(skip)]
    set: CapabilitySet,
}

impl Capabilities {
    /// Takes the sets from the status of a process.
    pub(super) fn of(status: &ProcStatus) -> Capabilities {
        let docker = docker();
        // Docker leaves these two sets empty.
        let none = CapabilitySet::empty();
        Capabilities {
            effective: Set::new(status.effective, docker),
            permitted: Set::new(status.permitted, docker),
            inheritable: Set::new(status.inheritable, none),
            bounding: Set::new(status.bounding, docker),
            ambient: Set::new(status.ambient, none),
        }
    }

    /// Returns the name and the text of each set.
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

/// Returns the capabilities that Docker grants by default.
pub(super) fn docker() -> CapabilitySet {
    capability_set(&DOCKER_CAPABILITIES).unwrap_or(CapabilitySet::empty())
}

/// Returns all capabilities of this kernel.
pub(super) fn all() -> CapabilitySet {
    let last = kernel_text::read("/proc/sys/kernel/cap_last_cap").ok();
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

    /// Returns the text with the fewest names: those in the set, those missing from it, or the difference from Docker's
    /// default.
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
    fn a_set_is_shown_with_the_fewest_names() {
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
