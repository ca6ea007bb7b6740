//! Programs that rows use inside the guest, each with the libraries with which it is linked. A guest of this machine's
//! architecture gets this machine's programs; another one gets those of Debian's packages, which are only unpacked.
//! The guest has busybox for everything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{AARCH64, Architecture};
use crate::setup::archive::{self, Archive, packages_in};
use crate::workspace;

/// The programs that busybox lacks, or that can do too little there. If this machine lacks one, rows that need it are
/// skipped with a reason.
const PROGRAMS: &[&str] = &[
    "bash", "crun", "install", "ip", "jq", "nft", "nsenter", "pgrep", "setpriv", "stat", "strace", "taskset", "tc",
    "timeout", "unshare",
];

/// The packages that contain them, and busybox.
const PACKAGES: &[&str] =
    &["bash", "busybox-static", "coreutils", "crun", "iproute2", "jq", "nftables", "procps", "strace", "util-linux"];

/// The loader of dynamic executables for the other architecture.
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";

/// Lists the paths of each file on this machine and in the guest, including libraries.
pub fn with_libraries(architecture: &Architecture) -> Result<BTreeSet<(PathBuf, PathBuf)>> {
    if *architecture == AARCH64 {
        return of_packages();
    }
    let mut files = BTreeSet::new();
    for program in PROGRAMS.iter().filter_map(|name| workspace::program(name)) {
        let name = program.file_name().context("a program without a name")?;
        files.insert((fs::canonicalize(&program)?, Path::new("/usr/bin").join(name)));
        for library in libraries(&program)? {
            files.insert((fs::canonicalize(&library)?, library));
        }
    }
    Ok(files)
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let list = workspace::stdout_of(Command::new("ldd").arg(program))?;
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let paths = list.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// Returns a static busybox for this architecture.
pub fn busybox(architecture: &Architecture) -> Result<PathBuf> {
    let own = || workspace::program("busybox").context("busybox is not installed");
    if *architecture == AARCH64 { in_root(&root()?, "busybox", &FOLDERS) } else { own() }
}

/// Downloads the packages for the other architecture, from the suite that this machine uses.
pub fn download() -> Result<()> {
    let root = root()?;
    if root.exists() {
        return Ok(());
    }
    let folder = root.with_extension("packages");
    if !folder.exists() {
        let suite = Archive::own_suite(AARCH64.debian)?;
        suite.download(&suite.with_dependencies(PACKAGES)?, &folder)?;
    }
    archive::unpack(&packages_in(&folder)?, &root, |_| Ok(()))
}

/// Returns the folder of the unpacked packages.
pub fn root() -> Result<PathBuf> {
    Ok(super::folder()?.join(format!("programs-{}", AARCH64.debian)))
}

const FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];
const LIBRARIES: [&str; 2] = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

fn of_packages() -> Result<BTreeSet<(PathBuf, PathBuf)>> {
    let root = root()?;
    let mut files = BTreeSet::from([(root.join(LOADER.trim_start_matches('/')), PathBuf::from(LOADER))]);
    let (mut pending, mut seen) = (Vec::new(), BTreeSet::new());
    for name in PROGRAMS {
        let program = in_root(&root, name, &FOLDERS)?;
        files.insert((program.clone(), Path::new("/usr/bin").join(name)));
        pending.push(program);
    }
    while let Some(file) = pending.pop() {
        for name in needed(&file)?.into_iter().filter(|name| !LOADER.ends_with(name.as_str())) {
            if seen.insert(name.clone()) {
                let library = in_root(&root, &name, &LIBRARIES)?;
                files.insert((library.clone(), Path::new("/").join(library.strip_prefix(&root)?)));
                pending.push(library);
            }
        }
    }
    Ok(files)
}

fn in_root(root: &Path, name: &str, folders: &[&str]) -> Result<PathBuf> {
    let found = folders.iter().map(|folder| root.join(folder).join(name)).find(|file| file.is_file());
    found.with_context(|| {
        format!("{} has no {name}; `cargo xtask test --setup --arch aarch64` downloads it", root.display())
    })
}

/// Returns the libraries with which an executable of any architecture is linked: ldd(1) would have to run it.
fn needed(file: &Path) -> Result<Vec<String>> {
    let list = workspace::stdout_of(Command::new("readelf").args(["--dynamic", "--wide"]).arg(file))?;
    // ` 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]`
    let names = list.lines().filter_map(|line| line.split_once("Shared library: [")?.1.strip_suffix(']'));
    Ok(names.map(str::to_owned).collect())
}
