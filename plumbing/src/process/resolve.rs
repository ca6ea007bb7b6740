//! Opening a path inside a root that somebody else made, so that no link, `..` or rename leads out of it. `openat2(2)`.
//!
//! If the kernel or a sandbox lacks openat2(2), we walk: one component at a time, by descriptor, and read links
//! ourselves. `..` returns to the descriptor that was opened before, so a directory that is moved meanwhile cannot
//! lead above the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat};
use rustix::io::{Errno, Result};

/// The number of links that the kernel follows: path_resolution(7).
const MOST_LINKS: u32 = 40;

/// The limit of retries: openat2(2) fails if a rename anywhere races with a `..`; a loop of renames must not block us.
const TRIES: u32 = 1000;

/// The treatment of symbolic links on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is an error: we mount and write only at the literal path.
    Refuse,
    /// It is followed inside the root, as it is for processes in it.
    Inside,
}

/// Opens `path` below `root`.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    match by_kernel(root, path, flags, links) {
        Err(Errno::NOSYS) => walk(root, path, flags, links),
        answer => answer,
    }
}

fn by_kernel(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Opens a directory below `base`, or above it if the path has `..`. Symbolic links are an error.
pub fn without_links(base: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(base, path, flags | OFlags::DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => {}
        answer => return answer,
    }
    let mut here = openat(base, ".", flags | OFlags::DIRECTORY, Mode::empty())?;
    for name in components(path.as_os_str()) {
        let found = openat(&here, &name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        here = match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Directory => found,
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::NOTDIR),
        };
    }
    Ok(here)
}

