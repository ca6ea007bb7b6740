//! `vm-init` is process 1 of the virtual machine: it turns an initramfs into a machine that the suite can use, runs the
//! suite as root and as an unprivileged user, prints the results in one line, and switches the machine off. Where systemd is
//! process 1, it is a service of systemd, and does the rest.
//!
//! The surprise: before Linux 7.0 pivot_root(2) cannot replace the initramfs, and no process in it can pivot either.
//! So the files move to a tmpfs first, which is then moved over / (what switch_root(8) does).
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "stdout is the console, and the host reads it")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::tcdrain;
use nix::unistd::{chroot, sethostname};

/// A user without an entry in any file of the machine.
const USER: u32 = 54321;
/// The part of the cgroup tree that is delegated to the user; the suite runs in a leaf of this part.
const DELEGATED: &str = "/sys/fs/cgroup/delegated";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn main() {
    let is_first = std::process::id() == 1;
    let verdict = if is_first { prepare().and_then(|()| run_suites()) } else { run_under_systemd() };
    let verdict = verdict.and_then(quiet);
    match verdict {
        Ok(tally) if tally.failed == 0 => println!("vm-init: success {}", tally.text()),
        Ok(tally) => println!("vm-init: failure {}", tally.text()),
        Err(error) => println!("vm-init: {error:#}"),
    }
    if let Err(errno) = tcdrain(io::stdout()).and_then(|()| reboot(RebootMode::RB_POWER_OFF).map(|_| ())) {
        println!("vm-init: cannot power off: {errno}");
    }
}

/// Stops the kernel from printing warnings, so that none appears in the middle of the line with the results.
fn quiet(tally: Tally) -> Result<Tally> {
    fs::write("/proc/sys/kernel/printk", "1").context("cannot quiet the kernel")?;
    Ok(tally)
}

fn prepare() -> Result<()> {
    leave_the_initramfs()?;
    mount_file_systems()?;
    mount_cgroups()?;
    load_modules()?;
    sethostname("vm")?;
    let up = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "cannot bring lo up");
    Ok(())
}

fn leave_the_initramfs() -> Result<()> {
    mount_new("tmpfs", "/root-to-be", MsFlags::empty(), Some("mode=755"))?;
    for entry in fs::read_dir("/")? {
        let from = entry?.path();
        if from != Path::new("/root-to-be") && from != Path::new("/dev") {
            move_tree(&from, &Path::new("/root-to-be").join(from.strip_prefix("/")?))?;
        }
    }
    std::env::set_current_dir("/root-to-be")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("cannot move the new root over /")?;
    chroot(".").context("chroot(\".\")")?;
    std::env::set_current_dir("/")?;
    // Like systemd: a tool that forgets to stop the propagation of its mounts is noticed.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SHARED, None::<&str>).context("cannot make / shared")
}

/// Moves a directory, and removes each file as soon as it is copied: the initramfs uses memory, too.
fn move_tree(from: &Path, to: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        fs::create_dir(to).with_context(|| format!("cannot create {}", to.display()))?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            move_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::remove_dir(from)?;
    } else {
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
        } else {
            fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        fs::remove_file(from)?;
    }
    Ok(())
}

fn mount_file_systems() -> Result<()> {
    let tight = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_new("proc", "/proc", tight, None)?;
    mount_new("sysfs", "/sys", tight, None)?;
    mount_new("securityfs", "/sys/kernel/security", tight, None)?;
    if Path::new("/sys/fs/selinux").exists() {
        mount_new("selinuxfs", "/sys/fs/selinux", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, None)?;
    }
    mount_new("devtmpfs", "/dev", MsFlags::MS_NOSUID, Some("mode=755"))?;
    mount_new("devpts", "/dev/pts", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some("mode=620,ptmxmode=666"))?;
    mount_new("tmpfs", "/dev/shm", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
    mount_new("tmpfs", "/run", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))?;
    mount_new("tmpfs", "/tmp", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
    for (name, fd) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        symlink(format!("/proc/self/fd{fd}"), Path::new("/dev").join(name))?;
    }
    Ok(())
}

