//! Profiles in the form of the OCI runtime specification, with Docker's additions: `archMap`, `includes`, `excludes`.
//!
//! Anything that is not understood is an error, since it may be a restriction. A system call of another machine needs no
//! answer: profiles are written for all machines. A name that no machine has, as far as we know, is a mistake or a call of
//! a newer kernel: an entry that refuses it cannot be kept and is an error, one that allows it is reported by name.

use rustix::thread::CapabilitySet;
use serde::Deserialize;

use super::FLAGS;
use super::action::Action;
use super::architecture::{Architecture, Numbers};
use super::policy::{Condition, Operator, Policy, Rule};
use super::program::FOREIGN;
use crate::confinement::privilege::capability_set;

/// A profile as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    /// The name of the errno, which Podman writes next to its number.
    #[serde(default, rename = "defaultErrno")]
    _default_errno: Option<String>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchitectureMap>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Syscalls>>,
    /// For `SCMP_ACT_NOTIFY`, which is refused.
    listener_path: Option<String>,
    #[serde(default, rename = "listenerMetadata")]
    _listener_metadata: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Syscalls {
    names: Option<Vec<String>>,
    name: Option<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default, rename = "errno")]
    _errno: Option<String>,
    args: Option<Vec<Argument>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The properties that `includes` and `excludes` refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// The most that the command may have.
    pub(crate) capabilities: CapabilitySet,
    /// The kernel's version and patch level.
    pub(crate) kernel: (u32, u32),
}

impl Profile {
    /// Returns what the profile means for one command on this machine.
    pub(super) fn resolve(&self, setting: Setting) -> Result<Policy, String> {
        if self.listener_path.as_ref().is_some_and(|path| !path.is_empty()) {
            return Err("its listenerPath: no supervisor is supported".to_owned());
        }
        let mut rules = Vec::new();
        for entry in self.syscalls.iter().flatten() {
            let entries = entry.rules()?;
            if entry.applies(setting)? {
                rules.extend(entries);
            }
        }
        let default = Action::parse(&self.default_action, self.default_errno_ret)
            .map_err(|wrong| format!("its defaultAction: {wrong}"))?;
        let (architectures, flags) = (self.architectures()?, self.flags()?);
        Ok(Policy { default, rules, architectures, unnamed_x32: FOREIGN, flags })
    }

    /// Returns the names of unknown calls in entries that let calls through. Such a name in another entry is an error,
    /// whether the entry applies here or not.
    pub(super) fn unknown_calls(&self) -> Result<Vec<&str>, String> {
        let numbers = Numbers::read();
        let mut unknown = Vec::new();
        for entry in self.syscalls.iter().flatten() {
            let names = entry.names().map(String::as_str).filter(|name| !numbers.know(name)).collect::<Vec<_>>();
            if !names.is_empty() && !Action::parse(&entry.action, entry.errno_ret)?.is_permissive() {
                let names = names.join(", ");
                return Err(format!("it has {} for {names}, which is no system call that is known here", entry.action));
            }
            unknown.extend(names);
        }
        unknown.sort_unstable();
        unknown.dedup();
        Ok(unknown)
    }

    /// Returns the architectures. Ours is always among them: without it not even the command could be executed.
    fn architectures(&self) -> Result<Vec<Architecture>, String> {
        let names = match (&self.architectures, &self.arch_map) {
            (Some(names), Some(maps)) if !names.is_empty() && !maps.is_empty() => {
                return Err("it has both architectures and archMap".into());
            }
            (Some(names), Some(_)) if !names.is_empty() => names.clone(),
            (Some(_), Some(maps)) => self.mapped(maps)?,
            (Some(names), None) => names.clone(),
            (None, Some(maps)) => self.mapped(maps)?,
            (None, None) => Vec::new(),
        };
        let mut architectures = vec![Architecture::NATIVE];
        for name in &names {
            if let Some(architecture) = Architecture::parse(name)?
                && !architectures.contains(&architecture)
            {
                architectures.push(architecture);
            }
        }
        Ok(architectures)
    }

