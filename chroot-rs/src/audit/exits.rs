//! Ways out of the root: upwards through a nested chroot, or through a descriptor, directory or program of the host.
//! `chroot(2)`, `pivot_root(2)`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, CWD, OFlags, SealFlags, StatxAttributes, StatxFlags, fcntl_get_seals, statx};

use super::look::{link, named, open, place, processes, some};
use super::processes::foreign;
use super::{By, Finding, Probe, Severity, leaks};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "chroot-escape",
        severity: Severity::Critical,
        why: "a second chroot(2), then .. from a descriptor opened before, leads to the root of the mount namespace; chroot(2)",
        by: By::Looking(escape),
    },
    Probe {
        name: "root-mount",
        severity: Severity::High,
        why: "if / is not a mount point, the root was not changed with pivot_root(2), and the old root still exists around it; pivot_root(2)",
        by: By::Looking(root_mount),
    },
    Probe {
        name: "working-directory",
        severity: Severity::Critical,
        why: "from a working directory outside of the root, .. leads to the host (CVE-2024-21626)",
        by: By::Looking(working_directory),
    },
    Probe {
        name: "descriptors",
        severity: Severity::High,
        why: "an inherited descriptor gives access to its file, and a directory to everything around it (CVE-2024-21626)",
        by: By::Looking(leaks::descriptors),
    },
    Probe {
        name: "other-roots",
        severity: Severity::Critical,
        why: "/proc/PID/root of a process with another root leads to that root; proc_pid_root(5)",
        by: By::Looking(other_roots),
    },
    Probe {
        name: "foreign-programs",
        severity: Severity::Critical,
        why: "/proc/PID/exe of a host program can be overwritten after the program has ended (CVE-2019-5736)",
        by: By::Looking(foreign_programs),
    },
    Probe {
        name: "launchers",
        severity: Severity::Critical,
        why: "the executable of a tool that starts a command here can be opened meanwhile, and overwritten later (CVE-2019-5736)",
        by: By::Looking(launchers),
    },
];

/// The number of looks for new processes, and the pause between them.
const LOOKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// Tries the classic escape from a chroot. It changes only this process, which ends afterwards.
fn escape() -> Result<Finding, Fault> {
    let directories = fs::read_dir("/").into_iter().flatten().flatten();
    let below = directories.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    let Some(below) = below.min() else {
        return Ok(Finding::not_here("the root has no directory for a second chroot"));
    };
    let goal = "leave the root";
    let root = open("/", OFlags::PATH).map_err(|errno| Fault::kernel(goal, "open(\"/\", O_PATH)", errno))?;
    let before = place("/");
    let why = "the new root is below a directory that is still open";
    if let Err(fault) = change_root(goal, &below, why) {
        let errno = fault.errno().map_or_else(|| fault.to_string(), |errno| format!("chroot: {errno:?}"));
        return Ok(Finding::held(errno));
    }
    if narrate::is_dry_run() {
        change_root(goal, Path::new("."), "outside of the root, .. is not stopped by it")?;
        return Ok(Finding::unknown("dry run"));
    }
    own(goal, "fchdir(fd)", || rustix::process::fchdir(&root))?;
    for _ in 0..64 {
        own(goal, "chdir(\"..\")", || rustix::process::chdir(".."))?;
    }
    change_root(goal, Path::new("."), "outside of the root, .. is not stopped by it")?;
    Ok(if place("/") == before {
        Finding::held("chroot succeeds, but .. stops at the root")
    } else {
        Finding::open(format!("reached a root with {}", some(&listed("/"))))
    })
}

fn change_root(goal: &str, to: &Path, why: &str) -> Result<(), Fault> {
    call(goal, format!("chroot({:?})", to.to_string_lossy()), why, || rustix::process::chroot(to))
}

fn listed(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn root_mount() -> Result<Finding, Fault> {
    let root = look("look at the root", "statx(\"/\")", || statx(CWD, "/", AtFlags::empty(), StatxFlags::empty()))?;
    if !root.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(Finding::unknown("this kernel does not report mount points"));
    }
    if root.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(Finding::held("/ is a mount point"));
    }
    Ok(Finding::open("/ is a directory of another mount"))
}

fn working_directory() -> Result<Finding, Fault> {
    Ok(match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Finding::held(path.to_string_lossy()),
        Ok(path) => Finding::open(path.to_string_lossy()),
        Err(rustix::io::Errno::NOENT) => Finding::held("it has been removed"),
        Err(errno) => Finding::unknown(format!("getcwd: {errno}")),
    })
}

fn other_roots() -> Result<Finding, Fault> {
    let all = processes();
    if all.is_empty() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    let ours = place("/");
    let is_other = |pid: &i32| {
        let root = format!("/proc/{pid}/root/");
        place(&root).is_some_and(|place| Some(place) != ours) && !is_empty_mount(&root)
    };
    let other: Vec<String> = all.into_iter().filter(is_other).map(named).collect();
    Ok(Finding::none_of(&other, "no visible process has another root"))
}

/// Reports whether nothing can be reached from a root: it has no entry, and no way up. unshare-rs gives its own init such a
/// root.
fn is_empty_mount(root: &str) -> bool {
    let has_nothing = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none());
    has_nothing && place(format!("{root}..")) == place(root)
}

fn foreign_programs() -> Result<Finding, Fault> {
    let all = processes();
    if all.is_empty() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    let open: Vec<String> = all.into_iter().filter(|pid| is_open_program(*pid)).map(named).collect();
    Ok(Finding::none_of(&open, "every program is in this root or not writable"))
}

/// Looks for programs from outside that start. A launcher runs for some milliseconds before it executes its command. In a
/// container's own pid namespace it can be seen only as the interpreter of a script `#!/proc/self/exe`: so this process is
/// checked, too.
fn launchers() -> Result<Finding, Fault> {
    let first = processes();
    if first.is_empty() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    let own = std::process::id().cast_signed();
    let mut open: BTreeMap<i32, String> = is_open_program(own).then(|| (own, named(own))).into_iter().collect();
    if foreign().is_empty() {
        return Ok(Finding::none_of(&open.into_values().collect::<Vec<_>>(), "no process from outside starts here"));
    }
    for _ in 0..LOOKS {
        let new = processes().into_iter().filter(|pid| !first.contains(pid) && !open.contains_key(pid));
        let found: Vec<_> = new.filter(|pid| is_open_program(*pid)).map(|pid| (pid, named(pid))).collect();
        open.extend(found);
        std::thread::sleep(PAUSE);
    }
    Ok(Finding::none_of(&open.into_values().collect::<Vec<_>>(), "the executable of no new process is writable"))
}

/// Reports whether the program is outside and can be opened for writing. While the program runs, this fails with ETXTBSY,
/// but only if it would be permitted otherwise.
fn is_open_program(pid: i32) -> bool {
    let program = PathBuf::from(format!("/proc/{pid}/exe"));
    let Some(shown) = link(&program.to_string_lossy()) else { return false };
    let Some(itself) = place(&program) else { return false };
    if place(shown) == Some(itself) {
        return false;
    }
    let is_sealed = open(&program, OFlags::RDONLY)
        .is_ok_and(|fd| fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::WRITE)));
    !is_sealed && matches!(open(&program, OFlags::WRONLY), Ok(_) | Err(Errno::ETXTBSY))
}
