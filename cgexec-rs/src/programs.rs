//! Programs of a v2 group: for devices and for the rate of sending. `bpf(2)`.
//!
//! v2 has neither a controller for devices nor one for networks; both are programs that the kernel runs for the group. A
//! program stays until the group is removed, and programs of groups above are asked, too. The surprise: a process that
//! moves to a group elsewhere leaves the programs of its old groups behind, as it does their limits. So they are attached
//! to the new group, too, with the counters that they have.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::counters::{Counters, Net};
use plumbing::cgroup::group::Group;
use plumbing::confinement::privilege::holds;
use plumbing::kernel::{
    Hook, attach_group_program, call, detach_group_program, group_programs, load_group_program, look, make_numbers_map,
    map_by_id, program_by_id, program_info, read_numbers,
};
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use rustix::thread::CapabilitySet;

use crate::device_rules::Devices;
use crate::ending::Members;
use crate::net_rate::{NUMBERS, NetRate};

/// The kernel asks for it; both programs may be used under either.
const LICENSE: &CStr = c"Dual MIT/GPL";

/// The names of our programs, by which they are found again.
const DEVICES: &str = "cgexec_devices";
const NET: &str = "cgexec_net";

/// A program for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// `--devices`, `--device-allow`
    Devices(Devices),
    /// `--net-rate`
    Net(NetRate),
}

impl Program {
    fn hook(&self) -> Hook {
        match self {
            Program::Devices(_) => Hook::DEVICE,
            Program::Net(_) => Hook::EGRESS,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Program::Devices(_) => DEVICES,
            Program::Net(_) => NET,
        }
    }

    /// Attaches the program to a new group.
    pub(crate) fn attach(&self, group: &Group) -> Result<(), Fault> {
        let is_restriction = match self {
            Program::Devices(devices) => !devices.allows_all(),
            Program::Net(rate) => rate.is_limit(),
        };
        if !is_restriction {
            return Ok(());
        }
        let goal = format!("attach a program to {}", group.shown().display());
        let program = self.load(&goal).map_err(explain)?;
        attach(
            group,
            &program,
            self.hook(),
            "in addition to those of the groups above; it is gone with the group; bpf(2)",
        )
    }

    /// Attaches the program to a group that exists, in place of an earlier one of the same kind.
    pub(crate) fn replace(&self, group: &Group) -> Result<(), Fault> {
        let hook = self.hook();
        let goal = format!("replace a program of {}", group.shown().display());
        let ids = look(&goal, query_text(hook), || group_programs(dir(group)?, hook)).map_err(explain)?;
        let mut earlier = Vec::new();
        for id in ids {
            let Some(program) = open(&goal, id)? else { continue };
            if look(&goal, INFO, || program_info(&program))?.0 == self.name() {
                earlier.push(program);
            }
        }
        self.attach(group)?;
        for program in earlier {
            let text = format!("bpf(BPF_PROG_DETACH, {{target_fd, attach_bpf_fd, attach_type={}}})", hook.name);
            call(&goal, text, "the new one decides instead; bpf(2)", || {
                detach_group_program(dir(group)?, &program, hook)
            })?;
        }
        Ok(())
    }

    fn load(&self, goal: &str) -> Result<OwnedFd, Fault> {
        let (kind, why) = match self {
            Program::Devices(_) => {
                ("BPF_PROG_TYPE_CGROUP_DEVICE", "v2 has no controller for devices: this program decides; bpf(2)")
            }
            Program::Net(_) => {
                ("BPF_PROG_TYPE_CGROUP_SKB", "v2 has no controller for networks: this program sets the pace; bpf(2)")
            }
        };
        let program = match self {
            Program::Devices(devices) => devices.program(),
            Program::Net(rate) => {
                let text = format!(
                    "bpf(BPF_MAP_CREATE, {{map_type=BPF_MAP_TYPE_ARRAY, key_size=4, value_size={}, max_entries=1, \
                     map_name={NET:?}}})",
                    NUMBERS * size_of::<u64>()
                );
                let map = call(goal, text, "the clock and the counters of the program; bpf(2)", || {
                    make_numbers_map::<NUMBERS>(NET)
                })?;
                let program = rate.program(map.as_fd());
                return self.load_instructions(goal, kind, why, &program);
            }
        };
        self.load_instructions(goal, kind, why, &program)
    }

