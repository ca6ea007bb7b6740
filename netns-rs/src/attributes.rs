//! What root of a container can change on an interface that is lent to it, and what must not come to the host with it:
//! alternative names, hardware address, MTU, and the modes in which it receives everything. `ip-link(8)`.
//!
//! The surprise: an alternative name is a name. If the host has an interface of that name, the kernel refuses the move back, and
//! if it has none, commands that name one find this interface.

use nix::errno::Errno;
use plumbing::{Fault, narrate};

use crate::link::{self, Link};
use crate::netlink::Netlink;

/// How often a move is tried while someone inside adds names.
const ATTEMPTS: usize = 8;

/// The attributes that an interface had at home.
pub struct Attributes {
    names: Vec<String>,
    mac: Vec<u8>,
    mtu: u32,
}

impl Attributes {
    /// Returns those of a link.
    pub fn of(link: &Link) -> Attributes {
        Attributes { names: link.alternative.clone(), mac: link.mac.clone(), mtu: link.mtu }
    }

    /// Restores them on the link, which is at home again.
    pub fn restore(&self, host: &Netlink, link: &Link) -> Result<(), Fault> {
        let mac = (link.mac != self.mac && link.mac.len() == self.mac.len()).then_some(&self.mac[..]);
        let mtu = (link.mtu != self.mtu).then_some(self.mtu);
        if mac.is_some() || mtu.is_some() || link.receives_all {
            link::set_hardware(host, &link.name, link.index, (mac, mtu))?;
        }
        for name in self.names.iter().filter(|name| !link.alternative.contains(name)) {
            match link::add_name(host, &link.name, link.index, name) {
                // Another interface has it by now.
                Err(fault) if fault.errno() == Some(Errno::EEXIST) => narrate::remark(fault),
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Returns whether the interface had this alternative name.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// Removes the alternative names of a link that it did not have at home; without `had`, all.
pub fn remove_names(netlink: &Netlink, link: &Link, had: Option<&Attributes>) -> Result<(), Fault> {
    let is_new = |name: &&String| !had.is_some_and(|had| had.has(name));
    for name in link.alternative.iter().filter(is_new) {
        match link::remove_name(netlink, &link.name, link.index, name) {
            // Somebody inside was faster.
            Err(fault) if matches!(fault.errno(), Some(Errno::EINVAL | Errno::ENOENT)) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Moves a link home by `act`, without the names that it got inside.
pub fn without_names(
    inside: &Netlink,
    link: &Link,
    had: Option<&Attributes>,
    act: impl Fn(&Link) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut link = link.clone();
    for _ in 1..ATTEMPTS {
        remove_names(inside, &link, had)?;
        match act(&link) {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
            outcome => return outcome,
        }
        let now = link::list(inside)?.into_iter().find(|now| now.index == link.index);
        let Some(now) = now else { return Ok(()) };
        link = now;
    }
    act(&link)
}