    fn mapped(&self, maps: &[ArchitectureMap]) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for map in maps {
            for name in map.sub_architectures.iter().flatten() {
                Architecture::parse(name)?;
            }
            if Architecture::parse(&map.architecture)? == Some(Architecture::NATIVE) {
                names.extend(map.sub_architectures.iter().flatten().cloned());
            }
        }
        Ok(names)
    }

    fn flags(&self) -> Result<u32, String> {
        let flag = |name: &String| match FLAGS.iter().find(|(known, _)| known == name) {
            Some((_, flag)) => Ok(*flag),
            // There is only one thread.
            None if name == "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
            None => Err(format!("there is no flag {name:?} that could be set here")),
        };
        self.flags.iter().flatten().try_fold(0, |flags, name| Ok(flags | flag(name)?))
    }
}

impl Syscalls {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter().flatten().chain(&self.name).filter(|name| !name.is_empty())
    }

    fn rules(&self) -> Result<Vec<Rule>, String> {
        let names: Vec<&String> = self.names().collect();
        // An empty list of names, which engines write, says nothing about any call.
        let first = names.first().map_or("no names", |name| name.as_str());
        let in_entry = |wrong: String| format!("its entry for {first}: {wrong}");
        let action = Action::parse(&self.action, self.errno_ret).map_err(in_entry)?;
        let conditions = self.args.iter().flatten().map(Argument::condition).collect::<Result<Vec<_>, _>>();
        let conditions = conditions.map_err(in_entry)?;
        let mut indices: Vec<_> = conditions.iter().map(|condition| condition.argument).collect();
        indices.sort_unstable();
        let is_repeated = indices.windows(2).any(|pair| pair[0] == pair[1]);
        // Like runc and crun: if one argument is named twice, all conditions become alternatives.
        let alternatives: Vec<Vec<Condition>> =
            if is_repeated { conditions.iter().map(|condition| vec![*condition]).collect() } else { vec![conditions] };
        let rule = |name: &String, conditions: &Vec<Condition>| Rule {
            name: name.clone(),
            action,
            conditions: conditions.clone(),
        };
        Ok(names.iter().flat_map(|name| alternatives.iter().map(move |each| rule(name, each))).collect())
    }

    fn applies(&self, setting: Setting) -> Result<bool, String> {
        let included = match &self.includes {
            Some(filter) => filter.is_met(setting, Every)?,
            None => true,
        };
        let excluded = match &self.excludes {
            Some(filter) => filter.is_met(setting, Any)?,
            None => false,
        };
        Ok(included && !excluded)
    }
}

/// Whether all named properties are needed (`includes`), or one is enough (`excludes`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Every,
    Any,
}

use Wanted::{Any, Every};

