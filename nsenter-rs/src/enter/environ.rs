//! The target's environment for the command. `proc_pid_environ(5)`.
//!
//! The target chose its environment, and almost any variable can make some program run a command: TAR_OPTIONS,
//! LESSOPEN, PS1, HOME. So the whole environment goes only to a program of the target itself, run as the user who chose
//! it. Any other command keeps the caller's environment, and takes over only the target's locale and time zone.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use plumbing::pipeline::record::Process;
use plumbing::process::environment::Environment;
use plumbing::process::target::{Target, read_at, status_field};
use plumbing::process::timed_reads;
use plumbing::{Fault, narrate};

use super::host_program::Host;
use super::record_environ::Recorded;

/// `DEFAULT_OVERFLOWUID` of the kernel.
const OVERFLOW_UID: u32 = 65534;

/// The environment, unless it comes from the target, and how the command is confined.
type Known<'a> = (Option<Cow<'a, Environment>>, Cow<'a, Process>);

/// The command's environment.
pub(crate) enum Surroundings {
    /// A known environment.
    Known(Environment),
    /// The target's environment, as far as it suits the command.
    OfTarget(Theirs),
    /// The environment of a record, as far as it suits the command.
    OfRecord(Recorded),
}

impl Surroundings {
    /// Returns the caller's environment.
    pub(crate) fn inherited() -> Surroundings {
        Surroundings::Known(Environment::inherited())
    }

    /// Returns the environment, unless it comes from the target, and how the command is confined.
    pub(crate) fn known<'a>(&'a self, process: &'a Process) -> Result<Known<'a>, Fault> {
        Ok(match self {
            Surroundings::Known(environment) => (Some(Cow::Borrowed(environment)), Cow::Borrowed(process)),
            Surroundings::OfRecord(recorded) => {
                let (environment, process) = recorded.judge(process)?;
                (Some(Cow::Owned(environment)), Cow::Owned(process))
            }
            Surroundings::OfTarget(_) => (None, Cow::Borrowed(process)),
        })
    }
}

/// The target's environment, to be judged inside.
pub(crate) struct Theirs {
    /// The variables; `None` if only root of its user namespace, which we will become, may read them.
    bytes: Option<Vec<u8>>,
    host: Host,
    /// The result that a dry run, which enters nothing, assumes.
    expects_host: bool,
}

/// The target's environment, and the facts found inside.
pub(crate) struct Judged {
    bytes: Vec<u8>,
    pid: i32,
    is_host: bool,
    /// The real, effective, saved and file system user of the target, as seen in our current user namespace.
    uids: Vec<u32>,
}

impl Theirs {
    /// Reads the environment from outside. If `inside` is set, a refused read is repeated after entering.
    pub(crate) fn of(target: &Target, inside: bool, expects_host: bool) -> Result<Theirs, Fault> {
        let bytes = match read(target) {
            Err(fault) if inside && matches!(fault.errno(), Some(Errno::EACCES | Errno::EPERM)) => None,
            bytes => Some(bytes?),
        };
        Ok(Theirs { bytes, host: Host::here(), expects_host })
    }

    /// Collects the facts, after entering and before our user changes.
    pub(crate) fn judge(&self, target: &Target, entered_user: bool) -> Result<Judged, Fault> {
        let bytes = match &self.bytes {
            Some(bytes) => bytes.clone(),
            None if narrate::is_dry_run() => Vec::new(),
            None => read(target)?,
        };
        let is_host = if narrate::is_dry_run() { self.expects_host } else { self.host.is_here() };
        let status = target.read("status")?;
        let uids = status_field(&status, "Uid").unwrap_or_default();
        // This number also means every user without an id in the user namespace.
        let is_known = |uid: &u32| !(entered_user && *uid == OVERFLOW_UID);
        let uids = uids.split_ascii_whitespace().filter_map(|uid| uid.parse().ok()).filter(is_known).collect();
        Ok(Judged { bytes, pid: target.pid(), is_host, uids })
    }
}

impl Judged {
    /// Returns the command's environment. With `is_like_target`, the command will have the target's user and rights,
    /// whatever ours are now.
    pub(crate) fn environment(&self, is_like_target: bool) -> Environment {
        let own = Environment::inherited();
        let is_theirs = || is_like_target || narrate::is_dry_run() || self.is_only(rustix::process::geteuid().as_raw());
        let why = if self.is_host {
            "the command is a program of the host, and other variables could make it run something else".to_owned()
        } else if is_theirs() {
            return whole(&self.bytes);
        } else {
            format!("a user other than the command's could change the environment of process {}", self.pid)
        };
        let (environment, left) = harmless(&self.bytes, own);
        if left > 0 {
            narrate::remark(format_args!("used only locale and time zone of the target's environment: {why}"));
        }
        environment
    }

    fn is_only(&self, user: u32) -> bool {
        self.uids.len() == 4 && self.uids.iter().all(|uid| *uid == user)
    }
}

fn read(target: &Target) -> Result<Vec<u8>, Fault> {
    let shown = format!("/proc/{}/environ", target.pid());
    let (goal, text) = (format!("read {shown}"), format!("read({shown:?})"));
    // In a child, because the target may keep the reader waiting. The first byte says whether the rest is an errno.
    let read = |_: &()| match read_at(target.dir(), "environ") {
        Ok(bytes) => [&[0][..], &bytes].concat(),
        Err(error) => [&[1][..], &error.raw_os_error().unwrap_or(Errno::EIO as i32).to_ne_bytes()].concat(),
    };
    let answers = timed_reads::each(&goal, Some(target.dir()), &[()], read)?;
    let Some([is_errno, rest @ ..]) = answers.first().and_then(Option::as_deref) else {
        return Err(Fault::new(format!("cannot {goal}: the process keeps the reader waiting")));
    };
    match (is_errno, rest.first_chunk()) {
        (1, Some(errno)) => Err(Fault::kernel(goal, text, Errno::from_raw(i32::from_ne_bytes(*errno)))),
        _ => Ok(rest.to_vec()),
    }
}

