//! `--oci`: the root, the mounts and the process of an OCI bundle. `config.json` is parsed completely before anything is
//! changed. <https://github.com/opencontainers/runtime-spec> has the specification; docs/oci.md says which tool handles
//! which member.
//!
//! The surprise: a bundle's `readonly` root is still written to, for mount points that it lacks; it is made read-only
//! after that.

mod config;
mod device;
mod mounts;
mod parse;
mod process;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use plumbing::command_line::named_file;
use plumbing::confinement::privilege::check_personality;
use plumbing::kernel::{adopt, is_open, look};
use plumbing::pipeline::record::Process;
use plumbing::{Fault, narrate};
use rustix::termios::Winsize;

use crate::bundle_root;
use crate::devices;
use crate::entry::{Absent, Attributes, Device, Entry, Propagation, PropagationKind, What};
use crate::facts::Facts;
use crate::identity::{Identity, IdentityRequest};
use crate::mount_options::place;
use crate::source::Source;
use crate::specification::BundleFiles;
use config::Config;
use mounts::Step;

/// A parsed bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    directory: PathBuf,
    /// The root's path in the bundle's directory, or an absolute one.
    root: PathBuf,
    read_only: bool,
    steps: Vec<Step>,
    devices: Vec<(PathBuf, Device)>,
    masked: Vec<PathBuf>,
    restricted: Vec<PathBuf>,
    propagation: Option<Propagation>,
    process: process::Wanted,
    /// The flags of `linux.personality`, of which the specification defines none.
    personality_flags: Vec<String>,
    /// The names of the lists of hooks that are not empty.
    hooks: Vec<String>,
    /// Settings of the kernel, as `net.ipv4.ip_forward`.
    pub(crate) sysctl: BTreeMap<String, String>,
}

impl Bundle {
    /// Reads `config.json` in the directory, or from a descriptor: a user namespace may have no right to search the directory.
    pub(crate) fn read(files: &BundleFiles) -> Result<Bundle, Fault> {
        let BundleFiles { directory, config, hooks_by_caller, new_session } = files;
        let path = directory.join("config.json");
        let shown = path.to_string_lossy();
        let goal = format!("read {shown}");
        let text = match config {
            None => named_file::read("--oci", &goal, &path)?,
            Some(fd) => named_file::read_open("--config-fd", &goal, inherited(*fd)?, &format!("descriptor {fd}"))?,
        };
        let directory = look(&goal, "getcwd()", || std::path::absolute(directory))?;
        let wrong = |wrong: String| Fault::new(format!("cannot use {shown}: {wrong}"));
        let (config, unknown) = parse::parse(&text).map_err(wrong)?;
        for member in unknown {
            let why = "this version does not know such a member";
            narrate::caution(Fault::new(format!("cannot do what {member} of {shown} says: {why}")))?;
        }
        let mut bundle = Bundle::understand(config, &directory).map_err(wrong)?;
        bundle.process.new_session = *new_session;
        bundle.process.report_unknown_capabilities(&shown)?;
        if !hooks_by_caller {
            bundle.report_hooks(&shown)?;
        }
        if !bundle.personality_flags.is_empty() {
            let flags = bundle.personality_flags.join(", ");
            let why = "the specification defines no flag of a personality";
            narrate::caution(Fault::new(format!("cannot set {flags} as linux.personality of {shown} says: {why}")))?;
        }
        bundle_root::refuse_links(&bundle.directory, &bundle.root)?;
        Ok(bundle)
    }

    /// Reports hooks, which are not run here: they belong before and after the whole chain.
    fn report_hooks(&self, file: &str) -> Result<(), Fault> {
        if self.hooks.is_empty() {
            return Ok(());
        }
        let fault = Fault::new(format!("cannot run the hooks {} of {file}", self.hooks.join(", ")));
        narrate::caution(fault.with_remedy(
            "run them around this chain of tools, as examples/oci-runtime.sh does, and add --hooks-by-caller",
        ))
    }

