//! The virtual machine: Debian's own kernels under QEMU, where cgroup v2 has all of its controllers. The processor is
//! emulated, so that it runs anywhere; nothing is installed into it, its whole disk is an archive made here.
//!
//! The surprise: silence is no success. The guest has to say one exact line, and whatever else it does is a failure.

mod initramfs;
mod kernel;
mod modules;
mod programs;
mod qemu;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::report::Report;
use crate::suite::Suite;
use crate::test::part;
use crate::workspace;

/// The kernel series that Debian 12 and 13 ship, and what each is told at boot: one has SELinux, the other one AppArmor,
/// which is what Debian's kernels choose by themselves.
const SERIES: [(&str, &str); 2] = [("6.1", "security=selinux"), ("6.12", "")];
const QEMU: &str = "qemu-system-x86_64";

/// Whether this machine's programs run in the virtual machine.
pub fn is_possible() -> bool {
    env::consts::ARCH == "x86_64"
}

/// The folder of kernels, archives and console logs.
pub fn folder() -> Result<PathBuf> {
    let folder = workspace::target()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The series whose package is not here yet.
pub fn missing_kernels() -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (series, _) in SERIES {
        if kernel::package(series)?.is_none() {
            missing.push(series);
        }
    }
    Ok(missing)
}

/// Boots every kernel, and runs the suite inside.
pub fn run(suite: &Suite, report: &mut Report) -> Result<()> {
    for (series, parameters) in SERIES {
        let name = format!("the suite in a virtual machine with Linux {series}");
        part(&name);
        match what_is_missing(series)? {
            Some(reason) => report.skip(&name, &reason),
            None => report.add(&name, run_in(series, parameters, suite)),
        }
    }
    Ok(())
}

fn what_is_missing(series: &str) -> Result<Option<String>> {
    if !is_possible() {
        return Ok(Some(format!("the virtual machine is an x86_64 one, and this machine is {}", env::consts::ARCH)));
    }
    let programs = [
        (QEMU, "qemu-system-x86"),
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("busybox", "busybox-static"),
        ("checkpolicy", "checkpolicy"),
    ];
    if let Some((program, package)) = programs.iter().find(|(program, _)| workspace::program(program).is_none()) {
        return Ok(Some(format!("{program} is not here (apt-get install {package})")));
    }
    let reason = format!("no kernel {series} is here, which `cargo xtask test --setup` downloads");
    Ok(kernel::package(series)?.is_none().then_some(reason))
}

/// What the guest says, and one test more: that it says it.
fn run_in(series: &'static str, parameters: &str, suite: &Suite) -> Result<Report> {
    let kernel = kernel::unpack(series)?;
    let folder = folder()?;
    let archive = folder.join(format!("initramfs-{series}.cpio"));
    fs::write(&archive, initramfs::pack(&kernel, suite)?)?;
    let log = folder.join(format!("console-{series}.log"));
    let start = Instant::now();
    let mut account =
        qemu::boot(&kernel.image, parameters, &archive, &log).with_context(|| format!("see {}", log.display()))?;
    let seconds = start.elapsed().as_secs();
    account.check(&format!("Linux {} boots, runs the suite and says so ({seconds} s)", kernel.release), Ok(()));
    Ok(account)
}