/// Opens a path without openat2(2). One thing is stricter: no link of procfs is followed, although only some are magic.
pub fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    let mut ahead = components(path.as_os_str());
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT);
    }
    let mut came_by: Vec<OwnedFd> = Vec::new();
    let mut followed = 0;
    while let Some(name) = ahead.pop_front() {
        let here = came_by.last().map_or(root, OwnedFd::as_fd);
        match name.as_bytes() {
            b"." => continue,
            b".." => {
                came_by.pop();
                continue;
            }
            _ => {}
        }
        let found = openat(here, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&found)?.st_mode);
        let is_last = ahead.is_empty();
        match kind {
            FileType::Symlink if is_last && flags.contains(OFlags::NOFOLLOW | OFlags::PATH) => return Ok(found),
            FileType::Symlink => {
                followed += 1;
                if links == Links::Refuse || flags.contains(OFlags::NOFOLLOW) && is_last || followed > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                if fstatfs(&found)?.f_type == PROC_SUPER_MAGIC {
                    return Err(Errno::LOOP);
                }
                let to = OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes());
                if to.as_bytes().starts_with(b"/") {
                    came_by.clear();
                }
                for name in components(&to).into_iter().rev() {
                    ahead.push_front(name);
                }
            }
            FileType::Directory => came_by.push(found),
            _ if !is_last => return Err(Errno::NOTDIR),
            _ if flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY) => return Ok(found),
            // Opened again, since a path descriptor is not enough; a link that replaced it meanwhile is refused.
            _ => return openat(here, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
        }
    }
    let here = came_by.last().map_or(root, OwnedFd::as_fd);
    openat(here, ".", flags | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the path without links to which `path` leads below `root`; what does not exist there is kept as it is.
pub fn settle(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf> {
    let mut ahead = components(path.as_os_str());
    let mut settled = PathBuf::from("/");
    let mut followed = 0;
    while let Some(name) = ahead.pop_front() {
        match name.as_bytes() {
            b"." => continue,
            b".." => {
                settled.pop();
                continue;
            }
            _ => settled.push(&name),
        }
        let Ok(found) = open(root, &settled, OFlags::PATH | OFlags::NOFOLLOW, Links::Refuse) else { continue };
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Symlink {
            continue;
        }
        followed += 1;
        if followed > MOST_LINKS || fstatfs(&found)?.f_type == PROC_SUPER_MAGIC {
            return Err(Errno::LOOP);
        }
        let to = OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes());
        settled.pop();
        if to.as_bytes().starts_with(b"/") {
            settled = PathBuf::from("/");
        }
        for name in components(&to).into_iter().rev() {
            ahead.push_front(name);
        }
    }
    Ok(settled)
}

/// Splits a path into names. A slash at the end adds `.`, so that a last name that is not a directory is refused.
fn components(path: &OsStr) -> VecDeque<OsString> {
    let bytes = path.as_bytes();
    let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: VecDeque<_> = names.map(|name| OsStr::from_bytes(name).to_owned()).collect();
    if bytes.ends_with(b"/") {
        names.push_back(".".into());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::*;
    use rustix::fs::CWD;

    use super::*;

    /// A file, directory or link in a root.
    #[derive(Debug, Clone)]
    enum Node {
        Directory,
        File,
        Link(String),
    }

    /// Generates one of a few names, so that links and paths often lead to something.
    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "c", "..", ".", "witness"]).prop_map(str::to_owned)
    }

    fn path() -> impl Strategy<Value = String> {
        (any::<bool>(), prop::collection::vec(name(), 1..6), any::<bool>()).prop_map(
            |(is_absolute, names, has_slash)| {
                format!("{}{}{}", if is_absolute { "/" } else { "" }, names.join("/"), if has_slash { "/" } else { "" })
            },
        )
    }

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![Just(Node::Directory), Just(Node::File), path().prop_map(Node::Link)]
    }

    /// A root with these nodes, and next to it a directory that no path may reach.
    struct Place(PathBuf);

    impl Place {
        fn new(nodes: &[(Vec<String>, Node)]) -> Place {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!("resolve-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let top = std::env::temp_dir().join(name);
            fs::create_dir_all(top.join("root")).unwrap();
            fs::create_dir_all(top.join("witness/a")).unwrap();
            fs::write(top.join("witness/b"), "").unwrap();
            // These std calls follow links out of the root: nothing is made behind such a link.
            let root = top.join("root").canonicalize().unwrap();
            let is_inside =
                |at: &Path| at.parent().and_then(|to| to.canonicalize().ok()).is_some_and(|to| to.starts_with(&root));
            for (names, node) in nodes {
                let at = root.join(names.join("/"));
                if !is_inside(&at) {
                    continue;
                }
                // If something of another kind is in the way, the node is left out.
                match node {
                    Node::Directory => fs::create_dir(at),
                    Node::File => fs::File::create_new(at).map(drop),
                    Node::Link(to) => symlink(to, at),
                }
                .ok();
            }
            Place(top)
        }

        fn root(&self) -> OwnedFd {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, self.0.join("root"), flags, Mode::empty()).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn seen(opened: Result<OwnedFd>) -> std::result::Result<(u64, u64), Errno> {
        opened.and_then(fstat).map(|stat| (stat.st_dev, stat.st_ino))
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned), 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_walk_reaches_what_the_kernel_reaches(
            nodes in prop::collection::vec((names(), node()), 0..12),
            paths in prop::collection::vec(path(), 1..8),
        ) {
            let place = Place::new(&nodes);
            let root = place.root();
            for path in &paths {
                for links in [Links::Refuse, Links::Inside] {
                    for flags in [OFlags::PATH, OFlags::PATH | OFlags::DIRECTORY, OFlags::RDONLY, OFlags::PATH | OFlags::NOFOLLOW] {
                        let walked = seen(walk(root.as_fd(), Path::new(path), flags, links));
                        let by_kernel = seen(by_kernel(root.as_fd(), Path::new(path), flags, links));
                        prop_assert_eq!(walked, by_kernel, "{} {:?} {:?}", path, links, flags);
                    }
                }
            }
        }
    }

    #[test]
    fn a_path_settles_inside_the_root_where_its_end_is_missing_too() {
        let link = |name: &str, to: &str| (vec![name.to_owned()], Node::Link(to.to_owned()));
        let nodes = [
            link("up", "../../../etc/x"),
            link("far", "/a/b"),
            link("loop", "loop"),
            link("dot", "./."),
            link("two", "far"),
        ];
        let place = Place::new(&nodes);
        let root = place.root();
        let settled = |path: &str| settle(root.as_fd(), Path::new(path)).map(|path| path.display().to_string());
        for (path, expected) in [
            ("/up", "/etc/x"),
            ("/far/c", "/a/b/c"),
            ("/two/../c", "/a/c"),
            ("/../../far", "/a/b"),
            ("/none/../x", "/x"),
            ("/dot", "/"),
        ] {
            assert_eq!(settled(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(settled("/loop"), Err(Errno::LOOP));
    }

    #[test]
    fn names_can_be_any_bytes_and_trees_deep() {
        let place = Place::new(&[]);
        let root = place.root();
        let odd = OsStr::from_bytes(b"\xff\n:\\ \x01");
        let mut deep = PathBuf::from(odd);
        (0..200).for_each(|_| deep.push("d"));
        fs::create_dir_all(place.0.join("root").join(&deep)).unwrap();
        for links in [Links::Refuse, Links::Inside] {
            let walked = seen(walk(root.as_fd(), &deep, OFlags::PATH, links));
            assert!(walked.is_ok() && walked == seen(by_kernel(root.as_fd(), &deep, OFlags::PATH, links)));
        }
        let above: PathBuf = (0..300).map(|_| "..").chain(["witness"]).collect();
        assert_eq!(seen(walk(root.as_fd(), &deep.join(above), OFlags::PATH, Links::Inside)), Err(Errno::NOENT));
    }

    #[test]
    fn circular_and_magic_links_end_the_walk() {
        let link = |name: &str, to: &str| (vec![name.to_owned()], Node::Link(to.to_owned()));
        let place = Place::new(&[link("a", "b"), link("b", "a")]);
        let root = place.root();
        assert_eq!(seen(walk(root.as_fd(), Path::new("a"), OFlags::PATH, Links::Inside)), Err(Errno::LOOP));
        let host = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        for magic in ["proc/self/cwd", "proc/self/root/etc", "proc/self/fd/0"] {
            assert_eq!(seen(walk(host.as_fd(), Path::new(magic), OFlags::PATH, Links::Inside)), Err(Errno::LOOP));
        }
    }
}
