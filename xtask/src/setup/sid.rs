//! Debian's suite sid, which has Debian's newest kernel. Its package lists are in a folder of our own, so the machine's own
//! sources stay as they are, and any user can download from it.
//!
//! The surprise: a mirror that is a snapshot has a Release file that has expired.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{vm, workspace};

/// Debian's keys, if the package debian-archive-keyring is installed.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The suite, for one of Debian's architectures.
pub struct Sid {
    folder: PathBuf,
    architecture: &'static str,
}

impl Sid {
    /// Downloads the newest kernel of this architecture: all packages that `vm::kernel` unpacks.
    pub fn download_kernel(architecture: &'static str) -> Result<()> {
        let sid = Self::fetch(architecture)?;
        let packages = sid.kernel_packages()?;
        // Renamed after it is complete: a folder with the final name is complete.
        let (download, folder) = (sid.folder.join("download"), vm::sid_packages(architecture)?);
        fs::create_dir_all(&download)?;
        let mut apt_get = sid.apt("apt-get");
        workspace::must(apt_get.arg("download").args(&packages).current_dir(&download))?;
        fs::rename(&download, &folder).with_context(|| format!("cannot create {}", folder.display()))
    }

    /// Fetches the lists from the mirror that this machine uses.
    fn fetch(architecture: &'static str) -> Result<Self> {
        let sid = Self { folder: vm::folder()?.join(format!("sid-{architecture}")), architecture };
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(sid.folder.join(part))?;
        }
        let keys = if Path::new(KEYS).exists() { format!(" signed-by={KEYS}") } else { String::new() };
        let source = format!("deb [arch={architecture}{keys} target=Packages lang=none] {} sid main\n", mirror()?);
        fs::write(sid.folder.join("sources.list"), source)?;
        workspace::must(sid.apt("apt-get").args(["--option", "APT::Update::Error-Mode=any", "update"]))?;
        Ok(sid)
    }

    /// Returns a command of apt that knows this suite only.
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
        for name in ["SourceParts", "Preferences", "PreferencesParts"] {
            command.arg("--option").arg(format!("Dir::Etc::{name}=/dev/null"));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Returns the packages that together contain the newest kernel: today its image, its modules and the lists of both are
    /// in separate ones.
    fn kernel_packages(&self) -> Result<Vec<String>> {
        let metapackage = format!("linux-image-{}", self.architecture);
        let image = self.dependencies(&metapackage)?.into_iter().find(|package| package.starts_with("linux-image-"));
        let image = image.with_context(|| format!("{metapackage} of sid depends on no kernel"))?;
        let release = image.trim_start_matches("linux-image-").to_owned();
        let mut packages = self.dependencies(&image)?;
        packages.retain(|package| package.ends_with(&release));
        packages.push(image);
        Ok(packages)
    }

    fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let list = workspace::stdout_of(self.apt("apt-cache").args(["depends", "--important", package]))?;
        Ok(list.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }
}

/// Returns the address of a mirror of Debian: the first one among apt's sources.
fn mirror() -> Result<String> {
    let format = "$(LABEL) $(COMPONENT) $(REPO_URI)";
    let mut apt_get = Command::new("apt-get");
    let list = workspace::stdout_of(apt_get.args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let mirror = list.lines().find_map(|line| line.strip_prefix("Debian main "));
    let mirror = mirror.context("none of apt's sources is a mirror of Debian, or `apt-get update` has not run yet")?;
    ensure!(!mirror.contains(char::is_whitespace), "apt's source {mirror:?} contains a blank");
    Ok(mirror.to_owned())
}
