//! Names of users and groups, read from /etc/passwd and /etc/group. `passwd(5)`, `group(5)`.
//!
//! The files are read directly, never through NSS: a static executable loads no libraries, least of all those of a new
//! root. In a new root they are an image's: a FIFO or an endless file there must not keep us waiting.

use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::command_line::regular;
use plumbing::confinement::privilege::id::require;

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
pub(crate) fn user_name(uid: u32) -> Result<Option<String>, Fault> {
    Ok(field(&read(PASSWD)?, uid, 0))
}

/// Returns the shell of a user; `None` if it cannot be found, for instance in a new root without /etc/passwd.
pub(crate) fn shell(uid: u32) -> Option<String> {
    field(&read(PASSWD).ok()?, uid, 6).filter(|shell| !shell.is_empty())
}

fn read(file: &str) -> Result<String, Fault> {
    let bytes = regular::read(Path::new(file), LONGEST)?
        .ok_or_else(|| Fault::kernel("look up a name", format!("open({file:?})"), Errno::ENOENT))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn known_id(what: &str, name: &str, file: &str) -> Result<u32, Fault> {
    let id = id_in(&read(file)?, name).ok_or_else(|| unknown(what, name, file))?;
    require(format_args!("use the {what} {name:?} of {file}"), id).map(|()| id)
}

fn id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn field(passwd: &str, uid: u32, index: usize) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(index).map(|field| (*field).to_owned())).flatten()
    })
}

fn unknown(what: &str, name: &str, file: &str) -> Fault {
    Fault::new(format!("there is no {what} {name:?} in {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:900:901::/srv:\n";
        assert_eq!((id_in(passwd, "web"), id_in(passwd, "we"), id_in(passwd, "broken")), (Some(900), None, None));
        assert_eq!(field(passwd, 900, 0).as_deref(), Some("web"));
        assert_eq!(field(passwd, 0, 6).as_deref(), Some("/bin/sh"));
        assert_eq!(field(passwd, 1, 0), None);
    }
}