fn whole(bytes: &[u8]) -> Environment {
    let mut environment = Environment::empty();
    for (name, value) in entries(bytes) {
        environment.set(OsStr::from_bytes(name), OsStr::from_bytes(value));
    }
    environment
}

/// Returns our own environment with the target's locale and time zone, and the number of omitted variables that differ
/// from ours.
fn harmless(bytes: &[u8], mut own: Environment) -> (Environment, usize) {
    let mut left = 0;
    for (name, value) in entries(bytes) {
        let (shown, value) = (OsStr::from_bytes(name), OsStr::from_bytes(value));
        if is_harmless(name, value.as_bytes()) {
            own.set(shown, value);
        } else if shown.to_str().is_none_or(|shown| own.get(shown) != Some(value)) {
            left += 1;
        }
    }
    (own, left)
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        Some((&entry[..equals], &entry[equals + 1..]))
    })
}

/// Reports whether a variable is a locale or a time zone given by name. A value must not name a file of the target:
/// `TZ=:/tmp/x`, `LANG=../../tmp/x`.
pub(crate) fn is_harmless(name: &[u8], value: &[u8]) -> bool {
    let is_locale = matches!(name, b"LANG" | b"LANGUAGE") || is_category(name);
    let extra: &[u8] = match name {
        b"TZ" => b"+-_/,.<>",
        b"LANGUAGE" => b"_-.@:",
        _ => b"_-.@",
    };
    let starts_well =
        value.first().is_none_or(|first| first.is_ascii_alphanumeric() || name == b"TZ" && *first == b'<');
    let has_parent = value.windows(2).any(|two| two == b"..");
    (is_locale || name == b"TZ")
        && starts_well
        && !has_parent
        && value.len() <= 128
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(byte))
}

/// Reports whether a name is that of a locale category: `LC_ALL`, `LC_CTYPE` and the like.
fn is_category(name: &[u8]) -> bool {
    name.strip_prefix(b"LC_").is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(environment: &Environment) -> Vec<&str> {
        environment.entries().iter().map(|entry| entry.to_str().unwrap()).collect()
    }

    #[test]
    fn a_program_of_the_host_takes_over_only_locale_and_time_zone() {
        let mut own = Environment::empty();
        own.set("PATH", "/bin");
        own.set("HOME", "/root");
        own.set("LANG", "C");
        let theirs = b"A=1\0PATH=/evil\0HOME=/evil\0LD_PRELOAD=/evil.so\0BASH_FUNC_ls%%=() {\0NONE\0PS1=$(evil)\0\
                     LANG=de_DE.UTF-8\0LC_TIME=C\0LC_X_EVIL=x\0TZ=Europe/Berlin\0A=2\0";
        let (environment, left) = harmless(theirs, own);
        assert_eq!(
            list(&environment),
            ["PATH=/bin", "HOME=/root", "LANG=de_DE.UTF-8", "LC_TIME=C", "TZ=Europe/Berlin"]
        );
        assert_eq!(left, 8);
        assert_eq!(
            list(&whole(theirs))[..5],
            ["A=2", "PATH=/evil", "HOME=/evil", "LD_PRELOAD=/evil.so", "BASH_FUNC_ls%%=() {"]
        );
    }

    #[test]
    fn a_value_that_names_a_file_is_not_harmless() {
        for (name, value) in [
            ("TZ", ":/tmp/x"),
            ("TZ", "/tmp/x"),
            ("TZ", "../../tmp/x"),
            ("TZ", "Europe/../../x"),
            ("LANG", "/tmp/x"),
            ("LANG", "../x"),
            ("LC_ALL", "."),
            ("LC_ALL", "x/y"),
            ("LANGUAGE", "de:/tmp"),
            ("LANG", "a\nb"),
            ("TERM", "xterm"),
        ] {
            assert!(!is_harmless(name.as_bytes(), value.as_bytes()), "{name}={value}");
        }
        for (name, value) in [
            ("TZ", "CET-1CEST,M3.5.0,M10.5.0/3"),
            ("TZ", "<+03>-3"),
            ("TZ", ""),
            ("LC_ALL", "C.UTF-8"),
            ("LC_CTYPE", "de_DE.ISO-8859-1@euro"),
            ("LANGUAGE", "de:en"),
        ] {
            assert!(is_harmless(name.as_bytes(), value.as_bytes()), "{name}={value}");
        }
    }

    proptest! {
        #[test]
        fn a_variable_is_read_whatever_is_around_it(
            before in prop::collection::vec(any::<u8>(), 0..40),
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            // Another entry of this name would count as well.
            prop_assume!(![&before, &after].iter().any(|odd| odd.windows(2).any(|part| part == b"Q=")));
            let bytes = [&before[..], b"\0Q=\xff v\0", &after].concat();
            let read = whole(&bytes);
            prop_assert_eq!(read.get("Q"), Some(OsStr::from_bytes(b"\xff v")));
            let mut own = Environment::empty();
            own.set("PATH", "/bin");
            let (kept, _) = harmless(&bytes, own);
            prop_assert_eq!((kept.get("PATH"), kept.get("Q")), (Some(OsStr::new("/bin")), None));
        }
    }
}
