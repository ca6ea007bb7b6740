//! The label in which the command is executed: a profile of AppArmor or a context of SELinux that a record or a bundle
//! requests. `proc_pid_attr(5)`, `apparmor(7)`, `selinux(8)`.
//!
//! It is written through /proc, so this comes before the root changes: a root may have anything as its /proc. The label is
//! a restriction, so without the security module it is an error. The surprise: before Linux 5.8, AppArmor reads its orders
//! in the file of whichever module is active.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{security_label, selinux};
use crate::Fault;
use crate::kernel::{call, look};
use crate::pipeline::record::Process;
use crate::process::exposure::in_the_open;

const EXEC: &str = "/proc/self/attr/exec";
const KEYS: &str = "/proc/self/attr/keycreate";
const APPARMOR_EXEC: &str = "/proc/self/attr/apparmor/exec";
/// The name of no profile.
const UNCONFINED: &str = "unconfined";

/// Requests the labels for the next `execve(2)`.
pub fn set(process: &Process) -> Result<(), Fault> {
    if let Some(context) = &process.selinux_label {
        let (goal, text) =
            (format!("run the command in the SELinux context {}", context.shown()), context.0.to_string_lossy());
        if !selinux::is_active() {
            return Err(is_inactive(
                &goal,
                "SELinux",
                "remove process.selinuxLabel, or start the machine with SELinux",
            ));
        }
        select_context(&goal, &text)?;
        if process.session_keyring {
            // The keyring that the command gets is made by us, and the command must be allowed to use it.
            let why = "the label of the session keyring that is made next; selinux(8)";
            write(&goal, KEYS, text.as_bytes(), why)?;
        }
    }
    match &process.apparmor_profile {
        Some(profile) => select_profile_or_none(&profile.0.to_string_lossy()),
        None => Ok(()),
    }
}

/// Makes the next `execve(2)` enter an SELinux context. Asks the policy in advance: if `execve(2)` failed inside, the error
/// would not show what SELinux refused.
pub fn select_context(goal: &str, context: &str) -> Result<(), Fault> {
    let own = security_label::own(security_label::CURRENT).unwrap_or_default();
    if own != context
        && selinux::is_enforcing()
        && selinux::is_allowed(&own, context, "process", "transition") == Some(false)
    {
        let (from, to) = (security_label::domain(&own), security_label::domain(context));
        return Err(Fault::new(format!("cannot {goal}: SELinux does not allow us to execute in it"))
            .with_remedy(format!("add to the policy: allow {from} {to}:process transition")));
    }
    write(goal, EXEC, context.as_bytes(), "takes effect at the next execve(2); selinux(8)")
}

/// Makes the next `execve(2)` enter an AppArmor profile, through the file that AppArmor has of its own since Linux 5.8.
pub fn select_profile(goal: &str, profile: &str) -> Result<(), Fault> {
    write_order(goal, APPARMOR_EXEC, profile)
}

/// The same for a profile that a bundle names, on any kernel.
fn select_profile_or_none(profile: &str) -> Result<(), Fault> {
    let goal = format!("run the command in the AppArmor profile {profile:?}");
    let shared = || security_label::own(security_label::CURRENT).filter(|_| !selinux::is_active());
    let own = security_label::own(security_label::APPARMOR).or_else(shared);
    let (Some(own), false) = (own.as_deref(), profile.is_empty()) else {
        // Engines name these also where AppArmor is not active.
        return if profile.is_empty() || profile == UNCONFINED {
            Ok(())
        } else {
            let remedy = "remove process.apparmorProfile, or start the machine with AppArmor";
            Err(is_inactive(&goal, "AppArmor", remedy))
        };
    };
    if security_label::profile(own) == profile {
        return Ok(());
    }
    match write_order(&goal, APPARMOR_EXEC, profile) {
        Err(fault)
            if fault.errno() == Some(Errno::ENOENT) && security_label::own(security_label::APPARMOR).is_none() =>
        {
            write_order(&goal, EXEC, profile)
        }
        done => done,
    }
}

fn write_order(goal: &str, path: &str, profile: &str) -> Result<(), Fault> {
    let order = format!("exec {profile}");
    let written = write(goal, path, order.as_bytes(), "takes effect at the next execve(2); apparmor(7)");
    written.map_err(|fault| match (fault.errno(), security_label::confining_profile()) {
        (Some(Errno::EACCES), Some(own)) => fault.with_remedy(format!(
            "AppArmor confines us by the profile {own:?}, which has no rule \"change_profile -> {profile},\""
        )),
        // The file was opened, so the module is there.
        (Some(Errno::ENOENT), _) if security_label::own(security_label::CURRENT).is_some() => {
            fault.with_remedy("no such profile is loaded in the kernel: load it with apparmor_parser(8)")
        }
        _ => fault,
    })
}

fn write(goal: &str, path: &str, text: &[u8], why: &str) -> Result<(), Fault> {
    in_the_open(|| {
        let file: OwnedFd = look(goal, format!("openat({path:?}, O_WRONLY)"), || {
            openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        })?;
        let shown = String::from_utf8_lossy(text);
        call(goal, format!("write({path:?}, {shown:?})"), why, || rustix::io::write(&file, text).map(drop))
    })
}

fn is_inactive(goal: &str, module: &str, remedy: &str) -> Fault {
    Fault::new(format!("cannot {goal}: {module} is not active here, so nothing would restrict the command"))
        .with_remedy(remedy)
}
