//! `--inspect`: one page on how a process is isolated from the host and what is risky about it; `--diff`: a comparison
//! of two processes. `namespaces(7)`, `proc(5)`.
//!
//! Everything is read from outside, through the verified process's directory in /proc. Nothing is entered, and no path
//! of the process is followed. What the process can write there is text, which is escaped, and of which only a limited
//! amount is read.

mod capabilities;
mod cgroup;
mod confinement;
mod descriptors;
mod devices;
mod diff;
mod findings;
mod id_maps;
mod kernel_file_systems;
mod kernel_files;
mod mount_table;
mod mounts;
mod namespaces;
mod page;
mod proc_status;
mod reading;
mod rules;
mod sockets;
mod subject;
mod traceable;

use plumbing::command_line::folding;
use plumbing::pipeline::pipe;
use plumbing::pipeline::record::Record;
use plumbing::process::namespace::Kind;
use plumbing::process::startup;
use plumbing::process::target::Target;
use plumbing::{Fault, Status};
use serde::Serialize;

use self::capabilities::Capabilities;
use self::cgroup::Group;
use self::confinement::Confinement;
use self::descriptors::Leak;
use self::devices::Device;
use self::findings::{Findings, Standing};
use self::id_maps::Ids;
use self::mount_table::MountTable;
use self::mounts::{Judge, Mounts};
use self::namespaces::Namespaces;
use self::reading::{List, Reading};
use self::sockets::Socket;
pub(crate) use self::subject::Subject;
use crate::find;

/// The record's member `isolation`.
#[derive(Debug, Serialize)]
struct Isolation {
    /// The process that was inspected.
    pid: i32,
    /// The process whose view counts as the host's.
    host_pid: i32,
    namespaces: Namespaces,
    ids: Reading<Ids>,
    capabilities: Reading<Capabilities>,
    confinement: Reading<Confinement>,
    cgroup: Reading<Group>,
    mounts: Reading<Mounts>,
    devices: Reading<List<Device>>,
    listening: Reading<List<Socket>>,
    leaks: Reading<List<Leak>>,
    findings: Findings,
}

/// Prints the page about a process, or its record with the member `isolation`.
pub(crate) fn print(subject: &Subject, json: bool) -> Result<Status, Fault> {
    let (mut record, target) = subject.open(json)?;
    let isolation = Isolation::of(&record, &target)?;
    if json {
        record.set("isolation", &isolation)?;
        startup::print(&record.to_line())
    } else {
        startup::print(&folding::for_terminal(&page::page(&record, &target, &isolation)))
    }
}

/// Adds the member `isolation` to every record of stdin.
pub(crate) fn pass_on() -> Result<Status, Fault> {
    pipe::inspect(|record, target| {
        let command = find::command_of(target);
        let isolation = Isolation::of(record, command.as_ref().unwrap_or(target))?;
        record.set("isolation", &isolation)
    })
}

/// Prints how two processes differ.
pub(crate) fn compare(subjects: &[Subject; 2], json: bool) -> Result<Status, Fault> {
    let [one, other] = subjects;
    let (one, other) = (diff::Side::of(one, json)?, diff::Side::of(other, json)?);
    startup::print(&diff::comparison(&one, &other, json)?)
}

impl Isolation {
    fn of(record: &Record, target: &Target) -> Result<Isolation, Fault> {
        let host = namespaces::host()?;
        let mut findings = Findings::default();
        let namespaces = Namespaces::of(target, &host)?;
        let status = proc_status::ProcStatus::of(target);
        let ids = Reading::of(status.as_ref().map_err(Fault::clone).and_then(|status| Ids::of(target, status)));
        let capabilities = Reading::of(status.as_ref().map(Capabilities::of).map_err(Fault::clone));
        let confinement =
            Reading::of(status.as_ref().map(|status| Confinement::of(target, status)).map_err(Fault::clone));
        let nothing = proc_status::ProcStatus::nothing();
        let standing = Standing::of(&namespaces, ids.ok(), status.as_ref().unwrap_or(&nothing));
        rules::of_namespaces(&namespaces, &standing, &mut findings);
        if let Some(confinement) = confinement.ok() {
            rules::of_capabilities(&standing, confinement, &mut findings);
            rules::of_confinement(confinement, &standing, &mut findings);
        }
        rules::of_tracing(&namespaces, &standing, &mut findings);
        if let Ok(status) = &status {
            traceable::of(target, &namespaces, status, &standing, &mut findings)?;
        }
        let cgroup = Reading::of(Group::of(record, target));
        if let Some(group) = cgroup.ok() {
            rules::of_cgroup(group, &mut findings);
        }
        let files = Files::of(target, &host, &namespaces, &standing, &mut findings);
        let listening = Reading::of(sockets::of(target));
        findings.sort();
        if target.has_ended()? {
            let pid = target.pid();
            return Err(Fault::new(format!("cannot inspect process {pid}: it ended during the inspection")));
        }
        let Files { mounts, devices, leaks } = files;
        let host_pid = host.pid();
        Ok(Isolation {
            pid: target.pid(),
            host_pid,
            namespaces,
            ids,
            capabilities,
            confinement,
            cgroup,
            mounts,
            devices,
            listening,
            leaks,
            findings,
        })
    }
}

/// The parts of the page about files.
struct Files {
    mounts: Reading<Mounts>,
    devices: Reading<List<Device>>,
    leaks: Reading<List<Leak>>,
}

impl Files {
    fn of(
        target: &Target,
        host: &Target,
        namespaces: &Namespaces,
        standing: &Standing,
        findings: &mut Findings,
    ) -> Files {
        let tables = MountTable::of(target).and_then(|inside| Ok((inside, MountTable::of(host)?)));
        let (inside, outside) = match tables {
            Ok(tables) => tables,
            Err(fault) => {
                let (devices, leaks) = (Reading::of(Err(fault.clone())), Reading::of(Err(fault.clone())));
                return Files { mounts: Reading::of(Err(fault)), devices, leaks };
            }
        };
        // A process with the host's own mounts has all of them, so there is nothing to judge. If we may not read the
        // namespace, the ids of the mounts show whether they are the host's.
        let is_known = || inside.mounts.first().is_some_and(|mount| outside.has(mount.id));
        if namespaces.is_host(Kind::Mnt).unwrap_or_else(is_known) {
            let mounts = Mounts::all_of_host(&inside);
            return Files {
                mounts: Reading::Value(mounts),
                devices: Reading::Value(List::new()),
                leaks: Reading::Value(List::new()),
            };
        }
        let own_pids = namespaces.is_host(Kind::Pid) == Some(false);
        let judge = Judge { host: &outside, standing, own_pids, sockets: mounts::sockets_here() };
        let mounts = Mounts::of(&inside, &judge, findings);
        devices::of_making(target, &inside, standing, findings);
        Files {
            mounts: Reading::Value(mounts),
            devices: Reading::of(devices::of(target, standing, findings)),
            leaks: Reading::of(descriptors::of(target, &inside, &outside, findings)),
        }
    }
}
