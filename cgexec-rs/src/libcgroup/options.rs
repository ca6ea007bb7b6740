//! The options of libcgroup's tools, under their names. `-b` and `--sticky` are read and change nothing: there is no default
//! scope of systemd to leave aside, and no cgrulesengd(8) whose rules could move a process back.

use std::ffi::OsString;

use clap::Parser;
use plumbing::Fault;
use plumbing::command_line::options::of_os;

use super::convert::Notation;
use super::create::{self, Owner};
use super::get::{self, Wanted};
use super::set::{self, Assignment};
use super::{Request, classify, delete, list, snapshot};
use crate::existing::Existing;

/// A command line that was read.
pub(super) trait Line {
    /// Returns what it asks for.
    fn request(self) -> Result<Request, Fault>;
}

/// Run a command in existing cgroups; cgexec-rs, called by the name cgexec
#[derive(Debug, Parser)]
#[command(name = "cgexec", display_name = "cgexec-rs", version)]
pub(super) struct Exec {
    /// Cgroup to join: CONTROLLERS:PATH, *:PATH (all controllers) or :PATH (cgroup v2) (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS:PATH")]
    group: Vec<OsString>,
    /// Accepted; it concerns the daemon cgrulesengd
    #[arg(long)]
    _sticky: bool,
    /// End the idle process that keeps a scope of cgcreate -c alive
    #[arg(short = 'r')]
    replace_idle: bool,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND", required = true)]
    command: Vec<OsString>,
}

impl Line for Exec {
    fn request(self) -> Result<Request, Fault> {
        let groups = required(&self.group)?;
        Ok(Request::Exec { groups, replace_idle: self.replace_idle, command: self.command })
    }
}

/// Make cgroups; cgexec-rs, called by the name cgcreate
#[derive(Debug, Parser)]
#[command(name = "cgcreate", display_name = "cgexec-rs", version)]
pub(super) struct Create {
    /// Cgroup to make, with those above it (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS:PATH", required = true)]
    group: Vec<OsString>,
    /// Owner of the group and of its files
    #[arg(short = 'a', long = "admin", value_name = "USER:GROUP", value_parser = of_os(Owner::read))]
    admin: Option<Owner>,
    /// Owner of the list of members
    #[arg(short = 't', long = "task", value_name = "USER:GROUP", value_parser = of_os(Owner::read))]
    task: Option<Owner>,
    /// Mode of the group, in octal
    #[arg(short = 'd', long, value_name = "MODE", value_parser = create::mode)]
    dperm: Option<u32>,
    /// Mode of its files, in octal
    #[arg(short = 'f', long, value_name = "MODE", value_parser = create::mode)]
    fperm: Option<u32>,
    /// Mode of the list of members, in octal
    #[arg(short = 's', long, value_name = "MODE", value_parser = create::mode)]
    tperm: Option<u32>,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
}

impl Line for Create {
    fn request(self) -> Result<Request, Fault> {
        let Create { admin, task, dperm, fperm, tperm, .. } = self;
        Ok(Request::Create(create::Create { groups: required(&self.group)?, admin, task, dperm, fperm, tperm }))
    }
}

/// Set parameters of cgroups; cgexec-rs, called by the name cgset
#[derive(Debug, Parser)]
#[command(name = "cgset", display_name = "cgexec-rs", version)]
pub(super) struct Set {
    #[command(flatten)]
    common: CommonSet,
}

/// Set parameters of cgroups, in the notation of v1 or v2; cgexec-rs, called by the name cgxset
#[derive(Debug, Parser)]
#[command(name = "cgxset", display_name = "cgexec-rs", version)]
pub(super) struct XSet {
    #[command(flatten)]
    notation: NotationOptions,
    #[command(flatten)]
    common: CommonSet,
}

