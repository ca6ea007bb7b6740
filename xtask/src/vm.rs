//! The virtual machines: Debian's own kernels under QEMU, where cgroup v2 has all controllers. The processor is emulated,
//! so they run anywhere; nothing is installed into them: the whole disk is an archive made here.
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

/// In place of a series: the newest kernel that Debian has, whichever it is.
pub const SID: &str = "sid";
/// The kernel series of Debian 12 and 13 and Debian's newest kernel, with boot parameters: one uses SELinux, the others
/// AppArmor, which is the default of Debian's kernels.
const SERIES: [(&str, &str); 3] = [("6.1", "security=selinux"), ("6.12", ""), (SID, "")];
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

/// Returns the folder of the packages of sid's kernel, which exists when all of them are complete.
pub fn sid_packages(architecture: &str) -> Result<PathBuf> {
    Ok(folder()?.join(format!("sid-{architecture}/packages")))
}

/// Lists the series whose packages are missing.
pub fn missing_kernels() -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (series, _) in SERIES {
        if kernel::packages(series)?.is_empty() {
            missing.push(series);
        }
    }
    Ok(missing)
}

/// Returns the words of `--kernel`.
pub fn series() -> [&'static str; 3] {
    SERIES.map(|(series, _)| series)
}

/// Boots all kernels, or only this one, at the same time, and runs the suite inside. Each guest has one processor: while an emulated processor
/// executes code, a second one cannot safely patch it, as newer kernels do.
pub fn run(suite: &Suite, only: Option<&str>, report: &mut Report) -> Result<()> {
    part("the suite in virtual machines");
    let mut archives = Vec::new();
    for (series, parameters) in SERIES.into_iter().filter(|(series, _)| only.is_none_or(|only| only == *series)) {
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
        report.add(&format!("the suite in a virtual machine with Linux {}", machine.series), account.flatten());
    }
    Ok(())
}

fn name(series: &str) -> String {
    match series {
        SID => "the suite in a virtual machine with the newest Linux of Debian".to_owned(),
        series => format!("the suite in a virtual machine with Linux {series}"),
    }
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
    Ok(kernel::packages(series)?.is_empty().then_some(reason))
}

/// A machine that can be booted.
struct Machine {
    /// Such as `6.1`.
    series: String,
    parameters: &'static str,
    kernel: Kernel,
    archive: PathBuf,
    log: PathBuf,
}

impl Machine {
    fn prepare(series: &'static str, parameters: &'static str, suite: &Suite) -> Result<Self> {
        let (kernel, folder) = (kernel::unpack(series)?, folder()?);
        let series = kernel.series();
        let archive = folder.join(format!("initramfs-{series}.cpio"));
        fs::write(&archive, initramfs::pack(&kernel, suite)?)?;
        let log = folder.join(format!("console-{series}.log"));
        Ok(Self { series, parameters, kernel, archive, log })
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
