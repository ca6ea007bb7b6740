//! Whether the name servers of a network namespace can be reached: its resolv.conf, and the routes to them.
//! `resolv.conf(5)`.
//!
//! The surprise: 127.0.0.53, as systemd-resolved writes it, is another loopback inside than on the host.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use plumbing::command_line::regular;
use plumbing::process::target::Target;
use plumbing::process::{errand, kernel_text, resolv_conf};
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

use super::Report;
use super::inside::made;
use crate::listing;
use crate::see::Seen;
use crate::subject::Subject;

const FILE: &str = "/etc/resolv.conf";
/// The longest resolv.conf that is read.
const LONGEST: u64 = 1 << 16;

/// Checks the name servers that processes there use.
pub fn check(subject: &Subject, target: Option<&Target>, facts: &Seen, report: &mut Report) -> Result<(), Fault> {
    // Without an interface there is nothing to ask.
    if narrate::is_dry_run() || made(facts).is_empty() {
        return Ok(());
    }
    let named = match subject {
        Subject::Name(name) => Path::new("/etc/netns").join(name.as_os_str()).join("resolv.conf"),
        _ => PathBuf::from(FILE),
    };
    let text = match (target, subject) {
        (Some(target), _) => of_process(target),
        (None, Subject::File(_)) => return Ok(()),
        (None, _) => of_name(&named),
    };
    let text = match text {
        Ok(text) => text,
        Err(fault) => {
            report.unexamined.push(format!("{FILE} cannot be used {fault}").trim_end().to_owned());
            return Ok(());
        }
    };
    let servers: Vec<IpAddr> = resolv_conf::servers(text.as_bytes()).collect();
    let problem = if servers.iter().all(|ip| resolv_conf::is_own(*ip)) {
        let first = servers.first().map_or("no name server is given, so 127.0.0.1 is asked".to_owned(), |ip| {
            format!("the name server is {ip}")
        });
        (!listens(subject, target)?).then(|| format!("{first}, and no process listens there"))
    } else {
        // Without any default route the finding is that.
        let has_way = |ip: &IpAddr| {
            facts.defaults.iter().any(|(_, gateway)| gateway.ip.is_ipv4() == ip.is_ipv4())
                || facts.addresses.iter().any(|(_, own)| own.reaches(*ip))
        };
        let is_lost = !facts.defaults.is_empty() && !servers.iter().any(has_way);
        servers.first().filter(|_| is_lost).map(|ip| format!("no route leads to the name server {ip}"))
    };
    if let Some(problem) = problem {
        mend(target, &named, problem, report);
    }
    Ok(())
}

fn mend(target: Option<&Target>, named: &Path, problem: String, report: &mut Report) {
    let script = |path: &str| format!("echo nameserver ADDRESS >{path}");
    match target {
        Some(target) => {
            let pid = target.pid().to_string();
            report.add(
                "dns",
                problem,
                &[],
                // The shell is the container's: it must not get more rights than the container has.
                &["nsenter-rs", "--target", &pid, "--all", "--like-target", "--", "sh", "-c", &script(FILE)],
            );
        }
        None => {
            let directory = named.parent().unwrap_or(named).to_string_lossy();
            let write = vec!["echo", "nameserver", "ADDRESS"];
            report.add_all("dns", problem, &[vec!["mkdir", "-p", &directory], write]);
            let to = format!(">{}", super::text::quoted(&named.to_string_lossy()));
            report.findings.iter_mut().last().into_iter().for_each(|finding| finding.fix.push(to.clone()));
        }
    }
}

/// Reads the file that `exec --etc` would mount over that of the host, or that of the host.
fn of_name(named: &Path) -> Result<String, Fault> {
    let text = match regular::read(named, LONGEST)? {
        None => regular::read(Path::new(FILE), LONGEST)?,
        found => found,
    };
    Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
}

/// Reads the file in the root of a process. By a child, since the file may be on a file system that never answers.
fn of_process(target: &Target) -> Result<String, Fault> {
    let goal = format!("read {FILE} of process {}", target.pid());
    errand::run(&goal, "a child: what it reads may never answer", || match read_inside(target) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Fault::new(format!("cannot {goal}: {error}"))),
    })
}

fn read_inside(target: &Target) -> Result<Vec<u8>, std::io::Error> {
    use std::io::{Error, Read};
    let root: OwnedFd =
        openat(target.dir(), "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // First only a name of it: to open a device may do something.
    let place = openat2(root.as_fd(), "etc/resolv.conf", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(fstat(&place)?.st_mode) != FileType::RegularFile {
        return Err(Error::other("it is not a regular file"));
    }
    let file = openat(CWD, format!("/proc/self/fd/{}", place.as_raw_fd()), flags, Mode::empty())?;
    let mut text = Vec::new();
    std::fs::File::from(file).take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Returns whether a process there receives what is sent to port 53.
fn listens(subject: &Subject, target: Option<&Target>) -> Result<bool, Fault> {
    let pid = match (subject, target) {
        (_, Some(target)) => target.pid(),
        (Subject::Name(name), None) => match listing::processes(name)?.first() {
            Some(process) => process.pid,
            None => return Ok(false),
        },
        _ => std::process::id().cast_signed(),
    };
    let table = |name: &str| kernel_text::read(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let is_port = |line: &str| line.split_ascii_whitespace().nth(1).is_some_and(|local| local.ends_with(":0035"));
    Ok(["udp", "udp6"].map(table).iter().any(|text| text.lines().any(is_port)))
}
