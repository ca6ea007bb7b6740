//! System call filters for what Landlock overlooks. `seccomp(2)`.
//!
//! Landlock's hooks look at one way to do something, and the kernel has others: before Linux 6.2 a file can be truncated
//! by path; a port can be reached with MPTCP, SMC or the first packet of TCP Fast Open, which no hook sees; a limit of
//! another process makes the kernel send the signal. A request of io_uring is seen by no filter, so io_uring looks missing
//! where a filter is needed whose effect io_uring can have, too.

use crate::Fault;
use crate::confinement::seccomp::Seccomp;

const NO_IO_URING: &str = r#"{"names": ["io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}"#;

/// The calls that truncate a file without opening it for writing: with O_TRUNC (512) and the access mode 0 or 3. A file
/// opened with mode 3 can be neither read nor written, so Landlock demands no right for it. A filter cannot see flags in
/// memory, so openat2(2) is made to look missing: C libraries and language runtimes fall back on openat(2).
const TRUNCATING: &str = r#"
    {"names": ["truncate", "truncate64"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
    {"names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 1, "value": 515, "valueTwo": 512, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 1, "value": 515, "valueTwo": 515, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["openat", "open_by_handle_at"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 2, "value": 515, "valueTwo": 512, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["openat", "open_by_handle_at"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
     "args": [{"index": 2, "value": 515, "valueTwo": 515, "op": "SCMP_CMP_MASKED_EQ"}]}"#;

/// MSG_FASTOPEN is 0x20000000, AF_SMC is 43. The errors are those of a kernel without these protocols, on which programs
/// fall back to TCP.
const PAST_TCP: &str = r#"
    {"names": ["sendto", "sendmmsg"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
     "args": [{"index": 3, "value": 536870912, "valueTwo": 536870912, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["sendmsg"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
     "args": [{"index": 2, "value": 536870912, "valueTwo": 536870912, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
     "args": [{"index": 0, "value": 4294967295, "valueTwo": 43, "op": "SCMP_CMP_MASKED_EQ"}]}"#;

/// The numbers of MPTCP and SMC, and of UDP-Lite, in socket(2).
const LIKE_TCP: [u32; 2] = [262, 256];
const LIKE_UDP: [u32; 1] = [136];

/// The calls that do to a process outside what a signal could: a limit ends it (SIGKILL, SIGXFSZ), a priority or a policy
/// stops it. Programs pass 0 for themselves, but C libraries pass a thread's id to set its policy or processors
/// (`pthread_setaffinity_np(3)`), and a filter does not know which ids are the command's own. `IOPRIO_WHO_PROCESS` is 1.
const PAST_SIGNAL: &str = r#"
    {"names": ["prlimit64"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
     "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NE"}, {"index": 2, "value": 0, "op": "SCMP_CMP_NE"}]},
    {"names": ["setpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
     "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NE"}]},
    {"names": ["setpriority", "ioprio_set"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
     "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_NE"}]},
    {"names": ["ioprio_set"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
     "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}]},
    {"names": ["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"],
     "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NE"}]}"#;

/// What a filter has to cover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    pub(super) truncating: bool,
    pub(super) past_tcp: bool,
    pub(super) past_udp: bool,
    pub(super) past_signal: bool,
}

impl Gaps {
    /// Returns the filter, if one is needed.
    pub(super) fn filter(self) -> Result<Option<Seccomp>, Fault> {
        if self == Gaps::default() {
            return Ok(None);
        }
        let mut entries = Vec::new();
        if self.truncating || self.past_tcp || self.past_udp {
            entries.push(NO_IO_URING.to_owned());
        }
        if self.truncating {
            entries.push(TRUNCATING.to_owned());
        }
        if self.past_tcp {
            entries.push(PAST_TCP.to_owned());
            entries.extend(LIKE_TCP.map(refuse_protocol));
        }
        if self.past_udp {
            entries.extend(LIKE_UDP.map(refuse_protocol));
        }
        if self.past_signal {
            entries.push(PAST_SIGNAL.to_owned());
        }
        let profile = format!(
            r#"{{
  "defaultAction": "SCMP_ACT_ALLOW",
  "archMap": [
    {{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}},
    {{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}}
  ],
  "syscalls": [{}]
}}"#,
            entries.join(",")
        );
        Seccomp::parse("for Landlock", profile.as_bytes()).map(Some)
    }
}

/// Returns an entry that refuses sockets of a protocol. The kernel looks at the lower half of the argument only.
fn refuse_protocol(number: u32) -> String {
    format!(
        r#"{{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 93,
     "args": [{{"index": 2, "value": 4294967295, "valueTwo": {number}, "op": "SCMP_CMP_MASKED_EQ"}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_understood() {
        for bits in 0..16 {
            let [truncating, past_tcp, past_udp, past_signal] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let filter = Gaps { truncating, past_tcp, past_udp, past_signal }.filter().unwrap();
            let hides_io_uring = match &filter {
                Some(Seccomp::Profile(profile)) => profile["syscalls"][0]["names"][0] == "io_uring_setup",
                _ => false,
            };
            assert_eq!((filter.is_some(), hides_io_uring), (bits != 0, bits & 7 != 0));
        }
        assert_eq!(libc::O_TRUNC | libc::O_ACCMODE, 515);
        assert_eq!(libc::MSG_FASTOPEN, 536_870_912);
        assert_eq!((libc::IPPROTO_MPTCP, libc::IPPROTO_UDPLITE), (262, 136));
    }

    #[test]
    fn truncating_is_refused_with_each_access_mode_that_does_not_write() {
        let filter = Gaps { truncating: true, ..Gaps::default() }.filter().unwrap();
        let Some(Seccomp::Profile(profile)) = filter else { panic!("no profile") };
        let is_refused = |call: &str, flags: u64| {
            profile["syscalls"].as_array().unwrap().iter().any(|entry| {
                let is_named = entry["names"].as_array().unwrap().iter().any(|name| name == call);
                let number = |key: &str| entry["args"][0][key].as_u64().unwrap();
                is_named && flags & number("value") == number("valueTwo")
            })
        };
        let truncates = u64::from(libc::O_TRUNC.cast_unsigned());
        for call in ["open", "openat", "open_by_handle_at"] {
            // Landlock refuses 1 and 2, O_WRONLY and O_RDWR, where writing is refused.
            assert_eq!(
                [0, 1, 2, 3].map(|mode| is_refused(call, truncates | mode)),
                [true, false, false, true],
                "{call}"
            );
            assert_eq!([0, 1, 2, 3].map(|mode| is_refused(call, mode)), [false; 4], "{call}");
        }
    }
}
