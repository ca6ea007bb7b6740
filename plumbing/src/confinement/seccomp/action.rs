//! The answer of a filter to a system call; `seccomp(2)`, "the action".
//!
//! If several answers apply, the strictest one is used, as the kernel does with several filters.

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// The call fails with this errno.
    Errno(u16),
    /// A tracer decides, and receives this number; without a tracer the call fails with ENOSYS.
    Trace(u16),
    Log,
    Allow,
}

impl Action {
    /// Parses the name of an OCI profile; an action that takes a number uses `errno`, or EPERM without one.
    pub(super) fn parse(name: &str, errno: Option<u32>) -> Result<Action, String> {
        let number = errno.unwrap_or(libc::EPERM.cast_unsigned());
        // Above MAX_ERRNO the kernel would reduce it to another value than was asked for.
        let number = match u16::try_from(number) {
            Ok(number) if number <= 4095 => number,
            _ => return Err(format!("{number} is not an errno; expected 0 to 4095")),
        };
        let action = match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
            "SCMP_ACT_TRAP" => Action::Trap,
            "SCMP_ACT_ERRNO" => return Ok(Action::Errno(number)),
            "SCMP_ACT_TRACE" => return Ok(Action::Trace(number)),
            "SCMP_ACT_LOG" => Action::Log,
            "SCMP_ACT_ALLOW" => Action::Allow,
            "SCMP_ACT_NOTIFY" => return Err("SCMP_ACT_NOTIFY needs a process that answers, and there is none".into()),
            other => return Err(format!("there is no action {other:?}")),
        };
        match errno {
            Some(_) => Err(format!("{name} takes no errnoRet")),
            None => Ok(action),
        }
    }

    /// Returns the return value of the filter.
    pub(crate) fn code(self) -> u32 {
        match self {
            Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Allow => libc::SECCOMP_RET_ALLOW,
        }
    }

    /// Returns whether the call is made.
    pub(super) fn is_permissive(self) -> bool {
        matches!(self, Action::Allow | Action::Log)
    }

    /// Returns the rank of the action in the kernel's order: the strictest action is the least signed number.
    pub(super) fn leniency(self) -> i32 {
        (self.code() & libc::SECCOMP_RET_ACTION_FULL).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_parsed_and_have_the_kernels_order() {
        assert_eq!(Action::parse("SCMP_ACT_ERRNO", None), Ok(Action::Errno(1)));
        assert_eq!(Action::parse("SCMP_ACT_ERRNO", Some(38)).map(Action::code), Ok(0x0005_0026));
        for (name, errno) in [("SCMP_ACT_FLY", None), ("SCMP_ACT_NOTIFY", None), ("SCMP_ACT_ERRNO", Some(4096))] {
            assert!(Action::parse(name, errno).is_err(), "{name}");
        }
        let order = [
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Errno(1),
            Action::Trace(1),
            Action::Log,
            Action::Allow,
        ];
        assert!(order.windows(2).all(|pair| pair[0].leniency() < pair[1].leniency()));
    }
}
