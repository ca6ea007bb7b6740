//! Parses the value of a mount option: `SRC:DST[:OPTION,…]`, `DST[:OPTION,…]`, `type=…,source=…`. No I/O.
//! `mount(8)` explains the words.
//!
//! The defaults are the stricter choice: nosuid and nodev, and for a tmpfs noexec too; `suid`, `dev` and `exec` relax
//! them. A backslash before a colon or a comma makes it part of a name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use plumbing::Fault;

use crate::entry::{Absent, Attributes, Bind, Entry, Filesystem, Otherwise, What};
use crate::facts::Facts;
use crate::made::Passed;
use crate::{devices, idmap, parameters};

/// One mount option of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountOption {
    /// One entry of the list of mounts.
    Entry(Entry),
    /// An entry whose file the caller has opened.
    Passed(Passed),
    /// `--dev`: a list of entries that depends on the caller's ids.
    Dev(PathBuf),
}

/// The flags, each with the word of mount(8) that sets it and the word that clears it.
const FLAGS: [(&str, &str, Attributes); 5] = [
    ("ro", "rw", Attributes::MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", Attributes::MOUNT_ATTR_NOSUID),
    ("nodev", "dev", Attributes::MOUNT_ATTR_NODEV),
    ("noexec", "exec", Attributes::MOUNT_ATTR_NOEXEC),
    ("nosymfollow", "symfollow", Attributes::MOUNT_ATTR_NOSYMFOLLOW),
];

const FLAG_WORDS: &str = "ro, rw, nosuid, suid, nodev, dev, noexec, exec, nosymfollow, symfollow";

/// The file systems that `type=` accepts: those that a container can use, and that need no block device.
const KINDS: [&str; 9] = ["bind", "tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup2", "ramfs", "binfmt_misc"];

/// Returns the flags that are the default: no set-user-ID program and no device is usable through a mount.
pub(crate) fn guarded() -> Attributes {
    Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV
}

impl MountOption {
    /// Returns the entries that this option asks for.
    pub(crate) fn entries(&self, facts: &Facts) -> Vec<Entry> {
        match self {
            MountOption::Entry(entry) => vec![entry.clone()],
            MountOption::Dev(target) => devices::entries(facts, target),
            // Taken before.
            MountOption::Passed(_) => Vec::new(),
        }
    }

    /// Takes the descriptor of the caller, if there is one, before any file is opened.
    pub(crate) fn take(&self) -> Result<MountOption, Fault> {
        match self {
            MountOption::Passed(passed) => passed.take().map(MountOption::Entry),
            other => Ok(other.clone()),
        }
    }

    /// Makes the source an absolute path, if there is one: the working directory is not kept when a container is entered.
    pub(crate) fn make_absolute(&mut self) -> std::io::Result<()> {
        match self {
            MountOption::Entry(Entry { what: What::Bind(bind), .. }) => {
                bind.source = std::path::absolute(&bind.source)?
            }
            MountOption::Entry(Entry { what: What::Overlay(layers), .. }) => {
                layers.iter_mut().try_for_each(|layer| std::path::absolute(&layer).map(|path| *layer = path))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Parses the value of `--bind`.
pub(crate) fn bind(text: OsString) -> Result<MountOption, String> {
    let fields = split(&text, b':');
    let (source, target, words) = match &fields[..] {
        [source, target] => (source, target, None),
        [source, target, words] => (source, target, Some(words)),
        _ => return Err("expected SRC:DST or SRC:DST:OPTION,…".to_owned()),
    };
    binding(source, target, words.map_or(Ok(Vec::new()), |words| options(words))?)
}

fn binding(source: &OsStr, target: &OsStr, words: Vec<String>) -> Result<MountOption, String> {
    if source.is_empty() {
        return Err("the source is missing".to_owned());
    }
    let mut bind = Bind { attributes: guarded(), ..Bind::read_only(source) };
    for word in words {
        match word.as_str() {
            "rec" | "rbind" => bind.recursive = true,
            "norec" | "bind" => bind.recursive = false,
            "try" => bind.optional = true,
            flag if change(&mut bind.attributes, flag) => {
                // A flag that the source's own mount has is only lifted if it is cleared here.
                if let Some((_, is_set, flag)) = named(flag) {
                    bind.top.clear.set(flag, !is_set);
                }
            }
            other => match other.strip_prefix("idmap=") {
                Some(map) => bind.idmap = Some(idmap::parse(map)?),
                None => {
                    return Err(format!("unknown option {other:?}; expected {FLAG_WORDS}, rec, norec, try, idmap=MAP"));
                }
            },
        }
    }
    let why = "a part of the host's file system; open_tree(2)";
    Ok(MountOption::Entry(Entry::new(place(target)?, What::Bind(bind), why)))
}

/// Parses the value of `--tmpfs`.
pub(crate) fn tmpfs(text: OsString) -> Result<MountOption, String> {
    on_target(&text, "tmpfs", guarded() | Attributes::MOUNT_ATTR_NOEXEC)
}

/// Parses the value of `--proc`.
pub(crate) fn proc(text: OsString) -> Result<MountOption, String> {
    on_target(&text, "proc", guarded() | Attributes::MOUNT_ATTR_NOEXEC)
}

/// Parses the value of `--dev`.
pub(crate) fn dev(text: OsString) -> Result<MountOption, String> {
    Ok(MountOption::Dev(place(&text)?))
}

/// Parses the value of `--mask`.
pub(crate) fn mask(text: OsString) -> Result<MountOption, String> {
    Ok(MountOption::Entry(Entry::new(place(&text)?, What::Mask(Absent::Refuse), "the command must not see it")))
}

/// Parses the value of `--readonly-path`.
pub(crate) fn read_only(text: OsString) -> Result<MountOption, String> {
    let what = What::Restrict(Attributes::MOUNT_ATTR_RDONLY, Absent::Refuse);
    Ok(MountOption::Entry(Entry::new(place(&text)?, what, "the command must not change it")))
}

/// Parses the value of `--mount`.
pub(crate) fn mount(text: OsString) -> Result<MountOption, String> {
    let (mut kind, mut source, mut target, mut words) = (None, None, None, Vec::new());
    for field in split(&text, b',') {
        let bytes = field.as_bytes();
        let (key, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&bytes[..equals], OsStr::from_bytes(&bytes[equals + 1..])),
            None => (bytes, OsStr::new("")),
        };
        match key {
            b"type" => kind = Some(utf8(value)?),
            b"source" | b"src" => source = Some(value.to_owned()),
            b"target" | b"dst" | b"destination" => target = Some(value.to_owned()),
            b"readonly" => words.push("ro".to_owned()),
            b"" => {}
            _ => words.push(utf8(&field)?),
        }
    }
    let target = target.ok_or("target=DST is missing")?;
    match (kind.as_deref(), source) {
        (Some("bind"), Some(source)) => binding(&source, &target, words),
        (Some("bind"), None) => Err("source=SRC is missing".to_owned()),
        (Some(kind), _) if KINDS.contains(&kind) => fresh(&target, kind, guarded() | noexec_but_for(kind), words),
        _ => Err(format!("type= is missing or unknown; expected {}", KINDS.join(", "))),
    }
}

/// Returns noexec for all kinds except ramfs: no legitimate program is a file of a terminal or of the kernel.
fn noexec_but_for(kind: &str) -> Attributes {
    if kind == "ramfs" { Attributes::empty() } else { Attributes::MOUNT_ATTR_NOEXEC }
}

fn on_target(text: &OsStr, kind: &str, attributes: Attributes) -> Result<MountOption, String> {
    match &split(text, b':')[..] {
        [target] => fresh(target, kind, attributes, Vec::new()),
        [target, words] => fresh(target, kind, attributes, options(words)?),
        _ => Err("expected DST or DST:OPTION,…".to_owned()),
    }
}

/// Parses a new file system; words that are not flags are parameters of the file system, which the kernel checks.
fn fresh(target: &OsStr, kind: &str, mut attributes: Attributes, words: Vec<String>) -> Result<MountOption, String> {
    // Terminals are devices.
    if kind == "devpts" {
        attributes.remove(Attributes::MOUNT_ATTR_NODEV);
    }
    let mut parameters = Vec::new();
    for word in &words {
        if !change(&mut attributes, word) {
            let (key, text) = word.split_once('=').unwrap_or((word, ""));
            parameters.push((key, parameters::value(kind, key, text)?));
        }
    }
    let parameters: Vec<_> = parameters.iter().map(|(key, text)| (*key, text.as_str())).collect();
    let filesystem = Filesystem::new(kind, &parameters, attributes);
    let why = "a new file system; fsopen(2)";
    Ok(MountOption::Entry(Entry::new(place(target)?, What::Fresh(filesystem, Otherwise::Refuse), why)))
}

/// Sets or clears the flag that the word names, and reports whether the word is a flag.
fn change(attributes: &mut Attributes, word: &str) -> bool {
    let Some((_, is_set, flag)) = named(word) else { return false };
    attributes.set(flag, is_set);
    true
}

/// Returns the flag that the word names, and whether the word sets it.
fn named(word: &str) -> Option<(&str, bool, Attributes)> {
    let (set, _, flag) = FLAGS.iter().find(|(set, clear, _)| *set == word || *clear == word)?;
    Some((word, *set == word, *flag))
}

/// Parses a path inside the root, and refuses `..`: where something is made must not depend on where `..` leads.
pub(crate) fn place(text: &OsStr) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::Normal(_) => place.push(part),
            Component::CurDir => {}
            _ => return Err("expected a path without ..".to_owned()),
        }
    }
    match (path.is_absolute(), place.file_name()) {
        (true, Some(_)) => Ok(place),
        (true, None) => Err("/ is the root itself; expected a path below it".to_owned()),
        (false, _) => Err("expected an absolute path inside the new root".to_owned()),
    }
}

fn options(text: &OsStr) -> Result<Vec<String>, String> {
    split(text, b',').iter().filter(|word| !word.is_empty()).map(|word| utf8(word)).collect()
}

fn utf8(text: &OsStr) -> Result<String, String> {
    text.to_str().map(str::to_owned).ok_or_else(|| "the options are not valid UTF-8".to_owned())
}

/// Splits the text at the separators; a backslash before a separator makes it part of the field.
pub(crate) fn split(text: &OsStr, separator: u8) -> Vec<OsString> {
    let mut fields = vec![Vec::new()];
    let mut bytes = text.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.peek() == Some(&separator) => {
                bytes.next();
                fields.last_mut().map(|field| field.push(separator)).unwrap_or_default();
            }
            byte if byte == separator => fields.push(Vec::new()),
            byte => fields.last_mut().map(|field| field.push(byte)).unwrap_or_default(),
        }
    }
    fields.into_iter().map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(asked: Result<MountOption, String>) -> Entry {
        match asked {
            Ok(MountOption::Entry(entry)) => entry,
            other => panic!("{other:?}"),
        }
    }

    fn bound(text: &str) -> Bind {
        let What::Bind(bind) = entry(bind(text.into())).what else { panic!("{text} is a bind") };
        bind
    }

    #[test]
    fn a_bind_is_recursive_nosuid_and_nodev_by_default() {
        let plain = bound("src:/dst");
        assert_eq!(plain.source, Path::new("src"));
        assert!(plain.recursive && !plain.optional);
        assert_eq!(plain.attributes, guarded());
        let relaxed = bound("/a:/b:ro,norec,suid,dev,noexec,try");
        assert!(!relaxed.recursive && relaxed.optional);
        assert_eq!(relaxed.attributes, Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOEXEC);
    }

    #[test]
    fn a_backslash_makes_a_separator_part_of_a_name_and_names_may_be_any_bytes() {
        assert_eq!(bound(r"/a\:b:/c").source, Path::new("/a:b"));
        let odd = OsString::from_vec(b"/\xff\n:/x\xfe".to_vec());
        let entry = entry(bind(odd));
        assert_eq!(entry.target.as_os_str().as_bytes(), b"/x\xfe");
        assert_eq!(split(OsStr::new(r"a\b,\,c"), b','), [r"a\b", ",c"]);
    }

    #[test]
    fn a_target_is_a_path_below_the_root_without_dot_dot() {
        assert_eq!(place(OsStr::new("//a/./b/")), Ok(PathBuf::from("/a/b")));
        for wrong in ["", "a", "/", "/.", "/a/..", "/../a"] {
            assert!(place(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_word_that_is_not_a_flag_is_a_parameter_of_the_file_system() {
        let What::Fresh(tmpfs, _) = entry(tmpfs("/t:size=1m,exec,mode=700".into())).what else { panic!("tmpfs") };
        assert_eq!(tmpfs.attributes, guarded());
        let keys: Vec<_> = tmpfs.parameters.iter().skip(1).map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["size", "mode"]);
    }

    #[test]
    fn a_mount_is_read_in_the_notation_of_docker() {
        let Entry { target, what: What::Bind(bind), .. } = entry(mount("type=bind,src=/a,dst=/b,readonly".into()))
        else {
            panic!("a bind")
        };
        assert_eq!((bind.source.as_path(), target.as_path()), (Path::new("/a"), Path::new("/b")));
        assert!(bind.attributes.contains(Attributes::MOUNT_ATTR_RDONLY));
        for wrong in ["type=bind,target=/b", "type=ext4,source=/dev/x,target=/b", "type=tmpfs", "target=/x"] {
            assert!(mount(wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in ["", "/a", ":/b", "/a:b", "/a:/b:fly", "/a:/b:ro:x", "/a:/", "/a:/b:idmap=x"] {
            assert!(bind(wrong.into()).is_err(), "{wrong}");
        }
    }
}
