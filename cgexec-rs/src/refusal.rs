//! Why the kernel refused a change to a cgroup: each cause is verified before it is reported. `cgroups(7)`,
//! "Delegation".

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use rustix::fs::{Access, AtFlags, accessat, statat};
use rustix::process::geteuid;

/// Adds the cause of `fault`, if it is found. The refused change was to `file` of `group` (`.`: making a group in it).
pub(crate) fn explain(fault: Fault, group: &Group, file: &str) -> Fault {
    let cause = match fault.errno() {
        Some(Errno::EACCES | Errno::EPERM) => not_ours(group, file),
        Some(Errno::EROFS) => Some("the cgroup file system is mounted read-only here".to_owned()),
        Some(Errno::EBUSY) => processes(group),
        Some(Errno::EAGAIN) => exhausted(group),
        _ => None,
    };
    match cause {
        Some(cause) => fault.with_remedy(cause),
        None => fault,
    }
}

fn not_ours(group: &Group, file: &str) -> Option<String> {
    let dir = group.dir()?;
    let refused = accessat(dir, file, Access::WRITE_OK, AtFlags::EACCESS).is_err();
    let owner = statat(dir, file, AtFlags::empty()).ok()?.st_uid;
    let user = geteuid().as_raw();
    let what = group.shown().join(file);
    let what = if file == "." { group.shown() } else { &what };
    let way = match group.version {
        2 => "get a delegated cgroup: systemd-run --user --scope -p Delegate=yes SHELL, or chown a subtree as root",
        _ => "cgroup v1 groups belong to root, which can chown one to you, including its tasks file",
    };
    (refused && owner != user)
        .then(|| format!("{} belongs to uid {owner}, and we are uid {user}; {way}", what.display()))
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
