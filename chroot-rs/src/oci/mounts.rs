//! A mount of `config.json`, as an entry of our list; config.md lists the option words. No I/O here.
//!
//! The surprise: `rbind` with `ro` makes only the topmost mount read-only; `rro` applies to all of them.

use std::path::{Component, Path, PathBuf};

use super::config::{Mount, Range};
use crate::entry::{Attributes, Bind, Change, Entry, Filesystem, Otherwise, Propagation, PropagationKind, What};
use crate::facts::Facts;
use crate::idmap::IdMap;
use crate::mount_options::place;
use crate::parameters;
use crate::std_mounts::cgroup_entries;

/// A part of the list that one mount becomes.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Entry(Entry),
    /// All hierarchies of this machine, below one directory.
    Cgroups(PathBuf, Attributes),
}

const NONE: Attributes = Attributes::empty();
/// The words about access times set one field.
const ATIME: Attributes = Attributes::MOUNT_ATTR__ATIME;

/// The flags: word, flags that it sets, flags that it clears.
const FLAGS: [(&str, Attributes, Attributes); 17] = [
    ("ro", Attributes::MOUNT_ATTR_RDONLY, NONE),
    ("rw", NONE, Attributes::MOUNT_ATTR_RDONLY),
    ("nosuid", Attributes::MOUNT_ATTR_NOSUID, NONE),
    ("suid", NONE, Attributes::MOUNT_ATTR_NOSUID),
    ("nodev", Attributes::MOUNT_ATTR_NODEV, NONE),
    ("dev", NONE, Attributes::MOUNT_ATTR_NODEV),
    ("noexec", Attributes::MOUNT_ATTR_NOEXEC, NONE),
    ("exec", NONE, Attributes::MOUNT_ATTR_NOEXEC),
    ("nosymfollow", Attributes::MOUNT_ATTR_NOSYMFOLLOW, NONE),
    ("symfollow", NONE, Attributes::MOUNT_ATTR_NOSYMFOLLOW),
    ("nodiratime", Attributes::MOUNT_ATTR_NODIRATIME, NONE),
    ("diratime", NONE, Attributes::MOUNT_ATTR_NODIRATIME),
    ("noatime", Attributes::MOUNT_ATTR_NOATIME, ATIME),
    ("atime", NONE, ATIME),
    ("relatime", NONE, ATIME),
    ("norelatime", NONE, ATIME),
    ("strictatime", Attributes::MOUNT_ATTR_STRICTATIME, ATIME),
];

/// Words that are the default or have no effect on the kernel's mount calls.
const NO_EFFECT: [&str; 11] = [
    "",
    "defaults",
    "loud",
    "silent",
    "async",
    "nomand",
    "nolazytime",
    "noiversion",
    "nostrictatime",
    "nocopy",
    "nofail",
];

const PROPAGATION: [(&str, PropagationKind, bool); 8] = [
    ("shared", PropagationKind::Shared, false),
    ("rshared", PropagationKind::Shared, true),
    ("private", PropagationKind::Private, false),
    ("rprivate", PropagationKind::Private, true),
    ("slave", PropagationKind::Slave, false),
    ("rslave", PropagationKind::Slave, true),
    ("unbindable", PropagationKind::Unbindable, false),
    ("runbindable", PropagationKind::Unbindable, true),
];

/// Words of the specification that are not supported: they are refused and not ignored.
const UNSUPPORTED: [&str; 3] = ["remount", "iversion", "copy-symlink"];

/// The parsed option words of one mount.
#[derive(Default)]
struct Words<'a> {
    top: Option<Change>,
    all: Option<Change>,
    bind: Option<bool>,
    idmap: Option<bool>,
    propagation: Vec<Propagation>,
    parameters: Vec<&'a str>,
    copies_up: bool,
}

/// Parses a propagation word, which the root can have, too.
pub(super) fn propagation(word: &str) -> Result<Option<Propagation>, String> {
    if UNSUPPORTED.contains(&word) {
        return Err(format!("{word:?} is not supported"));
    }
    let found = PROPAGATION.iter().find(|(known, ..)| *known == word);
    Ok(found.map(|(_, kind, recursive)| Propagation { kind: *kind, recursive: *recursive }))
}

/// Returns the steps of a mount; sources are relative to the bundle. All mounts begin with this propagation.
pub(super) fn steps(mount: &Mount, bundle: &Path, begins_as: PropagationKind) -> Result<Vec<Step>, String> {
    let words = Words::read(&mount.options)?;
    let target = place_inside(&mount.destination)?;
    let kind = mount.kind.as_deref().unwrap_or("none");
    let mut steps = match (words.bind, kind) {
        (None, "bind") | (Some(_), _) => vec![Step::Entry(words.binding(mount, target.clone(), bundle)?)],
        (None, "cgroup" | "cgroup2") => vec![Step::Cgroups(target.clone(), words.flags())],
        (None, "none" | "") => return Err("it has no type, and is not a bind".to_owned()),
        (None, kind) => vec![Step::Entry(words.fresh(mount, target.clone(), kind)?)],
    };
    let why = "it decides whether later mounts of the host appear here; mount_namespaces(7)";
    let set = |propagation: &Propagation| Step::Entry(Entry::new(target.clone(), What::Propagation(*propagation), why));
    // Setting it once more would cost a call for each mount.
    let is_private = begins_as == PropagationKind::Private;
    let first = words.propagation.iter().position(|one| !is_private || one.kind != PropagationKind::Private);
    steps.extend(first.iter().flat_map(|first| words.propagation[*first..].iter().map(set)));
    Ok(steps)
}

