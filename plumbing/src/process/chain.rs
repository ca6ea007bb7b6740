//! Executing the rest of the command line; the only place that chooses between 126 and 127. `execve(2)`.
//!
//! The search through PATH is our own, not that of execvp(3): it must use the environment that the command gets, and it
//! can distinguish a missing program from a missing interpreter.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::unistd::execve;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::fault::IntoErrno;
use crate::process::environment::Environment;
use crate::process::inherited;
use crate::{Fault, Status, narrate};

/// The path that execvp(3) searches if PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Executes `command` with the inherited environment. Returns only with a fault, or in a dry run.
pub fn exec(command: &[OsString]) -> Result<Status, Fault> {
    exec_with(command, &Environment::inherited())
}

/// Executes `command` with this environment, found through the PATH of that environment.
pub fn exec_with(command: &[OsString], environment: &Environment) -> Result<Status, Fault> {
    match command.first() {
        Some(program) => exec_program(program, command, environment),
        None => Err(Fault::usage("a command is missing")),
    }
}

/// Executes `program` like [`exec_with`]; the first word of `command` is only the name that the program sees: `-sh` for
/// a login shell.
pub fn exec_program(program: &OsStr, command: &[OsString], environment: &Environment) -> Result<Status, Fault> {
    let argv = c_strings(command)?;
    let entries = environment.entries();
    if narrate::is_dry_run() {
        // Not searched in another root: a root that a dry run did not make has nothing in it.
        let found = candidates(program, environment).into_iter().find(|candidate| candidate.exists());
        let path = found.as_ref().map_or(program, |found| found.as_os_str());
        narrate_exec(path, command, environment);
        return Ok(Status::SUCCESS);
    }
    inherited::hand_on();
    let is_searched = !program.as_bytes().contains(&b'/');
    let mut refused = Errno::ENOENT;
    for candidate in candidates(program, environment) {
        // Narrating only files that exist keeps the narration to the calls that matter; a failed one changes nothing.
        if narrate::is_on() && is_searched && !candidate.exists() {
            let is_closed = candidate.try_exists().is_err_and(|error| error.into_errno() == Errno::EACCES);
            refused = if is_closed { Errno::EACCES } else { refused };
            continue;
        }
        let path = c_string(candidate.as_os_str())?;
        narrate_exec(candidate.as_os_str(), command, environment);
        let Err(errno) = execve(&path, &argv, entries);
        match errno {
            Errno::ENOEXEC => return run_by_shell(&path, &argv, entries, program),
            // As in execvp(3): a candidate that cannot be run does not hide a later one that can.
            Errno::EACCES => refused = Errno::EACCES,
            Errno::ENOENT => {}
            Errno::ENOTDIR | Errno::ELOOP | Errno::ESTALE if is_searched => {}
            other => return Err(not_run(program, other)),
        }
    }
    if refused == Errno::ENOENT && candidates(program, environment).iter().any(|candidate| candidate.exists()) {
        Err(no_interpreter(program))
    } else {
        Err(refusal(program, environment, refused))
    }
}

/// Fails as executing `program` would fail if it is missing or not executable: before a caller is informed that all is set
/// up, and waits. What only execve(2) shows, such as a missing interpreter, is found later. `faccessat(2)`.
pub fn require_program(program: &OsStr, environment: &Environment) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let mut refused = Errno::ENOENT;
    for candidate in candidates(program, environment) {
        match accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::EACCESS).map_err(IntoErrno::into_errno) {
            Ok(()) if candidate.is_dir() => refused = Errno::EACCES,
            Err(Errno::EACCES) => refused = Errno::EACCES,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            // Also if the kernel lacks the call: execve(2) will show what is wrong.
            _ => return Ok(()),
        }
    }
    Err(refusal(program, environment, refused))
}

fn refusal(program: &OsStr, environment: &Environment, refused: Errno) -> Fault {
    let fault = not_run(program, refused);
    if refused == Errno::ENOENT && !program.is_empty() {
        fault.with_remedy(where_searched(program, environment))
    } else {
        fault
    }
}

/// The root in which commands are searched, if it is not the caller's.
static ROOT: OnceLock<String> = OnceLock::new();

/// Notes for messages which root this process has entered: the same path means another file there.
pub fn note_root(shown: impl Into<String>) {
    ROOT.get_or_init(|| shown.into());
}

