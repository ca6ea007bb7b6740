//! Why a file of /proc cannot be found: no proc file system is mounted there, or its mount options hide the file. `proc(5)`.
//!
//! The surprise: with `hidepid=` the process of another user does not exist in /proc, although `kill(2)` finds it; and in
//! the /proc of another pid namespace, `self` leads nowhere.

use nix::errno::Errno;
use rustix::fs::{PROC_SUPER_MAGIC, fstat, fstatfs, major, minor};
use rustix::process::{Pid, test_kill_process};

use super::{mountinfo, procfs};
use crate::narrate;

/// Returns what to do about a refused call whose text names a file of /proc, if the mount at /proc is the cause.
pub(crate) fn remedy(text: &str, errno: Errno) -> Option<String> {
    let path = path_in(text)?;
    if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EPERM) {
        return None;
    }
    let proc = match procfs::directory() {
        Ok(proc) => proc,
        Err(_) if errno == Errno::EPERM => return None,
        Err(_) => return Some(NOT_MOUNTED.to_owned()),
    };
    if u64::try_from(fstatfs(&proc).ok()?.f_type) != u64::try_from(PROC_SUPER_MAGIC) {
        return (errno != Errno::EPERM).then(|| NOT_MOUNTED.to_owned());
    }
    if errno == Errno::ENOENT && procfs::read_link("self") == Err(Errno::ENOENT) {
        return Some(OTHER_PIDS.to_owned());
    }
    let device = fstat(&proc).map(|stat| (major(stat.st_dev), minor(stat.st_dev))).ok()?;
    let mount = mountinfo::own().ok()?.into_iter().find(|mount| mount.device == device)?;
    let first = path.split('/').next().unwrap_or_default();
    match first.parse().ok().and_then(Pid::from_raw) {
        Some(pid) => {
            let hides = mount.super_options.split(',').find(|option| option.starts_with("hidepid="))?;
            // What has ended is missing without a reason of this kind.
            let runs = matches!(test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM));
            runs.then(|| {
                format!(
                    "/proc is mounted with {hides} here, which hides process {first}; run this as root, as the user of that \
                     process, or in the group that the mount option gid= names"
                )
            })
        }
        None if first == "self" || first == "thread-self" || errno == Errno::EPERM => None,
        None => mount
            .super_options
            .split(',')
            .any(|option| option == "subset=pid")
            .then(|| format!("/proc is mounted with subset=pid here, without /proc/{first}; {MOUNT_ANOTHER}")),
    }
}

/// Prints one line if /proc hides processes of other users: a list of processes would pass over them in silence.
pub fn remark_hidden() {
    if let Some(option) = hiding_option() {
        narrate::remark(format_args!(
            "/proc is mounted with {option} here, so processes of other users are not seen; run this as root, or in the group \
             that the mount option gid= names"
        ));
    }
}

/// Returns the mount option that hides process 1 from us.
fn hiding_option() -> Option<String> {
    if procfs::read_short("1/stat").is_ok()
        || !matches!(test_kill_process(Pid::INIT), Ok(()) | Err(rustix::io::Errno::PERM))
    {
        return None;
    }
    let device = fstat(procfs::directory().ok()?).map(|stat| (major(stat.st_dev), minor(stat.st_dev))).ok()?;
    let mount = mountinfo::own().ok()?.into_iter().find(|mount| mount.device == device)?;
    mount.super_options.split(',').find(|option| option.starts_with("hidepid=")).map(str::to_owned)
}

const MOUNT_ANOTHER: &str = "mount another one: mount -t proc proc /proc";
const NOT_MOUNTED: &str = "no proc file system is mounted at /proc; mount one: mount -t proc proc /proc";
const OTHER_PIDS: &str =
    "/proc shows another pid namespace, in which this process does not exist; mount its own: mount -t proc proc /proc";

/// Returns the path below /proc in the text of a call, such as `read("/proc/self/cgroup")`.
fn path_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\"/proc")?;
    let (path, _) = rest.split_once('"')?;
    if path.is_empty() { Some("") } else { path.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_on_files_of_proc_are_explained() {
        assert_eq!(path_in("cannot read x: read(\"/proc/self/cgroup\"): ENOENT"), Some("self/cgroup"));
        assert_eq!(path_in("openat(\"/proc\", O_PATH)"), Some(""));
        for text in ["openat(\"/process\")", "stat(\"/srv/proc/x\")", "cannot read /proc/1/stat", "open(\"/proc"] {
            assert_eq!(path_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_that_does_not_exist_and_a_file_that_is_there_need_no_remedy() {
        assert_eq!(remedy("read(\"/proc/4194304/stat\")", Errno::ENOENT), None);
        assert_eq!(remedy("read(\"/proc/self/stat\")", Errno::ENOENT), None);
        assert_eq!(remedy("read(\"/proc/self/stat\")", Errno::EACCES), None);
    }
}
