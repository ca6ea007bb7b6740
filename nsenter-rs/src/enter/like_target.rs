//! Running the command with the confinement of the target: what is forbidden to the target is forbidden to the command.
//! `proc_pid_status(5)`, `proc_pid_limits(5)`.
//!
//! Properties that refer to the machine outside are read and set there: groups, limits, CPUs, the OOM score. User,
//! group, capabilities and secure bits are set inside, and the filters last.

use plumbing::confinement::privilege::likeness::{Filter, Likeness, Sets, prepare};
use plumbing::confinement::privilege::set_oom_score_adj;
use plumbing::kernel::{call, look};
use plumbing::pipeline::record::{Process, ResourceLimit};
use plumbing::process::kernel_text;
use plumbing::process::target::{Target, status_field};
use plumbing::{Fault, narrate};
use rustix::process::Pid;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CpuSet, sched_getaffinity, sched_setaffinity};

use super::{seccomp_filters, securebits, security_label};

/// The reaction to a property of the target that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Fail; the command is not run.
    Fatal,
    /// Fail for system call filters, and print a warning for the others. A container can prevent that its filters are
    /// read: a process that waits for its vfork(2) cannot be stopped.
    FatalFilters,
    /// Print a warning, and leave that property of the command unchanged.
    Remarked,
}

/// The properties of the target that are read outside.
pub(crate) struct Like<'a> {
    target: &'a Target,
    groups: Vec<u32>,
    limits: Vec<ResourceLimit>,
    securebits: Option<CapabilitiesSecureBits>,
    filters: Vec<Filter>,
    cpus: CpuSet,
    oom_score_adj: i32,
}

impl Unreadable {
    fn for_filters(self) -> Unreadable {
        if self == Unreadable::FatalFilters { Unreadable::Fatal } else { self }
    }

    fn allow<T>(self, read: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match (read, self) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(fault), Unreadable::Fatal) => Err(fault),
            (Err(fault), Unreadable::FatalFilters | Unreadable::Remarked) => {
                narrate::remark(format!("{fault}; the command does not get this property of the target"));
                Ok(None)
            }
        }
    }
}

impl<'a> Like<'a> {
    /// Reads the target's properties; stops the target for a moment if it has filters.
    pub(crate) fn of(target: &'a Target, unreadable: Unreadable) -> Result<Like<'a>, Fault> {
        let status = ProcStatus::of(target)?;
        let limits = target.read("limits")?;
        Ok(Like {
            target,
            groups: status.numbers("Groups", 10)?,
            limits: limits.lines().filter_map(ResourceLimit::of_proc).collect(),
            // First, because this does not stop the target: if it fails, the target need not be stopped.
            securebits: unreadable.allow(securebits::of(target))?.flatten(),
            filters: unreadable
                .for_filters()
                .allow(seccomp_filters::of(target, status.number("Seccomp")?))?
                .unwrap_or_default(),
            cpus: cpus_of(target)?,
            oom_score_adj: oom_score_adj(target)?,
        })
    }

    /// Sets the properties that are set before the border, in the process that crosses it, which is already in the
    /// target's cgroups.
    pub(crate) fn outside(&self) -> Result<(), Fault> {
        self.take_cpus()?;
        self.take_oom_score()?;
        security_label::follow_any(self.target)?;
        prepare(&self.groups, &self.limits)
    }

    /// Sets the properties that are set inside, last of all; calls `last` when user and group have changed.
    pub(crate) fn inside(&self, last: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
        // Read again, because the kernel translates the ids into the reader's user namespace.
        let status = ProcStatus::of(self.target)?;
        status.likeness(self.securebits)?.apply(&self.limits, &self.filters, last)
    }

    fn take_cpus(&self) -> Result<(), Fault> {
        let goal = "run on the target's CPUs";
        if look(goal, "sched_getaffinity(0)", || sched_getaffinity(None))? == self.cpus {
            return Ok(());
        }
        let list: Vec<_> =
            (0..CpuSet::MAX_CPU).filter(|cpu| self.cpus.is_set(*cpu)).map(|cpu| cpu.to_string()).collect();
        let text = format!("sched_setaffinity(0, {}, [{}])", CpuSet::MAX_CPU / 8, list.join(" "));
        call(goal, text, "the same as the target; sched_setaffinity(2)", || sched_setaffinity(None, &self.cpus))
    }

    fn take_oom_score(&self) -> Result<(), Fault> {
        const FILE: &str = "/proc/self/oom_score_adj";
        let goal = "have the target's priority for the OOM killer";
        let own = look(goal, format!("read({FILE:?})"), || kernel_text::read(FILE))?;
        if own.trim_end().parse() == Ok(self.oom_score_adj) { Ok(()) } else { set_oom_score_adj(self.oom_score_adj) }
    }
}

/// Returns the rights that we have and the target lacks, which a command would keep unless it is made like the target.
pub(crate) fn more_than(target: &Target) -> Result<Vec<&'static str>, Fault> {
    let theirs = ProcStatus::of(target)?;
    let has = |field| theirs.number(field).map(|number| number != 0);
    more(Some(theirs.likeness(None)?.sets.bounding), has("Seccomp")?, has("NoNewPrivs")?)
}