fn mount_cgroups() -> Result<()> {
    let root = "/sys/fs/cgroup";
    mount_new("cgroup2", root, MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, Some("nsdelegate"))?;
    enable_all_controllers(root)?;
    fs::create_dir(DELEGATED)?;
    enable_all_controllers(DELEGATED)?;
    fs::create_dir(format!("{DELEGATED}/suite"))?;
    // The kernel lists the files that must belong to the delegatee.
    let files = fs::read_to_string("/sys/kernel/cgroup/delegate")?;
    for group in [DELEGATED.to_owned(), format!("{DELEGATED}/suite")] {
        chown(&group, Some(USER), Some(USER))?;
        for file in files.lines().map(|file| format!("{group}/{file}")).filter(|file| Path::new(file).exists()) {
            chown(&file, Some(USER), Some(USER)).with_context(|| format!("cannot give away {file}"))?;
        }
    }
    Ok(())
}

fn enable_all_controllers(group: &str) -> Result<()> {
    let controllers = fs::read_to_string(format!("{group}/cgroup.controllers"))?;
    let all: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    let file = format!("{group}/cgroup.subtree_control");
    fs::write(&file, all.join(" ")).with_context(|| format!("cannot write {all:?} to {file}"))
}

fn mount_new(kind: &str, target: &str, flags: MsFlags, options: Option<&str>) -> Result<()> {
    fs::create_dir_all(target)?;
    mount(Some(kind), target, Some(kind), flags, options).with_context(|| format!("cannot mount {kind} on {target}"))
}

/// Loads the modules in the order of the file, each after its dependencies.
fn load_modules() -> Result<()> {
    for file in fs::read_to_string("/modules/order")?.lines() {
        let module = File::open(format!("/modules/{file}")).with_context(|| file.to_owned())?;
        match finit_module(&module, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("finit_module({file})")),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    fn text(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    /// Adds the numbers of a line such as `suite: 3 passed, 0 failed, 1 skipped`.
    fn add_line(&mut self, line: &str) -> Option<()> {
        let numbers = line.strip_prefix("suite: ")?;
        let mut numbers = numbers.split(", ").map(|part| part.split(' ').next()?.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        let (passed, failed, skipped) = (next()?, next()?, next()?);
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
        Some(())
    }
}

fn run_suites() -> Result<Tally> {
    let mut tally = Tally::default();
    println!("vm-init: as root");
    run_suite(&mut suite(), &mut tally)?;
    println!("vm-init: as an unprivileged user");
    // This process joins the cgroup first, so that the suite starts in the cgroup that its user may divide.
    fs::write(format!("{DELEGATED}/suite/cgroup.procs"), "0").context("cannot enter the delegated cgroup")?;
    run_suite(suite().uid(USER).gid(USER), &mut tally)?;
    Ok(tally)
}

/// Runs the suite in a machine whose process 1 is systemd, which has started this program as a service.
fn run_under_systemd() -> Result<Tally> {
    let mut tally = Tally::default();
    println!("vm-init: under systemd, as root");
    run_suite(suite().arg("--under-systemd"), &mut tally)?;
    println!("vm-init: under systemd, as an unprivileged user");
    let mut suite = suite();
    suite.arg("--under-systemd").env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"));
    run_suite(suite.uid(USER).gid(USER), &mut tally)?;
    Ok(tally)
}

fn suite() -> Command {
    let mut suite = Command::new("/tests/suite");
    suite.args(["--in-vm", "--second-run"]).env_clear().env("PATH", PATH).env("TOOLS", "/tools").env("HOME", "/tmp");
    if let Ok(filter) = fs::read_to_string("/tests/filter") {
        suite.arg(filter);
    }
    suite.stdin(Stdio::null()).stdout(Stdio::piped());
    suite
}

fn run_suite(suite: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut child = suite.spawn().context("cannot start the suite")?;
    let mut counted = None;
    for line in BufReader::new(child.stdout.take().context("the suite has no stdout")?).lines() {
        let line = line?;
        println!("{line}");
        counted = counted.or(tally.add_line(&line));
    }
    let status = child.wait()?;
    ensure!(counted.is_some(), "the suite ended with {status} and without its last line");
    Ok(())
}
