//! The three calls of Landlock, which no library that we use wraps. `landlock(7)`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::adopt;

/// Returns the version of Landlock's interface that this kernel has.
pub fn landlock_version() -> Result<u32, Errno> {
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u64>();
    // SAFETY: a null pointer, a size of 0 and the flag that demands both.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    Errno::result(answer).map(|version| version as u32)
}

/// Makes a ruleset over `LANDLOCK_ACCESS_FS_*`, `LANDLOCK_ACCESS_NET_*` and `LANDLOCK_SCOPE_*`;
/// `landlock_create_ruleset(2)`. An older kernel accepts members that it does not know if they are 0.
pub fn landlock_create_ruleset(attributes: [u64; 3]) -> Result<OwnedFd, Errno> {
    let size = size_of_val(&attributes);
    // SAFETY: the first three members of landlock_ruleset_attr, with their size; the kernel assumes 0 for the others.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size, 0_u32) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Allows `access` below `path`; `landlock_add_rule(2)`.
pub fn landlock_add_path(ruleset: impl AsFd, path: impl AsFd, access: u64) -> Result<(), Errno> {
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

/// Allows `access` to a port; `landlock_add_rule(2)`.
pub fn landlock_add_port(ruleset: impl AsFd, port: u16, access: u64) -> Result<(), Errno> {
    const NET_PORT: libc::c_int = 2;
    // `struct landlock_net_port_attr`.
    let rule = [access, u64::from(port)];
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: an open descriptor and a whole landlock_net_port_attr.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, NET_PORT, &raw const rule, 0_u32) };
    Errno::result(answer).map(drop)
}

/// Restricts this process; `landlock_restrict_self(2)`.
pub fn landlock_restrict_self(ruleset: impl AsFd) -> Result<(), Errno> {
    // SAFETY: an open descriptor and an integer.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0_u32) })
        .map(drop)
}
