//! A system call filter, from a profile in the format of Docker and OCI runtimes. `seccomp(2)`.
//!
//! The kernel runs a small program before each call, which sees the call's number, architecture and six arguments, but
//! nothing in memory. A child or an executed program inherits the filters; they can be added to, but never removed.

mod action;
mod architecture;
#[cfg(target_arch = "x86_64")]
mod compiled;
mod few;
mod policy;
mod profile;
mod program;

use std::borrow::Cow;

use nix::errno::Errno;
use rustix::thread::CapabilitySet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::kernel::{call, set_seccomp_filter};
use crate::process::kernel_text;
use crate::process::target::status_field;
use crate::{Fault, json, narrate};
use action::Action;
pub use few::{Allowed, allow_only};
use policy::Policy;
use profile::{Profile, Setting, version};

/// The profile that is called `default`.
const DEFAULT: &str = include_str!("seccomp/default.json");

/// The default answers an x32 call as a kernel without x32 does: programs that probe for it continue without it.
const NO_X32: Action = Action::Errno(libc::ENOSYS as u16);

/// The longest profile, so that a record that contains it stays readable.
const LONGEST: usize = crate::pipeline::record::LONGEST / 2;

/// The record's member `seccomp`: the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Our own profile, at least as strict as Docker's.
    Default,
    /// A profile of the caller's, unchanged.
    Profile(Value),
}

impl Seccomp {
    /// Parses a profile, and makes sure that it is understood. `name` is its name in the fault. Prints a warning with the
    /// unknown system calls that it allows.
    pub fn parse(name: &str, text: &[u8]) -> Result<Seccomp, Fault> {
        let wrong = |wrong: String| Fault::new(format!("cannot use the seccomp profile {name}: {wrong}"));
        if text.len() > LONGEST {
            return Err(wrong(format!("it has more than {LONGEST} bytes")));
        }
        let value: Value = json::read(text).map_err(|error| wrong(error.to_string()))?;
        let seccomp = Seccomp::Profile(value);
        seccomp.compile(CapabilitySet::empty()).map_err(|fault| wrong(fault.to_string()))?;
        let profile = seccomp.profile()?;
        let unknown = profile.unknown_calls().map_err(wrong)?;
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            let why = "this version does not know such calls";
            let fault =
                Fault::new(format!("cannot allow the system calls {unknown} of the seccomp profile {name}: {why}"));
            narrate::caution(fault)?;
        }
        Ok(seccomp)
    }

    /// Installs the filter, for a command that may have at most the capabilities that `most` returns of those it is asked
    /// about; with `logs`, the kernel logs what it refuses.
    pub(crate) fn enforce(&self, most: impl Fn(CapabilitySet) -> CapabilitySet, logs: bool) -> Result<(), Fault> {
        let (program, mut flags) = self.program(most)?;
        if logs {
            flags |= libc::SECCOMP_FILTER_FLAG_LOG as u32;
            warn_if_not_logged();
        }
        let shown = flag_names(flags);
        let text = format!("seccomp(SECCOMP_SET_MODE_FILTER, {shown}, {{len={}, filter=…}})", program.len());
        let why = match self {
            Seccomp::Default => "only the system calls that programs need are allowed; our default profile, seccomp(2)",
            Seccomp::Profile(_) => "only the system calls that the profile allows; seccomp(2)",
        };
        call("filter system calls", text, why, || set_seccomp_filter(&program, flags)).map_err(explain)
    }

    fn program(
        &self,
        most: impl Fn(CapabilitySet) -> CapabilitySet,
    ) -> Result<(Cow<'static, [libc::sock_filter]>, u32), Fault> {
        #[cfg(target_arch = "x86_64")]
        if *self == Seccomp::Default
            && let Some(program) = compiled::default_program(&most)
        {
            return Ok((program.into(), 0));
        }
        self.compile(most(CapabilitySet::from_bits_retain(u64::MAX))).map(|(program, flags)| (program.into(), flags))
    }

    fn compile(&self, capabilities: CapabilitySet) -> Result<(Vec<libc::sock_filter>, u32), Fault> {
        let policy = self.policy(capabilities)?;
        let program = program::compile(&policy)?;
        Ok((program.into_iter().map(libc::sock_filter::from).collect(), policy.flags))
    }

    fn profile(&self) -> Result<Profile, Fault> {
        match self {
            Seccomp::Default => json::of_text(DEFAULT).map_err(|error| error.to_string()),
            Seccomp::Profile(value) => json::of_value(value),
        }
        .map_err(not_understood)
    }

    fn policy(&self, capabilities: CapabilitySet) -> Result<Policy, Fault> {
        let (profile, wrong) = (self.profile()?, not_understood);
        if let Seccomp::Profile(_) = self {
            // Also for the profile of a record, which nobody has checked here.
            profile.unknown_calls().map_err(wrong)?;
        }
        let unknown = || wrong("uname(2) reports no version of the kernel".to_owned());
        let kernel = kernel_version().ok_or_else(unknown)?;
        let policy = profile.resolve(Setting { capabilities, kernel }).map_err(wrong)?;
        Ok(match self {
            Seccomp::Default => Policy { unnamed_x32: NO_X32, ..policy },
            Seccomp::Profile(_) => policy,
        })
    }
}

