//! `doctor`: why a network namespace does not reach others: what is missing or wrong inside and on our side of its cables,
//! each with the command that mends it. `ip-link(8)`, `ip-route(8)`, `nft(8)`.
//!
//! Reads only, and sends nothing: a gateway that was never asked for is not known to be silent. The surprise: a container
//! may be cut off although all of its own settings are right, by a chain of a firewall or a setting on the host.

mod firewall;
mod inside;
mod name_servers;
mod outside;
mod text;

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use plumbing::process::namespace::Kind;
use plumbing::process::startup;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, Status, json, narrate};
use serde::Serialize;

use crate::netlink::Netlink;
use crate::subject::{Opened, Subject};
use crate::{cni, namespace, nsid, see};

/// The status if something was found.
const FOUND: Status = Status(1);
/// The most findings that are printed: a container decides how many interfaces it has.
const MOST: usize = 64;

/// What is missing or wrong, and the command that mends it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was examined: `link`, `address`, `route`…
    check: &'static str,
    /// What was found.
    problem: String,
    /// The words of the command; those in capital letters have to be chosen.
    #[serde(serialize_with = "text::line")]
    fix: Vec<String>,
}

/// What is printed as JSON.
#[derive(Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
    /// What could not be examined, and why.
    unexamined: Vec<String>,
}

impl Report {
    /// Adds a finding. The fix is a command: `before`, which is quoted already, and these words.
    fn add(&mut self, check: &'static str, problem: String, before: &[String], words: &[&str]) {
        let mut fix = before.to_vec();
        fix.extend(words.iter().map(|word| text::quoted(word)));
        self.findings.push(Finding { check, problem, fix });
    }

    /// Adds a finding that takes several commands.
    fn add_all(&mut self, check: &'static str, problem: String, commands: &[Vec<&str>]) {
        let quoted = |words: &Vec<&str>| words.iter().map(|word| text::quoted(word)).collect::<Vec<_>>();
        let fix = commands.iter().map(quoted).collect::<Vec<_>>().join(&";".to_owned());
        self.findings.push(Finding { check, problem, fix });
    }

    /// Notes that a part could not be read; the others are examined nevertheless.
    fn note(&mut self, part: &str, outcome: Result<(), Fault>) -> Result<(), Fault> {
        match outcome {
            Err(fault) if matches!(fault.errno(), Some(Errno::EPERM | Errno::EACCES)) => {
                self.unexamined.push(format!("{part}: {fault}"));
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Prints what is missing or wrong in a network namespace, and on our side of its cables.
pub fn run(subject: &Subject, as_json: bool) -> Result<Status, Fault> {
    let mut report = Report::default();
    match subject {
        Subject::Name(name) if name.exists() && name.refusal().is_none() && name.is_stale() => {
            let problem = format!("{} is stale: no network namespace is mounted on it", name.shown());
            report.add("name", problem, &[], &["netns-rs", "delete", &name.as_os_str().to_string_lossy()]);
        }
        _ => examine(subject, &mut report)?,
    }
    if narrate::is_dry_run() {
        return Ok(Status::SUCCESS);
    }
    let left_out = report.findings.len().saturating_sub(MOST);
    report.findings.truncate(MOST);
    if left_out > 0 {
        report.unexamined.push(format!("and {left_out} more findings"));
    }
    startup::print(&if as_json { json::line("what was found", &report)? } else { text::of(&report) })?;
    Ok(if report.findings.is_empty() { Status::SUCCESS } else { FOUND })
}

fn examine(subject: &Subject, report: &mut Report) -> Result<(), Fault> {
    let Opened { namespace: inspected, whose, target, .. } = subject.open()?;
    let near = Netlink::route()?;
    let is_own = namespace::is_same(inspected.as_fd(), namespace::own()?.as_fd())?;
    let facts = if is_own {
        Some(inside::read(&near)?)
    } else {
        see::from_inside(inspected.as_fd(), &whose, target.as_ref(), inside::read)?
    };
    let Some(facts) = facts else { return Ok(()) };
    let there = entering(subject, target.as_ref(), is_own)?;
    let id = if is_own { None } else { nsid::of(&near, inspected.as_fd())? };
    let cables = if is_own { Vec::new() } else { outside::cables(&near, &facts, id)? };
    inside::check(&facts, &cables, &there, report);
    outside::check(&near, &facts, &cables, &there, report)?;
    report_plugins(inspected.as_fd(), subject, report)?;
    name_servers::check(subject, target.as_ref(), &facts, report)
}

/// Lets the CNI plugins that connected the namespace examine it.
fn report_plugins(container: BorrowedFd<'_>, subject: &Subject, report: &mut Report) -> Result<(), Fault> {
    let name = match subject {
        Subject::Name(name) => name.as_os_str().to_string_lossy().into_owned(),
        Subject::Process(pid) => format!("pid:{pid}"),
        Subject::File(path) => path.to_string_lossy().into_owned(),
        Subject::Own => return Ok(()),
    };
    for cni::Problems { network, interface, wrong, failed } in cni::problems(container)? {
        report.unexamined.extend(failed.iter().map(ToString::to_string));
        for fault in wrong {
            let end = vec!["netns-rs", "disconnect", &name, "--interface", &interface];
            let again = vec!["netns-rs", "connect", &name, "--interface", &interface, "--cni", &network];
            report.add_all("cni", format!("{interface}: {fault}"), &[end, again]);
        }
    }
    Ok(())
}

/// Returns the beginning of a command in that namespace.
fn entering(subject: &Subject, target: Option<&Target>, is_own: bool) -> Result<Vec<String>, Fault> {
    let words = |words: &[&str]| words.iter().map(|word| text::quoted(word)).collect();
    Ok(match (subject, target) {
        _ if is_own => Vec::new(),
        (_, Some(target)) => {
            let pid = target.pid().to_string();
            let is_foreign = target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User);
            let user: &[&str] = if is_foreign { &["--user"] } else { &[] };
            words(&[&["nsenter-rs", "--target", &pid], user, &["--net", "--"]].concat())
        }
        (Subject::Name(name), None) => words(&["netns-rs", "exec", &name.as_os_str().to_string_lossy()]),
        (Subject::File(path), None) => words(&["nsenter-rs", &format!("--net={}", path.to_string_lossy()), "--"]),
        (Subject::Own | Subject::Process(_), None) => Vec::new(),
    })
}
