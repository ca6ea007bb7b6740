//! The declared options of confinement: system calls, files, limits, environment. No I/O here, except in [`Files::read`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plumbing::Fault;
use plumbing::command_line::named_file;
use plumbing::command_line::options::of_os;
use plumbing::command_line::ordinary::Ordinary;
use plumbing::confinement::privilege::securebit_names;
use plumbing::confinement::seccomp::Seccomp;
use plumbing::pipeline::record::ResourceLimit;
use plumbing::text::Text;

use crate::capabilities::{self, OneSet};
use crate::landlock_options::LandlockOptions;

/// The options that confine the command, in addition to its capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Ordinary)]
pub(crate) struct ConfinementOptions {
    /// Filter system calls: none, default (what --std uses), or a profile FILE in OCI or Docker format
    #[arg(long, value_name = "default|none|FILE", help_heading = "Confinement")]
    pub(crate) seccomp: Option<Filter>,
    /// Let the kernel log each system call that the filter refuses (type 1326, in dmesg or the audit log)
    #[arg(long, help_heading = "Confinement")]
    pub(crate) seccomp_log: bool,
    /// Set no_new_privs: set-user-ID programs and file capabilities have no effect (default with --std)
    #[arg(long, conflicts_with = "allow_new_privs", help_heading = "Confinement")]
    pub(crate) no_new_privs: bool,
    /// Set one of the five capability sets, e.g. ambient=NET_RAW; the others are as --capabilities says (repeatable)
    #[arg(long, value_name = "SET=NAMES", value_parser = capabilities::parse_one_set, help_heading = "Confinement")]
    pub(crate) capability_set: Vec<OneSet>,
    /// Start a new session without a controlling terminal; setsid(2)
    #[arg(long, help_heading = "Confinement")]
    pub(crate) new_session: bool,
    /// Set exactly these secure bits, e.g. noroot,noroot_locked
    #[arg(long, value_name = "BIT,...", value_parser = Securebits::parse, help_heading = "Confinement")]
    pub(crate) securebits: Option<Securebits>,
    #[command(flatten)]
    pub(crate) landlock: LandlockOptions,
    /// Set a resource limit, e.g. nofile=1024:4096 (soft:hard), as=1G, core=0 (repeatable)
    #[arg(long, value_name = "NAME=LIMIT", value_parser = ResourceLimit::parse, help_heading = "Limits")]
    pub(crate) rlimit: Vec<ResourceLimit>,
    /// Set the umask, in octal, e.g. 022
    #[arg(long, value_name = "MASK", value_parser = umask, help_heading = "Limits")]
    pub(crate) umask: Option<u32>,

    /// Start with only PATH, HOME and TERM (default with --std)
    #[arg(long, conflicts_with = "keep_env", help_heading = "Environment")]
    pub(crate) clear_env: bool,
    /// Start with only PATH, HOME, TERM and these variables of the caller (repeatable)
    #[arg(long, value_name = "NAME,...", conflicts_with = "keep_env", help_heading = "Environment")]
    pub(crate) whitelist_env: Vec<OsString>,
    /// Set variables from NAME=VALUE lines of FILE; a NAME alone is copied from the caller (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Environment")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Remove a variable (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Environment")]
    pub(crate) unsetenv: Vec<OsString>,
    /// Set a variable, after all other environment options (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = of_os(variable),
          help_heading = "Environment")]
    pub(crate) setenv: Vec<OsString>,
}

/// The value of `--securebits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Securebits(pub(crate) Vec<String>);

impl Securebits {
    fn parse(text: &str) -> Result<Securebits, String> {
        securebit_names(text).map(Securebits)
    }
}

fn umask(text: &str) -> Result<u32, String> {
    let valid = "expected octal permissions, 000 to 777";
    u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777).ok_or_else(|| valid.to_owned())
}

fn variable(text: &OsStr) -> Result<OsString, String> {
    match text.as_bytes().iter().position(|byte| *byte == b'=') {
        None | Some(0) => Err("expected NAME=VALUE".to_owned()),
        Some(_) => Ok(text.to_owned()),
    }
}

/// The value of `--seccomp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    Default,
    None,
    File(PathBuf),
}

impl From<OsString> for Filter {
    fn from(text: OsString) -> Filter {
        match text.to_str() {
            Some("default") => Filter::Default,
            Some("none") => Filter::None,
            _ => Filter::File(text.into()),
        }
    }
}

/// The contents of the files that the options name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) profile: Option<Seccomp>,
    /// `NAME=VALUE`.
    pub(crate) variables: Vec<Text>,
}

impl Files {
    /// Reads the files.
    pub(crate) fn read(options: &ConfinementOptions) -> Result<Files, Fault> {
        let profile = match &options.seccomp {
            Some(Filter::File(path)) => {
                let shown = path.to_string_lossy();
                let goal = format!("read the seccomp profile {shown}");
                let text = named_file::read("--seccomp", &goal, path)?;
                Some(Seccomp::parse(&shown, &text)?)
            }
            _ => None,
        };
        let mut variables = whitelisted(&options.whitelist_env, |name| std::env::var_os(name));
        for path in &options.env_file {
            let shown = path.to_string_lossy();
            let goal = format!("read the environment file {shown}");
            let text = named_file::read("--env-file", &goal, path)?;
            if text.contains(&0) {
                return Err(Fault::new(format!("cannot {goal}: it contains a NUL byte")));
            }
            variables.extend(listed(&text, |name| std::env::var_os(name)));
        }
        Ok(Files { profile, variables })
    }
}

/// Returns the caller's variables that are listed and set.
fn whitelisted(lists: &[OsString], callers: impl Fn(&OsStr) -> Option<OsString>) -> Vec<Text> {
    let names = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let entry = |name: &[u8]| {
        let name = OsStr::from_bytes(name);
        let entry: OsString = [name, OsStr::new("="), &callers(name)?].into_iter().collect();
        Some(Text::from(entry.as_os_str()))
    };
    names.filter(|name| !name.is_empty()).filter_map(entry).collect()
}

/// Parses the variables of an environment file: one per line; lines that are empty or begin with `#` are ignored.
fn listed(text: &[u8], callers: impl Fn(&OsStr) -> Option<OsString>) -> Vec<Text> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    let entry = |line: &[u8]| {
        if line.contains(&b'=') {
            Some(Text::from(OsStr::from_bytes(line)))
        } else {
            let name = OsStr::from_bytes(line.trim_ascii_end());
            let value = callers(name)?;
            let entry: OsString = [name, OsStr::new("="), &value].into_iter().collect();
            Some(Text::from(entry.as_os_str()))
        }
    };
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b"="))
        .filter_map(entry)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_has_variables_and_names_of_the_callers_variables() {
        let text = b"# comment\nA=1\n\n  B=x y = z \nTERM\nGONE\n=no\n";
        let read = listed(text, |name| (name == "TERM").then(|| "vt100".into()));
        let expected: [Text; 3] = ["A=1".into(), "B=x y = z ".into(), "TERM=vt100".into()];
        assert_eq!(read, expected);
    }

    #[test]
    fn listed_variables_are_copied_if_they_are_set() {
        let lists = ["A,B,".into(), "C".into()];
        let read = whitelisted(&lists, |name| (name != "B").then(|| "x=y".into()));
        assert_eq!(read, ["A=x=y".into(), "C=x=y".into()] as [Text; 2]);
    }

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(umask("022"), Ok(0o22));
        for wrong in ["9", "1000", "-1", ""] {
            assert!(umask(wrong).is_err(), "{wrong}");
        }
    }
}
