//! `--console-socket`: a pseudo-terminal of the container's own devpts, whose controlling end goes to another process: an
//! engine, which relays it. `pty(7)`, `unix(7)`, `SCM_RIGHTS`.
//!
//! The socket is connected to before the root changes, because its path is the caller's. The terminal is opened after that,
//! because `tty(1)` must find its name in the container's /dev/pts.
//!
//! The surprise: processes of a container choose what is in its /dev. So the directory must be one of a devpts file system,
//! and its `ptmx` may not be a mount of something else.

use std::ffi::CString;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, Uid, fchown, fstatfs, openat2};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::kernel::{call, look, own, place};
use crate::process::{session, socket_message};
use crate::{Fault, narrate};

const GOAL: &str = "make a terminal in the container";
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// A connection to the process that gets the controlling end.
#[derive(Debug)]
pub struct Receiver(OwnedFd);

/// The command's end.
#[derive(Debug)]
pub struct Console(OwnedFd);

impl Receiver {
    /// Connects to the socket at this path.
    pub fn connect(path: &Path) -> Result<Receiver, Fault> {
        let shown = path.to_string_lossy();
        let goal = format!("connect to the console socket {shown}");
        let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        let address = SocketAddrUnix::new(name.as_c_str())
            .map_err(|_| Fault::new(format!("cannot {goal}: the path of a socket has 1 to 107 bytes; unix(7)")))?;
        let socket = own(&goal, "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0)", || {
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        })?;
        look(&goal, format!("connect(fd, {shown:?})"), || connect(&socket, &address))?;
        Ok(Receiver(socket))
    }

    /// Opens a terminal in the devpts at `pts`, for a command of this user, and sends away its controlling end. `None` in a
    /// dry run, which has made no devpts.
    pub fn open(
        &self,
        pts: BorrowedFd<'_>,
        owner: Option<u32>,
        size: Option<Winsize>,
    ) -> Result<Option<Console>, Fault> {
        if narrate::is_dry_run() {
            return Ok(None);
        }
        let is_devpts = look(GOAL, "fstatfs(/dev/pts)", || fstatfs(pts))?.f_type as u64 == DEVPTS_SUPER_MAGIC;
        if !is_devpts {
            return Err(Fault::new(format!("cannot {GOAL}: what is mounted on its /dev/pts is no devpts")));
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let only_there = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let ours =
            look(GOAL, "openat2(/dev/pts, \"ptmx\", RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH)", || {
                openat2(pts, "ptmx", flags, Mode::empty(), only_there)
            })?;
        own(GOAL, "fcntl(F_SETFL)", || rustix::io::ioctl_fionbio(&ours, false))?;
        own(GOAL, "ioctl(TIOCSPTLCK)", || unlockpt(&ours))?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let theirs = look(GOAL, "ioctl(TIOCGPTPEER)", || ioctl_tiocgptpeer(&ours, flags))?;
        if let Some(uid) = owner {
            let why = "the command may open its terminal by name; pty(7)";
            call(GOAL, format!("fchown(pty, {uid}, -1)"), why, || fchown(&theirs, Some(Uid::from_raw(uid)), None))?;
        }
        size.map_or(Ok(()), |size| own(GOAL, "ioctl(TIOCSWINSZ)", || tcsetwinsize(&ours, size)))?;
        own("send the terminal away", "sendmsg(console socket, SCM_RIGHTS)", || {
            let name = [IoSlice::new(b"/dev/pts/ptmx")];
            socket_message::send(self.0.as_fd(), &name, Some(ours.as_fd()), SendFlags::empty())
        })?;
        Ok(Some(Console(theirs)))
    }
}

impl Console {
    /// Makes it the controlling terminal of this process, and its stdin, stdout and stderr.
    pub fn give(&self) -> Result<(), Fault> {
        let goal = "give the command its terminal";
        session::begin_own("only the leader of a session can take a controlling terminal; setsid(2)")?;
        own(goal, "ioctl(TIOCSCTTY)", || rustix::process::ioctl_tiocsctty(&self.0))?;
        (0..3).try_for_each(|number| own(goal, format!("dup2(pty, {number})"), || place(&self.0, number)))
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens /dev/pts of the present root, which may be hostile.
pub fn pts_of_this_root() -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    look(GOAL, "openat2(AT_FDCWD, \"/dev/pts\", RESOLVE_NO_SYMLINKS)", || {
        openat2(rustix::fs::CWD, "/dev/pts", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
    })
}
