//! The tools of libcgroup, for callers that know their names: called `cgcreate` through a link, cgexec-rs reads the line as
//! cgcreate does, and exits with its statuses. `cgexec(1)`, `cgcreate(1)`, `cgset(1)`, `cgget(1)`, `cgclassify(1)`,
//! `cgdelete(1)`, `lscgroup(1)`, `lssubsys(1)`, `cgsnapshot(1)`.
//!
//! The surprise: libcgroup's statuses are its error numbers modulo 256: 82 is 50002, a missing group. What it passes over
//! with status 0, such as an unknown user, is an error here.

mod classify;
mod convert;
mod create;
mod delete;
mod get;
mod list;
mod options;
mod rules;
mod set;
mod snapshot;
mod spec;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::options::{Narration, parse_matches};
use plumbing::process::chain;
use plumbing::process::startup::Parsed;
use plumbing::{Fault, Status};

use crate::existing::{self, Existing};
use crate::membership;
use crate::plan::{Action, Plan};
use options::Tool;

/// What a command line of libcgroup asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Exec { groups: Vec<Existing>, replace_idle: bool, command: Vec<OsString> },
    Create(create::Create),
    Set(set::Set),
    Get(get::Get),
    Classify(classify::Classify),
    Delete(delete::Delete),
    ListGroups(Vec<Existing>),
    ListControllers(list::Controllers),
    Snapshot(snapshot::Snapshot),
}

/// `EXIT_BADARGS`: the status of a command line that is not understood.
const BAD_ARGUMENTS: Status = Status(129);
/// Modulo 256: a group that does not exist, `ECGROUPNOTEXIST`.
const NO_GROUP: Status = Status(82);
/// A controller in no mounted hierarchy, `ECGROUPSUBSYSNOTMOUNTED`.
const NOT_MOUNTED: Status = Status(84);
/// No permission, `ECGROUPNOTALLOWED`.
const NOT_ALLOWED: Status = Status(87);
/// A value that is not accepted, `ECGINVAL`.
const INVALID: Status = Status(91);
/// A file that the group does not have, `ECGROUPVALUENOTEXIST`.
const NO_VALUE: Status = Status(95);
/// Any other refusal of the kernel, `ECGOTHER`.
const OTHER: Status = Status(96);
/// A parameter without a counterpart in the other version, `ECGNOVERSIONCONVERT`.
const NO_CONVERSION: Status = Status(111);
/// A command that cannot be executed: libcgroup returns -1.
const NOT_EXECUTED: Status = Status(255);

/// Parses a command line whose first word is the name of one of the tools; `None` for every other name. Pure.
pub(crate) fn parse(argv: &[OsString]) -> Option<Result<Parsed<Plan>, Fault>> {
    let name = Path::new(argv.first()?).file_name().and_then(OsStr::to_str)?;
    let tool = Tool::named(name)?;
    let read = parse_matches(tool.command(), argv);
    let plan = |request| Plan { narration: Narration::default(), action: Action::Libcgroup(Box::new(request)) };
    let parsed = read.and_then(|parsed| parsed.and_then(|matches| tool.request(matches).map(plan)));
    Some(parsed.map_err(|fault| fault.with_status(BAD_ARGUMENTS)))
}

impl Request {
    /// Does what the line asks for.
    pub(crate) fn apply(&self) -> Result<Status, Fault> {
        let done = match self {
            Request::Exec { groups, replace_idle, command } => return exec(groups, *replace_idle, command),
            Request::Create(create) => create.apply(),
            Request::Set(set) => set.apply(),
            Request::Get(get) => return get.apply().map_err(with_status),
            Request::Classify(classify) => return classify.apply().map_err(with_status),
            Request::Delete(delete) => return delete.apply().map_err(with_status),
            Request::ListGroups(groups) => return list::groups(groups).map_err(with_status),
            Request::ListControllers(controllers) => return controllers.print().map_err(with_status),
            Request::Snapshot(snapshot) => return snapshot.apply().map_err(with_status),
        };
        done.map(|()| Status::SUCCESS).map_err(with_status)
    }
}

fn exec(groups: &[Existing], replace_idle: bool, command: &[OsString]) -> Result<Status, Fault> {
    let members = if groups.is_empty() {
        rules::groups(&ourselves(command))?
    } else {
        existing::open(groups, &Hierarchies::discover()?).map_err(with_status)?
    };
    membership::join_all(&members).map_err(with_status)?;
    if replace_idle {
        classify::end_idle_process(&members).map_err(with_status)?;
    }
    chain::exec(command).map_err(|fault| fault.with_status(NOT_EXECUTED))
}

/// Describes this process as the command that it will be.
fn ourselves(command: &[OsString]) -> rules::Process {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let names = command.first().map(|program| rules::names(program.as_bytes())).unwrap_or_default();
    rules::Process { uid, gid, pid: rustix::process::getpid().as_raw_nonzero().get(), names }
}

/// Gives a fault the status that libcgroup has for its cause, unless it has one of its own.
fn with_status(fault: Fault) -> Fault {
    if fault.status() != Status::OURS {
        return fault;
    }
    let status = match fault.errno() {
        Some(Errno::ENOENT) => NO_GROUP,
        Some(Errno::EACCES | Errno::EPERM) => NOT_ALLOWED,
        Some(_) => OTHER,
        None => NOT_MOUNTED,
    };
    fault.with_status(status)
}
