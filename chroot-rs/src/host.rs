//! What is read from the host while its paths can still be reached: facts for the lists of mounts, names of users and groups.

use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Net;
use plumbing::process::namespace::KindSet;
use plumbing::{Fault, narrate};

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
        facts.resolv_conf = match Net::of(&stage.record)?.dns()? {
            Some(dns) if specification.has_names() => dns.text().into_bytes(),
            Some(_) => {
                narrate::caution(unused())?;
                facts.resolv_conf
            }
            None if specification.has_names() => name_servers::choose(facts.resolv_conf, Some(&stage.target))?,
            None => facts.resolv_conf,
        };
        Ok(Host { facts, accounts })
    }

    /// Replaces what differs in the namespaces that were entered.
    pub(crate) fn after_entering(self) -> Host {
        Host { facts: self.facts.after_entering(), ..self }
    }
}

/// The name servers of the record have no place.
fn unused() -> Fault {
    Fault::new(
        "cannot give the container the name servers of its record (net.dns): a bundle has its own /etc/resolv.conf",
    )
    .with_remedy("use --std ROOT, or bind a file over it in the bundle")
}
