//! `connect --change --publish` and `--unpublish`: other published ports for a connection that exists. `nft(8)`.
//!
//! The alias of the host's end says which ports are published, and the rules are made again from all aliases. The guardian
//! notices the new alias, and reserves or gives back the ports. The surprise: a connection that exists has been rewritten
//! once and for all, so it continues after its port has been unpublished.

use std::net::IpAddr;

use plumbing::{Fault, narrate};

use crate::link::Link;
use crate::mark::{LONGEST_ALIAS, Mark};
use crate::netlink::Netlink;
use crate::pair::{self, Port};
use crate::publish::{self, Published};
use crate::survey::Survey;
use crate::{nat, restored};

/// The ports that change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// Those to be published.
    pub added: Vec<Published>,
    /// Those to be published no longer.
    pub removed: Vec<Published>,
}

impl Ports {
    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Returns the changed ports; the error completes "cannot …: ".
    fn of(&self, old: &[Published]) -> Result<Vec<Published>, String> {
        if let Some(unknown) = self.removed.iter().find(|port| !old.contains(port)) {
            return Err(format!("{unknown} is not published"));
        }
        let mut new: Vec<_> = old.iter().copied().filter(|port| !self.removed.contains(port)).collect();
        for port in &self.added {
            if let Some(other) = new.iter().find(|other| other.conflicts_with(port)) {
                return Err(format!("{other} is published already"));
            }
            new.push(*port);
        }
        Ok(new)
    }
}

/// Changes the ports of the connection whose host's end is `ours`, under the lock: all of them, or none.
pub fn run(netlink: &Netlink, ours: &Link, interface: &str, ports: &Ports) -> Result<Mark, Fault> {
    let refusal = |why: &str| Fault::new(format!("cannot change the published ports of {interface}: {why}"));
    let old = ours.alias.as_deref().and_then(Mark::parse).filter(|mark| mark.nat).ok_or_else(|| {
        refusal("netns-rs did not connect it with --nat")
            .with_remedy("a process can relay a port of any container: netns-rs connect NAMESPACE --publish PORTS")
    })?;
    let new = Mark { published: ports.of(&old.published).map_err(|why| refusal(&why))?, ..old.clone() };
    if new.text().len() > LONGEST_ALIAS {
        return Err(refusal("too many addresses and ports for one interface"));
    }
    let has = |is_ipv4| new.addresses.iter().any(|own| own.ip.is_ipv4() == is_ipv4);
    if let Some(port) = ports.added.iter().find(|port| ![true, false].into_iter().any(|is| has(is) && port.is_for(is)))
    {
        return Err(refusal(&format!("{port} is for a family of which it has no address")));
    }
    let survey = Survey::take(netlink)?;
    survey.require_unpublished(&ports.added, Some(ours.index))?;
    // A port of ours that leads elsewhere now is still reserved by the guardian.
    let is_new = |port: &&Published| !old.published.iter().any(|other| other.conflicts_with(port));
    let added: Vec<_> = ports.added.iter().filter(is_new).copied().collect();
    // Not kept: the guardian reserves them as soon as it sees the new alias.
    drop(publish::reserve_for(&added, has)?);
    mark(netlink, ours, &new)?;
    if let Err(fault) = apply(netlink, &survey, ours, &new) {
        if let Err(left) = mark(netlink, ours, &old).and_then(|()| nat::rebuild(netlink)) {
            narrate::remark(format_args!("{left}; the published ports are not as they were before"));
        }
        return Err(fault);
    }
    Ok(new)
}

fn mark(netlink: &Netlink, ours: &Link, mark: &Mark) -> Result<(), Fault> {
    let port = Port { isolate: mark.isolate, hairpin: !mark.published.is_empty() };
    pair::mark_port(netlink, &ours.name, ours.index, &mark.text(), &port)
}

fn apply(netlink: &Netlink, survey: &Survey, ours: &Link, new: &Mark) -> Result<(), Fault> {
    nat::rebuild(netlink)?;
    let bridge = survey.links().iter().find(|link| Some(link.index) == ours.controller);
    let has_ipv4 = new.addresses.iter().any(|own| matches!(own.ip, IpAddr::V4(_)));
    if let Some(bridge) = bridge.filter(|_| has_ipv4) {
        nat::lead_from_loopback(bridge, &new.published)?;
    }
    restored::restore(&restored::find(&Survey::take(netlink)?)?)
}

/// Waits until the guardian has reserved what is new and given back what is not published any more, but not for long.
pub fn wait_for_guardian(mark: &Mark, ports: &Ports) {
    if mark.owner.is_some() {
        publish::wait_until_free(
            &ports.removed.iter().filter(|port| !overlaps(mark, port)).copied().collect::<Vec<_>>(),
        );
        publish::wait_until_taken(&ports.added);
    }
}

fn overlaps(mark: &Mark, port: &Published) -> bool {
    mark.published.iter().any(|other| other.conflicts_with(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_added_and_removed() {
        let all = |texts: &[&str]| texts.iter().map(|text| Published::parse(text).unwrap()).collect::<Vec<_>>();
        let change = |added: &[&str], removed: &[&str]| {
            let new = Ports { added: all(added), removed: all(removed) }.of(&all(&["80:80", "53:53/udp"]))?;
            Ok::<_, String>(new.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(change(&["81:80"], &["80:80"]).as_deref(), Ok("53:53/udp 81:80"));
        assert_eq!(change(&["80:8080"], &["80:80"]).as_deref(), Ok("53:53/udp 80:8080"));
        assert_eq!(change(&["127.0.0.1:80:1"], &[]).unwrap_err(), "80:80 is published already");
        assert_eq!(change(&["7:7", "7:8"], &[]).unwrap_err(), "7:7 is published already");
        assert_eq!(change(&[], &["53:53"]).unwrap_err(), "53:53 is not published");
    }
}
