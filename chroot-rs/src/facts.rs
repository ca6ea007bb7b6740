//! The facts on which the lists of mounts depend, read once before the root changes: ids, maps, cgroups, the host's files.
//!
//! All are read in the caller's mount namespace: inside a held container its owner decides which files these paths lead to.

use std::path::Path;

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::regular;
use plumbing::confinement::privilege::{holds, is_mapped, setgroups_is_denied};
use plumbing::kernel::look;
use plumbing::narrate;
use plumbing::pipeline::record::Cgroup;
use plumbing::process::mountinfo::{self, Mount};
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::procfs;
use plumbing::process::target::{Target, is_in_first_namespace};
use rustix::thread::CapabilitySet;

use crate::cgroup_view::{View, views};
use crate::own_user::OwnUser;
use crate::refusal;

/// The directories of the host that a host root shows in addition to /usr, if they exist.
const TOP: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// The limit for reading one of the host's files.
const LONGEST: u64 = 4 << 20;

/// Facts about this process and its machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Whether mknod(2) makes usable devices: it does not in a user namespace.
    pub(crate) makes_devices: bool,
    /// Whether root here is root outside: there is no user namespace, or it maps 0 to 0.
    pub(crate) is_root_outside: bool,
    /// Whether group 5, which owns terminals, is mapped here.
    pub(crate) has_tty_group: bool,
    /// Whether setgroups(2) is denied permanently.
    pub(crate) setgroups_denied: bool,
    /// /proc/self/cgroup: a line for each hierarchy in use.
    pub(crate) cgroups: String,
    /// The options of the cgroup v2 hierarchy, such as `nsdelegate`.
    pub(crate) cgroup2_options: Vec<String>,
    /// The part of each hierarchy that can be shown, by controllers as in `cgroups`.
    pub(crate) views: Vec<(String, View)>,
    /// The processors that have a thermal_throttle directory, as `cpu0`.
    pub(crate) throttled: Vec<String>,
    /// The host's /bin and its like: link texts, or `None` for directories.
    pub(crate) top: Vec<(String, Option<String>)>,
    /// The user that we run as, if it is not root and the command may run as it, too; not for a held container.
    pub(crate) own: Option<OwnUser>,
    /// The host's name and its resolv.conf.
    pub(crate) hostname: Vec<u8>,
    pub(crate) resolv_conf: Vec<u8>,
}

impl Facts {
    /// Gathers the facts. For a container whose namespaces `joined` will be entered, they are those of its init `target`,
    /// and `cgroup` is the group that its record names.
    /// Call this before the namespaces are entered.
    pub(crate) fn gather(target: Option<&Target>, joined: KindSet, cgroup: Option<&Cgroup>) -> Result<Facts, Fault> {
        let theirs = |kind| target.filter(|_| joined.contains(kind));
        let ids = Ids::read(theirs(Kind::User), joined.contains(Kind::User))?;
        // The hierarchies are the same in every cgroup namespace.
        let [cgroups, mountinfo] = [own("cgroup")?, own("mountinfo")?];
        let hierarchies = match target {
            Some(target) => Hierarchies::of_process(target)?,
            None => Hierarchies::of_tables(&cgroups, &mountinfo),
        };
        let mounts = match theirs(Kind::Mnt) {
            Some(target) => mountinfo::parse(target.read("mountinfo")?.as_bytes()),
            None => mountinfo::parse(&mountinfo),
        };
        Ok(Facts {
            makes_devices: !ids.in_user_namespace && holds(CapabilitySet::MKNOD) == Some(true),
            is_root_outside: ids.is_root_outside,
            has_tty_group: ids.has_tty_group,
            setgroups_denied: ids.setgroups_denied,
            cgroups: String::from_utf8_lossy(&cgroups).into_owned(),
            cgroup2_options: cgroup2_options(&mounts),
            views: views(&hierarchies, target, joined, cgroup),
            throttled: throttled()?,
            own: if target.is_none() { OwnUser::read()? } else { None },
            hostname: hostname(),
            ..Facts::default()
        })
    }

    /// Adds the host's /bin and its like, which only a host root shows.
    pub(crate) fn with_top(self) -> Facts {
        Facts { top: TOP.iter().filter_map(|path| top_entry(path)).collect(), ..self }
    }

    /// Replaces the host name by that of the UTS namespace that was entered.
    pub(crate) fn after_entering(self) -> Facts {
        Facts { hostname: hostname(), ..self }
    }
}

/// What a user namespace makes of ids.
struct Ids {
    in_user_namespace: bool,
    is_root_outside: bool,
    has_tty_group: bool,
    setgroups_denied: bool,
}

