//! The target's environment for the command. `proc_pid_environ(5)`.
//!
//! The target chose it. What runs inside may have it all; a program of the host must not let the target choose which
//! program it is, or what is loaded into it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::Fault;
use plumbing::environment::Environment;
use plumbing::kernel::look;
use plumbing::target::{Target, read_at};

/// Names that choose what is run or loaded: PATH, the dynamic loader's, and those of shells and interpreters.
const STEERING: &[&str] = &[
    "PATH",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "IFS",
    "CDPATH",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERMCAP",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "MALLOC_TRACE",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "RUBYOPT",
    "RUBYLIB",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "PERLLIB",
    "PAGER",
    "EDITOR",
    "VISUAL",
    "SHELL",
];

/// The same, by how they begin.
const STEERING_STARTS: &[&str] = &["LD_", "PYTHON", "BASH_FUNC_", "GIT_"];

/// What the target has. For a program of the host, what is there to steer it stays the caller's.
pub(crate) fn of(target: &Target, is_host_program: bool) -> Result<Environment, Fault> {
    let shown = format!("/proc/{}/environ", target.pid());
    let told = look(format!("read {shown}"), format!("read({shown:?})"), || read_at(target.dir(), "environ"))?;
    let own = Environment::inherited();
    Ok(chosen(&told, is_host_program, &own))
}

fn chosen(told: &[u8], is_host_program: bool, own: &Environment) -> Environment {
    let mut environment = Environment::empty();
    for (name, value) in told.split(|byte| *byte == 0).filter_map(split) {
        if !(is_host_program && steers(name)) {
            environment.set(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    if is_host_program {
        let ours = own.entries().iter().filter_map(|entry| split(entry.to_bytes()));
        for (name, value) in ours.filter(|(name, _)| steers(name)) {
            environment.set(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    environment
}

fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = entry.iter().position(|byte| *byte == b'=')?;
    Some((&entry[..equals], &entry[equals + 1..]))
}

fn steers(name: &[u8]) -> bool {
    let starts = |start: &&str| name.starts_with(start.as_bytes());
    STEERING.iter().any(|known| known.as_bytes() == name) || STEERING_STARTS.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_host_keeps_its_own_path_and_loader() {
        let mut own = Environment::empty();
        own.set("PATH", "/bin");
        own.set("HOME", "/root");
        let told = b"A=1\0PATH=/evil\0LD_PRELOAD=/evil.so\0BASH_FUNC_ls%%=() {\0NONE\0A=2\0";
        let list = |environment: Environment| {
            environment.entries().iter().map(|entry| entry.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list(chosen(told, true, &own)), ["A=2", "PATH=/bin"]);
        let inside = list(chosen(told, false, &own));
        assert_eq!(inside, ["A=2", "PATH=/evil", "LD_PRELOAD=/evil.so", "BASH_FUNC_ls%%=() {"]);
    }
}
