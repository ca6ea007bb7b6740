//! A session keyring of the command's own: the caller's contains keys, Kerberos tickets among them. `keyctl(2)`,
//! `session-keyring(7)`.
//!
//! Keyrings do not belong to a namespace: without this, a container reads the keyring of the process that started it.

use nix::errno::Errno;

use crate::Fault;
use crate::kernel::{call, has_session_keyring, join_new_session_keyring};

/// Replaces the caller's keyring.
pub fn renew() -> Result<(), Fault> {
    let why = "an empty keyring instead of the caller's; session-keyring(7)";
    let made =
        call("make a session keyring", "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)", why, join_new_session_keyring);
    match made {
        // Without keys in the kernel, or under a filter that refuses every use of them, the command has no key either.
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOSYS | Errno::EPERM)) => {
            if has_session_keyring() == fault.errno().map_or(Ok(()), Err) { Ok(()) } else { Err(fault) }
        }
        answer => answer,
    }
}