#[derive(Debug, clap::Args)]
struct CommonSet {
    /// Parameter and its value (repeatable)
    #[arg(short = 'r', long = "rule", visible_alias = "variable", value_name = "NAME=VALUE", value_parser = Assignment::read)]
    rule: Vec<Assignment>,
    /// Cgroup whose parameters are copied
    #[arg(long, value_name = "PATH", conflicts_with = "rule")]
    copy_from: Option<OsString>,
    /// Set them in all groups below, too
    #[arg(short = 'R', requires = "rule")]
    recursive: bool,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Cgroups
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct NotationOptions {
    /// The names and values are those of v1
    #[arg(short = '1', long = "v1")]
    v1: bool,
    /// The names and values are those of v2
    #[arg(short = '2', long = "v2", conflicts_with = "v1")]
    v2: bool,
    /// Leave out what the other version does not have
    #[arg(short = 'i', long)]
    ignore_unmappable: bool,
}

impl NotationOptions {
    fn notation(&self) -> Notation {
        let version = match (self.v1, self.v2) {
            (true, _) => Some(1),
            (_, true) => Some(2),
            _ => None,
        };
        Notation { version, ignore_unmappable: self.ignore_unmappable }
    }
}

impl CommonSet {
    fn request(self, notation: Notation) -> Result<Request, Fault> {
        if self.rule.is_empty() && self.copy_from.is_none() {
            return Err(Fault::usage("a parameter is missing: -r NAME=VALUE or --copy-from PATH"));
        }
        let paths = self.paths.iter().map(|path| Existing::of_mount(path)).collect::<Result<_, _>>()?;
        let copy_from = self.copy_from.as_deref().map(Existing::of_mount).transpose()?;
        Ok(Request::Set(set::Set { assignments: self.rule, copy_from, recursive: self.recursive, paths, notation }))
    }
}

impl Line for Set {
    fn request(self) -> Result<Request, Fault> {
        self.common.request(Notation::default())
    }
}

impl Line for XSet {
    fn request(self) -> Result<Request, Fault> {
        self.common.request(self.notation.notation())
    }
}

/// Print parameters of cgroups; cgexec-rs, called by the name cgget
#[derive(Debug, Parser)]
#[command(name = "cgget", display_name = "cgexec-rs", version)]
pub(super) struct Get {
    #[command(flatten)]
    common: CommonGet,
}

/// Print parameters of cgroups, in the notation of v1 or v2; cgexec-rs, called by the name cgxget
#[derive(Debug, Parser)]
#[command(name = "cgxget", display_name = "cgexec-rs", version)]
pub(super) struct XGet {
    #[command(flatten)]
    notation: NotationOptions,
    #[command(flatten)]
    common: CommonGet,
}

#[derive(Debug, clap::Args)]
struct CommonGet {
    /// Parameter to print (repeatable)
    #[arg(short = 'r', long = "variable", value_name = "NAME", conflicts_with_all = ["group", "all"])]
    variable: Vec<String>,
    /// Controllers whose parameters are printed, for the PATHs; or one group: CONTROLLERS:PATH (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS[:PATH]")]
    group: Vec<OsString>,
    /// Print the parameters of all controllers
    #[arg(short = 'a', long)]
    all: bool,
    /// Print no line with the group's path
    #[arg(short = 'n')]
    no_headers: bool,
    /// Print values without names
    #[arg(short = 'v', long)]
    values_only: bool,
    /// Print which versions of cgroups this machine has
    #[arg(short = 'm', conflicts_with_all = ["variable", "group", "all"])]
    mode: bool,
    /// Print each controller with its version
    #[arg(short = 'c', conflicts_with_all = ["variable", "group", "all", "mode"])]
    versions: bool,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Cgroups
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

impl CommonGet {
    fn request(self, notation: Notation) -> Result<Request, Fault> {
        let wanted = match () {
            () if self.mode => Wanted::Mode,
            () if self.versions => Wanted::Versions,
            () => Wanted::Parameters(get::groups(&self.paths, &self.group, &self.variable)?),
        };
        let style = get::Style { headers: !self.no_headers, names: !self.values_only };
        Ok(Request::Get(get::Get { wanted, style, notation }))
    }
}

impl Line for Get {
    fn request(self) -> Result<Request, Fault> {
        self.common.request(Notation::default())
    }
}

impl Line for XGet {
    fn request(self) -> Result<Request, Fault> {
        self.common.request(self.notation.notation())
    }
}

/// Move running processes into cgroups; cgexec-rs, called by the name cgclassify
#[derive(Debug, Parser)]
#[command(name = "cgclassify", display_name = "cgexec-rs", version)]
pub(super) struct Classify {
    /// Cgroup to move them to (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS:PATH", required = true)]
    group: Vec<OsString>,
    /// Accepted; it concerns the daemon cgrulesengd
    #[arg(long)]
    _sticky: bool,
    /// Accepted; it concerns the daemon cgrulesengd
    #[arg(long)]
    _cancel_sticky: bool,
    /// End the idle process that keeps a scope of cgcreate -c alive
    #[arg(short = 'r')]
    replace_idle: bool,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Processes
    #[arg(value_name = "PID")]
    pids: Vec<String>,
}

impl Line for Classify {
    fn request(self) -> Result<Request, Fault> {
        let Classify { replace_idle, pids, .. } = self;
        Ok(Request::Classify(classify::Classify { groups: required(&self.group)?, replace_idle, pids }))
    }
}

/// Remove cgroups; on v1 their processes move to the group above; cgexec-rs, called by the name cgdelete
#[derive(Debug, Parser)]
#[command(name = "cgdelete", display_name = "cgexec-rs", version)]
pub(super) struct Delete {
    /// Cgroup to remove (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS:PATH")]
    group: Vec<OsString>,
    /// Remove the groups in it, too
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Cgroups, as with -g
    #[arg(value_name = "CONTROLLERS:PATH")]
    more: Vec<OsString>,
}

impl Line for Delete {
    fn request(mut self) -> Result<Request, Fault> {
        self.group.append(&mut self.more);
        Ok(Request::Delete(delete::Delete { groups: required(&self.group)?, recursive: self.recursive }))
    }
}

/// List cgroups; cgexec-rs, called by the name lscgroup
#[derive(Debug, Parser)]
#[command(name = "lscgroup", display_name = "cgexec-rs", version)]
pub(super) struct ListGroups {
    /// Cgroup to begin with (repeatable); default: all
    #[arg(short = 'g', long = "group", value_name = "CONTROLLERS:PATH")]
    group: Vec<OsString>,
    /// Accepted; there is no default scope
    #[arg(short = 'b')]
    _ignore_default: bool,
    /// Cgroups, as with -g
    #[arg(value_name = "CONTROLLERS:PATH")]
    more: Vec<OsString>,
}

impl Line for ListGroups {
    fn request(mut self) -> Result<Request, Fault> {
        self.group.append(&mut self.more);
        let groups = self.group.iter().map(|word| Existing::parse(word)).collect::<Result<_, _>>()?;
        Ok(Request::ListGroups(groups))
    }
}

/// List controllers and where they are mounted; cgexec-rs, called by the name lssubsys
#[derive(Debug, Parser)]
#[command(name = "lssubsys", display_name = "cgexec-rs", version)]
pub(super) struct ListControllers {
    /// List controllers that are not mounted, too
    #[arg(short = 'a', long)]
    all: bool,
    /// Print the number of the hierarchy
    #[arg(short = 'i', long)]
    hierarchies: bool,
    /// Print the first mount point
    #[arg(short = 'm', long)]
    mount_points: bool,
    /// Print all mount points
    #[arg(short = 'M', long)]
    all_mount_points: bool,
    /// Controllers; default: all that are mounted
    #[arg(value_name = "CONTROLLER")]
    controllers: Vec<String>,
}

impl Line for ListControllers {
    fn request(self) -> Result<Request, Fault> {
        let ListControllers { all, hierarchies, mount_points, all_mount_points, controllers } = self;
        let mounts = match (all_mount_points, mount_points) {
            (true, _) => list::Mounts::All,
            (false, true) => list::Mounts::First,
            (false, false) => list::Mounts::None,
        };
        Ok(Request::ListControllers(list::Controllers { all, numbers: hierarchies, mounts, named: controllers }))
    }
}

/// Print the cgroups of this machine as a cgconfig.conf(5); cgexec-rs, called by the name cgsnapshot
#[derive(Debug, Parser)]
#[command(name = "cgsnapshot", display_name = "cgexec-rs", version)]
pub(super) struct Snapshot {
    /// File with the names of parameters that are left out, one a line
    #[arg(short = 'b', long = "denylist", alias = "blacklist", value_name = "FILE")]
    deny: Option<std::path::PathBuf>,
    /// File with the names of parameters that are printed, one a line
    #[arg(short = 'w', long = "allowlist", alias = "whitelist", value_name = "FILE")]
    allow: Option<std::path::PathBuf>,
    /// Write to FILE instead of stdout
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// Print no warnings
    #[arg(short = 's', long)]
    silent: bool,
    /// Leave out what the file of -w does not name
    #[arg(short = 't', long, requires = "allow")]
    strict: bool,
    /// Controllers; default: all
    #[arg(value_name = "CONTROLLER")]
    controllers: Vec<String>,
}

impl Line for Snapshot {
    fn request(self) -> Result<Request, Fault> {
        let Snapshot { deny, allow, file, silent, strict, controllers } = self;
        Ok(Request::Snapshot(snapshot::Snapshot { deny, allow, file, silent, strict, controllers }))
    }
}

/// Reads the values of `-g`, of which there must be one: rules of cgrules.conf(5), which apply otherwise, are not read.
fn required(words: &[OsString]) -> Result<Vec<Existing>, Fault> {
    if words.is_empty() {
        return Err(Fault::usage("a cgroup is missing: -g CONTROLLERS:PATH (the rules of cgrules.conf are not read)"));
    }
    words.iter().map(|word| Existing::parse(word)).collect()
}
