//! Parses a command line and applies it, in the order that the kernel requires.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plumbing::command_line::options::Narration;
use plumbing::confinement::privilege::set_oom_score_adj;
use plumbing::kernel::look;
use plumbing::pipeline::gates::{Gates, Places};
use plumbing::pipeline::kept_process;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::process::closing::{close_from, end, refuse_directories};
use plumbing::process::exposure::Exposure;
use plumbing::process::namespace::KindSet;
use plumbing::process::startup::Parsed;
use plumbing::process::{chain, session};
use plumbing::{Fault, Status, narrate};
use rustix::fs::Mode;

use crate::accounts::Accounts;
use crate::confinement::Confinement;
use crate::confinement_options::ConfinementOptions;
use crate::entry::{Attributes, Entry, PropagationKind};
use crate::facts::Facts;
use crate::identity::{Identity, IdentityRequest};
use crate::in_root::InRoot;
use crate::mount_options::MountOption;
use crate::oci::Bundle;
use crate::options::Options;
use crate::reachable::{self, Reachable};
use crate::record::{Built, Root};
use crate::request::{Form, Leave};
use crate::root;
use crate::source::Source;
use crate::{
    audit, chroot, host_root, mount_api, mount_namespace, pivot_root, populate, setns, std_mounts, switch_root,
};

/// The plan of one run.
#[derive(Debug)]
pub struct Plan {
    narration: Narration,
    form: Form,
    /// The source of the root, unless a bundle names it.
    source: Option<Source>,
    /// The directory of an OCI bundle.
    bundle: Option<PathBuf>,
    std: bool,
    read_only: bool,
    mounts: Vec<MountOption>,
    identity: IdentityRequest,
    confinement: Confinement,
    gates: Places,
    sealed_copy: bool,
    strict: bool,
    command: Vec<OsString>,
}