/// Says where a program was searched: which root and which PATH.
fn where_searched(program: &OsStr, environment: &Environment) -> String {
    let root = ROOT.get().map_or("this root", String::as_str);
    if program.as_bytes().contains(&b'/') {
        let is_link = std::fs::symlink_metadata(program).is_ok_and(|meta| meta.is_symlink());
        let leads = if is_link { "it is a link that leads to no file: " } else { "" };
        return format!("{leads}{root} has no such file");
    }
    let path = environment.get("PATH");
    let is_link = |place: &PathBuf| std::fs::symlink_metadata(place).is_ok_and(|meta| meta.is_symlink());
    let places = path.iter().flat_map(std::env::split_paths).map(|directory| directory.join(program));
    if let Some(link) = places.into_iter().find(is_link) {
        let link = link.to_string_lossy().escape_debug().to_string();
        return format!("{link} is a link that leads to no file in {root}");
    }
    match path {
        Some(path) => format!("it is in no directory of PATH in {root}: {}", path.to_string_lossy().escape_debug()),
        None => format!("PATH is not set, and {root} does not have it in {DEFAULT_PATH}"),
    }
}

fn narrate_exec(path: &OsStr, command: &[OsString], environment: &Environment) {
    if narrate::is_on() {
        narrate::before(&execve_text(path, command), &environment.summary());
    }
}

/// Runs a script without `#!` by the shell, as POSIX requires.
fn run_by_shell(
    path: &CString,
    argv: &[CString],
    entries: &[Cow<'static, CStr>],
    program: &OsStr,
) -> Result<Status, Fault> {
    let mut by_shell = vec![c"sh".to_owned(), path.clone()];
    by_shell.extend_from_slice(&argv[1..]);
    narrate::before(
        &format!("execve(\"/bin/sh\", [\"sh\", {path:?}, …])"),
        "the file is a script without #!, so sh(1) runs it",
    );
    let Err(_) = execve(c"/bin/sh", &by_shell, entries);
    Err(not_run(program, Errno::ENOEXEC))
}

fn candidates(program: &OsStr, environment: &Environment) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    if program.is_empty() {
        return Vec::new();
    }
    let path = environment.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|dir| if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) })
        .map(|dir| dir.join(program))
        .collect()
}

fn not_run(program: &OsStr, errno: Errno) -> Fault {
    let status = match errno {
        Errno::ENOENT | Errno::ENOTDIR => Status::NOT_FOUND,
        _ => Status::NOT_RUNNABLE,
    };
    let shown = program.to_string_lossy();
    Fault::kernel(format!("run {shown}"), format!("execve({shown:?})"), errno).with_status(status)
}

fn no_interpreter(program: &OsStr) -> Fault {
    not_run(program, Errno::ENOENT)
        .with_remedy("the file exists, but its interpreter or dynamic loader is missing in this root")
}

/// Returns the call in strace's notation.
pub fn execve_text(path: impl AsRef<OsStr>, argv: &[impl AsRef<OsStr>]) -> String {
    format!("execve({:?}, [{}])", path.as_ref().to_string_lossy(), words(argv))
}

/// Returns the words of a command in strace's notation.
pub(crate) fn words(argv: &[impl AsRef<OsStr>]) -> String {
    argv.iter().map(|word| format!("{:?}", word.as_ref().to_string_lossy())).collect::<Vec<_>>().join(", ")
}

fn c_strings(words: &[OsString]) -> Result<Vec<CString>, Fault> {
    words.iter().map(|word| c_string(word)).collect()
}

fn c_string(word: &OsStr) -> Result<CString, Fault> {
    // argv comes from the kernel, where a NUL ends each word; only a record could contain one.
    CString::new(word.as_bytes()).map_err(|_| Fault::new("cannot run a command that contains a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_slash_is_searched_and_one_with_is_not() {
        let mut environment = Environment::empty();
        environment.set("PATH", "/a::/b");
        let found = candidates(OsStr::new("sh"), &environment);
        assert_eq!(found, [PathBuf::from("/a/sh"), PathBuf::from("./sh"), PathBuf::from("/b/sh")]);
        assert_eq!(candidates(OsStr::new("./sh"), &environment), [PathBuf::from("./sh")]);
    }
}
