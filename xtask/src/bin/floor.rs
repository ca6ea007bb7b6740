//! The floor: the kernel calls for a container like that of the four tools, in one program that does nothing else. It has
//! no options, checks, narration or record: the cost of a tool above this is the tool's own.
//!
//! `floor ROOT PROGRAM [LIMIT-FILE=VALUE]...` makes the groups of the limit files and one process in new namespaces and in
//! these groups, with ROOT as its root, and removes the groups after the process has ended. Started by the name `true`, it
//! is the smallest possible payload.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chroot_rs::devices::{DEVICES, LINKS};
use chroot_rs::masks::{MASKED, READ_ONLY};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, execve, pivot_root, sethostname};
use plumbing::confinement::privilege::DEFAULT_CAPABILITIES;
use plumbing::kernel::{Cloned, fork_into};
use plumbing::pipeline::record::Process;
use plumbing::process::namespace::{Kind, KindSet};

const NONE: Option<&str> = None;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.as_slice() {
        [name, ..] if name.ends_with("true") => ExitCode::SUCCESS,
        [_, root, program, limits @ ..] => match run(Path::new(root), program, limits) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("floor: {error}");
                ExitCode::from(125)
            }
        },
        _ => ExitCode::from(125),
    }
}

fn run(root: &Path, program: &str, limits: &[String]) -> io::Result<()> {
    let mut groups: Vec<PathBuf> = Vec::new();
    for (file, value) in limits.iter().filter_map(|limit| limit.split_once('=')) {
        let group = Path::new(file).parent().unwrap_or(Path::new("/"));
        if !groups.iter().any(|known| known == group) {
            fs::create_dir(group)?;
            groups.push(group.to_owned());
        }
        fs::write(file, value)?;
    }
    let namespaces = KindSet::from_iter([Kind::Mnt, Kind::Uts, Kind::Ipc, Kind::Pid]);
    match fork_into(namespaces, "begin", "the container").map_err(io::Error::other)? {
        Cloned::Child => contain(root, program, &groups),
        Cloned::Parent { pid, .. } => {
            waitpid(Pid::from_raw(pid), None)?;
            groups.iter().try_for_each(fs::remove_dir)
        }
    }
}

fn contain(root: &Path, program: &str, groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        // On v1, writing to `tasks` avoids the wait of `cgroup.procs`.
        let tasks = group.join("tasks");
        fs::write(if tasks.exists() { tasks } else { group.join("cgroup.procs") }, "0")?;
    }
    unshare(CloneFlags::CLONE_NEWCGROUP)?;
    sethostname("floor")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    mount(Some(root), root, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    fill(root)?;
    chdir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    let capabilities = Some(DEFAULT_CAPABILITIES.map(str::to_owned).to_vec());
    let confined = Process { capabilities, no_new_privs: true, ..Process::default() };
    confined.apply(|| Ok(())).map_err(|fault| io::Error::other(fault.to_string()))?;
    let program = CString::new(program)?;
    execve(&program, &[&program], &[c"PATH=/bin"])?;
    Ok(())
}

/// Makes the mounts of `chroot-rs --std`, each with a single call.
fn fill(root: &Path) -> io::Result<()> {
    let kept_in = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    fresh("proc", &root.join("proc"), kept_in, "")?;
    fresh("sysfs", &root.join("sys"), kept_in | MsFlags::MS_RDONLY, "")?;
    cgroups(&root.join("sys/fs/cgroup"), kept_in)?;
    let dev = root.join("dev");
    let kept_in_dev = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    fresh("tmpfs", &dev, kept_in_dev, "mode=755")?;
    for (name, major, minor) in DEVICES {
        mknod(&dev.join(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major.into(), minor.into()))?;
    }
    LINKS.iter().try_for_each(|(name, to)| symlink(to, dev.join(name)))?;
    ["pts", "shm", "mqueue"].iter().try_for_each(|name| fs::create_dir(dev.join(name)))?;
    fresh("devpts", &dev.join("pts"), kept_in_dev, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    fresh("tmpfs", &dev.join("shm"), kept_in, "mode=1777")?;
    fresh("mqueue", &dev.join("mqueue"), kept_in, "")?;
    MASKED.iter().try_for_each(|path| mask(&root.join(&path[1..])))?;
    READ_ONLY.iter().try_for_each(|path| read_only(&root.join(&path[1..])))
}

fn fresh(kind: &str, target: &Path, flags: MsFlags, data: &str) -> io::Result<()> {
    Ok(mount(Some(kind), target, Some(kind), flags, Some(data))?)
}

fn cgroups(target: &Path, flags: MsFlags) -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let hierarchies: Vec<&str> = own.lines().filter_map(|line| line.split(':').nth(1)).collect();
    if hierarchies.iter().all(|controllers| controllers.is_empty()) {
        return fresh("cgroup2", target, flags | MsFlags::MS_RDONLY, "");
    }
    fresh("tmpfs", target, flags, "mode=755")?;
    for controllers in hierarchies {
        let (kind, name, data) = match (controllers, controllers.strip_prefix("name=")) {
            ("", _) => ("cgroup2", "unified", String::new()),
            (_, Some(name)) => ("cgroup", name, format!("none,{controllers}")),
            (listed, None) => ("cgroup", listed, listed.to_owned()),
        };
        fs::create_dir(target.join(name))?;
        fresh(kind, &target.join(name), flags | MsFlags::MS_RDONLY, &data)?;
    }
    Ok(mount(NONE, target, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | flags, NONE)?)
}

fn mask(target: &Path) -> io::Result<()> {
    match fs::metadata(target) {
        Ok(meta) if meta.is_dir() => fresh("tmpfs", target, MsFlags::MS_RDONLY, "size=0"),
        Ok(_) => Ok(mount(Some("/dev/null"), target, NONE, MsFlags::MS_BIND, NONE)?),
        Err(_) => Ok(()), // Nothing to mask.
    }
}

fn read_only(target: &Path) -> io::Result<()> {
    if !target.exists() {
        return Ok(());
    }
    mount(Some(target), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(NONE, target, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | flags, NONE)?)
}
