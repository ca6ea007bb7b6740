//! What is read from the host while its paths can still be reached: facts for the lists of mounts, names of users and groups.

use plumbing::Fault;
use plumbing::pipeline::pipe::Stage;
use plumbing::process::namespace::KindSet;

use crate::accounts::Accounts;
use crate::facts::Facts;
use crate::name_servers;
use crate::specification::Specification;

/// What was read from the host.
pub(crate) struct Host {
    pub(crate) facts: Facts,
    pub(crate) accounts: Accounts,
}

impl Host {
    /// Reads what this specification needs, for a root in our own namespaces.
    pub(crate) fn read(specification: &Specification) -> Result<Host, Fault> {
        let accounts = specification.identity().host_accounts()?;
        let mut facts = Facts::gather(None, KindSet::EMPTY, None)?;
        if specification.has_names() {
            facts.resolv_conf = name_servers::choose(facts.resolv_conf, None)?;
        }
        Ok(Host { facts, accounts })
    }

    /// Reads what this specification needs, for a held container whose namespaces `foreign` differ from ours. Call this before
    /// entering: inside, the container's owner may have mounted anything over these files.
    pub(crate) fn read_for(specification: &Specification, stage: &Stage, foreign: KindSet) -> Result<Host, Fault> {
        let accounts = specification.identity().host_accounts()?;
        let cgroup = stage.record.member()?;
        let mut facts = Facts::gather(Some(&stage.target), foreign, cgroup.as_ref())?;
        if specification.has_names() {
            facts.resolv_conf = name_servers::choose(facts.resolv_conf, Some(&stage.target))?;
        }
        Ok(Host { facts, accounts })
    }

    /// Replaces what differs in the namespaces that were entered.
    pub(crate) fn after_entering(self) -> Host {
        Host { facts: self.facts.after_entering(), ..self }
    }
}
