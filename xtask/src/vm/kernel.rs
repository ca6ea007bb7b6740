//! The packages of a Debian kernel, unpacked but not installed: the image, and the modules with their dependencies, which
//! depmod(8) computes (Debian leaves that to the installation).
//!
//! The surprise: until Linux 6.12 all of it is in one package, and the image is in /boot. Today it is in several, in
//! /usr/lib/modules.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Architecture;
use crate::setup::archive::{self, packages_in};
use crate::workspace;

/// An unpacked kernel.
pub struct Kernel {
    /// The release, such as `6.1.0-56-amd64`.
    pub release: String,
    /// The image that QEMU boots.
    pub image: PathBuf,
    /// The folder `lib/modules/RELEASE`.
    pub modules: PathBuf,
}

impl Kernel {
    /// Returns the first two numbers of the release, such as `6.1`.
    pub fn series(&self) -> String {
        self.release.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

/// Returns the downloaded packages of this series, none if they are missing.
pub fn packages(series: &str, architecture: &Architecture) -> Result<Vec<PathBuf>> {
    if series == super::SID {
        return packages_in(&super::newest_packages(architecture)?);
    }
    let (mut packages, prefix) = (packages_in(&super::folder()?)?, format!("linux-image-{series}."));
    packages.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
    Ok(packages)
}

/// Unpacks the packages of this series, unless they are unpacked already.
pub fn unpack(series: &str, architecture: &Architecture) -> Result<Kernel> {
    let packages = packages(series, architecture)?;
    let root = match series {
        super::SID => super::newest_packages(architecture)?.with_extension("unpacked"),
        _ => packages.first().with_context(|| format!("no package of Linux {series}"))?.with_extension("unpacked"),
    };
    if !root.exists() {
        archive::unpack(&packages, &root, finish)?;
    }
    let release = release(&root)?;
    let (in_boot, modules) = (root.join(format!("boot/vmlinuz-{release}")), root.join("lib/modules").join(&release));
    let image = if in_boot.exists() { in_boot } else { modules.join("vmlinuz") };
    Ok(Kernel { release, image, modules })
}

/// Does what the installation does.
fn finish(root: &Path) -> Result<()> {
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?; // As on a machine whose /usr is merged; depmod wants it.
    }
    let depmod = workspace::program("depmod").context("depmod is not installed")?;
    workspace::must(Command::new(depmod).arg("--basedir").arg(root).arg(release(root)?))
}

fn release(root: &Path) -> Result<String> {
    let folder = root.join("lib/modules");
    let mut entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let first = entries.next().with_context(|| format!("{} is empty", folder.display()))??;
    Ok(first.file_name().to_string_lossy().into_owned())
}
