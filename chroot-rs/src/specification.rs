//! What a root contains and how its command is confined: as the options say, or as a bundle says. The only I/O is reading
//! the files that either of them names.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::pipeline::record::Process;
use rustix::termios::Winsize;

use crate::confinement::Confinement;
use crate::entry::{Attributes, Entry, Propagation, PropagationKind};
use crate::facts::Facts;
use crate::identity::{Identity, IdentityRequest};
use crate::mount_options::MountOption;
use crate::oci::Bundle;
use crate::source::Source;
use crate::{capabilities, host_root, std_mounts, sysctl};

/// A specification on the command line; its files are not read yet.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) by: UnreadBy,
    /// The mounts of the mount options, which are made last and may cover the others.
    pub(crate) mounts: Vec<MountOption>,
}

/// The place of an unread specification.
#[derive(Debug)]
pub(crate) enum UnreadBy {
    Options(Box<ByOptions>),
    Bundle(BundleFiles),
}

/// Where a bundle is.
#[derive(Debug)]
pub(crate) struct BundleFiles {
    /// `--oci`: its directory.
    pub(crate) directory: PathBuf,
    /// `--config-fd`: the descriptor of its `config.json`.
    pub(crate) config: Option<RawFd>,
    /// `--hooks-by-caller`.
    pub(crate) hooks_by_caller: bool,
    /// `--new-session`.
    pub(crate) new_session: bool,
}

/// A specification by options.
#[derive(Debug, Clone)]
pub(crate) struct ByOptions {
    pub(crate) source: Source,
    /// `--std`: the mounts and restrictions of a container.
    pub(crate) std: bool,
    pub(crate) read_only: bool,
    pub(crate) identity: IdentityRequest,
    pub(crate) confinement: Confinement,
}

/// A specification whose files were read.
#[derive(Debug)]
pub(crate) struct Specification {
    source: Source,
    by: By,
    mounts: Vec<MountOption>,
}

#[derive(Debug)]
enum By {
    Options(ByOptions),
    Bundle(Bundle),
}

impl Unread {
    /// Reads the files that it names.
    pub(crate) fn read(&self) -> Result<Specification, Fault> {
        let mounts = self.mounts.iter().map(MountOption::take).collect::<Result<_, _>>()?;
        match &self.by {
            UnreadBy::Options(options) => {
                options.confinement.read_files()?;
                Ok(Specification { source: options.source.clone(), by: By::Options(ByOptions::clone(options)), mounts })
            }
            UnreadBy::Bundle(files) => {
                let bundle = Bundle::read(files)?;
                Ok(Specification { source: bundle.source(), by: By::Bundle(bundle), mounts })
            }
        }
    }
}

impl Specification {
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Makes its paths absolute: the working directory is not kept when a container is entered.
    pub(crate) fn make_absolute(&mut self) -> Result<(), Fault> {
        look("find the new root", "getcwd()", || self.source.make_absolute())?;
        look("find the sources of the mounts", "getcwd()", || {
            self.mounts.iter_mut().try_for_each(MountOption::make_absolute)
        })
    }

    /// Reports whether it describes a whole container, and not only a root with mounts.
    pub(crate) fn is_container(&self) -> bool {
        match &self.by {
            By::Options(options) => options.std,
            By::Bundle(_) => true,
        }
    }

    /// Reports whether the command leaves the caller's session also where it sees the processes of that session, as under
    /// other runtimes.
    pub(crate) fn leads_session(&self) -> bool {
        matches!(self.by, By::Bundle(_))
    }

