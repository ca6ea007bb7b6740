//! Inherited state of the container: descriptors, variables, its terminal. `environ(7)`, `ioctl_tty(2)`.

use std::os::fd::AsFd;
use std::sync::OnceLock;

use plumbing::Fault;
use plumbing::kernel::{is_open, own, place};
use plumbing::process::trial;
use rustix::fs::OFlags;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;

use super::Finding;
use super::look::{link, open};
use super::namespaces::is_initial;
use super::trials::{Answer, attempted};

/// The limit of descriptors to check; an engine that leaks descriptors leaks low numbers.
const HIGHEST: i32 = 4096;

static DESCRIPTORS: OnceLock<Vec<String>> = OnceLock::new();

/// Remembers the open descriptors, each with the file that /proc shows for it.
pub(super) fn note_descriptors() {
    let open = (3..HIGHEST).filter(|fd| is_open(*fd));
    let shown = |fd: i32| format!("{fd} ({})", link(&format!("/proc/self/fd/{fd}")).unwrap_or_else(|| "?".to_owned()));
    DESCRIPTORS.get_or_init(|| open.map(shown).collect());
}

pub(super) fn descriptors() -> Result<Finding, Fault> {
    Ok(Finding::none_of(DESCRIPTORS.get().map_or(&[], Vec::as_slice), "none beyond 0, 1 and 2"))
}

/// Parts of the names of secrets, and prefixes of the variables of a login session.
const SECRETS: [&str; 7] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "APIKEY", "API_KEY"];
const SESSION: [&str; 10] =
    ["SSH_", "DBUS_", "XDG_", "SUDO_", "AWS_", "DOCKER_", "KUBECONFIG", "GPG_", "DISPLAY", "WAYLAND_"];

/// Looks for secrets in the environment. Reports names only, because a report may be published.
pub(super) fn environment() -> Result<Finding, Fault> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let leaked: Vec<_> = names.filter(|name| is_leaked(name)).collect();
    Ok(Finding::none_of(&leaked, format!("{} variables, none with the name of a secret", std::env::vars_os().count())))
}

fn is_leaked(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRETS.iter().any(|part| upper.contains(part)) || SESSION.iter().any(|start| upper.starts_with(start))
}

/// Tries the terminal at one of the standard descriptors, or the controlling one. It is placed at descriptor 0, which the
/// calls use.
pub(super) fn terminal() -> Result<Finding, Fault> {
    let standard = [stdin(), stdout(), stderr()];
    let found = standard.into_iter().find(|fd| isatty(fd));
    let controlling = if found.is_none() { open("/dev/tty", OFlags::RDWR).ok() } else { None };
    let Some(terminal) = found.or(controlling.as_ref().map(AsFd::as_fd)) else {
        return Ok(Finding::not_here("there is no terminal"));
    };
    if found.is_none() && is_shared_session() {
        return Ok(Finding::open("no terminal was given, but /dev/tty leads to that of a session outside"));
    }
    own("use the terminal", "dup2(fd, 0)", || place(terminal, 0))?;
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    for trial in [&trial::TIOCSTI, &trial::TIOCLINUX] {
        match attempted(trial)? {
            Answer::Refused(text) => refused.push(text),
            // Only a virtual console knows the second call, and if tiocsti is switched off the first gives EIO.
            Answer::Answered(text) if text.ends_with("ENOTTY") || text.ends_with("EIO") => refused.push(text),
            Answer::Untried(text) => return Ok(Finding::unknown(text)),
            Answer::Answered(text) => answered.push(text),
        }
    }
    if !answered.is_empty() && !is_shared_session() {
        return Ok(Finding::held("answered, but the terminal's session is the container's own"));
    }
    Ok(Finding::none_of(&answered, super::look::some(&refused)))
}

/// Reports whether our session, and so the terminal's input, belongs to a leader outside: the leader then has no number in
/// our pid namespace.
fn is_shared_session() -> bool {
    let leader = nix::unistd::getsid(None).map_or(0, nix::unistd::Pid::as_raw);
    leader == 0 || is_initial("pid") != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_recognized() {
        for name in ["GITHUB_TOKEN", "db_password", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "AWS_ACCESS_KEY_ID"] {
            assert!(is_leaked(name), "{name}");
        }
        for name in ["PATH", "HOME", "TERM", "HOSTNAME", "LANG"] {
            assert!(!is_leaked(name), "{name}");
        }
    }
}
