//! `--host-root`: a new root with the host's programs, read-only; everything else in it is new. No I/O here.
//!
//! Only directories that contain nothing private are shown: /usr and the like. /etc is written here, so that no secret,
//! address or other user of the host is copied; /home, /root, /run, /tmp and /var start empty. `hier(7)`.

use crate::entry::{Attributes, Bind, Entry, Filesystem, What};
use crate::facts::Facts;
use crate::own_user::OwnUser;

/// The files of the host's /etc that are shown if they exist: loader cache, program choices, trusted authorities.
const SHARED_ETC: [&str; 5] =
    ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/ssl/certs"];

const DIRECTORIES: [(&str, u32); 10] = [
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/opt", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/tmp", 0o1777),
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n";
const PROFILE: &str = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

/// Returns the file system of the root's top directory.
pub(crate) fn filesystem() -> Filesystem {
    Filesystem::new("tmpfs", &[("mode", "755")], Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV)
}

/// Returns the list of entries.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let why = "the host's programs and libraries, read-only";
    let mut list = vec![Entry::new("/usr", What::Bind(Bind::read_only("/usr")), why)];
    for (path, link) in &facts.top {
        let what = match link {
            Some(to) => What::Link(to.clone()),
            None => What::Bind(Bind::read_only(path)),
        };
        list.push(Entry::new(path, what, why));
    }
    list.extend(
        DIRECTORIES.map(|(path, mode)| Entry::new(path, What::Directory(mode), "a new, empty directory; hier(7)")),
    );
    list.extend(facts.own.iter().filter_map(OwnUser::home_directory));
    list.extend(files(facts));
    list.extend(SHARED_ETC.map(|path| {
        let bind = Bind { optional: true, ..Bind::read_only(path) };
        Entry::new(path, What::Bind(bind), "the host's programs need it to find libraries, programs and certificates")
    }));
    list
}

fn files(facts: &Facts) -> Vec<Entry> {
    let own = |line: fn(&OwnUser) -> Vec<u8>| facts.own.as_ref().map(line).unwrap_or_default();
    let files = [
        ("/etc/passwd", [PASSWD.as_bytes(), &own(OwnUser::passwd)].concat()),
        ("/etc/group", [GROUP.as_bytes(), &own(OwnUser::group)].concat()),
        ("/etc/nsswitch.conf", NSSWITCH.into()),
        ("/etc/profile", PROFILE.into()),
    ];
    let names = names(facts).map(|(name, content)| (format!("/etc/{name}"), content));
    let files = files.map(|(path, content)| (path.to_owned(), content)).into_iter().chain(names);
    let file = |(path, content): (String, Vec<u8>)| {
        Entry::new(path, What::File(content), "a new file, so that the host's is not shown")
    };
    files.map(file).collect()
}

/// Returns the files of /etc that map network names to addresses.
pub(crate) fn names(facts: &Facts) -> [(&'static str, Vec<u8>); 3] {
    let own = facts.hostname.as_slice();
    let hosts = [&b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\t"[..], own, b"\n"].concat();
    [("hostname", [own, b"\n"].concat()), ("hosts", hosts), ("resolv.conf", facts.resolv_conf.clone())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_shown_read_only_and_links_are_copied() {
        let top = vec![("/bin".to_owned(), Some("usr/bin".to_owned())), ("/lib64".to_owned(), None)];
        let list = entries(&Facts { top, ..Facts::default() });
        let what = |target: &str| {
            list.iter().find(|entry| entry.target == std::path::Path::new(target)).map(|entry| &entry.what)
        };
        assert_eq!(what("/bin"), Some(&What::Link("usr/bin".into())));
        for target in ["/usr", "/lib64", "/etc/ld.so.cache"] {
            let Some(What::Bind(bind)) = what(target) else { panic!("{target} is bound") };
            assert!(bind.recursive && bind.attributes.contains(Attributes::MOUNT_ATTR_RDONLY));
        }
    }
}
