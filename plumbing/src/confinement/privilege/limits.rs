//! Resource limits. `setrlimit(2)`.
//!
//! Only CAP_SYS_RESOURCE allows raising a hard limit, so this comes before capabilities are dropped.

use nix::errno::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Fault;
use crate::command_line::units::{Limit as Size, size};
use crate::kernel::call;
use crate::pipeline::record::ResourceLimit;

/// The resources: name, name in /proc/PID/limits, and number; `getrlimit(2)`, `proc_pid_limits(5)`.
const RESOURCES: [(&str, &str, Resource); 16] = [
    ("RLIMIT_AS", "Max address space", Resource::As),
    ("RLIMIT_CORE", "Max core file size", Resource::Core),
    ("RLIMIT_CPU", "Max cpu time", Resource::Cpu),
    ("RLIMIT_DATA", "Max data size", Resource::Data),
    ("RLIMIT_FSIZE", "Max file size", Resource::Fsize),
    ("RLIMIT_LOCKS", "Max file locks", Resource::Locks),
    ("RLIMIT_MEMLOCK", "Max locked memory", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size", Resource::Msgqueue),
    ("RLIMIT_NICE", "Max nice priority", Resource::Nice),
    ("RLIMIT_NOFILE", "Max open files", Resource::Nofile),
    ("RLIMIT_NPROC", "Max processes", Resource::Nproc),
    ("RLIMIT_RSS", "Max resident set", Resource::Rss),
    ("RLIMIT_RTPRIO", "Max realtime priority", Resource::Rtprio),
    ("RLIMIT_RTTIME", "Max realtime timeout", Resource::Rttime),
    ("RLIMIT_SIGPENDING", "Max pending signals", Resource::Sigpending),
    ("RLIMIT_STACK", "Max stack size", Resource::Stack),
];

impl ResourceLimit {
    /// Reads `nofile=1024:4096`, `nofile=1024` for both, `core=unlimited`.
    pub fn parse(text: &str) -> Result<ResourceLimit, String> {
        let valid = || "expected a limit as in nofile=1024:4096, as=1G or core=unlimited; getrlimit(2) names them";
        let (name, value) = text.split_once('=').ok_or_else(valid)?;
        let upper = name.to_ascii_uppercase();
        let resource = format!("RLIMIT_{}", upper.strip_prefix("RLIMIT_").unwrap_or(&upper));
        find(&resource).ok_or_else(valid)?;
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        let (soft, hard) = (amount(soft)?, amount(hard)?);
        if soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX) {
            Ok(ResourceLimit { resource, soft, hard })
        } else {
            Err("the soft limit is above the hard one".to_owned())
        }
    }

    /// Parses a line of /proc/PID/limits; `None` for its heading, and for a resource that we do not know.
    pub fn of_proc(line: &str) -> Option<ResourceLimit> {
        let (name, rest) = RESOURCES.iter().find_map(|(name, shown, _)| {
            let rest = line.strip_prefix(shown)?;
            rest.starts_with("  ").then_some((*name, rest))
        })?;
        let mut amounts = rest.split_ascii_whitespace().map(|word| match word {
            "unlimited" => Some(None),
            _ => word.parse().ok().map(Some),
        });
        let (soft, hard) = (amounts.next()??, amounts.next()??);
        Some(ResourceLimit { resource: name.to_owned(), soft, hard })
    }

    /// Raises the hard limit if it is too low; the soft limit stays.
    pub(super) fn allow(&self) -> Result<(), Fault> {
        let Some(resource) = find(&self.resource) else { return Ok(()) };
        let now = getrlimit(resource);
        let at_most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        if at_most(self.hard) > at_most(now.maximum) {
            ResourceLimit { soft: now.current, ..self.clone() }.set()
        } else {
            Ok(())
        }
    }

    /// Returns whether the limit is already set like this.
    pub(super) fn holds(&self) -> bool {
        let now = find(&self.resource).map(getrlimit);
        now.is_some_and(|now| (now.current, now.maximum) == (self.soft, self.hard))
    }

    pub(super) fn set(&self) -> Result<(), Fault> {
        let ResourceLimit { resource: name, soft, hard } = self;
        let resource = find(name).ok_or_else(|| Fault::new(format!("there is no resource limit {name:?}")))?;
        let shown = |value: &Option<u64>| value.map_or("RLIM64_INFINITY".to_owned(), |value| value.to_string());
        let text = format!("prlimit64(0, {name}, {{rlim_cur={}, rlim_max={}}}, NULL)", shown(soft), shown(hard));
        call(format!("set {name}"), text, "a limit of the command and its children; setrlimit(2)", || {
            setrlimit(resource, Rlimit { current: *soft, maximum: *hard })
        })
        .map_err(|fault| explain(fault, getrlimit(resource).maximum, *hard))
    }
}

fn explain(fault: Fault, now: Option<u64>, wanted: Option<u64>) -> Fault {
    match (fault.errno(), now) {
        (Some(Errno::EPERM), Some(now)) if wanted.is_none_or(|wanted| wanted > now) => fault.with_remedy(format!(
            "the hard limit is {now} here, and only CAP_SYS_RESOURCE of the first user namespace raises it"
        )),
        _ => fault,
    }
}

fn find(name: &str) -> Option<Resource> {
    RESOURCES.iter().find(|(known, ..)| *known == name).map(|(.., resource)| *resource)
}

fn amount(text: &str) -> Result<Option<u64>, String> {
    match (text, text.parse()) {
        ("unlimited" | "infinity", _) => Ok(None),
        (_, Ok(number)) => Ok(Some(number)),
        _ => size(text).map(|size| match size {
            Size::Amount(bytes) => Some(bytes),
            Size::Max => None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_proc_is_read() {
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let read: Vec<_> = own.lines().filter_map(ResourceLimit::of_proc).collect();
        assert_eq!(read.len(), RESOURCES.len());
        assert!(read.iter().all(ResourceLimit::holds), "{read:?}");
    }

    #[test]
    fn a_limit_is_a_resource_and_one_or_two_amounts() {
        let limit = |name: &str, soft, hard| Ok(ResourceLimit { resource: name.to_owned(), soft, hard });
        assert_eq!(ResourceLimit::parse("nofile=1024:4096"), limit("RLIMIT_NOFILE", Some(1024), Some(4096)));
        assert_eq!(ResourceLimit::parse("RLIMIT_CORE=0"), limit("RLIMIT_CORE", Some(0), Some(0)));
        assert_eq!(ResourceLimit::parse("as=1G:unlimited"), limit("RLIMIT_AS", Some(1 << 30), None));
        for wrong in ["nofile", "fly=1", "nofile=2:1", "nofile=unlimited:1", "nofile=", "nofile=x"] {
            assert!(ResourceLimit::parse(wrong).is_err(), "{wrong}");
        }
    }
}