/// Returns the name of a system call by the number and the `AUDIT_ARCH_*` in which the kernel reports it.
pub fn call_name(audit_architecture: u32, number: u32) -> Option<&'static str> {
    architecture::Numbers::read().name(audit_architecture, number)
}

/// Returns the version of the kernel; `None` if its release does not begin with one.
fn kernel_version() -> Option<(u32, u32)> {
    version(&rustix::system::uname().release().to_string_lossy())
}

/// Warns if the kernel's settings exclude refusals from the log.
fn warn_if_not_logged() {
    const LOGGED: &str = "/proc/sys/kernel/seccomp/actions_logged";
    let logged = kernel_text::read(LOGGED).unwrap_or_default();
    if !logged.is_empty() && !logged.split_ascii_whitespace().any(|action| action == "errno") {
        narrate::warn("refused system calls are not logged: kernel.seccomp.actions_logged does not have errno");
    }
}

fn not_understood(wrong: String) -> Fault {
    Fault::new(format!("the seccomp profile is not understood: {wrong}"))
}

/// The flags of a filter that can be set here.
const FLAGS: [(&str, u32); 2] = [
    ("SECCOMP_FILTER_FLAG_LOG", libc::SECCOMP_FILTER_FLAG_LOG as u32),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
];

/// Returns the names of the flags as strace writes them.
pub(crate) fn flag_names(flags: u32) -> String {
    let named: Vec<_> = FLAGS.iter().filter(|(_, flag)| flags & flag != 0).map(|(name, _)| *name).collect();
    if named.is_empty() { "0".to_owned() } else { named.join("|") }
}

/// Explains EACCES: without no_new_privs a filter could mislead a set-user-ID program.
pub(crate) fn explain(fault: Fault) -> Fault {
    let status = kernel_text::read("/proc/self/status").unwrap_or_default();
    match fault.errno() {
        Some(Errno::EACCES) if status_field(&status, "NoNewPrivs") == Some("0") => fault.with_remedy(
            "CAP_SYS_ADMIN is missing here, and without it a filter needs no_new_privs: add --no-new-privs",
        ),
        _ => fault,
    }
}

impl Serialize for Seccomp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Seccomp::Default => serializer.serialize_str("default"),
            Seccomp::Profile(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Seccomp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) if name == "default" => Ok(Seccomp::Default),
            value @ Value::Object(_) => Ok(Seccomp::Profile(value)),
            _ => Err(D::Error::custom("seccomp is neither \"default\" nor a profile")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_the_default_or_contains_the_profile() {
        for text in [r#""default""#, r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":18446744073709551615}"#] {
            let seccomp: Seccomp = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&seccomp).unwrap(), text);
        }
        for text in [r#""strict""#, "1", "null"] {
            assert!(serde_json::from_str::<Seccomp>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_profile_that_is_not_understood_is_refused_when_it_is_read() {
        let twice = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultAction":"SCMP_ACT_ALLOW"}"#;
        let unknown = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"fly","action":"SCMP_ACT_ERRNO"}]}"#;
        for text in ["", "[]", r#"{"defaultAction":"FLY"}"#, r#"{"syscalls":[]}"#, twice, unknown] {
            let fault = Seccomp::parse("p.json", text.as_bytes()).unwrap_err();
            assert!(fault.to_string().contains("p.json"), "{fault}");
        }
        assert!(Seccomp::parse("p.json", DEFAULT.as_bytes()).is_ok());
        assert_eq!(Seccomp::Default.profile().unwrap().unknown_calls().unwrap(), [""; 0]);
    }

    #[test]
    fn the_default_is_short() {
        let (program, flags) = Seccomp::Default.compile(CapabilitySet::empty()).unwrap();
        assert!(program.len() < 1000 && flags == 0, "{}", program.len());
    }
}
