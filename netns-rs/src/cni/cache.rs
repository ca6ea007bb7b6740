//! The cache of attachments, in the place and in the format of libcni, so that its tools can also remove what we made: a
//! file of JSON in /var/lib/cni/results for each. `containernetworking/cni libcni/api.go`.
//!
//! The file exists before the first plugin runs, and a guardian holds a lock on it: a file without a lock, whose process is
//! gone, is what a killed guardian left. libcni ignores the member `netns-rs`, which has what it does not know: the process,
//! and the network namespace in which the plugins were executed. Only such files are ours. `flock(2)`.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::process::trail;
use plumbing::{Fault, json, narrate};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat};
use serde_json::{Map, Value, json};

use super::network::Network;
use crate::mark::Owner;

const DIRECTORY: &str = "/var/lib/cni/results";
const KIND: &str = "cniCacheV1";
const OURS: &str = "netns-rs";
/// The longest file.
const LONGEST: u64 = 4 << 20;

/// What is known of an attachment: of a container to a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The network.
    pub network: Network,
    /// The id of the container.
    pub container: String,
    /// The interface inside.
    pub interface: String,
    /// The file of the network namespace.
    pub path: PathBuf,
    /// What the plugins are asked for.
    pub arguments: Map<String, Value>,
    /// The result of ADD; `None` if it has not ended.
    pub result: Option<Value>,
    /// The inode of the network namespace.
    pub namespace: u64,
    /// The inode of the one in which the plugins are executed.
    pub home: u64,
    /// The process with which the attachment ends.
    pub owner: Option<Owner>,
}

impl Known {
    /// Returns the path of its file.
    pub fn file(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{}-{}-{}", self.network.name, self.container, self.interface))
    }

    fn text(&self) -> String {
        let mut text = json!({
            "kind": KIND,
            "containerId": self.container,
            "config": STANDARD.encode(self.network.text()),
            "ifName": self.interface,
            "networkName": self.network.name,
            "netns": self.path.to_string_lossy(),
            "capabilityArgs": self.arguments,
            "result": self.result.clone().unwrap_or_else(|| json!({"cniVersion": self.network.version})),
            OURS: {"namespace": self.namespace, "home": self.home, "is_made": self.result.is_some()},
        });
        if let Some(owner) = &self.owner {
            text[OURS]["owner"] = owner.text().into();
        }
        text.to_string()
    }

    /// Parses a file; `None` if another runtime wrote it.
    fn parse(text: &[u8]) -> Option<Known> {
        let members: Value = json::read(text).ok()?;
        let ours = members.get(OURS)?;
        let word = |name: &str| members.get(name).and_then(Value::as_str);
        let config = STANDARD.decode(word("config")?).ok()?;
        let is_made = ours.get("is_made") == Some(&Value::Bool(true));
        Some(Known {
            network: Network::parse(&config, true).ok()?,
            container: word("containerId").filter(|id| super::wanted::is_name(id))?.to_owned(),
            interface: word("ifName")?.to_owned(),
            path: word("netns")?.into(),
            arguments: members.get("capabilityArgs").and_then(Value::as_object).cloned().unwrap_or_default(),
            result: members.get("result").filter(|_| is_made).cloned(),
            namespace: ours.get("namespace").and_then(Value::as_u64)?,
            home: ours.get("home").and_then(Value::as_u64)?,
            owner: match ours.get("owner") {
                Some(owner) => Some(Owner::parse(owner.as_str()?)?),
                None => None,
            },
        })
    }
}

/// A file of the cache.
pub struct Entry {
    /// What it says.
    pub known: Known,
    /// The file, with its lock if we have it.
    file: OwnedFd,
}

