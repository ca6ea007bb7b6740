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
pub fn packages(series: &str) -> Result<Vec<PathBuf>> {
    let (folder, prefix) = match series {
        super::SID => (super::sid_packages("amd64")?, "linux-".to_owned()),
        series => (super::folder()?, format!("linux-image-{series}.")),
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let names = names(&folder)?.into_iter().filter(|name| name.starts_with(&prefix) && name.ends_with(".deb"));
    Ok(names.map(|name| folder.join(name)).collect())
}

/// Unpacks the packages of this series, unless they are unpacked already.
pub fn unpack(series: &str) -> Result<Kernel> {
    let packages = packages(series)?;
    let package = packages.first().with_context(|| format!("no package of Linux {series}"))?;
    let root = package.with_extension("unpacked");
    if !root.exists() {
        // Renamed after it is complete, so that a folder with the final name is complete.
        let partial = package.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        for package in &packages {
            workspace::must(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&partial))?;
        }
        if !partial.join("lib").exists() {
            symlink("usr/lib", partial.join("lib"))?; // As on a machine whose /usr is merged; depmod wants it.
        }
        let release = release(&partial)?;
        let depmod = workspace::program("depmod").context("depmod is not installed")?;
        workspace::must(Command::new(depmod).arg("--basedir").arg(&partial).arg(&release))?;
        fs::rename(&partial, &root)?;
    }
    let release = release(&root)?;
    let (in_boot, modules) = (root.join(format!("boot/vmlinuz-{release}")), root.join("lib/modules").join(&release));
    let image = if in_boot.exists() { in_boot } else { modules.join("vmlinuz") };
    Ok(Kernel { release, image, modules })
}

fn release(root: &Path) -> Result<String> {
    let modules = names(&root.join("lib/modules"))?;
    modules.into_iter().next().with_context(|| format!("{} has no lib/modules", root.display()))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
