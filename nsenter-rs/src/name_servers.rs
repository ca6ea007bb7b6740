//! The name servers of a record (`net.dns`): `chroot-rs` writes them into the new root. `resolv.conf(5)`.
//!
//! The surprise: without a root of its own, the command reads the host's /etc/resolv.conf, and asks its servers.

use plumbing::pipeline::record::{Net, Record};
use plumbing::{Fault, narrate};

/// Warns of name servers that no stage has used.
pub(crate) fn require_used(record: &Record) -> Result<(), Fault> {
    if Net::of(record)?.dns()?.is_none() || record.has("root") {
        return Ok(());
    }
    narrate::caution(
        Fault::new("cannot use the name servers of the record (net.dns): the container has no root of its own")
            .with_remedy("add chroot-rs --pipe --std ROOT to the pipeline"),
    )
}
