//! Opening the path of a rule: in a root that somebody else made, without symbolic links. `openat2(2)`.
//!
//! The surprise: a link that an image, or an earlier command in it, puts on the path would choose what the rule allows.

use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

use crate::Fault;
use crate::kernel::look;
use crate::text::Text;

const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens a path; a symbolic link on it is followed, or an error that names what it leads to.
pub(super) fn open(goal: &str, path: &Text, follow_links: bool) -> Result<OwnedFd, Fault> {
    let shown = path.shown();
    if follow_links {
        return look(goal, format!("openat(AT_FDCWD, {shown:?}, O_PATH)"), || {
            openat(CWD, path.to_path(), FLAGS, Mode::empty())
        });
    }
    let text = format!("openat2(AT_FDCWD, {shown:?}, O_PATH, RESOLVE_NO_SYMLINKS)");
    look(goal, text, || without_links(&path.to_path())).map_err(|fault| match fault.errno() {
        Some(Errno::ELOOP) => explain(&path.to_path(), fault),
        _ => fault,
    })
}

fn without_links(path: &Path) -> rustix::io::Result<OwnedFd> {
    match openat2(CWD, path, FLAGS, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(rustix::io::Errno::NOSYS) => walk(path),
        answer => answer,
    }
}

/// Opens a path without openat2(2), which the kernel or a sandbox may lack: name by name.
fn walk(path: &Path) -> rustix::io::Result<OwnedFd> {
    if path.as_os_str().is_empty() {
        return Err(rustix::io::Errno::NOENT);
    }
    let mut here = openat(CWD, ".", FLAGS, Mode::empty())?;
    for part in path.components() {
        here = match part {
            Component::RootDir => openat(CWD, "/", FLAGS, Mode::empty())?,
            part => openat(&here, part.as_os_str(), FLAGS | OFlags::NOFOLLOW, Mode::empty())?,
        };
        if FileType::from_raw_mode(fstat(&here)?.st_mode) == FileType::Symlink {
            return Err(rustix::io::Errno::LOOP);
        }
    }
    Ok(here)
}

fn explain(path: &Path, fault: Fault) -> Fault {
    let mut parts: Vec<_> = path.ancestors().collect();
    parts.reverse();
    let Some(link) = parts.into_iter().find(|part| part.is_symlink()) else { return fault };
    let link = Text::from(link).shown();
    match path.canonicalize() {
        Ok(to) => fault.with_remedy(format!(
            "{link} is a symbolic link in this root, which would choose what the rule allows; if that is meant, name {}, \
             where the path leads",
            Text::from(to.as_path()).shown()
        )),
        Err(_) => fault.with_remedy(format!("{link} is a symbolic link in this root; name a path without links")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_walk_refuses_what_the_kernel_refuses() {
        let top = std::env::temp_dir().join(format!("place-{}", std::process::id()));
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("f"), "").unwrap();
        symlink("a", top.join("link")).unwrap();
        let top = top.canonicalize().unwrap();
        let seen = |opened: rustix::io::Result<OwnedFd>| opened.and_then(fstat).map(|stat| (stat.st_dev, stat.st_ino));
        for path in ["a/b", "a/../f", "f", "link", "link/b", "a/../link", "none", "f/x", "f/..", "."] {
            let path = top.join(path);
            assert_eq!(seen(walk(&path)), seen(without_links(&path)), "{}", path.display());
        }
        assert_eq!(seen(walk(Path::new("src"))), seen(without_links(Path::new("src"))));
        assert_eq!(seen(walk(Path::new(""))), seen(without_links(Path::new(""))));
        fs::remove_dir_all(&top).unwrap();
    }
}
