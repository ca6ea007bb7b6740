//! The Debian packages that the tests need: the programs with which the tools are compared, and the kernels of the virtual
//! machines, which are downloaded but not installed.

pub mod archive;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use crate::vm::{AARCH64, Architecture, X86_64};
use crate::{cross, vm, workspace};
use archive::Archive;

const PACKAGES: &[&str] = &[
    "bubblewrap",
    "busybox-static",
    "cgroup-tools",
    "containerd",
    "containernetworking-plugins",
    "crun",
    "docker.io",
    "iproute2",
    "iptables",
    "jq",
    "lxc",
    "nftables",
    "passt",
    "perl",
    "podman",
    "runc",
    "slirp4netns",
    "strace",
    "systemd-container",
    "uidmap",
    "util-linux",
];

/// Packages for a virtual machine, with QEMU for one architecture.
const VM_PACKAGES: &[&str] = &["busybox-static", "checkpolicy", "kmod", "xz-utils"];

/// For each kernel series, the packages that may depend on its newest build. Which one does depends on the Debian release.
const KERNELS: &[(&str, &[&str])] = &[
    ("6.1", &["linux-image-amd64", "linux-image-6.1-amd64"]),
    ("6.12", &["linux-image-6.12-amd64", "linux-image-amd64"]),
];

/// Installs and downloads what is missing.
pub fn install() -> Result<()> {
    let kernels: Vec<_> = if vm::is_possible() { vm::missing_kernels()? } else { Vec::new() };
    install_packages(&missing(), !kernels.is_empty())?;
    for kernel in kernels {
        match kernel {
            // If sid cannot be reached, the rest runs, and this part is skipped with a reason.
            vm::SID => download_newest(&X86_64)
                .unwrap_or_else(|error| eprintln!("xtask: no kernel from Debian's suite sid: {error:#}")),
            series => download(series)?,
        }
    }
    Ok(())
}

/// Installs and downloads what is missing, and the packages of the machine in which systemd is process 1.
pub fn install_with_systemd() -> Result<()> {
    install()?;
    vm::download_systemd()
}

/// Installs and downloads what is missing for the machine of the other architecture: QEMU and the linker are installed, the
/// compiler, the kernel and the programs of the guest are only downloaded.
pub fn install_for_aarch64() -> Result<()> {
    let wanted = [VM_PACKAGES, cross::PACKAGES, &[AARCH64.package]].concat();
    let missing: Vec<_> = wanted.into_iter().filter(|package| !is_installed(package)).collect();
    install_packages(&missing, true)?;
    download_newest(&AARCH64)?;
    vm::download_programs()?;
    cross::download()
}

fn install_packages(packages: &[&str], downloads: bool) -> Result<()> {
    if packages.is_empty() && !downloads {
        return Ok(());
    }
    // If one of many sources does not answer, it may be one that is not needed.
    if let Err(error) = apt_get(&["update"]) {
        eprintln!("xtask: continuing with the existing package lists: {error:#}");
    }
    if packages.is_empty() {
        return Ok(());
    }
    ensure!(workspace::is_root()?, "only root can install {}", packages.join(" "));
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Installs nothing, and prints how to install.
pub fn name_missing() -> Result<()> {
    let packages = missing();
    if !packages.is_empty() {
        println!("missing here: apt-get install --no-install-recommends {}", packages.join(" "));
    }
    if vm::is_possible() && !vm::missing_kernels()?.is_empty() {
        println!("missing here: the kernels of the virtual machines, which `cargo xtask test --setup` downloads");
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let vm = if vm::is_possible() { [VM_PACKAGES, &[X86_64.package]].concat() } else { Vec::new() };
    PACKAGES.iter().copied().chain(vm).filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}", package]).output();
    status.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt_get = Command::new("apt-get");
    // Wait for another apt-get.
    apt_get.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]).args(arguments);
    apt_get.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    workspace::must(&mut apt_get)
}

fn download(series: &str) -> Result<()> {
    let package = newest_build(series)?;
    // Moved after it is complete: a file with the final name is complete.
    let folder = vm::folder()?.join("download");
    fs::create_dir_all(&folder)?;
    let mut apt_get = Command::new("apt-get");
    // apt-get would download as the user _apt, who cannot write here.
    apt_get.args(["--quiet", "--option", "APT::Sandbox::User=root", "download", &package]).current_dir(&folder);
    workspace::must(&mut apt_get)?;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        fs::rename(entry.path(), vm::folder()?.join(entry.file_name()))?;
    }
    Ok(fs::remove_dir(&folder)?)
}

/// Downloads the newest kernel that Debian has for this architecture.
fn download_newest(architecture: &Architecture) -> Result<()> {
    let folder = vm::newest_packages(architecture)?;
    if folder.exists() {
        return Ok(());
    }
    let sid = Archive::sid(architecture.debian)?;
    sid.download(&sid.kernel_packages()?, &folder)
}

fn newest_build(series: &str) -> Result<String> {
    let Some((_, metapackages)) = KERNELS.iter().find(|(name, _)| *name == series) else {
        bail!("no package is known for Linux {series}");
    };
    let prefix = format!("linux-image-{series}.");
    for metapackage in *metapackages {
        let depends = workspace::stdout_of(Command::new("apt-cache").args(["depends", "--important", metapackage]));
        // A metapackage that this Debian release lacks is not a failure as long as another one exists.
        let packages = depends.unwrap_or_default();
        let package = packages.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        if let Some(package) = package.filter(|package| package.starts_with(&prefix)) {
            return Ok(package.to_owned());
        }
    }
    bail!("none of {} depends on a Linux {series} here; see apt-cache policy", metapackages.join(", "))
}
