//! Packages of a Debian suite and architecture that this machine may not use itself, such as the newest kernel, in sid. The
//! package lists are in a folder of our own, so the machine's own sources stay as they are, and any user can download.
//!
//! The surprise: a mirror that is a snapshot has a Release file that has expired.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{vm, workspace};

/// Debian's keys, if the package debian-archive-keyring is installed.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite of Debian, for one of its architectures.
pub struct Archive {
    folder: PathBuf,
    architecture: &'static str,
}

impl Archive {
    /// Fetches the lists of sid, Debian's newest suite, from the mirror that this machine uses.
    pub fn sid(architecture: &'static str) -> Result<Self> {
        Self::fetch("sid", architecture, &Mirror::of_this_machine()?)
    }

    /// Fetches the lists of the suite that this machine uses.
    pub fn own_suite(architecture: &'static str) -> Result<Self> {
        let mirror = Mirror::of_this_machine()?;
        Self::fetch(&mirror.suite, architecture, &mirror)
    }

    fn fetch(suite: &str, architecture: &'static str, mirror: &Mirror) -> Result<Self> {
        let archive = Self { folder: vm::folder()?.join(format!("apt-{suite}-{architecture}")), architecture };
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(archive.folder.join(part))?;
        }
        let keys = if Path::new(KEYS).exists() { format!(" signed-by={KEYS}") } else { String::new() };
        let options = format!("arch={architecture}{keys} target=Packages lang=none");
        fs::write(archive.folder.join("sources.list"), format!("deb [{options}] {} {suite} main\n", mirror.address))?;
        workspace::must(archive.apt("apt-get").args(["--option", "APT::Update::Error-Mode=any", "update"]))?;
        Ok(archive)
    }

    /// Returns a command of apt that knows this suite only, and no installed packages.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--quiet", "--option", "Acquire::Check-Valid-Until=false"]);
        // apt would fetch as the user _apt, who cannot write here.
        command.args(["--option", "APT::Sandbox::User=root"]);
        for name in ["Architecture", "Architectures"] {
            command.arg("--option").arg(format!("APT::{name}={}", self.architecture));
        }
        for (name, part) in [("Etc::SourceList", "sources.list"), ("State::Lists", "lists"), ("Cache", "cache")] {
            command.arg("--option").arg(format!("Dir::{name}={}", self.folder.join(part).display()));
        }
        for name in ["Etc::SourceParts", "Etc::Preferences", "Etc::PreferencesParts", "State::Status"] {
            command.arg("--option").arg(format!("Dir::{name}=/dev/null"));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Downloads packages into a new folder.
    pub fn download(&self, packages: &[String], folder: &Path) -> Result<()> {
        // Renamed after it is complete: a folder with the final name is complete.
        let partial = folder.with_extension("partial");
        fs::create_dir_all(&partial)?;
        workspace::must(self.apt("apt-get").arg("download").args(packages).current_dir(&partial))?;
        fs::rename(&partial, folder).with_context(|| format!("cannot create {}", folder.display()))
    }

    /// Returns the packages that together contain the newest kernel: today its image, its modules and the lists of both are
    /// in separate ones.
    pub fn kernel_packages(&self) -> Result<Vec<String>> {
        let metapackage = format!("linux-image-{}", self.architecture);
        let image = self.dependencies(&metapackage)?.into_iter().find(|package| package.starts_with("linux-image-"));
        let image = image.with_context(|| format!("{metapackage} depends on no kernel"))?;
        let release = image.trim_start_matches("linux-image-").to_owned();
        let mut packages = self.dependencies(&image)?;
        packages.retain(|package| package.ends_with(&release));
        packages.push(image);
        Ok(packages)
    }

    /// Returns the packages on which this one depends.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let list = workspace::stdout_of(self.apt("apt-cache").args(["depends", "--important", package]))?;
        Ok(list.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// Returns these packages and everything that they need on a machine without any package.
    pub fn with_dependencies(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut apt_get = self.apt("apt-get");
        let list =
            workspace::stdout_of(apt_get.args(["--simulate", "--no-install-recommends", "install"]).args(packages))?;
        let names = list.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }
}

/// A mirror of Debian: the first one among apt's sources.
struct Mirror {
    address: String,
    suite: String,
}

impl Mirror {
    fn of_this_machine() -> Result<Self> {
        let format = "$(LABEL) $(COMPONENT) $(CODENAME) $(REPO_URI)";
        let mut apt_get = Command::new("apt-get");
        let list = workspace::stdout_of(apt_get.args(["indextargets", "--format", format, "Created-By: Packages"]))?;
        let first = list.lines().find_map(|line| line.strip_prefix("Debian main ")?.split_once(' '));
        let (suite, address) =
            first.context("none of apt's sources is a mirror of Debian, or `apt-get update` has not run yet")?;
        ensure!(!address.contains(char::is_whitespace), "apt's source {address:?} contains a blank");
        Ok(Self { address: address.to_owned(), suite: suite.to_owned() })
    }
}

/// Unpacks all packages of a folder into a new folder.
pub fn unpack(packages: &[PathBuf], root: &Path, finish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    // Renamed after it is complete, so that a folder with the final name is complete.
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    for package in packages {
        workspace::must(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&partial))?;
    }
    finish(&partial)?;
    fs::rename(&partial, root).with_context(|| format!("cannot create {}", root.display()))
}

/// Lists the packages in a folder, in order; none if there is no folder.
pub fn packages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut packages = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        packages.push(entry?.path());
    }
    packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.sort();
    Ok(packages)
}
