//! `cargo xtask test --arch aarch64`: the tools and the suite for the other architecture, built on this one.
//!
//! A compiler uses only the standard library of its own version, and not every place has one for another architecture to
//! offer. Debian has both, in sid: they are unpacked into a folder, and the compiler runs there with the C library of its
//! own suite. cargo stays the one that runs us, and the linker is Debian's cross compiler.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::setup::archive::{self, Archive, packages_in};
use crate::static_build;
use crate::suite::Suite;
use crate::vm::{AARCH64, X86_64};
use crate::workspace::{self, TOOLS};

/// The linker, and the C library for static programs.
pub const PACKAGES: &[&str] = &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const LIBRARY: &str = "libstd-rust-dev";

/// Downloads the compiler and the standard libraries of both architectures, and unpacks them.
pub fn download() -> Result<()> {
    let root = toolchain()?;
    if root.exists() {
        return Ok(());
    }
    let (own, other) = (root.with_extension("own"), root.with_extension("other"));
    if !own.exists() {
        let sid = Archive::sid(X86_64.debian)?;
        // The compiler itself is a library, `libstd-rust-VERSION`. With it come a C library and LLVM; gcc, on which the
        // package rustc depends, is not needed.
        let [library] = &sid.dependencies(LIBRARY)?[..] else { anyhow::bail!("{LIBRARY} of sid has changed") };
        let mut packages = sid.with_dependencies(&[library])?;
        packages.extend(["rustc", LIBRARY].map(str::to_owned));
        sid.download(&packages, &own)?;
    }
    if !other.exists() {
        Archive::sid(AARCH64.debian)?.download(&[LIBRARY.to_owned()], &other)?;
    }
    archive::unpack(&[packages_in(&own)?, packages_in(&other)?].concat(), &root, write_rustc)
}

/// Writes the program that cargo starts.
fn write_rustc(root: &Path) -> Result<()> {
    let file = root.join("rustc");
    let text = "#!/bin/sh\nhere=$(dirname \"$0\")\n\
        exec \"$here/usr/lib64/ld-linux-x86-64.so.2\" --library-path \"$here/usr/lib/x86_64-linux-gnu\" \"$here/usr/bin/rustc\" \"$@\"\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(fs::set_permissions(&file, Permissions::from_mode(0o755))?)
}

fn toolchain() -> Result<PathBuf> {
    Ok(workspace::target()?.join("rust-sid"))
}

/// Builds the tools as they are shipped, and the suite.
pub fn suite(filter: Option<String>, report: &mut Report) -> Result<Suite> {
    let target = workspace::target()?.join("aarch64");
    let build = |arguments: &[&str]| {
        let mut cargo = workspace::cargo()?;
        cargo.args(["build", "--quiet", "--target", TRIPLE, "--target-dir"]).arg(&target).args(arguments);
        cargo.env("RUSTC", toolchain()?.join("rustc")).env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
        workspace::must(&mut cargo)
    };
    let rustc = toolchain()?.join("rustc");
    anyhow::ensure!(rustc.exists(), "no compiler for {TRIPLE}; `cargo xtask test --setup --arch aarch64` downloads it");
    let packages: Vec<_> = TOOLS.iter().flat_map(|tool| ["--package", tool]).collect();
    build(&[&["--release"], &packages[..]].concat())?;
    build(&["--package", "tests"])?;
    let (tools, programs) = (target.join(TRIPLE).join("release"), target.join(TRIPLE).join("debug"));
    TOOLS.iter().try_for_each(|tool| static_build::inspect(tool, &tools, report))?;
    Ok(Suite { tools, programs, filter })
}
