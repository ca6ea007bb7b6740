//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plumbing::kernel::{close_range, look};
use plumbing::options::Narration;
use plumbing::pipe::{self, Stage};
use plumbing::privilege::Process;
use plumbing::startup::Parsed;
use plumbing::text::Text;
use plumbing::{Fault, Status, chain};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::asked::Asked;
use crate::confinement::Confinement;
use crate::entry::{Attributes, Entry, Mount};
use crate::facts::Facts;
use crate::identity::{Books, Identity, Request};
use crate::in_root::InRoot;
use crate::options::Options;
use crate::root::{self, Source};
use crate::{held, host_root, std_mounts, tree};

/// What to do.
#[derive(Debug)]
pub struct Plan {
    narration: Narration,
    form: Form,
    source: Source,
    std: bool,
    read_only: bool,
    mounts: Vec<Asked>,
    identity: Request,
    confinement: Confinement,
    command: Vec<OsString>,
}

/// In which of its three ways.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// As chroot(8).
    Plain { skip_chdir: bool },
    /// `--std`, `--pivot` or mounts: this process gets a root of its own, and becomes the command.
    Container { preserve_fds: u32 },
    /// `--std --pipe`: a held container gets it.
    Held { keep_on_error: bool },
}

/// The record's member `root`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Root {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Text>,
    host_root: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overlay: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper: Option<Text>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tmpfs: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    mounts: Vec<Mount>,
}

impl Root {
    fn of(source: &Source, read_only: bool, mounts: Vec<Mount>) -> Root {
        let text = |path: &PathBuf| Text::from(path.as_path());
        let mut root = Root { read_only, mounts, ..Root::default() };
        match source {
            Source::Directory(path) => root.path = Some(text(path)),
            Source::Host => root.host_root = true,
            Source::Tmpfs => root.tmpfs = true,
            Source::Descriptor(_) => {}
            Source::Overlay { lower, upper } => {
                root.overlay = lower.iter().map(text).collect();
                root.upper = upper.as_ref().map(text);
            }
        }
        root
    }
}

