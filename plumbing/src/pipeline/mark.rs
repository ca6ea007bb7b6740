//! The mark by which an init of `--hold` is recognized: a sealed memfd that names the init, and the namespaces of its
//! maker. `memfd_create(2)`, `xattr(7)`.
//!
//! A process that a container runs can keep descriptors of the same kind at the same numbers, to choose the rights of
//! who enters it. What it cannot do: open a namespace that is above its own, and set an attribute that requires the
//! rights of the host's root. It could copy those descriptors from a true init if it may trace one, so the mark names the
//! process that it is for. The surprise: the maker knows that process only after making it.
//!
//! Only the host's root can sign. What a hold of another user shows instead is that its init has no no_new_privs: a
//! process in a container cannot get rid of that, not even in a user namespace that it makes.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{MemfdFlags, XattrFlags, fcntl_add_seals, fcntl_get_seals, fgetxattr, fsetxattr, fstat, memfd_create};
use rustix::thread::{CapabilitySet, no_new_privs};

use crate::Fault;
use crate::confinement::privilege::holds;
use crate::fault::IntoErrno;
use crate::kernel::{call, own};
use crate::pipeline::init::{MAKER_PID_FD, MAKER_USER_FD, MARK_FD, unreachable};
use crate::pipeline::ownership;
use crate::process::foreign_descriptor;
use crate::process::namespace::Kind;
use crate::process::sealed::{self, seals};
use crate::process::target::{Target, is_in_first_namespace, own_namespace_inode, status_field};

/// The first line of the mark; the second one names the init by its pid and start time.
const TITLE: &str = "held by unshare-rs --hold, protocol 2\n";

/// The third line, which a hold has if its mount namespace was made for it: a text that the kernel writes for links to
/// namespaces.
const MADE_FOR_IT: &str = "mnt:[";
const END_OF_LINE: &str = "]\n";

/// Longer than the third line can be.
const LONGEST_LINE: usize = 64;

/// The attribute that only CAP_SYS_ADMIN in the first user namespace can set or see.
const BY_ROOT: &str = "trusted.unshare-rs";

/// The namespaces of its maker that an init keeps. Nothing can be done with them: `setns(2)` leads only into descendants.
const MAKERS: [(Kind, i32); 2] = [(Kind::Pid, MAKER_PID_FD), (Kind::User, MAKER_USER_FD)];

/// Makes the mark for a new init, which [`name`] completes.
pub fn make() -> Result<OwnedFd, Fault> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mark = own("make the mark of a hold", "memfd_create(MFD_ALLOW_SEALING)", || memfd_create("held", flags))?;
    if is_root_of_host() {
        sign(&mark)?;
    }
    Ok(mark)
}

/// Sets the attribute. A kernel that has none for such files recognizes marks without it.
fn sign(mark: &OwnedFd) -> Result<(), Fault> {
    let text = format!("fsetxattr(memfd, {BY_ROOT:?}, \"1\", 1, 0)");
    let why = "no root of a container can mark a process like this; xattr(7)";
    let signed = call("mark a hold as one of the host's root", text, why, || {
        fsetxattr(mark, BY_ROOT, b"1", XattrFlags::empty())
    });
    match signed.as_ref().err().and_then(Fault::errno) {
        Some(Errno::EOPNOTSUPP) => Ok(()),
        _ => signed,
    }
}

/// Completes the mark: it names the init, and the mount namespace if that was made for it; it can never be changed.
pub fn name(mark: &OwnedFd, init: &Target, mount_namespace: Option<u64>) -> Result<(), Fault> {
    let line = mount_namespace.map_or_else(String::new, |inode| format!("{MADE_FOR_IT}{inode}{END_OF_LINE}"));
    let (goal, content) = ("make the mark of a hold", content(init)? + &line);
    own(goal, "write(memfd)", || match rustix::io::pwrite(mark, content.as_bytes(), 0) {
        Ok(length) if length < content.len() => Err(rustix::io::Errno::NOSPC),
        written => written.map(drop),
    })?;
    own(goal, "fcntl(memfd, F_ADD_SEALS)", || fcntl_add_seals(mark, seals()))
}

