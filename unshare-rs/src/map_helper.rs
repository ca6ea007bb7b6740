//! Writing id maps of another process from outside: directly as root, otherwise with the set-user-ID programs
//! `newuidmap(1)` and `newgidmap(1)`, which let a user map the subordinate ids of /etc/subuid.
//!
//! They are run by absolute paths below directories that only root can write to, never from PATH: the program that runs
//! decides which ids the new namespace has.

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::execve;
use plumbing::kernel::{Cloned, call, exit_now, fork};
use plumbing::process::chain;
use plumbing::process::forward::wait_for;
use plumbing::{Fault, Status, narrate};

use crate::id_map::{self, Extent};
use crate::map_refusal;
use crate::mapping::{self, Maps, Sort};

/// The directories where the helpers may be. NixOS keeps set-user-ID programs in /run/wrappers.
const PLACES: [&str; 5] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"];

/// Writes the maps of process `pid` that must be written from outside.
pub(crate) fn write(pid: i32, maps: &Maps) -> Result<(), Fault> {
    let is_root = nix::unistd::geteuid().is_root();
    maps.outside.iter().try_for_each(|(sort, map)| {
        if is_root { write_directly(pid, *sort, map) } else { write_by_helper(pid, *sort, map) }
    })
}

fn write_directly(pid: i32, sort: Sort, map: &[Extent]) -> Result<(), Fault> {
    let path = format!("/proc/{pid}/{}", sort.file());
    let why = "written from outside, where we have the right to map all these ids; user_namespaces(7)";
    mapping::write(&path, &id_map::text(map)?, why).map_err(|fault| map_refusal::explain_outside(fault, sort, map))
}

fn write_by_helper(pid: i32, sort: Sort, map: &[Extent]) -> Result<(), Fault> {
    let name = helper(sort);
    let place = PLACES.iter().map(|place| format!("{place}/{name}")).find(|path| Path::new(path).exists());
    let Some(path) = place else {
        return Err(Fault::new(format!("cannot map ids: there is no {name} in {}", PLACES.join(", "))).with_remedy(
            format!(
                "install {name} (package uidmap on Debian, else shadow-utils), which lets a user map subordinate ids"
            ),
        ));
    };
    let mut words = vec![name.to_owned(), pid.to_string()];
    words.extend(map.iter().flat_map(|line| [line.inner, line.outer, line.count]).map(|number| number.to_string()));
    let why = "a process for the helper; newuidmap(1)";
    match fork(format!("run {name}"), why)? {
        Cloned::Child => match run(&path, &words) {
            Ok(()) => Ok(()),
            Err(fault) => exit_now(fault.report(narrate::tool())),
        },
        Cloned::Parent { pid, .. } => wait(pid, &path, &words),
    }
}

fn helper(sort: Sort) -> &'static str {
    if sort == Sort::Users { "newuidmap" } else { "newgidmap" }
}

/// Executes the helper with an empty environment: it is privileged, and our environment comes from the user. Returns
/// only in a dry run or after an error.
fn run(path: &str, words: &[String]) -> Result<(), Fault> {
    let text = chain::execve_text(path, words);
    let why = "it checks the ranges against /etc/subuid or /etc/subgid, and writes the map; newuidmap(1)";
    call(format!("run {path}"), text, why, || {
        let c_string = |word: &str| CString::new(word).map_err(|_| Errno::EINVAL);
        let argv: Vec<CString> = words.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?;
        execve::<_, CString>(&c_string(path)?, &argv, &[]).map(|_| ())
    })
}

fn wait(pid: i32, path: &str, words: &[String]) -> Result<(), Fault> {
    let goal = format!("map ids: {path} {}", words[1..].join(" "));
    match wait_for(pid)? {
        Status::SUCCESS => Ok(()),
        Status(number) => {
            Err(map_refusal::explain_helper(Fault::new(format!("cannot {goal}: it ended with status {number}"))))
        }
    }
}
