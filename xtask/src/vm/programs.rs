//! Programs of this machine that rows use inside the guest, each with the libraries with which it is linked: ldd(1).
//! The guest has busybox for everything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// The programs that busybox lacks, or that can do too little there. If this machine lacks one, rows that need it are
/// skipped with a reason.
const PROGRAMS: &[&str] = &[
    "bash", "crun", "install", "ip", "jq", "nft", "nsenter", "pgrep", "setpriv", "stat", "strace", "taskset", "tc",
    "timeout", "unshare",
];

/// Lists the paths of each file on this machine and in the guest, including libraries.
pub fn with_libraries() -> Result<BTreeSet<(PathBuf, PathBuf)>> {
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