    fn load_instructions(
        &self,
        goal: &str,
        kind: &str,
        why: &str,
        program: &[plumbing::kernel::Instruction],
    ) -> Result<OwnedFd, Fault> {
        let text = format!(
            "bpf(BPF_PROG_LOAD, {{prog_type={kind}, insn_cnt={}, license={LICENSE:?}, prog_name={:?}}})",
            program.len(),
            self.name()
        );
        call(goal, text, why, || load_group_program(self.hook(), self.name(), LICENSE, program))
    }
}

const INFO: &str = "bpf(BPF_OBJ_GET_INFO_BY_FD)";

fn query_text(hook: Hook) -> String {
    format!("bpf(BPF_PROG_QUERY, {{target_fd, attach_type={}}})", hook.name)
}

fn dir(group: &Group) -> Result<std::os::fd::BorrowedFd<'_>, Errno> {
    group.dir().ok_or(Errno::ENOENT)
}

fn attach(group: &Group, program: &OwnedFd, hook: Hook, why: &str) -> Result<(), Fault> {
    let goal = format!("attach a program to {}", group.shown().display());
    let text = format!(
        "bpf(BPF_PROG_ATTACH, {{target_fd, attach_bpf_fd, attach_type={}, attach_flags=BPF_F_ALLOW_MULTI}})",
        hook.name
    );
    call(goal, text, why, || attach_group_program(dir(group)?, program, hook)).map_err(explain)
}

/// Attaches the programs of the groups that a process leaves when it moves to `group`.
pub(crate) fn inherit(left: &[Group], group: &Group) -> Result<(), Fault> {
    let mut attached = Vec::new();
    for outer in left {
        let goal = format!("keep the programs of {}", outer.shown().display());
        for hook in Hook::ALL {
            let ids = match look(&goal, query_text(hook), || group_programs(dir(outer)?, hook)) {
                Ok(ids) => ids,
                // Without the right to see programs, nobody can have attached one for us.
                Err(fault) if fault.errno() == Some(Errno::EPERM) => return Ok(()),
                // This kernel has no such hook.
                Err(fault) if matches!(fault.errno(), Some(Errno::EINVAL | Errno::ENOSYS)) => continue,
                Err(fault) => return Err(fault),
            };
            for id in ids {
                if !attached.contains(&(hook, id))
                    && let Some(program) = open(&goal, id)?
                {
                    attach(
                        group,
                        &program,
                        hook,
                        "of a group that is left: it still decides about what runs here; bpf(2)",
                    )?;
                    attached.push((hook, id));
                }
            }
        }
    }
    Ok(())
}

/// Opens a program by its id; `None` if it is gone.
fn open(goal: &str, id: u32) -> Result<Option<OwnedFd>, Fault> {
    match look(goal, format!("bpf(BPF_PROG_GET_FD_BY_ID, {{prog_id={id}}})"), || program_by_id(id)) {
        Ok(program) => Ok(Some(program)),
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(None),
        Err(fault) => Err(explain(fault)),
    }
}

/// Returns what a group has used, with what the program for `--net-rate` has counted.
pub(crate) fn counted(members: &Members) -> Result<Counters, Fault> {
    Ok(Counters { net: members.v2().and_then(net), ..Counters::of(members.iter())? })
}

/// Returns what the program for `--net-rate` of a group has counted; `None` if there is none, or we may not look.
fn net(group: &Group) -> Option<Net> {
    let ids = group_programs(group.dir()?, Hook::EGRESS).ok()?;
    // The last one is the group's own; those before it come from groups that were left.
    let map = ids.into_iter().rev().find_map(|id| {
        let (name, map) = program_info(program_by_id(id).ok()?).ok()?;
        map.filter(|_| name == NET)
    })?;
    read_numbers::<NUMBERS>(map_by_id(map).ok()?).ok().map(Net::of)
}

/// Adds the cause of a refusal, if it is found.
fn explain(fault: Fault) -> Fault {
    let may = |right| holds(right) == Some(true);
    let has_right = may(CapabilitySet::SYS_ADMIN) || (may(CapabilitySet::BPF) && may(CapabilitySet::NET_ADMIN));
    match fault.errno() {
        Some(Errno::EPERM) if is_in_first_namespace(Kind::User) == Some(false) => {
            fault.with_remedy("the kernel accepts such programs only from the first user namespace: start this outside")
        }
        Some(Errno::EPERM) if !has_right => {
            fault.with_remedy("such programs need CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN")
        }
        _ => fault,
    }
}
