//! The lines about privileges in /proc/PID/status. `proc_pid_status(5)`.
//!
//! The kernel escapes the process's name in this file, so the process cannot forge a line.

use plumbing::Fault;
use plumbing::process::target::Target;
use rustix::thread::CapabilitySet;

/// The values of the lines that matter here.
#[derive(Debug)]
pub(super) struct ProcStatus {
    /// The real, effective, saved and file system uid.
    pub(super) uid: Vec<u32>,
    pub(super) gid: Vec<u32>,
    pub(super) groups: Vec<u32>,
    pub(super) inheritable: CapabilitySet,
    pub(super) permitted: CapabilitySet,
    pub(super) effective: CapabilitySet,
    pub(super) bounding: CapabilitySet,
    pub(super) ambient: CapabilitySet,
    pub(super) no_new_privs: bool,
    /// 0: none, 1: strict, 2: filter; `None` if the kernel has no seccomp.
    pub(super) seccomp: Option<u8>,
    /// The number of filters, since Linux 5.9.
    pub(super) seccomp_filters: Option<u32>,
}

impl ProcStatus {
    /// Reads the status of a process.
    pub(super) fn of(target: &Target) -> Result<ProcStatus, Fault> {
        Ok(ProcStatus::parse(&target.read("status")?))
    }

    /// Returns what is known about a process whose status we may not read.
    pub(super) fn nothing() -> ProcStatus {
        let empty = CapabilitySet::empty();
        ProcStatus {
            uid: Vec::new(),
            gid: Vec::new(),
            groups: Vec::new(),
            inheritable: empty,
            permitted: empty,
            effective: empty,
            bounding: empty,
            ambient: empty,
            no_new_privs: false,
            seccomp: None,
            seccomp_filters: None,
        }
    }

    fn parse(text: &str) -> ProcStatus {
        let mut status = ProcStatus::nothing();
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            let numbers = || value.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
            let set = || CapabilitySet::from_bits_retain(u64::from_str_radix(value, 16).unwrap_or_default());
            match key {
                "Uid" => status.uid = numbers(),
                "Gid" => status.gid = numbers(),
                "Groups" => status.groups = numbers(),
                "CapInh" => status.inheritable = set(),
                "CapPrm" => status.permitted = set(),
                "CapEff" => status.effective = set(),
                "CapBnd" => status.bounding = set(),
                "CapAmb" => status.ambient = set(),
                "NoNewPrivs" => status.no_new_privs = value == "1",
                "Seccomp" => status.seccomp = value.parse().ok(),
                "Seccomp_filters" => status.seccomp_filters = value.parse().ok(),
                _ => {}
            }
        }
        status
    }

    /// Returns whether any of the process's user ids is this one.
    pub(super) fn is(&self, uid: u32) -> bool {
        self.uid.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_its_keys() {
        let text = "Name:\ta\\nUid:\t5\nUid:\t0\t0\t7\t0\nGroups:\t5 6 \nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n\
                    Seccomp:\t2\nSeccomp_filters:\t3\n";
        let status = ProcStatus::parse(text);
        assert!(status.is(7) && !status.is(5) && status.no_new_privs);
        assert_eq!((status.effective.bits(), status.groups.as_slice()), (0xa804_25fb, &[5, 6][..]));
        assert_eq!((status.seccomp, status.seccomp_filters), (Some(2), Some(3)));
    }
}
