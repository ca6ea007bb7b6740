//! The directory of names: giving names to network namespaces, and removing them. `ip-netns(8)`, `mount_namespaces(7)`.
//!
//! The directory is a shared mount of its own: only then does a name given in one mount namespace appear in the others.
//! Preparing it twice at once would stack mounts, hence the lock, which is the same as iproute2's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use plumbing::kernel::{call, look};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags};

use crate::name::{DIRECTORY, Name};
use crate::{capability, namespace};

/// How long to wait for another process that prepares the directory.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// Makes a network namespace and gives it a name.
pub fn add(name: &Name) -> Result<(), Fault> {
    give(name, || namespace::make().map(|()| "/proc/self/ns/net".to_owned()))
}

/// Gives a name to the network namespace of a process.
pub fn attach(name: &Name, pid: i32) -> Result<(), Fault> {
    // Opened before anything is made, and never looked up again: another process may get the pid at any time.
    let namespace = namespace::of(&Target::of_pid(pid)?)?;
    keep(name, namespace.as_fd())
}

/// Gives a name to a namespace that was opened.
pub fn keep(name: &Name, namespace: BorrowedFd<'_>) -> Result<(), Fault> {
    give(name, || Ok(format!("/proc/self/fd/{}", namespace.as_raw_fd())))
}

/// Makes the file of the name, and mounts on it what `source` returns.
fn give(name: &Name, source: impl FnOnce() -> Result<String, Fault>) -> Result<(), Fault> {
    prepare()?;
    let path = name.path();
    let goal = format!("give the name {} to a network namespace", name.shown());
    let flags = nix::fcntl::OFlag::O_RDONLY
        | nix::fcntl::OFlag::O_CREAT
        | nix::fcntl::OFlag::O_EXCL
        | nix::fcntl::OFlag::O_CLOEXEC;
    call(&goal, format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_CREAT|O_EXCL)"), "a file to mount it on", || {
        nix::fcntl::open(&path, flags, Mode::empty())
    })?;
    let mounted = source().and_then(|source| mount_on(&source, &path, &goal));
    if mounted.is_err() && !narrate::is_dry_run() {
        unlink(&path, "no namespace could be mounted on it")?;
    }
    mounted
}

fn mount_on(source: &str, path: &Path, goal: &str) -> Result<(), Fault> {
    let text = format!("mount({source:?}, {path:?}, NULL, MS_BIND, NULL)");
    call(goal, text, "the mount keeps the namespace alive without a process", || {
        mount(Some(source), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    })
    .map_err(capability::needs_sys_admin)
}

/// Removes a name. The namespace continues to exist as long as a process or a socket is in it. What a symbolic link
/// leads to belongs to somebody else, such as a container engine, and stays mounted.
pub fn delete(name: &Name) -> Result<(), Fault> {
    let path = name.path();
    let goal = format!("delete the network namespace {}", name.shown());
    look(&goal, format!("lstat({path:?})"), || rustix::fs::lstat(&path))?;
    let text = format!("umount2({path:?}, MNT_DETACH|UMOUNT_NOFOLLOW)");
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    let unmounted = call(&goal, text, "from here on the namespace has no name", || umount2(&path, flags));
    match unmounted {
        // A link, or a stale file: the namespace that was mounted on it is already gone.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => outcome.map_err(capability::needs_sys_admin)?,
    }
    unlink(&path, "the file of the name")
}

fn unlink(path: &Path, why: &str) -> Result<(), Fault> {
    call(format!("remove {}", path.display()), format!("unlinkat(AT_FDCWD, {path:?}, 0)"), why, || {
        rustix::fs::unlinkat(CWD, path, AtFlags::empty())
    })
}

/// Makes the directory, if it does not exist.
pub fn make() -> Result<(), Fault> {
    let goal = format!("prepare {DIRECTORY}");
    if Path::new(DIRECTORY).exists() {
        return Ok(());
    }
    let made =
        call(&goal, format!("mkdirat(AT_FDCWD, {DIRECTORY:?}, 0755)"), "where ip-netns(8) looks for names", || {
            rustix::fs::mkdirat(CWD, DIRECTORY, rustix::fs::Mode::from_raw_mode(0o755))
        });
    match made {
        Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok(()),
        outcome => outcome,
    }
}

/// Makes the directory a shared mount of its own, once.
fn prepare() -> Result<(), Fault> {
    make()?;
    let goal = format!("prepare {DIRECTORY}");
    match share(&goal) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => return outcome.map_err(capability::needs_sys_admin),
    }
    // The lock is only needed if there is no mount yet. Any user may hold it, so we wait only for a short time.
    let directory = look(&goal, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_DIRECTORY)"), || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(DIRECTORY, flags, rustix::fs::Mode::empty())
    })?;
    if !lock_for_a_while(&directory)? {
        narrate::remark(format_args!("another process locks {DIRECTORY}; it is prepared without the lock"));
    }
    match share(&goal) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => return outcome.map_err(capability::needs_sys_admin),
    }
    let why = "it was not a mount yet (EINVAL): mount it on itself";
    change_mount(&goal, Some(DIRECTORY), MsFlags::MS_BIND | MsFlags::MS_REC, "MS_BIND|MS_REC", why)?;
    // The new mount is in the peer group of the one below it, and would repeat each of its changes.
    let why = "a peer group of its own instead of that of the mount below";
    change_mount(&goal, None, MsFlags::MS_PRIVATE | MsFlags::MS_REC, "MS_REC|MS_PRIVATE", why)?;
    share(&goal)
}

/// Takes iproute2's lock, if it is soon available; returns whether it was.
fn lock_for_a_while(directory: &OwnedFd) -> Result<bool, Fault> {
    let deadline = Instant::now() + PATIENCE;
    let operation = FlockOperation::NonBlockingLockExclusive;
    loop {
        match rustix::fs::flock(directory, operation) {
            Err(rustix::io::Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            outcome => {
                let text = format!("flock({DIRECTORY:?}, {operation:?})");
                return look(format!("prepare {DIRECTORY}"), text, || outcome).map(|()| true);
            }
        }
    }
}

fn share(goal: &str) -> Result<(), Fault> {
    let why = "names given here appear in the other mount namespaces; mount_namespaces(7)";
    change_mount(goal, None, MsFlags::MS_SHARED | MsFlags::MS_REC, "MS_REC|MS_SHARED", why)
}

fn change_mount(goal: &str, source: Option<&str>, flags: MsFlags, flag_names: &str, why: &str) -> Result<(), Fault> {
    let shown = source.map_or_else(|| "NULL".to_owned(), |source| format!("{source:?}"));
    call(goal, format!("mount({shown}, {DIRECTORY:?}, NULL, {flag_names}, NULL)"), why, || {
        mount(source, DIRECTORY, None::<&str>, flags, None::<&str>)
    })
}
