//! What is left to a relay: sockets of TCP, and waiting. `capabilities(7)`, `seccomp(2)`, `ptrace(2)`, `setrlimit(2)`.
//!
//! It handles only bytes that it does not look at, but a command that shares its pid namespace and its user sees it. So it
//! can neither be traced nor read by a process with fewer rights, has an empty root directory and no capability in
//! effect, and a filter allows it only its few calls. A process that may trace it (CAP_SYS_PTRACE over the user
//! namespace in which the tool was started) can still lead it to another address: separate pid namespaces prevent that.

use nix::libc;
use plumbing::confinement::empty_root;
use plumbing::confinement::privilege::{Holding, keep_only};
use plumbing::confinement::seccomp::{Allowed, allow_only};
use plumbing::kernel::call;
use plumbing::pipeline::ephemeral;
use plumbing::process::exposure;
use plumbing::{Fault, narrate};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use super::service::capacity;

/// Confines this process, which is hidden; returns how many connections are possible at once.
pub fn confine(listeners: usize) -> Result<u64, Fault> {
    let capacity = raise_limit(listeners)?;
    if !narrate::is_dry_run() {
        // The filter forbids it later.
        ephemeral::leave();
    }
    let holding = if narrate::is_dry_run() { Holding::Everything } else { Holding::Now };
    empty_root::enter("the relay", holding)?;
    keep_only(CapabilitySet::empty(), holding)?;
    exposure::stay_hidden()?;
    allow_only(&calls(), &[])?;
    Ok(capacity)
}

/// Raises the limit of open files as far as that is permitted.
fn raise_limit(listeners: usize) -> Result<u64, Fault> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let capacity = capacity(most.saturating_sub(listeners as u64));
    if capacity == 0 {
        return Err(Fault::new(format!("cannot relay connections: the limit of open files is {most}"))
            .with_remedy("raise the hard limit: ulimit -Hn 1024"));
    }
    let shown = limit.maximum.map_or("RLIM64_INFINITY".to_owned(), |value| value.to_string());
    let text = format!("prlimit64(0, RLIMIT_NOFILE, {{rlim_cur={shown}, rlim_max={shown}}}, NULL)");
    call("raise RLIMIT_NOFILE", text, "a connection takes up to six descriptors; setrlimit(2)", || {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    })?;
    Ok(capacity)
}

fn calls() -> Vec<Allowed> {
    const STREAM: i32 = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut allowed: Vec<_> = [
        libc::SYS_recvmsg,
        libc::SYS_recvfrom,
        libc::SYS_accept4,
        libc::SYS_connect,
        libc::SYS_setsockopt,
        libc::SYS_getsockopt,
        libc::SYS_shutdown,
        libc::SYS_splice,
        libc::SYS_pipe2,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait,
        // The guardian lets go of what it needed for its start.
        libc::SYS_close_range,
    ]
    .map(Allowed::call)
    .into();
    allowed.extend(
        [libc::AF_INET, libc::AF_INET6].map(|family| Allowed::with(libc::SYS_socket, 0, family).and(1, STREAM)),
    );
    allowed.push(Allowed::with(libc::SYS_dup3, 1, 2));
    #[cfg(target_arch = "x86_64")]
    allowed.push(Allowed::with(libc::SYS_dup2, 1, 2));
    allowed
}
