//! What a command in a container's root is confined to, as data: the record's member `process`. No I/O here.
//! `capabilities(7)`.

use plumbing::privilege::{DOCKER_CAPABILITIES, Process, capability_names, capability_set};
use plumbing::text::Text;

use crate::identity::Identity;

/// Found in every usual root; the caller's PATH speaks of the caller's.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `--capabilities` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Capabilities {
    /// No more than these.
    Only(Vec<String>),
    /// All that we have.
    Unchanged,
}

/// Reads `docker`, `none`, `all` or `CAP_X,CAP_Y`.
pub(crate) fn capabilities(text: &str) -> Result<Capabilities, String> {
    match text {
        "all" => Ok(Capabilities::Unchanged),
        "none" => Ok(Capabilities::Only(Vec::new())),
        "docker" => Ok(Capabilities::Only(docker())),
        listed => {
            let names: Vec<_> = listed.split(',').collect();
            let set = capability_set(&names)
                .map_err(|fault| format!("{fault}; valid are docker, none, all, or names as in CHOWN,KILL"))?;
            Ok(Capabilities::Only(capability_names(set)))
        }
    }
}

/// How tight the options want it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// `--std`: what is not said is as in a container, not as we are.
    pub(crate) std: bool,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) new_privs: bool,
    pub(crate) keep_env: bool,
}

impl Confinement {
    /// The member `process` for a command that runs as `identity`.
    pub(crate) fn process(&self, identity: Identity, setgroups_denied: bool) -> Process {
        let is_root = identity.uid.is_none_or(|uid| uid == 0);
        let capabilities = match &self.capabilities {
            Some(Capabilities::Only(names)) => Some(names.clone()),
            Some(Capabilities::Unchanged) => None,
            None if !self.std => None,
            // A user other than root would get them through its ambient set, and nobody asked for that.
            None => Some(if is_root { docker() } else { Vec::new() }),
        };
        // Where the kernel forbids it for good, there is nothing to leave: privilege::setgroups_is_denied says why.
        let start_clean = (self.std && !setgroups_denied).then(Vec::new);
        Process {
            capabilities,
            no_new_privs: self.std && !self.new_privs,
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.or(start_clean),
            env: (self.std && !self.keep_env).then(|| environment(identity.home.as_deref(), is_root)),
            cwd: None,
        }
    }
}

fn docker() -> Vec<String> {
    DOCKER_CAPABILITIES.map(str::to_owned).to_vec()
}

/// PATH and HOME: the caller's variables may hold secrets, and name files that are not inside.
fn environment(home: Option<&str>, is_root: bool) -> Vec<Text> {
    let home = home.unwrap_or(if is_root { "/root" } else { "/" });
    vec![PATH.into(), format!("HOME={home}").as_str().into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn std() -> Confinement {
        Confinement { std: true, ..Confinement::default() }
    }

    #[test]
    fn a_container_is_confined_unless_told_otherwise() {
        let process = std().process(Identity::default(), false);
        assert_eq!(process.capabilities.map(|names| names.len()), Some(14));
        assert!(process.no_new_privs);
        assert_eq!(process.groups, Some(Vec::new()));
        assert_eq!(process.env.map(|env| env.len()), Some(2));
    }

    #[test]
    fn a_plain_chroot_changes_nothing_of_its_own_accord() {
        assert_eq!(Confinement::default().process(Identity::default(), false), Process::default());
    }

    #[test]
    fn another_user_than_root_has_no_capability_unless_named() {
        let user = Identity { uid: Some(1000), ..Identity::default() };
        assert_eq!(std().process(user.clone(), false).capabilities, Some(Vec::new()));
        let asked = Confinement { capabilities: Some(capabilities("kill").unwrap()), ..std() };
        assert_eq!(asked.process(user, false).capabilities, Some(vec!["CAP_KILL".to_owned()]));
    }

    #[test]
    fn groups_that_cannot_be_left_are_not_asked_to() {
        assert_eq!(std().process(Identity::default(), true).groups, None);
    }

    #[test]
    fn capabilities_are_words_or_names() {
        assert_eq!(capabilities("all"), Ok(Capabilities::Unchanged));
        assert_eq!(capabilities("none"), Ok(Capabilities::Only(Vec::new())));
        assert!(capabilities("docker,fly").unwrap_err().contains("valid are"));
    }
}
