//! `connect --change`: another rate, delay or loss for a connection that exists, also one of a container engine: a veth pair whose one end
//! is in this network namespace. `tc(8)`, `veth(4)`.
//!
//! The surprise: root inside may have put another queue on its end, or none. So the host's end says what was set, and the end
//! inside gets the new queue whatever it has.

use std::os::fd::AsFd;

use plumbing::{Fault, narrate};

use crate::impairment::{Duration, Impairment, Loss};
use crate::link::{self, Link};
use crate::lock::Lock;
use crate::mark::Mark;
use crate::netlink::Netlink;
use crate::qdisc::At;
use crate::rate::Limit;
use crate::republish::{self, Ports};
use crate::shape::Shape;
use crate::subject::{Opened, Subject};
use crate::{namespace, nat, nsid};

/// What is to be different; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// The rate.
    pub rate: Option<Limit>,
    /// The delay.
    pub delay: Option<Duration>,
    /// What is added to or taken from the delay.
    pub jitter: Option<Duration>,
    /// The share of packets that are lost.
    pub loss: Option<Loss>,
}

impl Change {
    /// Returns the changed shape; an error if it makes no sense.
    pub fn of(&self, old: Shape) -> Result<Shape, Fault> {
        let Impairment { delay, jitter, loss } = old.impairment;
        let impairment = Impairment {
            delay: self.delay.unwrap_or(delay),
            jitter: self.jitter.unwrap_or(jitter),
            loss: self.loss.unwrap_or(loss),
        };
        if impairment.jitter > impairment.delay {
            return Err(Fault::usage(format!(
                "--jitter {} is longer than --delay {}: no packet arrives before it is sent",
                impairment.jitter, impairment.delay
            )));
        }
        Ok(Shape { rate: self.rate.map_or(old.rate, |limit| limit.0), impairment })
    }
}

/// Changes the connection of an interface of a network namespace: both directions, or none.
pub fn run(subject: &Subject, interface: &str, change: &Change, ports: &Ports) -> Result<(), Fault> {
    let Opened { namespace: container, whose, .. } = subject.open_other()?;
    let netlink = Netlink::route()?;
    let inside = namespace::socket_inside(container.as_fd(), &whose)?;
    let published = Lock::open()?.with(|| {
        let refusal = |why: &str| Fault::new(format!("cannot change {interface} of {whose} network namespace: {why}"));
        let own = link::find(&inside, interface)?.ok_or_else(|| refusal("there is no such interface"))?;
        let id = nsid::of(&netlink, container.as_fd())?;
        let ours = other_end(&link::list(&netlink)?, &own, id)
            .ok_or_else(|| refusal("it is no veth whose other end is in this network namespace"))?;
        let ends = Ends {
            ours: At { netlink: &netlink, name: &ours.name, index: ours.index },
            inside: At { netlink: &inside, name: interface, index: own.index },
            mark: ours.alias.as_deref().and_then(Mark::parse),
            mtu: ours.mtu.max(own.mtu),
        };
        let is_shaped = *change != Change::default();
        let shapes = if is_shaped { Some(Shape::of(&ends.ours)?) } else { None };
        let shapes = shapes.map(|old| Ok::<_, Fault>((old, change.of(old)?))).transpose()?;
        let published = if ports.is_empty() { None } else { Some(republish::run(&netlink, &ours, interface, ports)?) };
        let Some((old, new)) = shapes else { return Ok(published) };
        ends.apply(&new).inspect_err(|_| {
            if let Err(left) = ends.apply(&old) {
                narrate::remark(format_args!("{left}; the connection is not as it was before"));
            }
            undo_ports(&netlink, &ours, interface, ports);
        })?;
        Ok(published)
    })?;
    published.iter().for_each(|mark| republish::wait_for_guardian(mark, ports));
    Ok(())
}

fn undo_ports(netlink: &Netlink, ours: &Link, interface: &str, ports: &Ports) {
    let Ports { added, removed } = ports.clone();
    let back = Ports { added: removed, removed: added };
    let now = || link::find(netlink, &ours.name).map(|link| link.unwrap_or_else(|| ours.clone()));
    if !ports.is_empty()
        && let Err(left) = now().and_then(|now| republish::run(netlink, &now, interface, &back))
    {
        narrate::remark(format_args!("{left}; the published ports are not as they were before"));
    }
}

/// Both ends of a pair.
struct Ends<'a> {
    ours: At<'a>,
    inside: At<'a>,
    /// What our end says, if netns-rs made it.
    mark: Option<Mark>,
    mtu: u32,
}

impl Ends<'_> {
    fn apply(&self, shape: &Shape) -> Result<(), Fault> {
        shape.apply(&self.ours, Some(self.mtu))?;
        shape.apply(&self.inside, Some(self.mtu))?;
        // Last: it limits what root inside could do about the queue of its end.
        match &self.mark {
            Some(mark) => nat::guard_again(mark, self.ours.name, shape.rate),
            None => Ok(()),
        }
    }
}

fn other_end(links: &[Link], own: &Link, id: Option<i32>) -> Option<Link> {
    let is_other = |link: &&Link| {
        link.is("veth") && Some(link.index) == own.peer && link.peer == Some(own.index) && link.peer_netnsid == id
    };
    links.iter().find(is_other).filter(|_| own.is("veth") && id.is_some()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;

    #[test]
    fn what_is_not_given_stays() {
        let rate = Rate::parse("10mbit").ok();
        let delay = Duration::parse("50ms").unwrap();
        let old = Shape { rate, impairment: Impairment { delay, ..Impairment::default() } };
        assert_eq!(Change::default().of(old).unwrap(), old);
        let jitter = Duration::parse("60ms").ok();
        assert!(Change { jitter, ..Change::default() }.of(old).is_err());
        let without = Change { rate: Some(Limit(None)), delay: Some(Duration::default()), ..Change::default() };
        assert_eq!(without.of(old).unwrap(), Shape::default());
    }

    #[test]
    fn the_other_end_is_the_one_that_leads_back() {
        let veth = |index, peer, id| {
            let (kind, peer) = (Some("veth".to_owned()), Some(peer));
            Link { index, kind, peer, peer_netnsid: id, ..Link::default() }
        };
        let links = [veth(5, 2, Some(1)), veth(6, 2, Some(0)), veth(7, 3, Some(0))];
        let found = |own: &Link, id| other_end(&links, own, id).map(|link| link.index);
        assert_eq!(found(&veth(2, 6, Some(0)), Some(0)), Some(6));
        assert_eq!(found(&veth(2, 5, Some(0)), Some(0)), None, "its other end is elsewhere");
        assert_eq!(found(&veth(2, 7, Some(0)), Some(0)), None);
        assert_eq!(found(&veth(2, 6, None), None), None);
    }
}
