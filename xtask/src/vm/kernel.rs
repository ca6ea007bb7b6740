//! A Debian kernel package, unpacked but not installed: the image, and the modules with their dependencies, which
//! depmod(8) computes (Debian leaves that to the installation).

use std::fs;
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

/// Returns the downloaded package of this series, if there is one.
pub fn package(series: &str) -> Result<Option<PathBuf>> {
    let (folder, prefix) = (super::folder()?, format!("linux-image-{series}."));
    let package = names(&folder)?.into_iter().find(|name| name.starts_with(&prefix) && name.ends_with(".deb"));
    Ok(package.map(|name| folder.join(name)))
}

/// Unpacks the package of this series, unless it is unpacked already.
pub fn unpack(series: &str) -> Result<Kernel> {
    let package = package(series)?.with_context(|| format!("no package of Linux {series}"))?;
    let root = package.with_extension("unpacked");
    if !root.exists() {
        // Renamed after it is complete, so that a folder with the final name is complete.
        let partial = package.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        workspace::must(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&partial))?;
        let release = release(&partial)?;
        let depmod = workspace::program("depmod").context("depmod is not installed")?;
        workspace::must(Command::new(depmod).arg("--basedir").arg(&partial).arg(&release))?;
        fs::rename(&partial, &root)?;
    }
    let release = release(&root)?;
    let (image, modules) = (root.join(format!("boot/vmlinuz-{release}")), root.join("lib/modules").join(&release));
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
