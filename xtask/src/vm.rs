//! The virtual machines: Debian's own kernels under QEMU, where cgroup v2 has all controllers. The processor is emulated,
//! so they run anywhere; nothing is installed into them: the whole disk is an archive made here.
//!
//! The surprise: silence is not success. The guest must print one exact line, and anything else is a failure.

mod architecture;
pub mod comparison;
mod initramfs;
mod kernel;
mod modules;
mod programs;
mod qemu;
mod systemd;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

pub use architecture::{AARCH64, Architecture, X86_64};
use kernel::Kernel;
pub use programs::download as download_programs;
pub use systemd::download as download_systemd;

use crate::report::Report;
use crate::suite::Suite;
use crate::test::part;
use crate::workspace;

/// In place of a series: the newest kernel that Debian has, whichever it is.
pub const SID: &str = "sid";
/// The kernel series of Debian 12 and 13 and Debian's newest kernel, with boot parameters: one uses SELinux, the others
/// AppArmor, which is the default of Debian's kernels.
const SERIES: [(&str, &str); 3] = [("6.1", "security=selinux"), ("6.12", ""), (SID, "")];

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

/// Returns the folder of the packages of Debian's newest kernel, which exists when all of them are complete.
pub fn newest_packages(architecture: &Architecture) -> Result<PathBuf> {
    Ok(folder()?.join(format!("linux-{SID}-{}", architecture.debian)))
}

/// Lists the series whose packages are missing.
pub fn missing_kernels() -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (series, _) in SERIES {
        if kernel::packages(series, &X86_64)?.is_empty() {
            missing.push(series);
        }
    }
    Ok(missing)
}

/// Returns the words of `--kernel`.
pub fn series() -> [&'static str; 3] {
    SERIES.map(|(series, _)| series)
}

/// Boots all kernels, or only this one, at the same time, and runs the suite inside. Each guest has one processor: while an
/// emulated processor executes code, a second one cannot safely patch it, as newer kernels do.
pub fn run(suite: &Suite, only: Option<&str>, report: &mut Report) -> Result<()> {
    part("the suite in virtual machines");
    let mut machines = Vec::new();
    for (series, parameters) in SERIES.into_iter().filter(|(series, _)| only.is_none_or(|only| only == *series)) {
        match what_is_missing(series, &X86_64)? {
            Some(reason) => report.skip(&name(series, &X86_64), &reason),
            None => machines.push(Machine::prepare(series, parameters, &X86_64, suite)?),
        }
    }
    boot(&machines, report)
}

/// Boots a machine of the other architecture, and runs the suite inside.
pub fn run_on_aarch64(suite: &Suite, report: &mut Report) -> Result<()> {
    part("the suite in a virtual machine with another processor");
    match what_is_missing(SID, &AARCH64)? {
        Some(reason) => report.skip(&name(SID, &AARCH64), &reason),
        None => boot(&[Machine::prepare(SID, "", &AARCH64, suite)?], report)?,
    }
    Ok(())
}

/// Boots a machine in which systemd is process 1, and runs inside the rows that need it.
pub fn run_under_systemd(suite: &Suite, report: &mut Report) -> Result<()> {
    part("the rows about systemd in a virtual machine");
    let label = "the rows about systemd in a virtual machine";
    match what_is_missing(systemd::SERIES, &X86_64)?.map_or_else(systemd::what_is_missing, |reason| Ok(Some(reason)))? {
        Some(reason) => report.skip(label, &reason),
        None => boot(&[Machine::with_systemd(suite)?], report)?,
    }
    Ok(())
}

fn boot(machines: &[Machine], report: &mut Report) -> Result<()> {
    let accounts = thread::scope(|scope| {
        let running: Vec<_> = machines.iter().map(|machine| scope.spawn(|| machine.run())).collect();
        running.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for (machine, account) in machines.iter().zip(accounts) {
        let account = account.map_err(|_| anyhow!("the thread that reads the console panicked"));
        report.add(&name(&machine.series, machine.architecture), account.flatten());
    }
    Ok(())
}

fn name(series: &str, architecture: &Architecture) -> String {
    let linux = if series == SID { "the newest Linux of Debian".to_owned() } else { format!("Linux {series}") };
    match architecture.name {
        "x86_64" => format!("the suite in a virtual machine with {linux}"),
        name => format!("the suite in a virtual machine with {linux} on {name}"),
    }
}

fn what_is_missing(series: &str, architecture: &Architecture) -> Result<Option<String>> {
    if !is_possible() {
        return Ok(Some(format!("the virtual machine needs x86_64, but this machine is {}", env::consts::ARCH)));
    }
    let programs = [
        (architecture.qemu, architecture.package),
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("busybox", "busybox-static"),
        ("checkpolicy", "checkpolicy"),
    ];
    if let Some((program, package)) = programs.iter().find(|(program, _)| workspace::program(program).is_none()) {
        return Ok(Some(format!("{program} is not installed (apt-get install {package})")));
    }
    let arch = if *architecture == X86_64 { "" } else { " --arch aarch64" };
    let reason = match series {
        SID => format!("no kernel of sid; `cargo xtask test --setup{arch}` downloads it, or prints why it cannot"),
        series => format!("no kernel {series}; `cargo xtask test --setup` downloads it"),
    };
    Ok(kernel::packages(series, architecture)?.is_empty().then_some(reason))
}

/// A machine that can be booted.
struct Machine {
    /// Such as `6.1`.
    series: String,
    parameters: &'static str,
    architecture: &'static Architecture,
    kernel: Kernel,
    archive: PathBuf,
    log: PathBuf,
}

impl Machine {
    fn prepare(
        series: &str,
        parameters: &'static str,
        architecture: &'static Architecture,
        suite: &Suite,
    ) -> Result<Self> {
        let (kernel, folder) = (kernel::unpack(series, architecture)?, folder()?);
        let series = kernel.series();
        let label = format!("{series}-{}", architecture.debian);
        let archive = folder.join(format!("initramfs-{label}.cpio"));
        fs::write(&archive, initramfs::pack(&kernel, architecture, suite)?)?;
        let log = folder.join(format!("console-{label}.log"));
        Ok(Self { series, parameters, architecture, kernel, archive, log })
    }

    fn with_systemd(suite: &Suite) -> Result<Self> {
        let (kernel, folder) = (kernel::unpack(systemd::SERIES, &X86_64)?, folder()?);
        let archive = folder.join("initramfs-systemd.cpio");
        fs::write(&archive, systemd::pack(suite)?)?;
        let log = folder.join("console-systemd.log");
        let (series, parameters) = (format!("{} with systemd", kernel.series()), systemd::PARAMETERS);
        Ok(Self { series, parameters, architecture: &X86_64, kernel, archive, log })
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
