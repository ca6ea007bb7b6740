//! The paths of the checkout and of cargo's build folders, and running cargo and other commands.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The five tools, in the order in which a container is assembled.
pub const TOOLS: [&str; 5] = ["unshare-rs", "cgexec-rs", "chroot-rs", "netns-rs", "nsenter-rs"];

/// Returns the top of the checkout. cargo names it at each run, so a moved checkout needs no new build.
pub fn root() -> Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    Ok(PathBuf::from(xtask).parent().context("the path of xtask has no parent")?.to_owned())
}

/// Returns a command of the cargo that runs us, in the top of the checkout.
pub fn cargo() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()?);
    Ok(cargo)
}

/// Returns the folder of the executables that a build for this target and profile makes.
pub fn executables(triple: &str, profile: &str) -> Result<PathBuf> {
    Ok(target()?.join(triple).join(profile))
}

/// Returns cargo's target folder, which also contains our caches.
pub fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(root()?.join(folder)),
        None => Ok(root()?.join("target")),
    }
}

/// Returns the machine's own target, such as `x86_64-unknown-linux-gnu`.
pub fn host_triple() -> Result<String> {
    let version = stdout_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Returns the target of a release: musl for this machine's architecture if it is installed, otherwise the machine's own.
pub fn release_triple() -> Result<String> {
    let musl = format!("{}-unknown-linux-musl", env::consts::ARCH);
    let sysroot = stdout_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    let installed = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(&musl).is_dir();
    if installed { Ok(musl) } else { host_triple() }
}

/// Returns a cargo that builds for release, as the tools are shipped; packages have to be added.
pub fn release_build(triple: &str) -> Result<Command> {
    let mut cargo = cargo()?;
    cargo.args(["build", "--release", "--target", triple]);
    if let Some(option) = packed_relocations().filter(|_| triple.ends_with("gnu")) {
        let flags = format!("target.{triple}.rustflags=[\"-C\", \"link-arg={option}\"]");
        cargo.args(["--config", &flags]);
    }
    Ok(cargo)
}

/// Returns the linker's option that packs relative relocations (`DT_RELR`). A static-pie executable has thousands of them,
/// and reads them all at its start: in chroot-rs 92 kB, packed 1 kB. `None` if the C library would not apply them: the
/// executable would crash.
pub fn packed_relocations() -> Option<&'static str> {
    let version = stdout_of(Command::new("getconf").arg("GNU_LIBC_VERSION")).ok()?;
    let (major, minor) = version.trim().strip_prefix("glibc ")?.split_once('.')?;
    let version: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (version >= (2, 36)).then_some("-Wl,-z,pack-relative-relocs")
}

/// Reports whether this user is root.
pub fn is_root() -> Result<bool> {
    Ok(std::fs::metadata("/proc/self").context("/proc/self")?.uid() == 0)
}

/// Finds a program in PATH or in the system's folders.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a command; fails if the command fails.
pub fn must(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Runs a command and returns its stdout; fails if the command fails.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