/// Returns the path inside the root. A relative one begins at the root, and `..` does not lead out of it, as in other
/// runtimes; it is resolved before any link is followed.
fn place_inside(destination: &Path) -> Result<PathBuf, String> {
    let mut place_inside = PathBuf::from("/");
    for part in destination.components() {
        match part {
            Component::ParentDir => drop(place_inside.pop()),
            Component::Normal(name) => place_inside.push(name),
            _ => {}
        }
    }
    place(place_inside.as_os_str())
}

impl Step {
    pub(super) fn entries(&self, facts: &Facts) -> Vec<Entry> {
        match self {
            Step::Entry(entry) if facts.has_tty_group => vec![entry.clone()],
            // Group 5 owns terminals in every bundle, but where it is not mapped the kernel would refuse it.
            Step::Entry(entry) => vec![without_tty_group(entry.clone())],
            Step::Cgroups(at, attributes) => cgroup_entries(at, facts, *attributes),
        }
    }
}

fn without_tty_group(mut entry: Entry) -> Entry {
    if let What::Fresh(filesystem, _) = &mut entry.what
        && filesystem.kind == "devpts"
    {
        filesystem.parameters.retain(|(key, value)| !(key == "gid" && value.as_deref() == Some("5")));
    }
    entry
}

impl<'a> Words<'a> {
    fn read(options: &'a [String]) -> Result<Words<'a>, String> {
        let mut words = Words::default();
        for word in options {
            let flag = |word: &str| FLAGS.iter().find(|(known, ..)| *known == word);
            if let Some((_, set, clear)) = flag(word) {
                words.top = Some(words.top.unwrap_or(Change::NONE).then(*set, *clear));
            } else if let Some((_, set, clear)) = word.strip_prefix('r').and_then(flag) {
                words.all = Some(words.all.unwrap_or(Change::NONE).then(*set, *clear));
            } else if let Some(propagation) = propagation(word)? {
                words.propagation.push(propagation);
            } else {
                match word.as_str() {
                    "bind" => words.bind = Some(words.bind.unwrap_or(false)),
                    "rbind" => words.bind = Some(true),
                    "idmap" => words.idmap = Some(false),
                    "ridmap" => words.idmap = Some(true),
                    "tmpcopyup" => words.copies_up = true,
                    word if NO_EFFECT.contains(&word) => {}
                    word => words.parameters.push(word),
                }
            }
        }
        Ok(words)
    }

    /// Returns the flags of a new file system, which has no mounts below it.
    fn flags(&self) -> Attributes {
        self.top.unwrap_or(Change::NONE).set | self.all.unwrap_or(Change::NONE).set
    }

    fn binding(&self, mount: &Mount, target: PathBuf, bundle: &Path) -> Result<Entry, String> {
        if self.copies_up {
            return Err("\"tmpcopyup\" is for a tmpfs".to_owned());
        }
        if let Some(word) = self.parameters.first() {
            return Err(format!("{word:?} is not an option of a bind"));
        }
        let source = mount.source.as_ref().ok_or("the source is missing")?;
        let all = self.all.unwrap_or(Change::NONE);
        if !(all.clear - ATIME).is_empty() {
            return Err("clearing flags of the mounts below is not supported".to_owned());
        }
        let bind = Bind {
            recursive: self.bind.unwrap_or(true),
            attributes: all.set,
            top: self.top.unwrap_or(Change::NONE),
            idmap: self.id_map(mount)?,
            keeps_peers: self.peers(),
            ..Bind::read_only(bundle.join(source))
        };
        Ok(Entry::new(target, What::Bind(bind), "a part of the host's file system; open_tree(2)"))
    }

    /// Returns the propagation for which the bind must keep its peers. The last word counts: `private` ends it.
    fn peers(&self) -> Option<PropagationKind> {
        let last = self.propagation.last()?.kind;
        matches!(last, PropagationKind::Shared | PropagationKind::Slave).then_some(last)
    }

    fn id_map(&self, mount: &Mount) -> Result<Option<IdMap>, String> {
        let is_mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if !is_mapped {
            return match self.idmap {
                None => Ok(None),
                Some(_) => Err("idmap needs uidMappings and gidMappings".to_owned()),
            };
        }
        if self.idmap.is_some_and(|recursive| recursive != self.bind.unwrap_or(true)) {
            return Err("idmap requires bind, and ridmap requires rbind".to_owned());
        }
        let lines = |ranges: &[Range]| {
            ranges.iter().map(|range| format!("{} {} {}\n", range.container, range.host, range.size)).collect()
        };
        Ok(Some(IdMap::of_lines(lines(&mount.uid_mappings), lines(&mount.gid_mappings))))
    }

    fn fresh(&self, mount: &Mount, target: PathBuf, kind: &str) -> Result<Entry, String> {
        if self.idmap.is_some() || !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            return Err("only a bind can be id-mapped".to_owned());
        }
        let checked = |word: &&'a str| {
            let (key, text) = word.split_once('=').unwrap_or((word, ""));
            Ok((key, parameters::value(kind, key, text)?))
        };
        let parameters = self.parameters.iter().map(checked).collect::<Result<Vec<_>, String>>()?;
        let parameters: Vec<_> = parameters.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let mut filesystem = Filesystem::new(kind, &parameters, self.flags());
        if self.copies_up && kind != "tmpfs" {
            return Err("\"tmpcopyup\" is for a tmpfs".to_owned());
        }
        filesystem.copies_up = self.copies_up;
        if let (Some(source), Some(first)) = (&mount.source, filesystem.parameters.first_mut()) {
            first.1 = Some(source.to_str().ok_or("the source is not valid UTF-8")?.to_owned());
        }
        // As other runtimes do for a container without its own network namespace.
        let otherwise = if kind == "sysfs" { Otherwise::Bind("/sys") } else { Otherwise::Refuse };
        Ok(Entry::new(target, What::Fresh(filesystem, otherwise), "a new file system; fsopen(2)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Step>, String> {
        steps(&serde_json::from_str(text).unwrap(), Path::new("/bundle"), PropagationKind::Private)
    }

    fn entry(text: &str) -> Entry {
        match read(text).unwrap().first() {
            Some(Step::Entry(entry)) => entry.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_words_of_a_bind_apply_to_the_topmost_mount_by_default() {
        let text = r#"{"destination":"/d","source":"s","options":["rbind","ro","rnosuid","rprivate","noatime"]}"#;
        let What::Bind(bind) = entry(text).what else { panic!("a bind") };
        assert_eq!((bind.source.as_path(), bind.recursive), (Path::new("/bundle/s"), true));
        assert_eq!(bind.attributes, Attributes::MOUNT_ATTR_NOSUID);
        assert_eq!(bind.top.set, Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOATIME);
        assert_eq!(bind.top.clear, ATIME);
        let text = r#"{"destination":"/d","type":"bind","source":"/s","options":["bind","ro","rw"]}"#;
        let What::Bind(bind) = entry(text).what else { panic!("a bind") };
        assert_eq!((bind.recursive, bind.top.set, bind.top.clear), (false, NONE, Attributes::MOUNT_ATTR_RDONLY));
    }

    #[test]
    fn an_unknown_word_is_a_parameter_of_the_file_system() {
        let text =
            r#"{"destination":"/t","type":"tmpfs","source":"x","options":["nosuid","mode=755","size=64k","defaults"]}"#;
        let What::Fresh(tmpfs, _) = entry(text).what else { panic!("a tmpfs") };
        let shown: Vec<_> = tmpfs.parameters.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        assert_eq!(shown, [("source", Some("x")), ("mode", Some("755")), ("size", Some("64k"))]);
    }

    #[test]
    fn no_destination_leads_out_of_the_root() {
        for (destination, expected) in [("d", "/d"), ("/a/../d", "/d"), ("/../../d/.", "/d"), ("a/b/../../../d", "/d")]
        {
            let text = format!(r#"{{"destination":"{destination}","type":"tmpfs"}}"#);
            assert_eq!(entry(&text).target, Path::new(expected));
        }
    }

    #[test]
    fn unsupported_words_are_named() {
        for (text, named) in [
            (r#"{"destination":"a/..","type":"tmpfs"}"#, "the root itself"),
            (r#"{"destination":"/d"}"#, "no type"),
            (r#"{"destination":"/d","type":"bind"}"#, "source"),
            (r#"{"destination":"/d","type":"bind","source":"s","options":["mode=1"]}"#, "mode=1"),
            (r#"{"destination":"/d","type":"proc","options":["tmpcopyup"]}"#, "tmpcopyup"),
            (r#"{"destination":"/d","source":"/s","options":["rbind","tmpcopyup"]}"#, "tmpcopyup"),
            (r#"{"destination":"/d","type":"tmpfs","options":["mode=100755"]}"#, "mode=100755"),
            (r#"{"destination":"/d","type":"bind","source":"s","options":["remount"]}"#, "remount"),
            (r#"{"destination":"/d","type":"bind","source":"s","options":["idmap"]}"#, "uidMappings"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.contains(named), "{text}: {wrong}");
        }
    }
}
