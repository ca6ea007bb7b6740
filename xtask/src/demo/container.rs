//! The container of the demonstration, as the command line that a user would type: a part for each tool, combined as a
//! chain or as a pipe.

/// The ways to combine the tools.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Each tool executes the rest of the line.
    Chain,
    /// Each tool passes the container on to the next.
    Pipe,
}

/// The privileges of this user.
#[derive(Clone, Copy)]
pub struct Rights {
    /// All privileges, so no user namespace is needed.
    pub is_privileged: bool,
    /// Making a cgroup with limits.
    pub limits: bool,
    /// Connecting a network namespace to a bridge on the host.
    pub bridge: bool,
}

/// The name and host name of the container.
pub const NAME: &str = "demo";
/// Its address, if there is a bridge.
pub const ADDRESS: &str = "10.88.0.2";
/// Its memory limit in bytes, if there are limits.
pub const MEMORY: &str = "268435456";
/// Its process limit.
pub const PIDS: &str = "100";
/// The name of the bridge.
pub const BRIDGE: &str = "demo0";

const LIMITS: &str = "--memory 256M --pids 100 --name demo";
const WIRING: &str = "--bridge demo0 --address 10.88.0.2/24 --gateway 10.88.0.1 --nat";
const NAMESPACES: &str = "--mount --pid --ipc --uts --cgroup";
const USER: &str = "--user --map-root-user ";

/// Returns a line that tries to make a cgroup with limits.
pub fn limits_alone() -> String {
    format!("cgexec-rs {LIMITS} -- true")
}

/// Returns a line that tries to connect a network.
pub fn bridge_alone() -> String {
    format!("netns-rs exec --new {WIRING} -- true")
}

/// Returns the whole line for sh(1), with `command`, which is quoted already.
pub fn line(way: Way, rights: Rights, explain: bool, command: &str) -> String {
    let mut parts = match way {
        Way::Chain => chain(rights),
        Way::Pipe => pipe(rights),
    };
    if explain {
        for part in &mut parts {
            *part = part.replacen("-rs ", "-rs --explain ", 1);
        }
    }
    match way {
        Way::Chain => format!("{} -- \\\n{command}", parts.join(" -- \\\n")),
        Way::Pipe => format!("{} -- {command}", parts.join(" |\n")),
    }
}

/// Returns the parts of a chain, outermost first: a cgroup namespace shows the group in which it was made, and the bridge is
/// on the host.
fn chain(rights: Rights) -> Vec<String> {
    let user = if rights.is_privileged { "" } else { USER };
    let unshare = format!("unshare-rs {user}{NAMESPACES} --fork --kill-child --hostname {NAME}");
    let limits = rights.limits.then(|| format!("cgexec-rs {LIMITS}"));
    let root = "chroot-rs --std --host-root".to_owned();
    // Without privilege, only the user namespace gives the privilege to make a network namespace.
    let parts = if rights.bridge {
        vec![limits, Some(format!("netns-rs exec --new {WIRING}")), Some(unshare), Some(root)]
    } else {
        vec![limits, Some(unshare), Some("netns-rs exec --new".to_owned()), Some(root)]
    };
    parts.into_iter().flatten().collect()
}

fn pipe(rights: Rights) -> Vec<String> {
    let user = if rights.is_privileged { "" } else { USER };
    let parts = [
        Some(format!("unshare-rs --hold --name {NAME} {user}{NAMESPACES} --net --hostname {NAME}")),
        rights.limits.then(|| format!("cgexec-rs --pipe {LIMITS}")),
        // Without a bridge there is nothing to connect.
        rights.bridge.then(|| format!("netns-rs connect --pipe {WIRING}")),
        Some("chroot-rs --pipe --std --host-root".to_owned()),
        Some("nsenter-rs --pipe --rm".to_owned()),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_parts_that_the_user_may_use() {
        let all = Rights { is_privileged: true, limits: true, bridge: true };
        let none = Rights { is_privileged: false, limits: false, bridge: false };
        let count = |way, rights| line(way, rights, true, "sh").matches("-rs --explain ").count();
        assert_eq!((count(Way::Chain, all), count(Way::Pipe, all)), (4, 5));
        assert_eq!((count(Way::Chain, none), count(Way::Pipe, none)), (3, 3));
        assert!(line(Way::Chain, none, false, "sh").starts_with("unshare-rs --user "));
        assert!(line(Way::Pipe, all, false, "sh").ends_with("nsenter-rs --pipe --rm -- sh"));
    }
}
