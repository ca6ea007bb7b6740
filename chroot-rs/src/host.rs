//! What is read from the host while its paths can still be reached: facts for the lists of mounts, names of users and groups.

use plumbing::Fault;
use plumbing::pipeline::pipe::Stage;
use plumbing::process::namespace::KindSet;

use crate::accounts::Accounts;
use crate::facts::Facts;
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
        Ok(Host { facts: Facts::gather(None, KindSet::EMPTY, None)?, accounts })
    }

    /// Reads what this specification needs, for a held container whose namespaces `foreign` differ from ours. Call this before
    /// entering: inside, the container's owner may have mounted anything over these files.
    pub(crate) fn read_for(specification: &Specification, stage: &Stage, foreign: KindSet) -> Result<Host, Fault> {
        let accounts = specification.identity().host_accounts()?;
        let cgroup = stage.record.member()?;
        Ok(Host { facts: Facts::gather(Some(&stage.target), foreign, cgroup.as_ref())?, accounts })
    }

    /// Replaces what differs in the namespaces that were entered.
    pub(crate) fn after_entering(self) -> Host {
        Host { facts: self.facts.after_entering(), ..self }
    }
}
