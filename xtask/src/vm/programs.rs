//! Programs of this machine that rows use inside the guest, each with the libraries that it is linked with: ldd(1).
//! The guest has busybox for everything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// What busybox has not, or has with too little in it. A row that needs one of these says so, and is skipped where
/// this machine had none to give.
const PROGRAMS: &[&str] = &[
    "bash", "crun", "ip", "jq", "nft", "nsenter", "pgrep", "setpriv", "stat", "strace", "taskset", "tc", "timeout",
    "unshare",
];

/// Where each file lies on this machine and in the guest, libraries included.
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