/// Returns the rights that we have and a command with the confinement of a record would lack.
pub(crate) fn more_than_recorded(process: &Process) -> Result<Vec<&'static str>, Fault> {
    more(process.bounding_set()?, process.seccomp.is_some(), process.no_new_privs)
}

fn more(bounding: Option<CapabilitySet>, is_filtered: bool, no_new_privs: bool) -> Result<Vec<&'static str>, Fault> {
    let own = std::process::id().cast_signed();
    let own = look("read our own status", "read(\"/proc/self/status\")", || kernel_text::read("/proc/self/status"))
        .map(|text| ProcStatus { pid: own, text })?;
    let has = |field| own.number(field).map(|number| number != 0);
    let mut more = Vec::new();
    let ours = own.likeness(None)?.sets.bounding;
    if bounding.is_some_and(|bounding| !bounding.contains(ours)) {
        more.push("capabilities");
    }
    if is_filtered && !has("Seccomp")? {
        more.push("system calls");
    }
    if no_new_privs && !has("NoNewPrivs")? {
        more.push("set-user-ID programs");
    }
    Ok(more)
}

fn oom_score_adj(target: &Target) -> Result<i32, Fault> {
    let text = target.read("oom_score_adj")?;
    text.trim_end().parse().map_err(|wrong| {
        Fault::new(format!("cannot make the command like process {}: /proc/{0}/oom_score_adj: {wrong}", target.pid()))
    })
}

fn cpus_of(target: &Target) -> Result<CpuSet, Fault> {
    let (goal, text) = ("read the target's CPUs", format!("sched_getaffinity({})", target.pid()));
    let cpus = look(goal, &text, || sched_getaffinity(Pid::from_raw(target.pid())))?;
    // A process that has not ended still has its pid.
    if target.has_ended()? {
        return Err(Fault::kernel(goal, text, nix::errno::Errno::ESRCH));
    }
    Ok(cpus)
}

/// /proc/PID/status.
struct ProcStatus {
    pid: i32,
    text: String,
}

impl ProcStatus {
    fn of(target: &Target) -> Result<ProcStatus, Fault> {
        Ok(ProcStatus { pid: target.pid(), text: target.read("status")? })
    }

    fn likeness(&self, securebits: Option<CapabilitiesSecureBits>) -> Result<Likeness, Fault> {
        let set = |field| {
            let bits = u64::from_str_radix(self.word(field)?, 16).map_err(|wrong| self.odd(field, &wrong.to_string()));
            bits.map(CapabilitySet::from_bits_retain)
        };
        Ok(Likeness {
            uid: self.real_and_effective("Uid")?,
            gid: self.real_and_effective("Gid")?,
            sets: Sets {
                inheritable: set("CapInh")?,
                permitted: set("CapPrm")?,
                effective: set("CapEff")?,
                bounding: set("CapBnd")?,
                ambient: set("CapAmb")?,
            },
            no_new_privs: self.number("NoNewPrivs")? != 0,
            securebits,
            umask: self.numbers("Umask", 8)?.first().copied(),
        })
    }

    fn real_and_effective(&self, field: &str) -> Result<[u32; 2], Fault> {
        match self.numbers(field, 10)?[..] {
            [real, effective, saved, of_files] => {
                if !narrate::is_dry_run() && [saved, of_files] != [effective; 2] {
                    narrate::remark(format!("the target's saved {field} differs; execve(2) does not preserve it"));
                }
                Ok([real, effective])
            }
            _ => Err(self.odd(field, "expected four numbers")),
        }
    }

    /// Returns the text after `FIELD:`.
    fn word(&self, field: &str) -> Result<&str, Fault> {
        status_field(&self.text, field).ok_or_else(|| self.odd(field, "the field is missing"))
    }

    fn numbers(&self, field: &str, radix: u32) -> Result<Vec<u32>, Fault> {
        let words = self.word(field)?.split_ascii_whitespace();
        words
            .map(|word| u32::from_str_radix(word, radix).map_err(|wrong| self.odd(field, &wrong.to_string())))
            .collect()
    }

    fn number(&self, field: &str) -> Result<u32, Fault> {
        self.numbers(field, 10)?.first().copied().ok_or_else(|| self.odd(field, "expected a number"))
    }

    fn odd(&self, field: &str, wrong: &str) -> Fault {
        Fault::new(format!("cannot make the command like process {}: /proc/{0}/status, {field}: {wrong}", self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process_is_parsed() {
        let text = "Umask:\t0027\nUid:\t1\t2\t2\t2\nGid:\t5\t5\t5\t5\nGroups:\t7 8 \nCapInh:\t00\nCapPrm:\t20\nCapEff:\t20\n\
                    CapBnd:\t21\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let status = ProcStatus { pid: 1, text: text.to_owned() };
        let likeness = status.likeness(None).unwrap();
        assert_eq!((likeness.uid, likeness.gid, likeness.umask), ([1, 2], [5, 5], Some(0o27)));
        assert!(likeness.no_new_privs && likeness.sets.effective == CapabilitySet::KILL);
        assert_eq!(status.numbers("Groups", 10).unwrap(), [7, 8]);
        assert!(status.number("Seccomp_filters").is_err());
    }
}
