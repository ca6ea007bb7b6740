//! Names of users and groups, read from /etc/passwd and /etc/group. `passwd(5)`, `group(5)`.
//!
//! The files are read directly, never through NSS: a static executable loads no libraries, least of all those of a new
//! root. In a new root they are an image's: a FIFO or an endless file there must not keep us waiting.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::command_line::regular;
use plumbing::confinement::privilege::id::require;
use plumbing::process::accounts;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// The maximum number of bytes of such a file.
const LONGEST: u64 = 16 << 20;

/// Returns the id of the user with this name.
pub(crate) fn user_id(name: &str) -> Result<u32, Fault> {
    known_id("user", name, PASSWD)
}

/// Returns the id of the group with this name.
pub(crate) fn group_id(name: &str) -> Result<u32, Fault> {
    known_id("group", name, GROUP)
}

/// Returns the name of a user; `None` if /etc/passwd has no line with this id.
pub(crate) fn user_name(uid: u32) -> Result<Option<OsString>, Fault> {
    Ok(accounts::field(&read(PASSWD)?, uid, 0).map(owned))
}

/// Returns the shell of a user; `None` if it cannot be found, for instance in a new root without /etc/passwd.
pub(crate) fn shell(uid: u32) -> Option<OsString> {
    accounts::field(&read(PASSWD).ok()?, uid, 6).filter(|shell| !shell.is_empty()).map(owned)
}

fn owned(field: &[u8]) -> OsString {
    OsStr::from_bytes(field).to_owned()
}

fn read(file: &str) -> Result<Vec<u8>, Fault> {
    regular::read(Path::new(file), LONGEST)?
        .ok_or_else(|| Fault::kernel("look up a name", format!("open({file:?})"), Errno::ENOENT))
}

fn known_id(what: &str, name: &str, file: &str) -> Result<u32, Fault> {
    let id = accounts::id_of(&read(file)?, name.as_bytes())
        .ok_or_else(|| Fault::new(format!("there is no {what} {name:?} in {file}")))?;
    require(format_args!("use the {what} {name:?} of {file}"), id).map(|()| id)
}
