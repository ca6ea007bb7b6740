//! The copy of the tools: files in a new file system in memory, on a detached mount. `fsopen(2)`, `fsmount(2)`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{call, look, mount_setattr, own};
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat, symlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::GOAL;

/// The most that is copied, because it is memory.
pub(super) const MOST_BYTES: u64 = 128 << 20;

/// Where the tools come from.
pub(super) enum Source {
    /// A directory: its programs, without those in directories below it.
    Directory { shown: String, directory: OwnedFd },
    /// The host's busybox, and the names that it gets.
    Busybox { program: Vec<u8>, names: Vec<&'static str> },
}

impl Source {
    /// Opens a directory.
    pub(super) fn directory(path: &Path) -> Result<Source, Fault> {
        let shown = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = look(format!("open the tools in {shown}"), format!("openat({shown:?})"), || {
            openat(CWD, path, flags, Mode::empty())
        })?;
        Ok(Source::Directory { shown, directory })
    }

    /// Copies the tools, and returns a detached, read-only mount of the copy.
    pub(super) fn copy(&self) -> Result<OwnedFd, Fault> {
        let tree = new_mount()?;
        match self {
            Source::Busybox { program, names } => {
                write_program(&tree, "busybox", &mut &program[..])?;
                names.iter().try_for_each(|name| link(&tree, "busybox", name))?;
            }
            Source::Directory { shown, directory } => copy_directory(directory, shown, &tree)?,
        }
        let text = "mount_setattr(fd, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY})";
        call(GOAL, text, "nobody changes the tools; mount_setattr(2)", || {
            mount_setattr(&tree, false, MountAttrFlags::MOUNT_ATTR_RDONLY.bits().into(), 0, 0)
        })?;
        Ok(tree)
    }
}

fn new_mount() -> Result<OwnedFd, Fault> {
    let why = "a file system in memory, of which nothing remains; tmpfs(5)";
    let context =
        call(GOAL, "fsopen(\"tmpfs\", FSOPEN_CLOEXEC)", why, || fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC))?;
    let (text, why) = ("fsconfig(fd, FSCONFIG_SET_STRING, \"mode\", \"0755\", 0)", "only its owner may add files");
    call(GOAL, text, why, || rustix::mount::fsconfig_set_string(context.as_fd(), "mode", "0755"))?;
    let text = "fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)";
    call(GOAL, text, "creates the superblock; fsconfig(2)", || fsconfig_create(context.as_fd()))?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let text = "fsmount(fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV)";
    call(GOAL, text, "a mount of it that is attached nowhere; fsmount(2)", || {
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
    })
}

/// Copies the programs of a directory, and its links from one name in it to another.
fn copy_directory(directory: &OwnedFd, shown: &str, tree: &OwnedFd) -> Result<(), Fault> {
    let mut left = MOST_BYTES;
    for name in names(directory, shown)? {
        let path = format!("{shown}/{name}");
        let (goal, text) = (format!("copy the tool {path}"), format!("fstatat({path:?})"));
        let stat = look(&goal, text, || statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let text = format!("readlink({path:?})");
            let leads = look(&goal, text, || readlinkat(directory, &name, Vec::new()))?;
            if !leads.to_bytes().contains(&b'/') {
                link(tree, &leads.to_string_lossy(), &name)?;
                continue;
            }
        }
        let Some(file) = open_program(directory, &name, &path)? else { continue };
        let size = look(&goal, format!("fstat({path:?})"), || rustix::fs::fstat(&file))?.st_size;
        if u64::try_from(size).is_ok_and(|size| size > left) {
            return Err(too_large(shown));
        }
        let copied = write_program(tree, &name, &mut file.take(left + 1))?;
        left = left.checked_sub(copied).ok_or_else(|| too_large(shown))?;
    }
    Ok(())
}

/// Opens a program, or what a link leads to, which the container would not have; `None` for anything that is not a
/// program that we may read.
fn open_program(directory: &OwnedFd, name: &str, path: &str) -> Result<Option<File>, Fault> {
    // Examined first, because opening a device can have an effect.
    let is_program = |stat: &rustix::fs::Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o111 != 0
    };
    if !statat(directory, name, AtFlags::empty()).is_ok_and(|stat| is_program(&stat)) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = look(format!("copy the tool {path}"), format!("openat({path:?})"), || {
        openat(directory, name, flags, Mode::empty())
    });
    match opened {
        Err(fault) if fault.errno() == Some(Errno::EACCES) => Ok(None),
        opened => Ok(Some(File::from(opened?))),
    }
}

fn too_large(shown: &str) -> Fault {
    Fault::new(format!("cannot {GOAL}: the programs in {shown} are larger than {} MiB", MOST_BYTES >> 20))
        .with_remedy("they are copied into memory; name a directory that has only the tools that are needed")
}

/// Returns the names in a directory, sorted.
fn names(directory: &OwnedFd, shown: &str) -> Result<Vec<String>, Fault> {
    let goal = format!("list the tools in {shown}");
    let text = format!("getdents64({shown:?})");
    let entries = look(&goal, &text, || Dir::read_from(directory))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = look(&goal, &text, || entry)?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Writes a program into the tree, and returns its size.
fn write_program(tree: &OwnedFd, name: &str, content: &mut impl Read) -> Result<u64, Fault> {
    let goal = format!("copy the tool {name}");
    let text = format!("openat(fd, {name:?}, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0755)");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = call(&goal, text, "a copy, so that nobody reaches the host's file through it", || {
        openat(tree, name, flags, Mode::from_raw_mode(0o755))
    })?;
    let why = "the caller's umask may forbid the command's user to run it; chmod(2)";
    call(&goal, "fchmod(fd, 0555)", why, || rustix::fs::fchmod(&file, Mode::from_raw_mode(0o555)))?;
    if narrate::is_dry_run() {
        return Ok(0);
    }
    let mut file = File::from(file);
    own(&goal, "write(fd)", || {
        let copied = std::io::copy(content, &mut file)?;
        file.flush().map(|()| copied)
    })
}

fn link(tree: &OwnedFd, leads: &str, name: &str) -> Result<(), Fault> {
    let text = format!("symlinkat({leads:?}, fd, {name:?})");
    call(format!("copy the tool {name}"), text, "another name of a tool", || symlinkat(leads, tree, name))
}
