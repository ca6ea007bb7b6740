//! The root and the working directory of the command, opened outside or inside. `chroot(2)`, `chdir(2)`.
//!
//! A directory that is opened before setns(2) belongs to the mount table outside and is a way out of the new one. Only
//! a directory that was named on the command line may be outside. Any other must be below the new root, or the command
//! starts in `/`.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use plumbing::kernel::{call, look, own};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// The requested directories. `Some(None)` means the target's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directories {
    pub(crate) root: Option<Option<PathBuf>>,
    /// The working directory, looked up outside.
    pub(crate) wd: Option<Option<PathBuf>>,
    /// The working directory, looked up inside.
    pub(crate) wdns: Option<Option<PathBuf>>,
}

/// The directories, opened outside.
#[derive(Default)]
pub(crate) struct OpenDirectories {
    root: Option<(String, OwnedFd)>,
    wd: Option<Wd>,
    wdns: Option<PathBuf>,
}

struct Wd {
    shown: String,
    fd: OwnedFd,
    /// Whether it was named on the command line, and so may be outside.
    may_be_outside: bool,
}

impl Directories {
    /// Reports whether one of the directories is the target's.
    pub(crate) fn need_target(&self) -> bool {
        [&self.root, &self.wd, &self.wdns].into_iter().any(|directory| *directory == Some(None))
    }

    /// Opens the directories that are looked up outside.
    pub(crate) fn open(&self, target: Option<&Target>) -> Result<OpenDirectories, Fault> {
        let root = self.root.as_ref().map(|path| open("root", path.as_deref(), target)).transpose()?;
        let wd = match &self.wd {
            None => None,
            Some(path) => {
                let (shown, fd) = open("cwd", path.as_deref(), target)?;
                Some(Wd { shown, fd, may_be_outside: path.is_some() })
            }
        };
        let wdns = match (&self.wdns, target) {
            (Some(None), Some(target)) => Some(path_inside(target)?),
            (wdns, _) => wdns.clone().flatten(),
        };
        Ok(OpenDirectories { root, wd, wdns })
    }
}

impl OpenDirectories {
    /// Reports whether the root changes.
    pub(crate) fn changes_root(&self) -> bool {
        self.root.is_some()
    }

    /// Changes into the directories, inside.
    pub(crate) fn enter(&self) -> Result<(), Fault> {
        if let Some((shown, fd)) = &self.root {
            change_root(shown, fd)?;
        }
        match (&self.wd, &self.wdns) {
            (Some(wd), _) => wd.enter(),
            (None, Some(path)) => enter_inside(path),
            (None, None) => Ok(()),
        }
    }
}

impl Wd {
    fn enter(&self) -> Result<(), Fault> {
        let goal = format!("change to the directory {}", self.shown);
        own(&goal, format!("fchdir({})", self.shown), || rustix::process::fchdir(&self.fd))?;
        if self.may_be_outside || narrate::is_dry_run() || is_inside()? { Ok(()) } else { Err(outside(&goal)?) }
    }
}

fn enter_inside(path: &Path) -> Result<(), Fault> {
    let goal = format!("change to the directory {}", path.display());
    if narrate::is_dry_run() {
        return Ok(());
    }
    own(&goal, format!("chdir({path:?})"), || rustix::process::chdir(path))?;
    if is_inside()? { Ok(()) } else { Err(outside(&goal)?) }
}

/// Changes the root. Our working directory stays the same if it is below the new root.
fn change_root(shown: &str, fd: &OwnedFd) -> Result<(), Fault> {
    let goal = format!("change the root to {shown}");
    let before = look(&goal, "openat(\".\", O_PATH)", || open_directory(Path::new(".")))?;
    own(&goal, format!("fchdir({shown})"), || rustix::process::fchdir(fd))?;
    call(
        &goal,
        "chroot(\".\")",
        "through a descriptor, because its path may lead elsewhere by now; chroot(2)",
        || rustix::process::chroot("."),
    )?;
    if narrate::is_dry_run() {
        return Ok(());
    }
    own(&goal, "fchdir(cwd)", || rustix::process::fchdir(&before))?;
    if is_inside()? { Ok(()) } else { own(&goal, "chdir(\"/\")", || rustix::process::chdir("/")) }
}

/// Reports whether the working directory is below our root. getcwd(2) returns `(unreachable)…` for one outside,
/// and ENOENT for a removed one.
fn is_inside() -> Result<bool, Fault> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) => Ok(path.as_bytes().starts_with(b"/")),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => look("find the working directory", "getcwd()", || Err(error)),
    }
}

/// Explains why the working directory is refused: a removed one is not known to be inside.
fn outside(goal: &str) -> Result<Fault, Fault> {
    let links = look("describe the working directory", "stat(\".\")", || rustix::fs::stat("."))?.st_nlink;
    Ok(match links {
        0 => Fault::new(format!("cannot {goal}: it was removed, so whether it is inside the root cannot be known"))
            .with_remedy("name a directory: --wd=DIR"),
        _ => Fault::new(format!("cannot {goal}: it is outside the root that is entered")),
    })
}

fn open(name: &str, path: Option<&Path>, target: Option<&Target>) -> Result<(String, OwnedFd), Fault> {
    let (shown, opened) = match (path, target) {
        (Some(path), _) => (path.display().to_string(), open_directory(path)),
        (None, Some(target)) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            (format!("/proc/{}/{name}", target.pid()), openat(target.dir(), name, flags, Mode::empty()))
        }
        (None, None) => return Err(Fault::new("cannot find the target's directory: no --target is given")),
    };
    let fd = look(format!("open the directory {shown}"), format!("openat({shown:?}, O_PATH)"), || opened)?;
    Ok((shown, fd))
}

fn open_directory(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the path of the target's working directory, to be looked up inside.
fn path_inside(target: &Target) -> Result<PathBuf, Fault> {
    let shown = format!("/proc/{}/cwd", target.pid());
    let link = look(format!("read {shown}"), format!("readlink({shown:?})"), || {
        rustix::fs::readlinkat(target.dir(), "cwd", Vec::new())
    })?;
    Ok(PathBuf::from(OsString::from_vec(link.into_bytes())))
}