/// What was built: the root, and what its commands are confined to.
#[derive(Debug, Serialize, Deserialize)]
struct Built {
    root: Root,
    process: Process,
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::options::parse::<Options>(argv)?.and_then(Plan::of_options)
    }

    fn of_options(options: Options) -> Result<Plan, Fault> {
        let mut operands = options.operands.into_iter();
        let source = match options.root.source().or_else(|| operands.next().map(|path| Source::Directory(path.into())))
        {
            Some(source) => source,
            None => return Err(Fault::usage("the new root directory is missing")),
        };
        let mut command: Vec<OsString> = operands.collect();
        if command.first().is_some_and(|word| word == "--") {
            command.remove(0);
        }
        let form = match (options.pipe, options.std || options.root.want_mounts()) {
            (true, _) if !command.is_empty() => {
                return Err(Fault::usage("--pipe takes no command: the last stage, nsenter-rs, runs it"));
            }
            (true, _) => Form::Held { keep_on_error: options.keep_on_error },
            (false, true) if options.skip_chdir => {
                return Err(Fault::usage(
                    "--skip-chdir is for a plain chroot: with mounts, the working directory is left behind",
                ));
            }
            (false, true) => Form::Container { preserve_fds: options.preserve_fds.unwrap_or(0) },
            (false, false) => Form::Plain { skip_chdir: options.skip_chdir },
        };
        Ok(Plan {
            narration: options.narration,
            form,
            source,
            std: options.std,
            read_only: options.root.read_only,
            mounts: options.root.mounts.0,
            identity: Request::parse(options.userspec.as_deref(), options.groups.as_deref())?,
            confinement: Confinement {
                std: options.std,
                capabilities: options.capabilities,
                new_privs: options.allow_new_privs,
                keep_env: options.keep_env,
            },
            command,
        })
    }

    /// Does it. Comes back with the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        self.narration.begin();
        match (&self.form, &self.source) {
            (Form::Plain { skip_chdir }, Source::Directory(path)) => self.chroot(path, *skip_chdir),
            (Form::Held { keep_on_error }, _) => pipe::filter(*keep_on_error, |stage| self.build_held(stage)),
            (Form::Container { preserve_fds }, _) => self.become_container(*preserve_fds),
            (Form::Plain { .. }, _) => {
                Err(Fault::new("cannot make a root: a plan without mounts has only a directory"))
            }
        }
    }

    /// chroot(8), in its order: the names are looked up while both roots can be read.
    fn chroot(&self, path: &Path, skip_chdir: bool) -> Result<Status, Fault> {
        if skip_chdir && !std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/")) {
            return Err(Fault::usage(
                "--skip-chdir is for the root directory / only: elsewhere it would leave us outside",
            ));
        }
        let identity = self.look_up(&root::open(path)?)?;
        root::chroot(path, skip_chdir)?;
        identity.warn_of_old_form();
        let process = self.confinement.process(identity, false);
        process.apply()?;
        let command = match (self.command.is_empty(), std::env::var_os("SHELL")) {
            (false, _) => self.command.clone(),
            (true, Some(shell)) if !shell.is_empty() => vec![shell, "-i".into()],
            (true, _) => vec!["/bin/sh".into(), "-i".into()],
        };
        chain::exec(&command)
    }

    /// The mounts need every right, so rights are given up last; descriptors go before that, when nothing else is to
    /// be opened.
    fn become_container(&self, preserve_fds: u32) -> Result<Status, Fault> {
        root::leave_callers_mounts()?;
        let Built { process, .. } = self.build(&self.source, &self.mounts)?;
        let first = 3_u32.saturating_add(preserve_fds);
        look("close what the command must not inherit", format!("close_range({first}, CLOSE_RANGE_CLOEXEC)"), || {
            close_range(first, u32::MAX, true)
        })?;
        process.apply()?;
        let shell = [OsString::from("/bin/sh")];
        let command = if self.command.is_empty() { &shell[..] } else { &self.command };
        chain::exec_with(command, &process.environment())
    }

    fn build_held(&self, stage: &mut Stage) -> Result<(), Fault> {
        stage.require_unfinished("change the root of")?;
        // The container's mount namespace begins as a copy of ours, but a working directory is not joined.
        let (mut source, mut mounts) = (self.source.clone(), self.mounts.clone());
        look("name the new root", "getcwd()", || source.make_absolute())?;
        look("name what is mounted", "getcwd()", || mounts.iter_mut().try_for_each(Asked::make_absolute))?;
        let built: Built = held::inside(&stage.target, || self.build(&source, &mounts))?;
        stage.record.set("root", &built.root)?;
        stage.record.set("process", &built.process)
    }

    /// The root first, then what is mounted in it, then the change to it: all paths of the host are still there while
    /// the mounts are made, and none afterwards.
    fn build(&self, source: &Source, asked: &[Asked]) -> Result<Built, Fault> {
        let facts = Facts::gather()?;
        root::make_private()?;
        // The modes in the lists are meant as they stand; the command gets the caller's mask back.
        let mask = rustix::process::umask(Mode::empty());
        let root = root::attach(source, self.attributes())?;
        let mounts = tree::make(&root, &self.entries(source, asked, &facts))?;
        if self.read_only {
            root::seal(&root, source)?;
        }
        let identity = self.look_up(&root)?;
        root::pivot(&root)?;
        rustix::process::umask(mask);
        identity.warn_of_old_form();
        let process = self.confinement.process(identity, facts.setgroups_denied);
        Ok(Built { root: Root::of(source, self.read_only, mounts), process })
    }

    /// The flags of the root's own mount.
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::empty();
        attributes.set(Attributes::MOUNT_ATTR_NODEV, self.std);
        attributes.set(Attributes::MOUNT_ATTR_RDONLY, self.read_only);
        attributes
    }

    /// All that is made inside: what was asked for comes last, and may lie over the rest.
    fn entries(&self, source: &Source, asked: &[Asked], facts: &Facts) -> Vec<Entry> {
        let mut entries = if *source == Source::Host { host_root::entries(facts) } else { Vec::new() };
        if self.std {
            entries.extend(std_mounts::entries(facts));
        }
        entries.extend(asked.iter().flat_map(|asked| asked.entries(facts)));
        entries
    }

    fn look_up(&self, root: &InRoot) -> Result<Identity, Fault> {
        if self.identity.is_empty() {
            return Ok(Identity::default());
        }
        let inside = Books {
            passwd: text(root.read(Path::new("/etc/passwd"))?),
            group: text(root.read(Path::new("/etc/group"))?),
        };
        // A host without them has no names to offer.
        let host = |path| text(std::fs::read(path).ok());
        let outside = Books { passwd: host("/etc/passwd"), group: host("/etc/group") };
        self.identity.resolve(&inside, &outside)
    }
}

fn text(content: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&content.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, Fault> {
        let argv = ["chroot-rs"].iter().chain(words).map(OsString::from).collect();
        match Plan::parse(argv)? {
            Parsed::Plan(plan) => Ok(plan),
            Parsed::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn options_end_at_the_new_root() {
        let plan = plan(&["--userspec=web", "/new", "ls", "--std", "--", "x"]).unwrap();
        assert_eq!(plan.source, Source::Directory("/new".into()));
        assert_eq!(plan.form, Form::Plain { skip_chdir: false });
        assert_eq!(plan.command, ["ls", "--std", "--", "x"].map(OsString::from));
    }

    #[test]
    fn a_double_dash_may_stand_before_the_command() {
        assert_eq!(plan(&["--std", "/new", "--", "ls"]).unwrap().command, ["ls"]);
        let host = plan(&["--std", "--host-root", "--", "ls"]).unwrap();
        assert_eq!((host.source, host.command), (Source::Host, vec!["ls".into()]));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for words in [
            &[][..],
            &["--std"],
            &["--host-root", "--", "ls"],
            &["--pipe", "/new"],
            &["--pipe", "--std", "/new", "--", "ls"],
            &["--keep-on-error", "--std", "/new"],
            &["--std", "--skip-chdir", "/"],
            &["--capabilities", "fly", "/new"],
            &["--groups", ",", "/new"],
        ] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_last_of_two_userspecs_wins_and_prefixes_are_understood() {
        let plan = plan(&["--user=a", "--userspec=b:c", "/new"]).unwrap();
        assert_eq!(plan.identity.user.as_deref(), Some("b"));
    }
}
