//! Making new namespaces, and setting them up from inside. `unshare(2)`, `namespaces(7)`.

use std::ffi::OsString;

use plumbing::Fault;
use plumbing::process::namespace::{Kind, KindSet};

use crate::mapping::MapRequest;
use crate::options::Propagation;
use crate::{host_name, propagation};

/// The new namespaces, and what to set up in them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) kinds: KindSet,
    pub(crate) mapping: MapRequest,
    pub(crate) propagation: Propagation,
    pub(crate) hostname: Option<OsString>,
    pub(crate) domainname: Option<OsString>,
}

impl Namespaces {
    /// Sets up the new namespaces from inside, in the same way for a command and for a hold.
    pub(crate) fn set_up(&self) -> Result<(), Fault> {
        if self.kinds.contains(Kind::Mnt) {
            // Before any mount, which would otherwise propagate to the namespace that this one was copied from.
            propagation::set(self.propagation)?;
        }
        if let Some(name) = &self.hostname {
            host_name::set(name)?;
        }
        self.domainname.as_deref().map_or(Ok(()), host_name::set_domain)
    }
}

/// Creates namespaces of these kinds for this process and its children.
pub(crate) fn unshare(kinds: KindSet) -> Result<(), Fault> {
    let why = format!("new {} namespaces from here on; {}", kinds.names(), manuals(kinds));
    plumbing::kernel::call(
        format!("create the {} namespaces", kinds.names()),
        format!("unshare({})", kinds.flag_names()),
        &why,
        || nix::sched::unshare(kinds.flags()),
    )
}

/// Returns the manual pages of these kinds.
pub(crate) fn manuals(kinds: KindSet) -> String {
    kinds.iter().map(Kind::manual).collect::<Vec<_>>().join(", ")
}
