//! The three calls of Landlock, which no library that we use wraps. `landlock(7)`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::adopt;

/// Returns the version of Landlock's interface that this kernel has.
pub(crate) fn landlock_version() -> Result<u32, Errno> {
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u64>();
    // SAFETY: a null pointer, a size of 0 and the flag that demands both.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    Errno::result(answer).map(|version| version as u32)
}

/// Makes a ruleset over `LANDLOCK_ACCESS_FS_*`; `landlock_create_ruleset(2)`.
pub(crate) fn landlock_create_ruleset(handled: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: the first member of landlock_ruleset_attr, with its size; the kernel assumes 0 for the others.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<u64>(), 0_u32) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Allows `access` below `path`; `landlock_add_rule(2)`.
pub(crate) fn landlock_add_path(ruleset: impl AsFd, path: impl AsFd, access: u64) -> Result<(), Errno> {
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct PathBeneath {
        allowed_access: u64,
        parent_fd: i32,
    }
    const PATH_BENEATH: libc::c_int = 1;
    let rule = PathBeneath { allowed_access: access, parent_fd: path.as_fd().as_raw_fd() };
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: two open descriptors and a whole landlock_path_beneath_attr.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, 0_u32) };
    Errno::result(answer).map(drop)
}

/// Restricts this process; `landlock_restrict_self(2)`.
pub(crate) fn landlock_restrict_self(ruleset: impl AsFd) -> Result<(), Errno> {
    // SAFETY: an open descriptor and an integer.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0_u32) })
        .map(drop)
}
