//! The name in /run/netns that keeps the namespace of an interface that is away, and the alias of that interface: both say
//! under which name it is at home. `ip-netns(8)`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::namespace_owner;
use plumbing::process::namespace::Kind;
use plumbing::process::target::own_namespace_inode;

use crate::attributes::{self, Attributes};
use crate::link::{self, Link};
use crate::mark::Owner;
use crate::name::Name;
use crate::netlink::Netlink;
use crate::{directory, namespace};

/// The first word of the alias of an interface that is away; its name at home and its own alias follow.
const AWAY: &str = "netns-rs-link";
/// The first part of the name that keeps the namespace.
const PREFIX: &str = "netns-rs-link:";

/// The name that keeps the namespace: which interface is in it, and for which process.
pub struct Pin {
    /// The name.
    pub name: Name,
    /// The interface, by its name at home.
    pub interface: String,
    /// The process with which it ends.
    pub owner: Owner,
    /// The inode of the network namespace where it is at home.
    pub home: u64,
}

impl Pin {
    /// Names the pin of an interface.
    pub fn new(interface: &str, owner: Owner, home: u64) -> Result<Pin, Fault> {
        let name = Name::parse(OsStr::new(&format!("{PREFIX}{interface}:{home}:{}", owner.text())));
        let name = name.map_err(|why| Fault::new(format!("cannot name the namespace of {interface}: {why}")))?;
        Ok(Pin { name, interface: interface.to_owned(), owner, home })
    }

    /// Parses a name; `None` if it is not one of a pin.
    pub fn parse(name: &Name) -> Option<Pin> {
        let mut parts = name.as_os_str().to_str()?.strip_prefix(PREFIX)?.splitn(3, ':');
        let (interface, home, owner) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?);
        Some(Pin { name: name.clone(), interface, owner: Owner::parse(owner)?, home })
    }

    /// Opens the namespace; `None` if it was let go meanwhile.
    pub fn open(&self) -> Result<Option<OwnedFd>, Fault> {
        match self.name.open() {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Moves the interface with this index back, if it is there; without an index that with our alias. Then lets the
    /// namespace go. Without `had` it loses all its alternative names, since which of them it had is not known.
    pub fn bring_back(&self, host: &Netlink, index: Option<u32>, had: Option<&Attributes>) -> Result<(), Fault> {
        let (home, container) = (namespace::own()?, self.name.open()?);
        let inside = namespace::socket_inside(container.as_fd(), &format!("{}'s", self.interface))?;
        let links = link::list(&inside)?;
        let is_ours = |link: &Link| name_at_home(link) == Some(&self.interface);
        let is_it = |link: &&Link| index.map_or(is_ours(link), |index| link.index == index);
        let is_away = |link: &Link| name_at_home(link).is_some();
        if index.is_none() && !is_of_our_user_namespace(container.as_fd()) && links.iter().any(is_away) {
            return Err(Fault::new(format!(
                "cannot bring {} back: root of another user namespace may have put another interface in its place; see \
                 which one is in the network namespace {}, which keeps it",
                self.interface,
                self.name.text().shown()
            )));
        }
        if let Some(link) = links.iter().find(is_it) {
            attributes::without_names(&inside, link, had, |link| {
                link::move_to(&inside, &link.name, link.index, (home.as_fd(), &self.interface), "it belongs there")
            })?;
        }
        // It may not have left yet; and its alias is no longer true.
        if let Some(link) = link::find(host, &self.interface)?.filter(is_ours) {
            if had.is_none() {
                attributes::remove_names(host, &link, None)?;
            }
            link::set_alias(host, &link.name, link.index, own_alias(&link))?;
        }
        directory::delete(&self.name)
    }
}

/// Returns whether root of our own user namespace only may change interfaces in a network namespace.
pub fn is_of_our_user_namespace(network: BorrowedFd<'_>) -> bool {
    let inode = |owner: OwnedFd| rustix::fs::fstat(&owner).ok().map(|stat| stat.st_ino);
    let owner = namespace_owner(network).ok().and_then(inode);
    owner.is_some() && owner == own_namespace_inode(Kind::User)
}

/// Returns the alias of an interface that is away.
pub fn alias(interface: &str, own: Option<&str>) -> String {
    let own = own.map(|own| format!(" {own}")).unwrap_or_default();
    format!("{AWAY} {interface}{own}")
}

/// Returns the name at home of an interface that is away, as its alias says it.
pub fn name_at_home(link: &Link) -> Option<&str> {
    words(link).map(|(name, _)| name)
}

/// Returns the own alias of an interface that is away.
fn own_alias(link: &Link) -> &str {
    words(link).map_or("", |(_, own)| own)
}

/// No name of an interface has a space.
fn words(link: &Link) -> Option<(&str, &str)> {
    let rest = link.alias.as_deref()?.strip_prefix(AWAY)?.strip_prefix(' ')?;
    Some(rest.split_once(' ').unwrap_or((rest, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_says_the_name_at_home_and_what_the_alias_was() {
        let words = |alias: &str| {
            let link = Link { alias: Some(alias.to_owned()), ..Link::default() };
            name_at_home(&link).map(|name| (name.to_owned(), own_alias(&link).to_owned()))
        };
        let expected = |name: &str, own: &str| Some((name.to_owned(), own.to_owned()));
        assert_eq!(words(&alias("tun0", None)), expected("tun0", ""));
        assert_eq!(words(&alias("tun0", Some("my tunnel"))), expected("tun0", "my tunnel"));
        for other in ["netns-rs-link", "netns-rs-linked tun0", "netns-rs 10.0.0.2/24", "my tunnel"] {
            assert_eq!(words(other), None, "{other}");
        }
    }
}
