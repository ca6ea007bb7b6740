//! Landlock: only files below given paths can be reached, whatever the permissions say. `landlock(7)`.
//!
//! The rules are made first, while we may still open the paths, and come into force last. What was opened before stays
//! usable. The surprise: a right that the kernel does not know yet is not restricted. Truncating by path is such a
//! right before Linux 6.2, so there a system call filter refuses it.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::thread::CapabilitySet;

use crate::Fault;
use crate::confinement::seccomp::Seccomp;
use crate::kernel::{self, Pretend, call, look};
use crate::narrate;
use crate::pipeline::record::Landlock;
use crate::text::Text;

/// `LANDLOCK_ACCESS_FS_*`: EXECUTE, READ_FILE, READ_DIR.
const READ: u64 = 1 | 1 << 2 | 1 << 3;
/// The rights that concern files: EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV.
const OF_FILES: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;
/// All rights up to MAKE_SYM, REFER and TRUNCATE: those that the first three versions know.
const ALL: [u64; 3] = [(1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1];
/// IOCTL_DEV came with the fifth version.
const IOCTL_DEV: u64 = 1 << 15;

/// The calls that truncate a file without opening it for writing, where Landlock does not see that. A filter cannot see
/// flags in memory, so openat2(2) is made to look missing: C libraries and language runtimes fall back on openat(2).
const WITHOUT_TRUNCATE: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "archMap": [
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
  ],
  "syscalls": [
    {"names": ["truncate", "truncate64"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
    {"names": ["openat2", "io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 1, "value": 515, "valueTwo": 512, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["openat", "open_by_handle_at"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 2, "value": 515, "valueTwo": 512, "op": "SCMP_CMP_MASKED_EQ"}]}
  ]
}"#;

/// Rules that are not in force yet.
pub(super) struct Ruleset {
    fd: OwnedFd,
    /// Whether the kernel's Landlock does not restrict truncating a file by path.
    lets_truncate: bool,
}

impl Landlock {
    pub(super) fn rules(&self) -> Result<Ruleset, Fault> {
        let version = look("use Landlock", "landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)", || {
            kernel::landlock_version()
        })
        .map_err(explain)?;
        let all = match version {
            1..=3 => ALL[version as usize - 1],
            4 => ALL[2],
            _ => ALL[2] | IOCTL_DEV,
        };
        let text = format!("landlock_create_ruleset({{handled_access_fs={all:#x}}}, 8, 0)");
        let fd = call("use Landlock", text, "everything that no rule allows is refused; landlock(7)", || {
            kernel::landlock_create_ruleset(all)
        })?;
        for (path, access) in self.ro.iter().map(|path| (path, READ)).chain(self.rw.iter().map(|path| (path, all))) {
            allow(&fd, path, access)?;
        }
        Ok(Ruleset { fd, lets_truncate: version < 3 })
    }
}

impl Ruleset {
    pub(super) fn enforce(self) -> Result<(), Fault> {
        let why = "from here on only what the rules allow is possible; landlock(7)";
        call("restrict file access", "landlock_restrict_self(ruleset, 0)", why, || {
            kernel::landlock_restrict_self(&self.fd)
        })?;
        if self.lets_truncate {
            Seccomp::parse("for Landlock", WITHOUT_TRUNCATE.as_bytes())?.enforce(CapabilitySet::empty())
        } else {
            Ok(())
        }
    }
}

fn allow(ruleset: &OwnedFd, path: &Text, access: u64) -> Result<(), Fault> {
    let shown = path.shown();
    let goal = format!("allow access below {shown}");
    let target = if narrate::is_dry_run() {
        // It may be in a root that a dry run did not make.
        OwnedFd::pretend()?
    } else {
        look(&goal, format!("openat(AT_FDCWD, {shown:?}, O_PATH)"), || {
            openat(CWD, path.to_path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        })?
    };
    let stat = look(&goal, "fstat(path)", || fstat(&target))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let access = if is_directory { access } else { access & OF_FILES };
    let text = format!(
        "landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, {{parent_fd=root:{shown}, allowed_access={access:#x}}}, 0)"
    );
    let why = if access & 2 == 0 { "reading and executing are allowed" } else { "everything is allowed" };
    call(goal, text, why, || kernel::landlock_add_path(ruleset, &target, access))
}

fn explain(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EOPNOTSUPP) => {
            fault.with_remedy("this kernel has Landlock, but did not start with it: add landlock to its option lsm=")
        }
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_for_older_kernels_is_understood() {
        assert!(Seccomp::parse("for Landlock", WITHOUT_TRUNCATE.as_bytes()).is_ok());
        assert_eq!(libc::O_TRUNC | libc::O_ACCMODE, 515);
    }
}
