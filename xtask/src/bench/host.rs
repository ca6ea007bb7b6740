//! The environment of the commands: one CPU, and one of two mount namespaces. `sched_setaffinity(2)`, `setns(2)`.
//!
//! crun refuses a machine that has cgroup v2 mounted next to v1. So it is started from another mount namespace, in which
//! v2 is not mounted; changing to it and back is not measured.

use std::fs::{self, File};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns, unshare};
use nix::unistd::Pid;

const OWN: &str = "/proc/self/ns/mnt";
const V2_BESIDE_V1: &str = "/sys/fs/cgroup/unified";

/// The prepared machine.
pub struct Host {
    cpu: Option<usize>,
    whole: File,
    without_hybrid: Option<File>,
}

/// The mounts that a command sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// All mounts.
    Whole,
    /// No cgroup v2 next to v1.
    WithoutHybrid,
}

impl Host {
    /// Pins this process to a CPU, and makes the other mount namespace if it differs.
    pub fn prepare(is_pinned: bool) -> Result<Host> {
        let cpu = if is_pinned { Some(pin()?) } else { None };
        let whole = File::open(OWN).context(OWN)?;
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        let is_hybrid = mounts.lines().any(|line| line.split(' ').nth(1) == Some(V2_BESIDE_V1));
        // Without privilege this namespace cannot be made, and crun fails with its own error.
        let may_unshare = is_hybrid && unshare(CloneFlags::CLONE_NEWNS).is_ok();
        let mut host = Host { cpu, whole, without_hybrid: None };
        if may_unshare {
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            umount2(V2_BESIDE_V1, MntFlags::MNT_DETACH).context(V2_BESIDE_V1)?;
            host.without_hybrid = Some(File::open(OWN).context(OWN)?);
            setns(&host.whole, CloneFlags::CLONE_NEWNS)?;
        }
        Ok(host)
    }

    /// Describes the machine, to be printed before the tables.
    pub fn described(&self) -> String {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpu = self.cpu.map_or_else(|| "not pinned".to_owned(), |cpu| format!("all on CPU {cpu}"));
        format!("Linux {}, {cpu}; from spawn to exit", kernel.trim())
    }

    /// Runs a function with this view of the mounts.
    pub fn with_view<T>(&self, view: View, act: impl FnOnce() -> T) -> Result<T> {
        let Some(other) = self.without_hybrid.as_ref().filter(|_| view == View::WithoutHybrid) else {
            return Ok(act());
        };
        setns(other, CloneFlags::CLONE_NEWNS)?;
        let done = act();
        setns(&self.whole, CloneFlags::CLONE_NEWNS)?;
        Ok(done)
    }
}

/// Pins this process to the last CPU that it may use: most interrupts are handled by the first.
fn pin() -> Result<usize> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("this process may use no CPU")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched_setaffinity(this, &one)?;
    Ok(last)
}