    fn understand(config: Config, directory: &Path) -> Result<Bundle, String> {
        if !config.oci_version.starts_with("1.") {
            return Err(format!("its ociVersion is {:?}, only version 1 is supported", config.oci_version));
        }
        let linux = config.linux.unwrap_or_default();
        for (name, is_there) in [
            (
                "linux.memoryPolicy",
                linux.memory_policy.is_some_and(|policy| policy.as_object().is_none_or(|policy| !policy.is_empty())),
            ),
            ("linux.mountLabel", linux.mount_label.is_some_and(|label| !label.is_empty())),
        ] {
            refuse(name, is_there)?;
        }
        let propagation = match linux.rootfs_propagation.as_deref().unwrap_or("") {
            "" => None,
            word => Some(mounts::propagation(word)?.ok_or_else(|| format!("its rootfsPropagation is {word:?}"))?),
        };
        let begins_as = begins_as(propagation);
        let mut steps = Vec::new();
        for mount in &config.mounts {
            let named = |wrong| format!("its mount on {:?}: {wrong}", mount.destination.to_string_lossy());
            steps.extend(mounts::steps(mount, directory, begins_as).map_err(named)?);
        }
        let within =
            |paths: &[PathBuf]| paths.iter().map(|path| place(path.as_os_str())).collect::<Result<Vec<_>, _>>();
        let mut process = process::Wanted::read(config.process, linux.seccomp)?;
        let personality = linux.personality.unwrap_or_default();
        if !personality.domain.is_empty() {
            check_personality(&personality.domain).map_err(|wrong| format!("its linux.personality: {wrong}"))?;
            process.personality = Some(personality.domain);
        }
        Ok(Bundle {
            directory: directory.to_owned(),
            root: config.root.path,
            read_only: config.root.readonly,
            steps,
            devices: linux.devices.iter().map(device::read).collect::<Result<Vec<_>, _>>()?,
            masked: within(&linux.masked_paths)?,
            restricted: within(&linux.readonly_paths)?,
            propagation,
            process,
            personality_flags: personality.flags,
            hooks: config.hooks.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| name).collect(),
            sysctl: linux.sysctl,
        })
    }

    pub(crate) fn source(&self) -> Source {
        Source::Bundle { directory: self.directory.clone(), root: self.root.clone() }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns the initial propagation of all mounts.
    pub(crate) fn begins_as(&self) -> PropagationKind {
        begins_as(self.propagation)
    }

    /// Returns the propagation that the root's own mount gets at the end.
    pub(crate) fn propagation(&self) -> Option<Propagation> {
        let kind = self.propagation.map_or(PropagationKind::Private, |propagation| propagation.kind);
        let own = Propagation { kind, recursive: false };
        (kind != self.begins_as()).then_some(own)
    }

    /// Returns the list, in the order of other runtimes: mounts, devices, hidden paths, read-only paths.
    pub(crate) fn entries(&self, facts: &Facts) -> Vec<Entry> {
        let mut list: Vec<Entry> = self.steps.iter().flat_map(|step| step.entries(facts)).collect();
        let dev = Path::new("/dev");
        let is_hosts = |entry: &Entry| entry.target == dev && matches!(entry.what, What::Bind(_));
        if !list.iter().any(is_hosts) {
            // A device of the bundle takes the place of a link of ours. As in other runtimes, /dev/ptmx is always the link to
            // the container's own terminals: bundles of privileged containers list all devices of the host.
            let ptmx = dev.join("ptmx");
            let named: Vec<_> = self.devices.iter().filter(|(path, _)| *path != ptmx).collect();
            let is_replaced = |entry: &Entry| named.iter().any(|(path, _)| *path == entry.target);
            let is_link = |entry: &Entry| matches!(entry.what, What::Link(_));
            let ours = devices::nodes(facts.makes_devices, dev).into_iter();
            list.extend(ours.filter(|entry| !(is_link(entry) && is_replaced(entry))));
            list.extend(named.iter().map(|(path, device)| device::entry(facts, path, device)));
        }
        let masked = What::Mask(Absent::PassOver);
        let restricted = What::Restrict(Attributes::MOUNT_ATTR_RDONLY, Absent::PassOver);
        let entry = |path: &PathBuf, what: &What, why| Entry::new(path, what.clone(), why);
        list.extend(self.masked.iter().map(|path| entry(path, &masked, "one of maskedPaths")));
        list.extend(self.restricted.iter().map(|path| entry(path, &restricted, "one of readonlyPaths")));
        list
    }

    pub(crate) fn identity(&self) -> IdentityRequest {
        self.process.identity()
    }

    pub(crate) fn process(&self, identity: Identity, setgroups_denied: bool) -> Process {
        self.process.process(identity, setgroups_denied)
    }

    /// Returns the size of its terminal.
    pub(crate) fn console_size(&self) -> Option<Winsize> {
        self.process.console_size
    }

    /// Returns the working directory, which is made if the root lacks it.
    pub(crate) fn cwd(&self) -> &Path {
        &self.process.cwd
    }

    /// Returns the bundle's command, which is used if the command line has none.
    pub(crate) fn command(&self) -> Vec<OsString> {
        self.process.args.iter().map(OsString::from).collect()
    }
}

/// Returns the initial propagation of all mounts. Only mounts that are slaves from the beginning receive later mounts of
/// the host, except those that `peers.rs` clones before.
fn begins_as(root: Option<Propagation>) -> PropagationKind {
    let is_slave = root.is_some_and(|propagation| propagation.kind == PropagationKind::Slave);
    if is_slave { PropagationKind::Slave } else { PropagationKind::Private }
}

/// Takes a descriptor that the caller passed.
fn inherited(fd: RawFd) -> Result<OwnedFd, Fault> {
    if is_open(fd) {
        return Ok(adopt(fd));
    }
    Err(Fault::usage(format!("invalid value '{fd}' for '--config-fd': descriptor {fd} is not open")))
}