    /// Reports whether it has the host's name servers.
    pub(crate) fn has_names(&self) -> bool {
        match &self.by {
            By::Options(options) => options.std || options.source == Source::Host,
            By::Bundle(_) => false,
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        match &self.by {
            By::Options(options) => options.read_only,
            By::Bundle(bundle) => bundle.is_read_only(),
        }
    }

    /// Reports whether the root becomes read-only only after it was filled. A new root is empty before, and a bundle's root
    /// is written to first, to make the mount points that it lacks.
    pub(crate) fn is_read_only_when_filled(&self) -> bool {
        let is_filled = matches!(self.by, By::Bundle(_)) || !self.source.is_given();
        self.is_read_only() && is_filled
    }

    /// Reports whether links on the way to a mount point are followed, inside the root.
    pub(crate) fn follows_links(&self) -> bool {
        matches!(self.by, By::Bundle(_))
    }

    /// Returns the flags of the root's own mount.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::empty();
        if let By::Options(options) = &self.by {
            attributes.set(Attributes::MOUNT_ATTR_NODEV, options.std);
            attributes.set(Attributes::MOUNT_ATTR_RDONLY, options.read_only);
        }
        attributes
    }

    /// Returns the propagation that all mounts get before anything is mounted.
    pub(crate) fn initial_propagation(&self) -> PropagationKind {
        match &self.by {
            By::Options(_) => PropagationKind::Private,
            By::Bundle(bundle) => bundle.begins_as(),
        }
    }

    /// Returns the propagation that the root's own mount gets at the end, if it differs.
    pub(crate) fn final_propagation(&self) -> Option<Propagation> {
        match &self.by {
            By::Options(_) => None,
            By::Bundle(bundle) => bundle.propagation(),
        }
    }

    /// Returns the entries of the root, in the order in which they are made.
    pub(crate) fn entries(&self, facts: &Facts) -> Vec<Entry> {
        let mut entries = match &self.by {
            By::Options(options) => own_entries(&self.source, options.std, facts),
            By::Bundle(bundle) => bundle.entries(facts),
        };
        entries.extend(self.mounts.iter().flat_map(|mount| mount.entries(facts)));
        entries
    }

    pub(crate) fn identity(&self) -> IdentityRequest {
        match &self.by {
            By::Options(options) => options.identity.clone(),
            By::Bundle(bundle) => bundle.identity(),
        }
    }

    /// Returns the member `process` of the record, for a command that runs as `identity`.
    pub(crate) fn process(&self, identity: Identity, setgroups_denied: bool) -> Process {
        match &self.by {
            By::Options(options) => options.confinement.process(identity, setgroups_denied),
            By::Bundle(bundle) => bundle.process(identity, setgroups_denied),
        }
    }

    /// Returns the size of the terminal that a bundle asks for.
    pub(crate) fn console_size(&self) -> Option<Winsize> {
        match &self.by {
            By::Options(_) => None,
            By::Bundle(bundle) => bundle.console_size(),
        }
    }

    /// Returns the working directory that is made if the root lacks it.
    pub(crate) fn working_directory(&self) -> Option<&Path> {
        match &self.by {
            By::Options(_) => None,
            By::Bundle(bundle) => Some(bundle.cwd()),
        }
    }

    /// Reports whether the command starts in the caller's working directory, if the root has it.
    pub(crate) fn keeps_directory(&self) -> bool {
        matches!(self.by, By::Options(_))
    }

    /// Reports the capabilities that it names and that the command does not get.
    pub(crate) fn report_missing_capabilities(&self, process: &Process) -> Result<(), Fault> {
        match &self.by {
            By::Options(options) => options.confinement.report_missing_capabilities(process),
            By::Bundle(_) => capabilities::report_missing(process, true),
        }
    }

    /// Writes the settings of the kernel that it names.
    pub(crate) fn write_settings(&self) -> Result<(), Fault> {
        match &self.by {
            By::Options(_) => Ok(()),
            By::Bundle(bundle) => sysctl::write(&bundle.sysctl),
        }
    }

    /// Returns the command that it names, empty without one.
    pub(crate) fn command(&self) -> Vec<OsString> {
        match &self.by {
            By::Options(_) => Vec::new(),
            By::Bundle(bundle) => bundle.command(),
        }
    }
}

/// Returns the entries that options other than the mount options ask for.
fn own_entries(source: &Source, std: bool, facts: &Facts) -> Vec<Entry> {
    let mut entries = match source {
        Source::Host => host_root::entries(facts),
        _ if std => std_mounts::for_given_root(facts),
        _ => Vec::new(),
    };
    if std {
        entries.extend(std_mounts::entries(facts));
    }
    entries
}
