//! Why the kernel refused a change to a cgroup: each cause is verified before it is reported. `cgroups(7)`,
//! "Delegation".

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::confinement::privilege::holds;
use plumbing::process::kernel_text;
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use rustix::fs::{Access, AtFlags, accessat, statat};
use rustix::process::geteuid;
use rustix::thread::CapabilitySet;

use crate::removal::files;

/// Adds the cause of `fault`, if it is found. The refused change was to `file` of `group` (`.`: making a group in it).
pub(crate) fn explain(fault: Fault, group: &Group, file: &str) -> Fault {
    let cause = match fault.errno() {
        Some(Errno::EACCES | Errno::EPERM) => not_ours(group, file).or_else(|| not_above(file)),
        Some(Errno::EROFS) => Some("the cgroup file system is mounted read-only here".to_owned()),
        Some(Errno::EBUSY) => processes(group),
        Some(Errno::EAGAIN) => exhausted(group),
        Some(Errno::ENOENT) => unknown(group, file),
        Some(Errno::ERANGE) => out_of_range(group, file),
        Some(Errno::ENOSPC) => without_cpus(group),
        _ => None,
    };
    match cause {
        Some(cause) => fault.with_remedy(cause),
        None => fault,
    }
}

fn not_ours(group: &Group, file: &str) -> Option<String> {
    let dir = group.dir()?;
    let refused = may_not_write(group, file);
    let owner = statat(dir, file, AtFlags::empty()).ok()?.st_uid;
    let user = geteuid().as_raw();
    let what = group.shown().join(file);
    let what = if file == "." { group.shown() } else { &what };
    let way = match group.version {
        2 => "get a delegated cgroup: systemd-run --user --scope -p Delegate=yes SHELL, or chown a subtree as root",
        _ => "cgroup v1 groups belong to root, which can chown one to you, including its tasks file",
    };
    let way = match group.version {
        1 if file == "." => {
            let (place, path) =
                (group.shown().join(format!("of-{user}")), group.path().join(format!("of-{user}/NAME")));
            let (place, path) = (place.display(), path.display());
            format!(
                "root can give you a group: mkdir {place} && chown -R {user} {place}; then use cgexec-rs --cgroup {path}"
            )
        }
        _ => way.to_owned(),
    };
    (refused && owner != user)
        .then(|| format!("{} belongs to uid {owner}, and we are uid {user}; {way}", what.display()))
}

/// A device that the group above may not use itself: with the right to change groups, this is the only cause.
fn not_above(file: &str) -> Option<String> {
    let may = holds(CapabilitySet::SYS_ADMIN) == Some(true) && is_in_first_namespace(Kind::User) == Some(true);
    (file == "devices.allow" && may)
        .then(|| "the group above is not allowed to use this device (devices.list)".to_owned())
}

/// Returns whether we lack the permission to write to a file of the group.
pub(crate) fn may_not_write(group: &Group, file: &str) -> bool {
    let access = |dir| accessat(dir, file, Access::WRITE_OK, AtFlags::EACCESS);
    group.dir().is_some_and(|dir| access(dir) == Err(rustix::io::Errno::ACCESS))
}

/// A controller that is there, but not this file.
fn unknown(group: &Group, file: &str) -> Option<String> {
    let (controller, _) = file.split_once('.')?;
    let has = |name: &str| name.starts_with(controller) && name[controller.len()..].starts_with('.');
    files(group).ok()?.iter().any(|name| has(name)).then(|| {
        format!("the {controller} controller of this kernel has no {file}: that needs a newer kernel or a build option of it")
    })
}

/// CPUs and memory nodes that this machine, or the groups above, do not have.
fn out_of_range(group: &Group, file: &str) -> Option<String> {
    let (_, kind) = file.split_once('.').filter(|(controller, _)| *controller == "cpuset")?;
    let effective = ["cpuset.effective_", "cpuset."].iter().zip(["", ".effective"]);
    let available = effective.rev().find_map(|(before, after)| group.read(&format!("{before}{kind}{after}")).ok())?;
    let online = kernel_text::read("/sys/devices/system/cpu/online").unwrap_or_default();
    match (available.is_empty(), kind) {
        (false, _) => Some(format!("available here: {available}")),
        (true, "cpus") if !online.is_empty() => Some(format!("this machine has the CPUs {}", online.trim_end())),
        _ => None,
    }
}

/// A cpuset of cgroup v1 whose processes would have no CPU or no memory node: a new one is empty until somebody fills it.
fn without_cpus(group: &Group) -> Option<String> {
    let is_empty = |file: &&&str| group.read(file).is_ok_and(|list| list.is_empty());
    let empty: Vec<_> = ["cpuset.cpus", "cpuset.mems"].iter().filter(is_empty).copied().collect();
    (group.version == 1 && !empty.is_empty()).then(|| {
        format!(
            "{} has an empty {}; fill it: cgexec-rs --cgroup PATH --cpuset-cpus 0 --cpuset-mems 0",
            group.shown().display(),
            empty.join(" and an empty ")
        )
    })
}

fn processes(group: &Group) -> Option<String> {
    let count = group.read("cgroup.procs").ok()?.lines().count();
    (count > 0).then(|| {
        format!(
            "{} contains {count} processes, and a group with processes cannot enable controllers for its children",
            group.shown().display()
        )
    })
}

fn exhausted(group: &Group) -> Option<String> {
    let limits: Vec<_> = ["cgroup.max.depth", "cgroup.max.descendants"]
        .into_iter()
        .filter_map(|file| {
            group.read(file).ok().filter(|limit| limit != "max").map(|limit| format!("{file} is {limit}"))
        })
        .collect();
    (!limits.is_empty()).then(|| format!("in {}, {}", group.shown().display(), limits.join(" and ")))
}
