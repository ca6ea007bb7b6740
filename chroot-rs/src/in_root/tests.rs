//! Tests that links lead nowhere, that missing mount points are made, and that they can be removed.

use std::path::PathBuf;

use rustix::fs::mknodat;

use super::*;

/// A root and, next to it, a directory that must not be touched.
struct Place {
    top: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let top = std::env::temp_dir().join(format!("in-root-{}-{name}", std::process::id()));
        std::fs::create_dir_all(top.join("root/etc")).unwrap();
        std::fs::create_dir_all(top.join("witness")).unwrap();
        Place { top }
    }

    fn root(&self) -> InRoot {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        InRoot::new(openat(CWD, self.top.join("root"), flags, Mode::empty()).unwrap(), false, Attributes::empty())
    }

    fn link(&self, path: &str, to: impl AsRef<Path>) {
        std::os::unix::fs::symlink(to, self.top.join("root").join(path)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.top).unwrap();
    }
}

#[test]
fn no_link_leads_a_mount_point_out_of_the_root() {
    let place = Place::new("links");
    let witness = place.top.join("witness");
    place.link("absolute", &witness);
    place.link("relative", "../witness");
    place.link("twice", "relative");
    place.link("magic", "/proc/self/cwd");
    place.link("inside", "etc");
    let root = place.root();
    for name in ["absolute", "relative", "twice", "magic", "inside"] {
        for path in ["", "/below", "/a/b"].map(|below| PathBuf::from(format!("/{name}{below}"))) {
            let fault = root.directory(&path).unwrap_err();
            assert!(fault.errno().is_some(), "{path:?}: {fault}");
            assert!(root.file(&path).is_err(), "{path:?}");
            assert!(root.write(&path, b"x", "").is_err(), "{path:?}");
        }
    }
    assert_eq!(std::fs::read_dir(&witness).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.top.join("root/etc")).unwrap().count(), 0);
}

#[test]
fn missing_mount_points_are_made_below_the_root() {
    let place = Place::new("missing");
    place.root().directory(Path::new("/a/b/c")).unwrap();
    place.root().file(Path::new("/a/file")).unwrap();
    assert!(place.top.join("root/a/b/c").is_dir() && place.top.join("root/a/file").is_file());
    assert!(place.root().find(Path::new("/nothing")).unwrap().is_none());
}

#[test]
fn reading_follows_links_only_inside_and_does_not_block() {
    let place = Place::new("read");
    std::fs::write(place.top.join("witness/secret"), "host").unwrap();
    std::fs::write(place.top.join("root/real"), "inside").unwrap();
    place.link("etc/passwd", "/real");
    place.link("etc/group", "../../witness/secret");
    let root = place.root();
    assert_eq!(root.read(Path::new("/etc/passwd")).unwrap().as_deref(), Some(&b"inside"[..]));
    assert_eq!(root.read(Path::new("/etc/group")).unwrap(), None);
    mknodat(&root.fd, "fifo", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(root.read(Path::new("/fifo")).unwrap_err().to_string().contains("not a regular file"));
}
