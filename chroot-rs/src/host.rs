//! What is read from the host while its paths can still be reached: facts for the lists of mounts, names of users and groups.

use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Net;
use plumbing::process::namespace::KindSet;
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};

use crate::accounts::Accounts;
use crate::facts::{Facts, host_file};
use crate::name_servers;
use crate::source::Source;
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
        let facts = complete(specification, Facts::gather(None, KindSet::EMPTY, None)?);
        Ok(Host { facts: Facts { resolv_conf: servers(specification, None)?, ..facts }, accounts })
    }

    /// Reads what this specification needs, for a held container whose namespaces `foreign` differ from ours. Call this before
    /// entering: inside, the container's owner may have mounted anything over these files.
    pub(crate) fn read_for(specification: &Specification, stage: &Stage, foreign: KindSet) -> Result<Host, Fault> {
        let accounts = specification.identity().host_accounts()?;
        let cgroup = stage.record.member()?;
        let target = &stage.target;
        let facts = complete(specification, Facts::gather(Some(target), foreign, cgroup.as_ref())?);
        let resolv_conf = match Net::of(&stage.record)?.dns()? {
            Some(dns) if specification.has_names() => dns.text().into_bytes(),
            Some(_) => narrate::caution(unused()).map(|()| Vec::new())?,
            None => servers(specification, Some(target))?,
        };
        let facts = Facts { resolv_conf, ..facts };
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

/// Adds what only a host root shows.
fn complete(specification: &Specification, facts: Facts) -> Facts {
    if *specification.source() == Source::Host { facts.with_top() } else { facts }
}

/// Returns the host's name servers for a root that gets a file of them.
fn servers(specification: &Specification, target: Option<&Target>) -> Result<Vec<u8>, Fault> {
    if specification.has_names() {
        name_servers::choose(host_file("/etc/resolv.conf")?, target)
    } else {
        Ok(Vec::new())
    }
}
