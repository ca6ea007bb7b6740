//! A connection without a bridge: a link of the container's own on top of an interface of the host. Pure.
//! `ip-link(8)`.
//!
//! The surprise: the host itself cannot reach such a container by that interface, because what the host sends leaves by the
//! cable, and does not come back.

use crate::interface::interface_name;

/// The link of a container without a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// The interface of the host.
    pub parent: String,
    /// What is made on top of it.
    pub kind: Kind,
}

/// The kind of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With a hardware address of its own.
    Macvlan(Macvlan),
    /// With the hardware address of the parent.
    Ipvlan(Ipvlan),
}

/// What links on one parent may send to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Macvlan {
    /// Everything, at once.
    Bridge,
    /// Nothing.
    Private,
    /// What the switch sends back.
    Vepa,
    /// There is only this link on the parent.
    Passthru,
}

/// How much of the way the parent's namespace decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipvlan {
    /// Nothing: frames.
    L2,
    /// Routes.
    L3,
    /// Routes, and its rules for packets.
    L3s,
}

impl Direct {
    /// Parses `PARENT` or `PARENT,MODE` of a macvlan; an error says what is valid.
    pub fn macvlan(text: &str) -> Result<Direct, String> {
        let modes = [
            ("bridge", Kind::Macvlan(Macvlan::Bridge)),
            ("private", Kind::Macvlan(Macvlan::Private)),
            ("vepa", Kind::Macvlan(Macvlan::Vepa)),
            ("passthru", Kind::Macvlan(Macvlan::Passthru)),
        ];
        parse(text, &modes)
    }

    /// Parses `PARENT` or `PARENT,MODE` of an ipvlan; an error says what is valid.
    pub fn ipvlan(text: &str) -> Result<Direct, String> {
        let modes =
            [("l2", Kind::Ipvlan(Ipvlan::L2)), ("l3", Kind::Ipvlan(Ipvlan::L3)), ("l3s", Kind::Ipvlan(Ipvlan::L3s))];
        parse(text, &modes)
    }
}

impl Kind {
    /// Returns the kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Macvlan(_) => "macvlan",
            Kind::Ipvlan(_) => "ipvlan",
        }
    }
}

/// The first mode is the default.
fn parse(text: &str, modes: &[(&str, Kind)]) -> Result<Direct, String> {
    // A name may contain commas; what follows the last one is a mode.
    let (parent, word) = text.rsplit_once(',').map_or((text, modes[0].0), |(parent, word)| (parent, word));
    let (_, kind) = modes.iter().find(|(name, _)| *name == word).ok_or_else(|| {
        let names: Vec<_> = modes.iter().map(|(name, _)| *name).collect();
        format!("the mode '{word}' is none of {}", names.join(", "))
    })?;
    Ok(Direct { parent: interface_name(parent)?, kind: *kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_may_be_followed_by_a_mode() {
        let eth0 = |kind| Ok(Direct { parent: "eth0".to_owned(), kind });
        assert_eq!(Direct::macvlan("eth0"), eth0(Kind::Macvlan(Macvlan::Bridge)));
        assert_eq!(Direct::macvlan("eth0,private"), eth0(Kind::Macvlan(Macvlan::Private)));
        assert_eq!(Direct::ipvlan("eth0"), eth0(Kind::Ipvlan(Ipvlan::L2)));
        assert_eq!(Direct::ipvlan("eth0,l3s"), eth0(Kind::Ipvlan(Ipvlan::L3s)));
        for text in ["", "lo", "eth0,", "eth0,l2", ",bridge", "a/b"] {
            assert!(Direct::macvlan(text).is_err(), "{text}");
        }
    }
}
