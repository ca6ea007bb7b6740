//! `--mount-binfmt` and `--load-interp`: interpreters for foreign executables, for this user namespace only.
//! `binfmt_misc` in the kernel's admin guide.
//!
//! Since Linux 6.7 a user namespace has its own registry once binfmt_misc was mounted in it. With the flag F the kernel
//! opens the interpreter at registration, so such a registration comes before the change of root.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;
use plumbing::Fault;
use plumbing::kernel::call;

/// The usual mount point of binfmt_misc.
pub(crate) const DEFAULT: &str = "/proc/sys/fs/binfmt_misc";

/// The requested mount and registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Binfmt {
    pub(crate) dir: Option<PathBuf>,
    /// `:name:type:offset:magic:mask:interpreter:flags`
    pub(crate) interpreter: Option<OsString>,
}

impl Binfmt {
    /// Registers, in the old root, an interpreter that is found there.
    pub(crate) fn before_root(&self, changes_root: bool) -> Result<(), Fault> {
        match &self.interpreter {
            Some(line) if changes_root && is_fixed(line) => {
                mount(Path::new(DEFAULT))?;
                register(Path::new(DEFAULT), line)
            }
            _ => Ok(()),
        }
    }

    /// Mounts binfmt_misc in the new root, and registers an interpreter that is found there.
    pub(crate) fn after_root(&self, changes_root: bool) -> Result<(), Fault> {
        let Some(dir) = &self.dir else { return Ok(()) };
        mount(dir)?;
        match &self.interpreter {
            Some(line) if !(changes_root && is_fixed(line)) => register(dir, line),
            _ => Ok(()),
        }
    }
}

/// Reports whether the flags, after the last colon, include F.
fn is_fixed(line: &OsStr) -> bool {
    let bytes = line.as_bytes();
    bytes.iter().rposition(|byte| *byte == b':').is_some_and(|colon| bytes[colon..].contains(&b'F'))
}

fn mount(dir: &Path) -> Result<(), Fault> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let shown = dir.to_string_lossy();
    let text = format!("mount(\"binfmt_misc\", {shown:?}, \"binfmt_misc\", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)");
    let why = "a registry for this user namespace only, since Linux 6.7";
    call(format!("mount binfmt_misc at {shown}"), text, why, || {
        nix::mount::mount(Some("binfmt_misc"), dir, Some("binfmt_misc"), flags, None::<&str>)
    })
    .map_err(|fault| match fault.errno() {
        Some(Errno::ENODEV) => fault.with_remedy("this kernel has no binfmt_misc: modprobe binfmt_misc"),
        _ => fault,
    })
}

fn register(dir: &Path, line: &OsStr) -> Result<(), Fault> {
    let path = dir.join("register");
    let text = format!("write({:?}, {:?})", path.to_string_lossy(), line.to_string_lossy());
    call("register the interpreter", text, "the program that runs these executables", || {
        let mut file = std::fs::OpenOptions::new().write(true).open(&path)?;
        std::io::Write::write_all(&mut file, line.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_f_comes_after_the_last_colon() {
        assert!(is_fixed(OsStr::new(":qemu:M::magic:mask:/usr/bin/qemu:OCF")));
        assert!(!is_fixed(OsStr::new(":Fake:M::magicF:mask:/usr/bin/qemu:OC")) && !is_fixed(OsStr::new("F")));
    }
}
