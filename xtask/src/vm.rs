//! The virtual machine: Debian's own kernels under QEMU, where cgroup v2 has all controllers. The processor is emulated,
//! so it runs anywhere; nothing is installed into it: its whole disk is an archive made here.
//!
//! The surprise: silence is not success. The guest must print one exact line, and anything else is a failure.

mod initramfs;
mod kernel;
mod modules;
mod programs;
mod qemu;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use kernel::Kernel;

use crate::report::Report;
use crate::suite::Suite;
use crate::test::part;
use crate::workspace;

/// The kernel series of Debian 12 and 13, with boot parameters: one uses SELinux, the other AppArmor, which is the default of
/// Debian's kernels.
const SERIES: [(&str, &str); 2] = [("6.1", "security=selinux"), ("6.12", "")];
const QEMU: &str = "qemu-system-x86_64";

/// Reports whether this machine's programs can run in the virtual machine.
pub fn is_possible() -> bool {
    env::consts::ARCH == "x86_64"
}

/// Returns the folder of kernels, archives and console logs.
pub fn folder() -> Result<PathBuf> {
    let folder = workspace::target()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Lists the series whose package is missing.
pub fn missing_kernels() -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (series, _) in SERIES {
        if kernel::package(series)?.is_none() {
            missing.push(series);
        }
    }
    Ok(missing)
}

/// Boots all kernels at the same time, and runs the suite inside. Each guest has one processor: while an emulated processor
/// executes code, a second one cannot safely patch it, as newer kernels do.
pub fn run(suite: &Suite, report: &mut Report) -> Result<()> {
    part("the suite in virtual machines");
    let mut archives = Vec::new();
    for (series, parameters) in SERIES {
        match what_is_missing(series)? {
            Some(reason) => report.skip(&name(series), &reason),
            None => archives.push(Machine::prepare(series, parameters, suite)?),
        }
    }
    let accounts = thread::scope(|scope| {
        let running: Vec<_> = archives.iter().map(|machine| scope.spawn(|| machine.run())).collect();
        running.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for (machine, account) in archives.iter().zip(accounts) {
        let account = account.map_err(|_| anyhow!("the thread that reads the console panicked"));
        report.add(&name(machine.series), account.flatten());
    }
    Ok(())
}

fn name(series: &str) -> String {
    format!("the suite in a virtual machine with Linux {series}")
}

fn what_is_missing(series: &str) -> Result<Option<String>> {
    if !is_possible() {
        return Ok(Some(format!("the virtual machine needs x86_64, but this machine is {}", env::consts::ARCH)));
    }
    let programs = [
        (QEMU, "qemu-system-x86"),
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("busybox", "busybox-static"),
        ("checkpolicy", "checkpolicy"),
    ];
    if let Some((program, package)) = programs.iter().find(|(program, _)| workspace::program(program).is_none()) {
        return Ok(Some(format!("{program} is not installed (apt-get install {package})")));
    }
    let reason = format!("no kernel {series}; `cargo xtask test --setup` downloads it");
    Ok(kernel::package(series)?.is_none().then_some(reason))
}

/// A machine that can be booted.
struct Machine {
    series: &'static str,
    parameters: &'static str,
    kernel: Kernel,
    archive: PathBuf,
    log: PathBuf,
}

impl Machine {
    fn prepare(series: &'static str, parameters: &'static str, suite: &Suite) -> Result<Self> {
        let (kernel, folder) = (kernel::unpack(series)?, folder()?);
        let archive = folder.join(format!("initramfs-{series}.cpio"));
        fs::write(&archive, initramfs::pack(&kernel, suite)?)?;
        Ok(Self { series, parameters, kernel, archive, log: folder.join(format!("console-{series}.log")) })
    }

    /// Returns the guest's results, and one more test: that the guest printed them.
    fn run(&self) -> Result<Report> {
        let start = Instant::now();
        let mut account = qemu::boot(self).with_context(|| format!("see {}", self.log.display()))?;
        let seconds = start.elapsed().as_secs();
        account
            .check(&format!("Linux {} boots, runs the suite and says so ({seconds} s)", self.kernel.release), Ok(()));
        Ok(account)
    }
}