impl Entry {
    /// Makes the file, with a lock that lasts until this is dropped.
    pub fn make(known: Known) -> Result<Entry, Fault> {
        make_directories()?;
        let path = known.file();
        let goal = goal(&known);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let text = format!("openat(AT_FDCWD, {path:?}, O_RDWR|O_CREAT|O_EXCL, 0600)");
        let why = "libcni's cache: by it we and others can remove the attachment, whatever is killed";
        let file = call(&goal, text, why, || rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR))?;
        let entry = Entry { known, file };
        let written = entry.lock().and_then(|_| entry.write());
        written.or_else(|fault| entry.remove("it could not be written").and(Err(fault)))?;
        Ok(entry)
    }

    /// Takes the lock, if nobody has it; returns whether it is ours.
    pub fn lock(&self) -> Result<bool, Fault> {
        if narrate::is_dry_run() {
            return Ok(true);
        }
        let locked = own(goal(&self.known), "flock(fd, LOCK_EX|LOCK_NB)", || {
            flock(&self.file, FlockOperation::NonBlockingLockExclusive)
        });
        match locked {
            Err(fault) if fault.errno() == Some(Errno::EAGAIN) => Ok(false),
            locked => locked.map(|()| true),
        }
    }

    /// Keeps the result.
    pub fn keep(&mut self, result: Value) -> Result<(), Fault> {
        self.known.result = Some(result);
        self.write()
    }

    fn write(&self) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let (goal, text) = (goal(&self.known), self.known.text());
        let mut written = 0;
        while written < text.len() {
            let rest = &text.as_bytes()[written..];
            written += own(&goal, "pwrite(fd)", || rustix::io::pwrite(&self.file, rest, written as u64))?;
        }
        own(&goal, "ftruncate(fd)", || rustix::fs::ftruncate(&self.file, text.len() as u64))
    }

    /// Returns whether the file was removed meanwhile.
    pub fn is_gone(&self) -> Result<bool, Fault> {
        look(goal(&self.known), "fstat(fd)", || fstat(&self.file)).map(|stat| stat.st_nlink == 0)
    }

    /// Removes the file; `why` says why the attachment has ended.
    pub fn remove(&self, why: &str) -> Result<(), Fault> {
        let path = self.known.file();
        match call(goal(&self.known), format!("unlinkat(AT_FDCWD, {path:?}, 0)"), why, || {
            rustix::fs::unlinkat(CWD, &path, AtFlags::empty())
        }) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
            outcome => outcome,
        }
    }
}

fn goal(known: &Known) -> String {
    format!("record the connection of {} to the CNI network {}", known.interface, known.network.name)
}

/// Opens our attachments of the network namespace `home`. A user other than root has none.
pub fn ours(home: u64) -> Result<Vec<Entry>, Fault> {
    let goal = format!("read {DIRECTORY}");
    let listed = look(&goal, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_DIRECTORY)"), || std::fs::read_dir(DIRECTORY));
    let listed = match listed {
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR)) => {
            return Ok(Vec::new());
        }
        listed => listed?,
    };
    // Its files say which programs are executed.
    if let Some(stranger) = trail::stranger(Path::new(DIRECTORY)) {
        let by = stranger.path.to_string_lossy().escape_debug().to_string();
        narrate::remark(format_args!("{DIRECTORY} is not used: {} can change where {by} leads", stranger.who()));
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for file in listed {
        let name = look(&goal, "getdents64()", || file)?.file_name();
        if let Some(entry) = open(&name)?.filter(|entry| entry.known.home == home) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Opens a file, if it is one of ours.
fn open(name: &OsStr) -> Result<Option<Entry>, Fault> {
    let path = Path::new(DIRECTORY).join(name);
    let goal = format!("read {}", path.display());
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Another process may be removing it.
    let Ok(file) = rustix::fs::open(&path, flags, Mode::empty()) else { return Ok(None) };
    let stat = look(&goal, "fstat(fd)", || fstat(file.as_fd()))?;
    let is_regular = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    if !is_regular || stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Ok(None);
    }
    let mut text = Vec::new();
    let copy = own(&goal, "fcntl(F_DUPFD_CLOEXEC)", || file.try_clone())?;
    look(&goal, "read(fd)", || std::fs::File::from(copy).take(LONGEST).read_to_end(&mut text))?;
    let known = Known::parse(&text).filter(|known| known.file() == path);
    Ok(known.map(|known| Entry { known, file }))
}

fn make_directories() -> Result<(), Fault> {
    for path in ["/var/lib/cni", DIRECTORY] {
        if Path::new(path).is_dir() {
            continue;
        }
        let text = format!("mkdirat(AT_FDCWD, {path:?}, 0700)");
        let made = call(format!("make {path}"), text, "the cache of libcni; it has the results of plugins", || {
            rustix::fs::mkdirat(CWD, path, Mode::RWXU)
        });
        match made {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_others_wrote_is_not_ours() {
        let text = br#"{"cniVersion":"1.0.0","name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"bridge"}]}"#;
        let mut known = Known {
            network: Network::parse(text, true).unwrap(),
            container: "netns-rs-4-5".to_owned(),
            interface: "eth0".to_owned(),
            path: "/run/netns/x".into(),
            arguments: Map::new(),
            result: None,
            namespace: 7,
            home: 8,
            owner: Owner::parse("4:5:6"),
        };
        for result in [None, Some(json!({"ips": []}))] {
            known.result = result;
            let written = known.text();
            assert!(
                written.starts_with(r#"{"kind":"cniCacheV1","containerId":"netns-rs-4-5","config":"eyJ"#),
                "{written}"
            );
            assert_eq!(Known::parse(written.as_bytes()), Some(known.clone()));
        }
        let mut foreign: Value = serde_json::from_str(&known.text()).unwrap();
        foreign.as_object_mut().unwrap().remove(OURS);
        assert_eq!(Known::parse(foreign.to_string().as_bytes()), None);
        assert_eq!(known.file(), Path::new("/var/lib/cni/results/n-netns-rs-4-5-eth0"));
    }
}