/// The root to build, after the files that describe it were read.
struct Work {
    source: Source,
    asked: Vec<MountOption>,
    bundle: Option<Bundle>,
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(Plan::of_options)
    }

    fn of_options(mut options: Options) -> Result<Plan, Fault> {
        if options.audit.audit {
            return Plan::of_audit(options);
        }
        let mut operands = std::mem::take(&mut options.operands).into_iter();
        let bundle = options.root.oci.clone();
        let source = match (&bundle, options.root.source()) {
            (Some(_), _) => None,
            (None, Some(made)) => Some(made),
            (None, None) => operands.next().map(|path| Source::Directory(path.into())),
        };
        if source.is_none() && bundle.is_none() {
            return Err(Fault::usage("the new root directory is missing"));
        }
        let mut command: Vec<OsString> = operands.collect();
        if command.first().is_some_and(|word| word == "--") {
            command.remove(0);
        }
        let form = Form::of(&options, !command.is_empty())?;
        Ok(Plan {
            narration: options.narration,
            form,
            source,
            bundle,
            std: options.std,
            read_only: options.root.read_only,
            mounts: options.root.mounts.0,
            identity: IdentityRequest::parse(
                options.userspec.as_deref(),
                options.group.as_deref(),
                options.groups.as_deref(),
            )?,
            confinement: Confinement {
                std: options.std,
                capabilities: options.capabilities,
                new_privs: options.allow_new_privs,
                keep_env: options.keep_env,
                more: options.confine,
                files: OnceCell::new(),
            },
            gates: Places { ready: options.ready_fd, block: options.block_fd, fifo: options.exec_fifo },
            sealed_copy: options.sealed_copy,
            strict: options.strict,
            command,
        })
    }

    fn of_audit(options: Options) -> Result<Plan, Fault> {
        let asks_for_more = options.root.want_mounts() || options.root.no_pivot || options.root.source().is_some();
        if asks_for_more || options.confine != ConfinementOptions::default() || !options.operands.is_empty() {
            return Err(Fault::usage("--audit examines the current root: it takes no option except --json"));
        }
        Ok(Plan {
            narration: options.narration,
            form: Form::Audit { as_json: options.audit.json },
            source: None,
            bundle: None,
            std: false,
            read_only: false,
            mounts: Vec::new(),
            identity: IdentityRequest::default(),
            confinement: Confinement::default(),
            gates: Places::default(),
            sealed_copy: false,
            strict: false,
            command: Vec::new(),
        })
    }

    /// Begins the narration, and decides which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        if self.strict {
            narrate::be_strict();
        }
        match self.form {
            // The audit must see the container as one of its processes does.
            Form::Audit { .. } => Exposure::NOBODY,
            _ if self.sealed_copy => Exposure::IMAGE.in_a_copy(),
            _ => Exposure::IMAGE,
        }
    }

    /// Applies the plan. Returns the status of the audit or stage, or executes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        if let Form::Audit { as_json } = self.form {
            return audit::run(as_json);
        }
        // Read while the caller's working directory and the host's files can still be reached.
        self.confinement.read_files()?;
        let gates = Gates::take(&self.gates)?;
        let bundle = self.bundle.as_deref().map(Bundle::read).transpose()?;
        let source = bundle.as_ref().map(Bundle::source).or_else(|| self.source.clone());
        let source = source.ok_or_else(|| Fault::usage("the new root directory is missing"))?;
        let work = Work { source, asked: self.mounts.clone(), bundle };
        match (&self.form, &work.source) {
            (Form::Plain { skip_chdir }, Source::Directory(path)) => self.chroot(path, *skip_chdir, gates),
            (Form::Held { keep_on_error }, _) => pipe::filter(*keep_on_error, |stage| self.build_held(stage, work)),
            (Form::Container { preserve_fds, .. }, _) => self.become_container(*preserve_fds, &work, gates),
            (Form::Plain { .. } | Form::Audit { .. }, _) => {
                Err(Fault::new("cannot make a root: a plan without mounts accepts only a directory"))
            }
        }
    }

    /// Works like chroot(8), in the same order: the names are looked up while both roots can be read.
    fn chroot(&self, path: &Path, skip_chdir: bool, gates: Gates) -> Result<Status, Fault> {
        if skip_chdir && !std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/")) {
            return Err(Fault::usage(
                "--skip-chdir needs / as the new root: with any other root, the working directory would be outside of it",
            ));
        }
        let identity = look_up(&root::open(path)?, &self.identity, &host_books(&self.identity)?)?;
        chroot::chroot(path, skip_chdir)?;
        identity.warn_of_old_form();
        let process = self.confinement.process(identity, false);
        process.apply(|| gates.pass())?;
        let command = match (self.command.is_empty(), std::env::var_os("SHELL")) {
            (false, _) => self.command.clone(),
            (true, Some(shell)) if !shell.is_empty() => vec![shell, "-i".into()],
            (true, _) => vec!["/bin/sh".into(), "-i".into()],
        };
        chain::exec_with(&command, &process.environment())
    }

    /// Makes the root and executes the command. Mounting needs all privileges, so they are dropped last; descriptors are
    /// closed after that, when nothing else needs them.
    fn become_container(&self, preserve_fds: u32, work: &Work, gates: Gates) -> Result<Status, Fault> {
        refuse_directories([rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()])?;
        // First, because the caller's /dev is needed.
        let leads_session = match self.std || work.bundle.is_some() {
            true => session::replace_null().and_then(|()| session::leave())?,
            false => false,
        };
        mount_namespace::unshare()?;
        let (Built { mut process, .. }, root) = self.build(work, self.look_around(work, None, KindSet::EMPTY)?)?;
        process.new_session &= !leads_session;
        let mut is_closed = false;
        let confined = process.apply(|| {
            gates.pass()?;
            is_closed = true;
            close_from(3_u32.saturating_add(preserve_fds), None)
        });
        match confined {
            Err(fault) if is_closed => return end(Err(fault)),
            confined => confined.inspect_err(|_| root.made().take_back(root.bottom()))?,
        }
        let of_bundle = work.bundle.as_ref().map(Bundle::command).unwrap_or_default();
        let shell = [OsString::from("/bin/sh")];
        let command = [&self.command[..], &of_bundle, &shell].into_iter().find(|words| !words.is_empty());
        end(chain::exec_with(command.unwrap_or_default(), &process.environment()))
    }

    fn build_held(&self, stage: &mut Stage, mut work: Work) -> Result<(), Fault> {
        stage.require_unfinished("change the root of")?;
        mount_namespace::require_own(stage)?;
        // The container's mount namespace begins as a copy of ours, but joining it does not keep the working directory.
        look("find the new root", "getcwd()", || work.source.make_absolute())?;
        look("find the sources of the mounts", "getcwd()", || {
            work.asked.iter_mut().try_for_each(MountOption::make_absolute)
        })?;
        let foreign = stage.target.foreign_kinds()?;
        // Read before entering: inside, the container's owner may have mounted anything over these files.
        let outside = self.look_around(&work, Some(stage), foreign)?;
        let built: Built =
            setns::inside(&stage.target, foreign, || Ok(self.build(&work, outside.after_entering())?.0))?;
        stage.record.set("root", &built.root)?;
        stage.record.set_member(&built.process)?;
        kept_process::keep(stage, &built.process)
    }

    /// Makes the root, then the mounts in it, then changes the root to it: the host's paths can be reached while the mounts are
    /// made, and not afterwards.
    fn build(&self, work: &Work, outside: Outside) -> Result<(Built, InRoot), Fault> {
        mount_namespace::stop_propagation(work.bundle.as_ref().map_or(PropagationKind::Private, Bundle::begins_as))?;
        // Without a umask, the modes in the lists apply unchanged; the command gets the caller's umask back.
        let mask = rustix::process::umask(Mode::empty());
        let is_read_only = work.bundle.as_ref().map_or(self.read_only, Bundle::is_read_only);
        // Checked before the root is mounted again, because the flags of the new mount are ours.
        let is_harmful = self.is_harmful(work, &outside.facts);
        let mut reachable: Vec<_> =
            is_harmful.then(|| reachable::root(&work.source, is_read_only)).flatten().into_iter().collect();
        let root = root::make(&work.source, self.attributes())?;
        let root = if work.bundle.is_some() { root.following() } else { root };
        let built = self
            .fill_and_enter(&root, work, &outside, &mut reachable)
            .inspect_err(|_| root.made().take_back(root.bottom()))?;
        rustix::process::umask(mask);
        reachable::warn(&reachable, &built.process);
        Ok((built, root))
    }

    /// Reports whether root in the container could leave files that make other users root on the host.
    fn is_harmful(&self, work: &Work, facts: &Facts) -> bool {
        facts.is_root_outside && (self.std || work.bundle.is_some())
    }

    fn fill_and_enter(
        &self,
        root: &InRoot,
        work: &Work,
        outside: &Outside,
        reachable: &mut Vec<Reachable>,
    ) -> Result<Built, Fault> {
        let Work { source, asked, bundle } = work;
        let Outside { facts, request, books } = outside;
        let mut entries = match bundle {
            Some(bundle) => bundle.entries(facts),
            None => self.own_entries(source, facts),
        };
        // The mounts that the options ask for come last, and may cover the others.
        entries.extend(asked.iter().flat_map(|asked| asked.entries(facts)));
        if self.is_harmful(work, facts) {
            reachable.extend(reachable::binds(&entries));
        }
        let mounts = populate::make(root, &entries)?;
        if let Some(propagation) = bundle.as_ref().and_then(Bundle::propagation) {
            let why = "the bundle's rootfsPropagation; mount_namespaces(7)";
            mount_api::propagate("set the root's propagation", root.as_fd(), propagation, why)?;
        }
        let identity = look_up(root, request, books)?;
        let process = match bundle {
            Some(bundle) => bundle.process(identity, facts.setgroups_denied),
            None => {
                identity.warn_of_old_form();
                self.confinement.process(identity, facts.setgroups_denied)
            }
        };
        // With --pipe the last stage sets it, because it is a property of one process.
        if let (Some(score), Form::Container { .. }) = (process.oom_score_adj, &self.form) {
            set_oom_score_adj(score)?;
        }
        let read_only = bundle.as_ref().map_or(self.read_only, Bundle::is_read_only);
        // A bundle's root is written to first, to make the mount points that it lacks. Made read-only late, so that after a
        // failure they can be removed.
        if read_only && (bundle.is_some() || !source.is_given()) {
            root::seal(root)?;
        }
        match self.form {
            Form::Container { leave: Leave::ByChroot, .. } => switch_root::root(root, source)?,
            _ => pivot_root::pivot(root)?,
        }
        Ok(Built { root: Root::of(source, read_only, &root.copies().paths(), mounts), process })
    }

    /// Returns the flags of the root's own mount.
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::empty();
        attributes.set(Attributes::MOUNT_ATTR_NODEV, self.std);
        attributes.set(Attributes::MOUNT_ATTR_RDONLY, self.read_only);
        attributes
    }

    /// Returns the entries that are made in addition to those that the options ask for.
    fn own_entries(&self, source: &Source, facts: &Facts) -> Vec<Entry> {
        let mut entries = match source {
            Source::Host => host_root::entries(facts),
            _ if self.std => std_mounts::for_given_root(facts),
            _ => Vec::new(),
        };
        if self.std {
            entries.extend(std_mounts::entries(facts));
        }
        entries
    }

    /// Reads what is needed from the host, while paths still lead to the host's files.
    fn look_around(&self, work: &Work, stage: Option<&Stage>, joined: KindSet) -> Result<Outside, Fault> {
        let request = work.bundle.as_ref().map_or_else(|| self.identity.clone(), Bundle::identity);
        let books = host_books(&request)?;
        let cgroup = stage.map_or(Ok(None), |stage| stage.record.member())?;
        let facts = Facts::gather(stage.map(|stage| &stage.target), joined, cgroup.as_ref())?;
        Ok(Outside { facts, request, books })
    }
}

/// The facts that were read from the host.
struct Outside {
    facts: Facts,
    /// The identity of the command.
    request: IdentityRequest,
    /// The host's user and group names.
    books: Accounts,
}

impl Outside {
    fn after_entering(self) -> Outside {
        Outside { facts: self.facts.after_entering(), ..self }
    }
}

/// Reads the host's names; a host without these files has none.
fn host_books(request: &IdentityRequest) -> Result<Accounts, Fault> {
    match request.is_empty() {
        true => Ok(Accounts::default()),
        false => Accounts::of_host(),
    }
}

fn look_up(root: &InRoot, request: &IdentityRequest, outside: &Accounts) -> Result<Identity, Fault> {
    if request.is_empty() {
        return Ok(Identity::default());
    }
    request.resolve(&Accounts::of_root(root)?, outside)
}

#[cfg(test)]
mod tests;
