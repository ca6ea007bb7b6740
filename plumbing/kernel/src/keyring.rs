//! The session keyring of this process. `keyctl(2)`, `session-keyring(7)`.

use nix::errno::Errno;

/// Leaves the session keyring for a new one without a name; `keyctl(2)`.
pub fn join_new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: an integer and a null pointer, which means "no name" to the kernel.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) }).map(drop)
}

/// Returns whether the kernel allows naming a session keyring at all; `keyctl(2)`.
pub fn has_session_keyring() -> Result<(), Errno> {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: three integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }).map(drop)
}