impl Ids {
    /// Reads it: of the namespace of `theirs`, or of our own. The initial one maps every id, and denies nothing for good.
    fn read(theirs: Option<&Target>, joins_another: bool) -> Result<Ids, Fault> {
        if !joins_another && is_in_first_namespace(Kind::User) == Some(true) {
            let (is_root_outside, has_tty_group) = (true, true);
            return Ok(Ids { in_user_namespace: false, is_root_outside, has_tty_group, setgroups_denied: false });
        }
        let [uid_map, gid_map] = [read(theirs, "uid_map")?, read(theirs, "gid_map")?];
        Ok(Ids {
            in_user_namespace: joins_another || !refusal::maps_everything(&uid_map) || refusal::in_user_namespace(),
            is_root_outside: maps_root_to_root(&uid_map),
            has_tty_group: is_mapped(&gid_map, 5),
            setgroups_denied: setgroups_is_denied(&read(theirs, "setgroups")?),
        })
    }
}

fn cgroup2(mounts: &[Mount]) -> Option<&Mount> {
    mounts.iter().find(|mount| mount.fs_type == "cgroup2")
}

/// Returns the options of the hierarchy, such as `nsdelegate`.
fn cgroup2_options(mounts: &[Mount]) -> Vec<String> {
    let options = cgroup2(mounts).map_or("", |mount| &mount.super_options).split(',');
    options.filter(|option| !matches!(*option, "rw" | "ro" | "")).map(str::to_owned).collect()
}

/// Reports whether a uid_map maps 0 to 0; user_namespaces(7).
fn maps_root_to_root(map: &str) -> bool {
    map.lines().any(|line| line.split_ascii_whitespace().take(2).eq(["0", "0"]))
}

/// Reads a file of the host as bytes; empty if it is missing or cannot be used. A warning says so, unless
/// there is no such name.
pub(crate) fn host_file(path: &str) -> Result<Vec<u8>, Fault> {
    let fault = match regular::read(Path::new(path), LONGEST) {
        Ok(Some(content)) => return Ok(content),
        Ok(None) if std::fs::symlink_metadata(path).is_err() => return Ok(Vec::new()),
        Ok(None) => Fault::new(format!("cannot read {path}: it is a symbolic link to a file that does not exist")),
        Err(fault) => fault,
    };
    narrate::caution(fault)?;
    Ok(Vec::new())
}

fn hostname() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_owned()
}

/// Reads a short file of the target's directory in our own /proc, which was opened before, or of this process.
fn read(target: Option<&Target>, file: &str) -> Result<String, Fault> {
    match target {
        Some(target) => target.read(file),
        None => look("read the state of this process", format!("read(\"/proc/self/{file}\")"), || {
            procfs::read_short(&format!("self/{file}"))
        }),
    }
}

/// Reads a table of this process.
fn own(file: &str) -> Result<Vec<u8>, Fault> {
    let text = format!("read(\"/proc/self/{file}\")");
    look("read the state of this process", text, || procfs::read(&format!("self/{file}")))
}

fn top_entry(path: &str) -> Option<(String, Option<String>)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    if meta.is_dir() {
        return Some((path.to_owned(), None));
    }
    let to = std::fs::read_link(path).ok()?;
    Some((path.to_owned(), Some(to.to_str()?.to_owned())))
}

const CPUS: &str = "/sys/devices/system/cpu";
const THROTTLE: &str = "thermal_throttle";

fn has(cpu: &str, directory: &str) -> bool {
    Path::new(CPUS).join(cpu).join(directory).is_dir()
}

fn throttled() -> Result<Vec<String>, Fault> {
    // Every processor that is online has the directory, or none has it. A processor that is not has no topology.
    if !has("cpu0", THROTTLE) && has("cpu0", "topology") {
        return Ok(Vec::new());
    }
    let Ok(entries) = std::fs::read_dir(CPUS) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = look("list the processors", format!("getdents64({CPUS:?})"), || entry)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("cpu") && has(&name, THROTTLE) {
            found.push(name);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_root_outside_if_the_map_maps_0_to_0() {
        assert!(maps_root_to_root("         0          0 4294967295\n"));
        assert!(maps_root_to_root("  1000 1000 1\n 0 0 1\n"));
        assert!(!maps_root_to_root("         0       1000          1\n         1     100000      65536\n"));
        assert!(!maps_root_to_root(""));
    }

    #[test]
    fn the_options_of_cgroup_v2_are_read_from_the_end_of_the_line() {
        let mounts = mountinfo::parse(
            b"29 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
        );
        assert_eq!(cgroup2_options(&mounts), ["nsdelegate", "memory_recursiveprot"]);
        let bare = mountinfo::parse(b"29 23 0:26 / /a rw - cgroup2 none rw\n30 23 0:27 / /b rw - tmpfs none rw\n");
        assert!(cgroup2_options(&bare).is_empty());
    }
}
