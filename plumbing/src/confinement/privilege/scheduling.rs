//! How the kernel runs the command: CPU scheduler, I/O priority and execution domain. `sched(7)`, `ioprio_set(2)`,
//! `personality(2)`.
//!
//! The surprise: only CAP_SYS_NICE of the first user namespace allows a real-time policy or a negative nice value, whatever
//! the container has in its own; so this comes before capabilities are dropped, and is refused in a user namespace.

use nix::errno::Errno;

use crate::Fault;
use crate::kernel::{Scheduling, call, ioprio_set, personality, sched_setattr};
use crate::pipeline::record::{IoPriority, Scheduler};

/// The policies: name, number, and the members that each of them uses besides the flags.
const POLICIES: [(&str, u32, Uses); 6] = [
    ("SCHED_OTHER", 0, Uses::Nice),
    ("SCHED_FIFO", 1, Uses::Priority),
    ("SCHED_RR", 2, Uses::Priority),
    ("SCHED_BATCH", 3, Uses::Nice),
    ("SCHED_IDLE", 5, Uses::Nice),
    ("SCHED_DEADLINE", 6, Uses::Times),
];

/// The flags of the specification, in the order of their bits.
const FLAGS: [&str; 7] = [
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// The classes of I/O priority, from number 1.
const CLASSES: [&str; 3] = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

/// The execution domains: the name in bundles, the name and the number in the kernel.
const DOMAINS: [(&str, &str, u32); 2] = [("LINUX", "PER_LINUX", 0), ("LINUX32", "PER_LINUX32", 8)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    Nice,
    Priority,
    Times,
}

impl Scheduler {
    /// Refuses what the kernel does not know, and values that the policy would ignore.
    pub fn check(&self) -> Result<(), String> {
        let policy = &self.policy;
        let Some((.., uses)) = POLICIES.iter().find(|(name, ..)| name == policy) else {
            let names = POLICIES.map(|(name, ..)| name).join(", ");
            return Err(format!("{policy:?} is no scheduling policy of Linux: {names}"));
        };
        if let Some(flag) = self.flags.iter().find(|flag| !FLAGS.contains(&flag.as_str())) {
            return Err(format!("{flag:?} is no flag of a scheduler"));
        }
        if !(-20..=19).contains(&self.nice) {
            return Err(format!("the nice value {} is not between -20 and 19", self.nice));
        }
        let times = self.runtime != 0 || self.deadline != 0 || self.period != 0;
        for (name, is_set, user) in [
            ("nice", self.nice != 0, Uses::Nice),
            ("priority", self.priority != 0, Uses::Priority),
            ("runtime, deadline or period", times, Uses::Times),
        ] {
            if is_set && user != *uses {
                return Err(format!("{policy} does not use {name}"));
            }
        }
        Ok(())
    }

    pub(super) fn set(&self) -> Result<(), Fault> {
        let goal = format!("set the scheduling policy {}", self.policy);
        self.check().map_err(|wrong| Fault::new(format!("cannot {goal}: {wrong}")))?;
        let number = POLICIES.iter().find(|(name, ..)| *name == self.policy).map_or(0, |(_, number, _)| *number);
        let bit = |flag: &String| FLAGS.iter().position(|name| name == flag).map_or(0, |place| 1 << place);
        let flags = self.flags.iter().map(bit).fold(0, |all: u64, one: u64| all | one);
        let attributes = Scheduling {
            size: size_of::<Scheduling>() as u32,
            policy: number,
            flags,
            nice: self.nice,
            priority: self.priority,
            runtime: self.runtime,
            deadline: self.deadline,
            period: self.period,
            util_min: 0,
            util_max: 0,
        };
        let shown = if self.flags.is_empty() { "0".to_owned() } else { self.flags.join("|") };
        let text = format!(
            "sched_setattr(0, {{sched_policy={}, sched_flags={shown}, sched_nice={}, sched_priority={}, sched_runtime={}, \
             sched_deadline={}, sched_period={}}}, 0)",
            self.policy, self.nice, self.priority, self.runtime, self.deadline, self.period
        );
        call(goal, text, "how the kernel shares the CPUs; sched(7)", || sched_setattr(&attributes)).map_err(not_ours)
    }
}

impl IoPriority {
    /// Refuses what the kernel does not know.
    pub fn check(&self) -> Result<(), String> {
        if !CLASSES.contains(&self.class.as_str()) {
            return Err(format!("{:?} is no class of I/O priority: {}", self.class, CLASSES.join(", ")));
        }
        if !(0..8).contains(&self.priority) {
            return Err(format!("the I/O priority {} is not between 0 and 7", self.priority));
        }
        Ok(())
    }

    pub(super) fn set(&self) -> Result<(), Fault> {
        let IoPriority { class, priority } = self;
        let goal = format!("set the I/O priority {class} {priority}");
        self.check().map_err(|wrong| Fault::new(format!("cannot {goal}: {wrong}")))?;
        let number = CLASSES.iter().zip(1..).find(|(name, _)| *name == class).map_or(0, |(_, number)| number);
        let text = format!("ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE({class}, {priority}))");
        call(goal, text, "the order in which disks serve the command; ioprio_set(2)", || {
            ioprio_set(number << 13 | priority)
        })
        .map_err(not_ours)
    }
}

/// Refuses an execution domain that bundles do not have.
pub fn check_personality(name: &str) -> Result<(), String> {
    let is_known = DOMAINS.iter().any(|(known, ..)| *known == name);
    if is_known { Ok(()) } else { Err(format!("{name:?} is no execution domain: LINUX or LINUX32")) }
}

/// Sets the execution domain, which `execve(2)` keeps.
pub(super) fn set_personality(name: &str) -> Result<(), Fault> {
    let goal = format!("set the execution domain {name}");
    let Some((_, shown, number)) = DOMAINS.iter().find(|(known, ..)| *known == name) else {
        let wrong = check_personality(name).err().unwrap_or_default();
        return Err(Fault::new(format!("cannot {goal}: {wrong}")));
    };
    let why = "what uname(2) reports as the machine; personality(2)";
    call(goal, format!("personality({shown})"), why, || personality(*number))
}

/// Adds the right that is missing. Its own user namespace gives no container this right.
fn not_ours(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) => fault.with_remedy(
            "only CAP_SYS_NICE of the first user namespace allows this; resource limits nice and rtprio allow a part of it",
        ),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(policy: &str) -> Scheduler {
        Scheduler { policy: policy.to_owned(), ..Scheduler::default() }
    }

    #[test]
    fn a_value_that_the_policy_ignores_is_refused() {
        for (fit, is_fit) in [
            (Scheduler { nice: 5, ..scheduler("SCHED_BATCH") }, true),
            (Scheduler { priority: 5, ..scheduler("SCHED_RR") }, true),
            (Scheduler { runtime: 5, deadline: 10, period: 10, ..scheduler("SCHED_DEADLINE") }, true),
            (Scheduler { flags: vec!["SCHED_FLAG_RESET_ON_FORK".to_owned()], ..scheduler("SCHED_OTHER") }, true),
            (Scheduler { nice: 5, ..scheduler("SCHED_FIFO") }, false),
            (Scheduler { priority: 5, ..scheduler("SCHED_BATCH") }, false),
            (Scheduler { period: 5, ..scheduler("SCHED_OTHER") }, false),
            (Scheduler { nice: 20, ..scheduler("SCHED_OTHER") }, false),
            (Scheduler { flags: vec!["RESET".to_owned()], ..scheduler("SCHED_OTHER") }, false),
            (scheduler("SCHED_ISO"), false),
            (scheduler(""), false),
        ] {
            assert_eq!(fit.check().is_ok(), is_fit, "{fit:?}");
        }
    }

    #[test]
    fn an_io_priority_is_a_class_and_a_level() {
        for (class, priority, is_fit) in [
            ("IOPRIO_CLASS_BE", 7, true),
            ("IOPRIO_CLASS_BE", 8, false),
            ("IOPRIO_CLASS_RT", -1, false),
            ("IOPRIO_CLASS_NONE", 0, false),
        ] {
            let read = IoPriority { class: class.to_owned(), priority }.check();
            assert_eq!(read.is_ok(), is_fit, "{class} {priority}");
        }
    }
}
