//! Queries about namespaces: parent, kind, owner, and a list. `ioctl_nsfs(2)`, `listns(2)`.
//!
//! The kernel hides what is outside our own user and pid namespace.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::adopt;

/// Returns the user namespace that owns `namespace`; for a user namespace, its parent. `ioctl_nsfs(2)`.
pub fn namespace_owner(namespace: impl AsFd) -> Result<OwnedFd, Errno> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: this request takes no argument; it returns a new descriptor.
    Errno::result(unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_USERNS) }).map(adopt)
}

/// Returns the id of `namespace`, which is never reused; `ioctl_nsfs(2)`. Mount namespaces had one before the others.
pub fn namespace_id(namespace: impl AsFd, is_mount: bool) -> Result<u64, Errno> {
    const NS_GET_ID: libc::Ioctl = 0x8008_b70d_u32 as libc::Ioctl;
    const NS_GET_MNTNS_ID: libc::Ioctl = 0x8008_b705_u32 as libc::Ioctl;
    let mut id = 0_u64;
    let request = if is_mount { NS_GET_MNTNS_ID } else { NS_GET_ID };
    // SAFETY: both requests write one number of 64 bits.
    Errno::result(unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), request, &raw mut id) })?;
    Ok(id)
}

/// Returns the parent of `namespace`, a pid or a user namespace. `ioctl_nsfs(2)`.
pub fn namespace_parent(namespace: impl AsFd) -> Result<OwnedFd, Errno> {
    const NS_GET_PARENT: libc::Ioctl = 0xb702;
    // SAFETY: this request takes no argument; it returns a new descriptor.
    Errno::result(unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_PARENT) }).map(adopt)
}

/// Returns the kind of `namespace`, as its `CLONE_NEW*` flag. `ioctl_nsfs(2)`.
pub fn namespace_flag(namespace: impl AsFd) -> Result<i32, Errno> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: this request takes no argument and returns a number.
    Errno::result(unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_NSTYPE) })
}

/// Returns the user who made the user namespace `namespace`. `ioctl_nsfs(2)`.
pub fn namespace_owner_uid(namespace: impl AsFd) -> Result<u32, Errno> {
    const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;
    let mut uid: libc::uid_t = 0;
    // SAFETY: this request writes one uid_t, which `uid` is.
    Errno::result(unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) }).map(|_| uid)
}

/// Writes to `ids` the ids of namespaces of the kinds in `flags` (`CLONE_NEW*`) that come after the id `after`, and
/// returns their number. `listns(2)`.
pub fn list_namespaces(flags: i32, after: u64, ids: &mut [u64]) -> Result<usize, Errno> {
    /// `struct ns_id_req`.
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        ns_id: u64,
        ns_type: u32,
        spare2: u32,
        user_ns_id: u64,
    }
    const LISTNS: libc::c_long = 470;
    let size = size_of::<Request>() as u32;
    let request = Request { size, spare: 0, ns_id: after, ns_type: flags as u32, spare2: 0, user_ns_id: 0 };
    // SAFETY: a whole ns_id_req, which the kernel reads, and `ids`, of which it fills no more than the given length.
    let answer = unsafe { libc::syscall(LISTNS, &raw const request, ids.as_mut_ptr(), ids.len(), 0_u32) };
    Errno::result(answer).map(|count| (count as usize).min(ids.len()))
}

/// Opens the namespace with this id, by a file handle that contains it; `open_by_handle_at(2)`.
pub fn namespace_by_id(id: u64) -> Result<OwnedFd, Errno> {
    /// `struct file_handle` with a `struct nsfs_file_handle` in it.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        ns_id: u64,
        ns_type: u32,
        ns_inum: u32,
    }
    const FD_NSFS_ROOT: libc::c_int = -10003;
    const FILEID_NSFS: i32 = 0xf1;
    // Type and inode number may be left out if only the id is known.
    let handle = Handle { bytes: 16, kind: FILEID_NSFS, ns_id: id, ns_type: 0, ns_inum: 0 };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a whole file_handle, as long as it specifies, which the kernel only reads.
    let answer = unsafe { libc::syscall(libc::SYS_open_by_handle_at, FD_NSFS_ROOT, &raw const handle, flags) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Returns the network namespace of `socket`; `SIOCGSKNS` of <linux/sockios.h>.
pub fn socket_namespace(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    const SIOCGSKNS: libc::Ioctl = 0x894c;
    // SAFETY: this request takes no argument; it returns a new descriptor.
    Errno::result(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCGSKNS) }).map(adopt)
}
