//! The peers' newest releases: those of sid, Debian's newest suite, with the libraries that they need, in a folder of our own.
//!
//! A peer finds its libraries at fixed paths. So while it is measured, the newest ones are mounted over the machine's, in a
//! mount namespace of the bench. The surprise: an older program runs with a newer C library, but not the other way round.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::setup::archive::{Archive, packages_in, unpack};
use crate::vm::{AARCH64, X86_64};
use crate::workspace;

/// The packages of the peers.
const PACKAGES: [&str; 7] = ["bubblewrap", "coreutils", "crun", "runc", "util-linux", "iproute2", "cgroup-tools"];

/// The folders of a package in which its programs may be.
const PROGRAMS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// The peers' newest releases.
pub struct Newest {
    root: PathBuf,
    /// Where libraries are, below the root and on this machine.
    libraries: String,
    /// The versions of the packages, such as `bubblewrap 0.13.1-1`.
    pub versions: String,
}

impl Newest {
    /// Downloads and unpacks them, unless they are there: remove the folder to get newer ones.
    pub fn fetch() -> Result<Newest> {
        ensure!(
            workspace::is_root()?,
            "--newest mounts libraries over those of the machine, for which it must be root"
        );
        let architecture = if std::env::consts::ARCH == AARCH64.name { AARCH64.debian } else { X86_64.debian };
        let (root, packages) = (workspace::target()?.join("newest"), workspace::target()?.join("newest-packages"));
        if !root.exists() {
            let archive = Archive::sid(architecture)?;
            if !packages.exists() {
                archive.download(&archive.with_dependencies(&PACKAGES)?, &packages)?;
            }
            unpack(&packages_in(&packages)?, &root, |_| Ok(()))?;
        }
        let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        Ok(Newest { root, libraries, versions: versions(&packages_in(&packages)?)? })
    }

    /// Finds a peer.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        PROGRAMS.iter().map(|folder| self.root.join(folder).join(name)).find(|file| file.exists())
    }

    /// Enters a mount namespace with their libraries.
    pub fn enter(&self) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        let (ours, theirs) = (self.root.join(&self.libraries), Path::new("/").join(&self.libraries));
        mount(Some(&ours), &theirs, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot mount {} on {}", ours.display(), theirs.display()))
    }
}

/// Returns the versions of the peers' packages.
fn versions(files: &[PathBuf]) -> Result<String> {
    let mut versions = Vec::new();
    for package in PACKAGES {
        let begin = format!("{package}_");
        let is_its = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin));
        if let Some(file) = files.iter().find(is_its) {
            let version = workspace::stdout_of(Command::new("dpkg-deb").arg("--field").arg(file).arg("Version"))?;
            versions.push(format!("{package} {}", version.trim()));
        }
    }
    Ok(versions.join(", "))
}