/// The first two lines of the mark of this init. Pids are those of the maker's pid namespace, which a reader must share.
fn content(init: &Target) -> Result<String, Fault> {
    Ok(format!("{TITLE}{} {}\n", init.pid(), init.start_time()?))
}

/// Returns the mount namespace that was made for this init of `--hold`; `None` if its mark names none.
pub fn mount_namespace(init: &Target) -> Result<Option<u64>, Fault> {
    match foreign_descriptor::memfd(init, MARK_FD) {
        Ok(Some(mark)) => Ok(rest_of(&mark, init)?.and_then(|rest| inode_of(&rest))),
        _ => Ok(None),
    }
}

/// Parses the last line of a mark.
fn inode_of(line: &str) -> Option<u64> {
    line.strip_prefix(MADE_FOR_IT)?.strip_suffix(END_OF_LINE)?.parse().ok()
}

/// Returns whether a process is an init of `--hold`: it runs from a sealed copy, was made outside of its container, and
/// carries a mark that its own user made for it, and that the host's root signed if it had to.
/// Changes nothing in the process, whatever it is.
///
/// Its command line is not compared: any process can write to its own, and reading it may wait for a file server.
pub fn has_mark(target: &Target) -> Result<bool, Fault> {
    Ok(find(target)? == Mark::Valid)
}

/// What a process has of the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// No mark for this process.
    Missing,
    /// A mark that could be made in a container.
    Unproven,
    /// The mark of an init of `--hold`.
    Valid,
}

/// Looks for the mark of a process.
pub fn find(target: &Target) -> Result<Mark, Fault> {
    if !runs_from_sealed_copy(target)? {
        return Ok(Mark::Missing);
    }
    let mark = match foreign_descriptor::memfd(target, MARK_FD) {
        Ok(Some(mark)) => mark,
        Ok(None) => return Ok(Mark::Missing),
        Err(Errno::EBADF) if !target.is_exiting()? => return Ok(Mark::Missing),
        // Not "missing" without the right to look: taking an unfinished container for someone else's would leave it
        // behind.
        Err(errno) => {
            let fault = unreachable(target, "pidfd_getfd(pidfd, mark)", errno);
            return Err(match errno {
                Errno::EPERM => fault.with_remedy(format!(
                    "we may not read the descriptors of process {}: be its user, or have CAP_SYS_PTRACE over it; ptrace(2)",
                    target.pid()
                )),
                _ => fault,
            });
        }
    };
    if !was_made_here(target)? || !is_named(&mark, target)? {
        return Ok(Mark::Missing);
    }
    // A set-user-ID program inherits descriptors from the user who starts it, and may change all its ids.
    match fstat(&mark) {
        Ok(stat) if ownership::is_author(target, stat.st_uid)? => {}
        _ => return Ok(Mark::Missing),
    }
    let is_valid = match signature(&mark, target)? {
        Some(is_signed) => is_signed,
        None => may_be_from_outside(target)?,
    };
    Ok(if is_valid { Mark::Valid } else { Mark::Unproven })
}

