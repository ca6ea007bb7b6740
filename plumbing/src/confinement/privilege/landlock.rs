//! Landlock: which files, ports, signals and sockets a process can reach, whatever the permissions say. `landlock(7)`.
//!
//! The rules are made first, while we may still open the paths, and come into force last. What was opened before stays
//! usable. The surprise: what the kernel does not know yet is not restricted. So what was asked for by name and is not
//! known is an error, or left out and reported (`--landlock-try`), and what Landlock overlooks is refused by a filter.

mod filter;
mod place;
mod rights;
mod ruleset;

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{FileType, fstat};
use rustix::thread::CapabilitySet;

use crate::Fault;
use crate::confinement::seccomp::Seccomp;
use crate::kernel::{self, Pretend, call, look};
use crate::narrate;
use crate::pipeline::record::Landlock;
use crate::text::Text;
use filter::Gaps;
use rights::{BIND_TCP, BIND_UDP, CONNECT_SEND_UDP, CONNECT_TCP, OF_FILES, Right, SIGNAL};
use ruleset::Wanted;

/// Rules that are not in force yet.
pub(super) struct Ruleset {
    fd: OwnedFd,
    filter: Option<Seccomp>,
}

/// Checks the words of a rule for files: `ro`, or `read_file,read_dir`.
pub fn rights_of(words: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = words.split(',').map(str::to_owned).collect();
    words.iter().try_for_each(|word| rights::of_word(word).map(drop))?;
    Ok(words)
}

/// Checks a list of scopes: `signal,abstract_unix_socket`, or `all`.
pub fn scopes_of(words: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = words.split(',').map(str::to_owned).collect();
    words.iter().try_for_each(|word| rights::of_scope(word).map(drop))?;
    Ok(words)
}

/// Returns the lists of ports with the right that each list grants.
fn ports(landlock: &Landlock) -> [(Right, Option<&Vec<u16>>); 4] {
    [
        (BIND_TCP, landlock.bind_tcp.as_ref()),
        (CONNECT_TCP, landlock.connect_tcp.as_ref()),
        (BIND_UDP, landlock.bind_udp.as_ref()),
        (CONNECT_SEND_UDP, landlock.connect_send_udp.as_ref()),
    ]
}

impl Landlock {
    /// Makes the rules; `None` if this kernel can keep none of them, and that was permitted.
    pub(super) fn rules(&self) -> Result<Option<Ruleset>, Fault> {
        let version = look("use Landlock", "landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)", || {
            kernel::landlock_version()
        });
        let version = match version {
            Err(fault) if self.tries && matches!(fault.errno(), Some(Errno::ENOSYS | Errno::EOPNOTSUPP)) => {
                narrate::remark(format!("Landlock is left out, nothing is restricted by it: {fault}"));
                return Ok(None);
            }
            version => version.map_err(explain)?,
        };
        let wanted = Wanted::of(self, version).map_err(|wrong| Fault::new(format!("cannot use Landlock: {wrong}")))?;
        if !wanted.unknown.is_empty() {
            self.report(&wanted.unknown)?;
        }
        if wanted.is_empty() { Ok(None) } else { Ruleset::make(&wanted, self.follow_links).map(Some) }
    }

    /// Reports what this kernel does not know, or refuses it.
    fn report(&self, unknown: &[Right]) -> Result<(), Fault> {
        let names = unknown.iter().map(|right| right.shown()).collect::<Vec<_>>().join(", ");
        if self.tries {
            narrate::remark(format!("left out, because Landlock of this kernel does not know it: {names}"));
            Ok(())
        } else {
            let wrong = format!("cannot use Landlock: Landlock of this kernel does not know {names}");
            Err(Fault::new(wrong).with_remedy("use a kernel of that version, or leave it out by --landlock-try"))
        }
    }
}

impl Ruleset {
    fn make(wanted: &Wanted, follow_links: bool) -> Result<Ruleset, Fault> {
        let Wanted { files, ports, scoped, .. } = *wanted;
        let text = format!(
            "landlock_create_ruleset({{handled_access_fs={files:#x}, handled_access_net={ports:#x}, scoped={scoped:#x}}}, 24, 0)"
        );
        let fd = call("use Landlock", text, "everything that no rule allows is refused; landlock(7)", || {
            kernel::landlock_create_ruleset([files, ports, scoped])
        })?;
        for (path, access) in &wanted.below {
            allow(&fd, path, follow_links, *access, files)?;
        }
        wanted.at_ports.iter().try_for_each(|(port, access)| allow_port(&fd, *port, *access))?;
        let (past_tcp, past_udp) = wanted.restricts_ports();
        // A ruleset about files that does not know how to restrict truncating.
        let truncating = files & 1 != 0 && files & 1 << 14 == 0;
        let past_signal = scoped & SIGNAL.bit != 0;
        Ok(Ruleset { fd, filter: Gaps { truncating, past_tcp, past_udp, past_signal }.filter()? })
    }

    pub(super) fn enforce(self) -> Result<(), Fault> {
        let why = "from here on only what the rules allow is possible; landlock(7)";
        call("restrict the command by Landlock", "landlock_restrict_self(ruleset, 0)", why, || {
            kernel::landlock_restrict_self(&self.fd)
        })
        .map_err(explain)?;
        self.filter.map_or(Ok(()), |filter| filter.enforce(|_| CapabilitySet::empty(), false))
    }
}

fn allow(ruleset: &OwnedFd, path: &Text, follow_links: bool, access: u64, all: u64) -> Result<(), Fault> {
    let shown = path.shown();
    let goal = format!("allow access below {shown}");
    let target = if narrate::is_dry_run() {
        // It may be in a root that a dry run did not make.
        OwnedFd::pretend()?
    } else {
        place::open(&goal, path, follow_links)?
    };
    let stat = look(&goal, "fstat(path)", || fstat(&target))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let why = if access == all { "everything is allowed" } else { "only these rights are allowed" };
    let access = if is_directory { access } else { access & OF_FILES };
    if access == 0 {
        return Err(Fault::new(format!(
            "cannot {goal}: it is no directory, and the rule has only rights of directories"
        )));
    }
    let text = format!(
        "landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, {{parent_fd=root:{shown}, allowed_access={access:#x}}}, 0)"
    );
    call(goal, text, why, || kernel::landlock_add_path(ruleset, &target, access))
}

fn allow_port(ruleset: &OwnedFd, port: u16, access: u64) -> Result<(), Fault> {
    let text =
        format!("landlock_add_rule(ruleset, LANDLOCK_RULE_NET_PORT, {{allowed_access={access:#x}, port={port}}}, 0)");
    call(format!("allow port {port}"), text, "this port may be used", || {
        kernel::landlock_add_port(ruleset, port, access)
    })
}

fn explain(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EOPNOTSUPP) => {
            fault.with_remedy("this kernel has Landlock, but did not start with it: add landlock to its option lsm=")
        }
        Some(Errno::EPERM) if !rustix::thread::no_new_privs().unwrap_or(true) => fault.with_remedy(
            "CAP_SYS_ADMIN is missing here, and without it Landlock needs no_new_privs: add --no-new-privs",
        ),
        _ => fault,
    }
}
