//! The machine in which systemd is process 1: the packages of the Debian release that this machine uses, unpacked but not
//! installed, and the few files that their installation would write.
//!
//! The surprise: an unpacked system has no users, no PAM configuration and no machine id, and its /bin and /lib are not yet
//! links to those in /usr.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::X86_64;
use super::initramfs::Archive;
use crate::setup::archive::{self, Archive as Suite, packages_in};
use crate::suite;
use crate::workspace::{self, TOOLS};

/// The kernel of the machine.
pub const SERIES: &str = "6.12";

/// Boot parameters: without them, systemd writes its progress between the lines of the suite.
pub const PARAMETERS: &str = "systemd.show_status=false systemd.log_level=warning";

const PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "dbus",
    "dbus-user-session",
    "findutils",
    "grep",
    "jq",
    "libpam-systemd",
    "perl-base",
    "procps",
    "sed",
    "strace",
    "systemd",
    "util-linux",
];

/// Beginnings of the names of packages that only an installation needs.
const ONLY_FOR_INSTALLATION: &[&str] = &[
    "adduser",
    "debconf",
    "dpkg",
    "gcc-",
    "libdb5",
    "libfile-",
    "libgdbm",
    "libnumber-",
    "libperl",
    "libtext-",
    "perl",
    "tar",
    "usrmerge",
];

/// Parts of the packages that nobody reads in the guest.
const LEFT_OUT: &[&str] = &[
    "/usr/share/bash-completion",
    "/usr/share/doc",
    "/usr/share/i18n",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/zsh",
    "/usr/lib/x86_64-linux-gnu/gconv",
];

/// Files that the installation, or an administrator, would write.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n\
         nobody:x:65534:65534:nobody:/:/bin/false\nuser:x:54321:54321:user:/tmp:/bin/bash\n\
         stranger:x:54322:54322:stranger:/tmp:/bin/bash\n",
    ),
    (
        "/etc/group",
        "root:x:0:\ndaemon:x:1:\ntty:x:5:\nmessagebus:x:100:\nsystemd-journal:x:101:\nnogroup:x:65534:\nuser:x:54321:\n\
         stranger:x:54322:\n",
    ),
    ("/etc/machine-id", "00000000000000000000000000000001\n"),
    (
        "/etc/pam.d/systemd-user",
        "account required pam_permit.so\nsession required pam_permit.so\nsession optional pam_systemd.so\n",
    ),
    ("/etc/pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n"),
    ("/etc/systemd/system/suite.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"),
    (
        "/etc/systemd/system/suite.service",
        "[Unit]\nAfter=basic.target dbus.socket user@54321.service\nWants=dbus.socket user@54321.service\n\
         OnFailure=poweroff.target\n\
         [Service]\nExecStart=/tests/vm-init\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\n\
         Environment=HOME=/tmp\n",
    ),
    ("/etc/systemd/journald.conf", "[Journal]\nStorage=volatile\n"),
];

/// Links to make.
const LINKS: &[(&str, &str)] = &[
    ("/init", "/lib/systemd/systemd"),
    ("/etc/systemd/system/default.target", "suite.target"),
    ("/etc/systemd/system/suite.target.wants/suite.service", "../suite.service"),
    ("/etc/systemd/system-generators/systemd-getty-generator", "/dev/null"),
];

/// Downloads the packages, unless they are there.
pub fn download() -> Result<()> {
    let folder = folder()?;
    if folder.exists() {
        return Ok(());
    }
    let suite = Suite::own_suite(X86_64.debian)?;
    let mut packages = suite.with_dependencies(PACKAGES)?;
    packages.retain(|package| {
        PACKAGES.contains(&package.as_str()) || !ONLY_FOR_INSTALLATION.iter().any(|start| package.starts_with(start))
    });
    suite.download(&packages, &folder)
}

/// Returns the folder of the packages.
fn folder() -> Result<PathBuf> {
    Ok(super::folder()?.join(format!("systemd-{}", X86_64.debian)))
}

/// Returns the reason why the machine cannot be made.
pub fn what_is_missing() -> Result<Option<String>> {
    let is_missing = packages_in(&folder()?)?.is_empty();
    Ok(is_missing.then(|| "no packages of systemd; `cargo xtask test --setup --systemd` downloads them".to_owned()))
}

/// Packs the system, the suite and the tools.
pub fn pack(suite: &suite::Suite) -> Result<Vec<u8>> {
    let root = folder()?.with_extension("unpacked");
    if !root.exists() {
        archive::unpack(&packages_in(&folder()?)?, &root, merge_usr)?;
    }
    let mut archive = Archive::default();
    let is_ours = |path: &str| FILES.iter().chain(LINKS).any(|(file, _)| *file == path);
    archive.tree(&root, "", &|path| !LEFT_OUT.contains(&path) && !is_ours(path))?;
    for (path, content) in FILES {
        archive.file(path, 0o644, content.as_bytes())?;
    }
    for (path, target) in LINKS {
        archive.link(path, target)?;
    }
    archive.executable("/tests/vm-init", &suite.programs.join("vm-init"))?;
    archive.executable("/tests/suite", &suite.programs.join("suite"))?;
    if let Some(filter) = &suite.filter {
        archive.file("/tests/filter", 0o644, filter.as_bytes())?;
    }
    for tool in TOOLS {
        archive.executable(&format!("/tools/{tool}"), &suite.tools.join(tool))?;
    }
    archive.finish()
}

/// Moves what packages have in /bin, /lib and the like to /usr, and makes links of these folders.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let (folder, merged) = (root.join(name), root.join("usr").join(name));
        if folder.is_symlink() || !folder.exists() {
            continue;
        }
        fs::create_dir_all(&merged)?;
        workspace::must(Command::new("cp").arg("-a").arg(folder.join(".")).arg(&merged))?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        symlink(Path::new("usr").join(name), &folder)?;
    }
    // dash is /bin/sh only after its installation.
    let shell = root.join("usr/bin/sh");
    if !shell.exists() {
        symlink("bash", shell)?;
    }
    Ok(())
}