/// Refuses an unsupported member: a restriction must not be silently left out.
fn refuse(name: &str, is_there: bool) -> Result<(), String> {
    if is_there { Err(format!("{name} is not supported")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &str) -> Result<Bundle, String> {
        let text = format!(r#"{{"ociVersion":"1.0.2","root":{{"path":"rootfs"}},{members}}}"#);
        let (config, _) = parse::parse(text.as_bytes())?;
        Bundle::understand(config, Path::new("/bundle"))
    }

    #[test]
    fn unknown_and_unsupported_members_are_named() {
        for (members, named) in [
            (r#""linux":{"personality":{"domain":"LINUX64"}}"#, "LINUX64"),
            (r#""linux":{"personality":{"flags":[]}}"#, "domain"),
            (r#""process":{"cwd":"/","scheduler":{"policy":"SCHED_FLY"}}"#, "SCHED_FLY"),
            (r#""process":{"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}}"#, "8"),
            (r#""linux":{"rootfsPropagation":"odd"}"#, "odd"),
            (r#""linux":{"devices":[{"type":"x","path":"/dev/x"}]}"#, "\"x\""),
            (r#""linux":{"devices":[{"type":"c","path":"/dev/x","fileMode":65974}]}"#, "65974"),
            (r#""linux":{"devices":[{"type":"c","path":"/dev/x","fileMode":25008}]}"#, "25008"),
            (r#""process":{"cwd":"/","user":{"umask":512}}"#, "512"),
            (r#""process":{"cwd":"here"}"#, "cwd"),
            (r#""process":{"cwd":"/","rlimits":[{"type":"RLIMIT_FLY","soft":1,"hard":1}]}"#, "RLIMIT_FLY"),
        ] {
            let wrong = read(members).unwrap_err();
            assert!(wrong.contains(named), "{members}: {wrong}");
        }
    }

    #[test]
    fn members_for_other_tools_are_ignored() {
        let members = r#""hostname":"h","hooks":{},"annotations":{"a":"b"},"linux":{"namespaces":[{"type":"pid"}],
            "resources":{"memory":{"limit":1}},"cgroupsPath":"/x","sysctl":{"net.a":"1"}},"process":{"cwd":"/","terminal":true}"#;
        let source = Source::Bundle { directory: "/bundle".into(), root: "rootfs".into() };
        assert_eq!(read(members).unwrap().source(), source);
    }

    #[test]
    fn devices_are_made_unless_dev_is_bound() {
        let targets = |members: &str| {
            let facts = Facts { makes_devices: true, ..Facts::default() };
            let list = read(members).unwrap().entries(&facts);
            list.into_iter().map(|entry| entry.target.display().to_string()).collect::<Vec<_>>()
        };
        let own = targets(
            r#""linux":{"devices":[{"type":"c","path":"/dev/fuse","major":10,"minor":229}],"maskedPaths":["/proc/kcore"]}"#,
        );
        assert!(own.contains(&"/dev/null".to_owned()) && own.contains(&"/dev/fuse".to_owned()));
        assert_eq!(own.last().map(String::as_str), Some("/proc/kcore"));
        assert_eq!(targets(r#""mounts":[{"destination":"/dev","type":"bind","source":"/dev"}]"#), ["/dev"]);
    }

    #[test]
    fn only_binds_that_say_so_keep_their_peers() {
        assert_eq!(read(r#""linux":{}"#).unwrap().begins_as(), PropagationKind::Private);
        let bundle = |words: &str, root: &str| {
            let mount = format!(r#"{{"destination":"/d","type":"bind","source":"/s","options":{words}}}"#);
            read(&format!(r#""mounts":[{mount}],"linux":{{"rootfsPropagation":"{root}"}}"#)).unwrap()
        };
        let of = |words: &str, root: &str| {
            let bundle = bundle(words, root);
            let entries = bundle.entries(&Facts::default());
            let kept = entries.iter().find_map(|entry| match &entry.what {
                What::Bind(bind) if entry.target == Path::new("/d") => Some(bind.keeps_peers),
                _ => None,
            });
            let set = entries.iter().filter(|entry| matches!(entry.what, What::Propagation(_))).count();
            (bundle.begins_as(), kept.flatten(), set, bundle.propagation().map(|own| own.kind))
        };
        use PropagationKind::{Private, Shared, Slave};
        assert_eq!(of(r#"["rslave"]"#, ""), (Private, Some(Slave), 1, None));
        assert_eq!(of(r#"["rshared"]"#, "shared"), (Private, Some(Shared), 1, Some(Shared)));
        assert_eq!(of(r#"["rshared","rprivate"]"#, ""), (Private, None, 2, None));
        assert_eq!(of(r#"["rprivate"]"#, ""), (Private, None, 0, None));
        assert_eq!(of(r#"["rprivate"]"#, "rslave"), (Slave, None, 1, None));
        assert_eq!(of("[]", "rslave"), (Slave, None, 0, None));
    }
}
