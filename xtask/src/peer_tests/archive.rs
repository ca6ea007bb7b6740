//! The newest source of a package, from Debian's archive; apt-get checks its signature.
//!
//! The packages of Debian 12 are older than the tests, so the source comes from the unstable release, with separate package
//! lists: those of the machine stay unchanged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::cache;
use crate::workspace;

/// Returns the archive; downloads it if it is missing.
pub fn of(package: &str) -> Result<PathBuf> {
    if let Some(archive) = fetched(package)? {
        return Ok(archive);
    }
    apt_get(&["update"])?;
    apt_get(&["source", "--download-only", "--tar-only", package])?;
    fetched(package)?.with_context(|| format!("the source of {package} has no .orig.tar.xz"))
}

fn fetched(package: &str) -> Result<Option<PathBuf>> {
    let (folder, begin) = (cache()?, format!("{package}_"));
    let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<Result<Vec<_>>>()?;
    let name = names.into_iter().find(|name| name.starts_with(&begin) && name.ends_with(".orig.tar.xz"));
    Ok(name.map(|name| folder.join(name)))
}

fn apt_get(words: &[&str]) -> Result<()> {
    let folder = cache()?;
    let (lists, sources) = (folder.join("lists"), folder.join("sources.list"));
    fs::create_dir_all(lists.join("partial"))?;
    let source = format!("deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} sid main\n", mirror()?);
    fs::write(&sources, source).with_context(|| format!("cannot write {}", sources.display()))?;
    let mut apt_get = Command::new("apt-get");
    apt_get.arg("--quiet").args(["-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root"]);
    // Caches would contain these lists, and be mistaken for the machine's.
    apt_get.args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]);
    apt_get.arg("-o").arg(format!("Dir::Etc::SourceList={}", sources.display()));
    apt_get.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
    workspace::must(apt_get.args(words).current_dir(&folder))
}

/// Returns the mirror of this machine's own packages.
fn mirror() -> Result<String> {
    let known = workspace::stdout_of(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let mirror = known.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    Ok(mirror.context("apt-get knows no mirror of Debian's main archive")?.to_owned())
}