/// Returns whether a process was made in our pid and user namespaces: it is in them, or keeps them open. The kernel writes
/// the text of the link, and the path of a file begins with `/`.
fn was_made_here(target: &Target) -> Result<bool, Fault> {
    for (kind, fd) in MAKERS {
        let own = own_namespace_inode(kind);
        if target.namespace_inode(kind)? == own {
            continue;
        }
        let link = rustix::fs::readlinkat(target.dir(), format!("fd/{fd}"), Vec::new());
        let is_ours = match link.map_err(IntoErrno::into_errno) {
            Ok(text) => {
                own.is_some_and(|inode| text.as_bytes() == format!("{}:[{inode}]", kind.proc_name()).as_bytes())
            }
            Err(Errno::ENOENT) if !target.is_exiting()? => false,
            // A process that is ending has no descriptors any more.
            Err(Errno::ENOENT) => return Err(unreachable(target, "readlinkat(maker)", Errno::EBADF)),
            Err(errno) => return Err(unreachable(target, "readlinkat(maker)", errno)),
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether the mark is one, and for this process.
fn is_named(mark: &OwnedFd, target: &Target) -> Result<bool, Fault> {
    Ok(rest_of(mark, target)?.is_some_and(|rest| rest.is_empty() || inode_of(&rest).is_some()))
}

/// Returns what follows in the mark after the name of this process; `None` if it is no mark, or for another one.
fn rest_of(mark: &OwnedFd, target: &Target) -> Result<Option<String>, Fault> {
    // Only a memfd has seals: nothing is read from a descriptor that could be someone else's pipe.
    if !fcntl_get_seals(mark).is_ok_and(|its| its.contains(seals())) {
        return Ok(None);
    }
    let expected = content(target)?;
    let mut found = vec![0; expected.len() + LONGEST_LINE];
    let Ok(length) = rustix::io::pread(mark, &mut found, 0) else { return Ok(None) };
    let rest = found[..length].strip_prefix(expected.as_bytes());
    Ok(rest.and_then(|rest| String::from_utf8(rest.to_vec()).ok()))
}

/// Returns whether the host's root made the mark; `None` if that cannot be known, or need not be. The surprise: the user
/// of the process does not matter, because a process may change it. Only in a user namespace of another user, whose rights
/// count nowhere else, the mark needs no signature.
fn signature(mark: &OwnedFd, target: &Target) -> Result<Option<bool>, Fault> {
    if !is_root_of_host() || ownership::is_in_other_users_namespace(target)? {
        return Ok(None);
    }
    match fgetxattr(mark, BY_ROOT, &mut [0_u8; 1][..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(None),
        read => Ok(Some(read.is_ok())),
    }
}

/// Returns whether nothing shows that the process began in a container: it lacks no_new_privs, or we have that as well, and
/// in another pid namespace it is the first process.
fn may_be_from_outside(target: &Target) -> Result<bool, Fault> {
    let status = target.read("status")?;
    let is_free = status_field(&status, "NoNewPrivs") == Some("0") || no_new_privs().unwrap_or(false);
    // Its pids in our pid namespace and in those below: an init is made directly from ours.
    let is_first = || {
        let mut pids = status_field(&status, "NSpid").unwrap_or_default().split_ascii_whitespace().skip(1);
        pids.next().is_none_or(|pid| pid == "1") && pids.next().is_none()
    };
    Ok(is_free && is_first())
}

/// Returns whether we are the root of the first user namespace, with the right to see and set trusted attributes.
fn is_root_of_host() -> bool {
    holds(CapabilitySet::SYS_ADMIN) == Some(true) && is_in_first_namespace(Kind::User) != Some(false)
}

/// Returns whether the executable of a process is called like a sealed copy. A program that was given the mark, by
/// inheritance or through a socket, runs from a file. An executable that we may not see counts as a copy: then the mark
/// decides.
fn runs_from_sealed_copy(target: &Target) -> Result<bool, Fault> {
    match rustix::fs::readlinkat(target.dir(), "exe", Vec::new()).map_err(IntoErrno::into_errno) {
        Ok(path) => Ok(path.as_bytes().starts_with(sealed::COPY)),
        // A kernel thread, or a process that is ending, has no executable.
        Err(Errno::ENOENT) => Ok(target.is_exiting()?),
        Err(Errno::EACCES | Errno::EPERM) => Ok(true),
        Err(errno) => Err(unreachable(target, "readlinkat(exe)", errno)),
    }
}