impl Filter {
    fn is_met(&self, setting: Setting, wanted: Wanted) -> Result<bool, String> {
        let mut met = Vec::new();
        for name in self.caps.iter().flatten() {
            let capability = capability_set(&[name]).map_err(|fault| fault.to_string())?;
            met.push(setting.capabilities.contains(capability));
        }
        if let Some(arches) = self.arches.as_ref().filter(|arches| !arches.is_empty()) {
            if let Some(unknown) = arches.iter().find(|arch| !Architecture::is_short_name(arch)) {
                return Err(format!("there is no architecture {unknown:?}"));
            }
            met.push(arches.iter().any(|arch| arch == Architecture::NATIVE.short_name()));
        }
        if let Some(least) = self.min_kernel.as_ref().filter(|least| !least.is_empty()) {
            let least = version(least).ok_or_else(|| format!("{least:?} is not a kernel version such as 4.8"))?;
            met.push(setting.kernel >= least);
        }
        Ok(match wanted {
            Every => met.iter().all(|is_met| *is_met),
            Any => met.iter().any(|is_met| *is_met),
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, String> {
        let (operator, value) = match self.op.as_str() {
            "SCMP_CMP_NE" => (Operator::NotEqual, self.value),
            "SCMP_CMP_LT" => (Operator::Less, self.value),
            "SCMP_CMP_LE" => (Operator::LessOrEqual, self.value),
            "SCMP_CMP_EQ" => (Operator::Equal, self.value),
            "SCMP_CMP_GE" => (Operator::GreaterOrEqual, self.value),
            "SCMP_CMP_GT" => (Operator::Greater, self.value),
            "SCMP_CMP_MASKED_EQ" => (Operator::MaskedEqual(self.value), self.value_two),
            other => return Err(format!("there is no operator {other:?}")),
        };
        match self.index {
            0..=5 => Ok(Condition { argument: self.index, operator, value, is_narrow: false }),
            index => Err(format!("there is no argument {index}; expected 0 to 5")),
        }
    }
}

/// Returns the first two numbers of a kernel's release, as in `6.1.0-40-amd64`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, capabilities: &[&str]) -> Result<Policy, String> {
        let profile: Profile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        profile.resolve(Setting { capabilities: capability_set(capabilities).unwrap(), kernel: (6, 1) })
    }

    fn with(entry: &str) -> Result<Policy, String> {
        resolve(&format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{entry}]}}"#), &["CAP_CHOWN"])
    }

    #[test]
    fn errors_name_what_is_not_understood() {
        for (entry, named) in [
            (r#"{"names":["read"],"action":"SCMP_ACT_FLY"}"#, "SCMP_ACT_FLY"),
            (r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":5000}"#, "5000"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}"#, "6"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"EQ"}]}"#, "EQ"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","extra":1}"#, "extra"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_FLY"]}}"#, "CAP_FLY"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}"#, "new"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd46"]}}"#, "amd46"),
            (r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["x86_64"]}}"#, "x86_64"),
        ] {
            let wrong = with(entry).unwrap_err();
            assert!(wrong.contains(named), "{entry}: {wrong}");
        }
        assert!(resolve(r#"{"defaultAction":"SCMP_ACT_FLY"}"#, &[]).is_err());
        assert!(resolve(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/s"}"#, &[]).is_err());
        assert!(resolve(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"","listenerMetadata":""}"#, &[]).is_ok());
        assert!(resolve(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["FAST"]}"#, &[]).is_err());
        assert!(resolve(r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["PDP11"]}"#, &[]).is_err());
    }

    #[test]
    fn an_unknown_call_is_refused_in_a_refusal_and_listed_in_a_permission() {
        let of = |entries: &str| {
            let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{entries}]}}"#);
            let profile: Profile = serde_json::from_str(&text).unwrap();
            profile.unknown_calls().map(|names| names.join(" "))
        };
        let entry = |names: &str, action: &str| format!(r#"{{"names":[{names}],"action":"SCMP_ACT_{action}"}}"#);
        for action in ["KILL", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE"] {
            assert!(of(&entry(r#""mount","mouunt""#, action)).unwrap_err().contains("for mouunt, which"), "{action}");
            assert_eq!(of(&entry(r#""mount","swapcontext","timerfd""#, action)), Ok(String::new()));
        }
        let allowed = [entry(r#""flyy","read""#, "ALLOW"), entry(r#""fly","flyy""#, "LOG")].join(",");
        assert_eq!(of(&allowed), Ok("fly flyy".to_owned()));
        assert!(of(r#"{"name":"fly","action":"SCMP_ACT_ERRNO","includes":{"arches":["s390x"]}}"#).is_err());
    }

    #[test]
    fn rules_apply_by_capability_architecture_and_kernel() {
        let applies = |filter: &str| {
            let entry = format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW",{filter}}}"#);
            !with(&entry).unwrap().rules.is_empty()
        };
        assert!(applies(r#""includes":{"caps":["CAP_CHOWN"]}"#));
        assert!(!applies(r#""includes":{"caps":["CAP_CHOWN","CAP_KILL"]}"#));
        assert!(!applies(r#""excludes":{"caps":["CAP_CHOWN","CAP_KILL"]}"#));
        assert!(applies(r#""excludes":{"caps":["CAP_KILL"],"arches":["s390x"]},"includes":{}"#));
        assert!(applies(r#""includes":{"arches":["amd64","arm64"],"minKernel":"4.8"}"#));
        assert!(!applies(r#""includes":{"arches":["s390x"]}"#));
        assert!(!applies(r#""includes":{"minKernel":"6.10"}"#));
    }

    #[test]
    fn an_argument_that_is_named_twice_makes_alternatives() {
        let args = r#"[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]"#;
        let policy = with(&format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW","args":{args}}}"#)).unwrap();
        assert_eq!(policy.rules.len(), 2);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn architectures_come_from_a_list_or_a_map_and_ours_is_always_there() {
        let of = |member: &str| {
            resolve(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{member}}}"#), &[]).unwrap().architectures
        };
        assert_eq!(of(r#""architectures":["SCMP_ARCH_X86"]"#), [Architecture::X86_64, Architecture::I386]);
        let map = r#""archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X32"]},
            {"architecture":"SCMP_ARCH_S390X","subArchitectures":["SCMP_ARCH_S390"]}]"#;
        assert_eq!(of(map), [Architecture::X86_64, Architecture::X32]);
    }

    #[test]
    fn a_kernel_version_is_its_first_two_numbers() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("new"), None);
    }
}
