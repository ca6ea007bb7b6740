//! The five capability sets, each by its own name, where `capabilities` sets all of them at once. `capabilities(7)`.
//!
//! The surprise: across `execve(2)`, a user other than root keeps only what is in the ambient set, and that can contain
//! only what is permitted and inheritable.

use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::capabilities::{capability_set, clear_ambient, raise_ambient, reduce};
use super::securebits;
use crate::Fault;
use crate::pipeline::record::FiveSets;

/// The names of the five sets.
pub const SET_NAMES: [&str; 5] = ["bounding", "permitted", "effective", "inheritable", "ambient"];

impl FiveSets {
    /// Returns the set of this name; `None` for a name that is not one of [`SET_NAMES`].
    pub fn named(&mut self, name: &str) -> Option<&mut Option<Vec<String>>> {
        match name {
            "bounding" => Some(&mut self.bounding),
            "permitted" => Some(&mut self.permitted),
            "effective" => Some(&mut self.effective),
            "inheritable" => Some(&mut self.inheritable),
            "ambient" => Some(&mut self.ambient),
            _ => None,
        }
    }
}

/// The sets to be set; `None` leaves a set unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) bounding: Option<CapabilitySet>,
    pub(super) sets: Option<CapabilitySets>,
    pub(super) ambient: Option<CapabilitySet>,
}

impl Wanted {
    /// Computes the sets. `is_root`: whether the command gets its capabilities back at `execve(2)` by being root.
    pub(super) fn new(
        all: Option<&[String]>,
        five: Option<&FiveSets>,
        held: impl FnOnce() -> Result<CapabilitySets, Fault>,
        is_root: bool,
    ) -> Result<Wanted, Fault> {
        if all.is_none() && five.is_none() {
            return Ok(Wanted { bounding: None, sets: None, ambient: None });
        }
        let held = held()?;
        let read = |names: &Option<Vec<String>>| names.as_deref().map(capability_set).transpose();
        let all = all.map(capability_set).transpose()?;
        let none = FiveSets::default();
        let five = five.unwrap_or(&none);
        let permitted = read(&five.permitted)?.or(all).unwrap_or(held.permitted) & held.permitted;
        let effective = read(&five.effective)?.or(all).unwrap_or(held.effective) & permitted;
        let own = all.map(|all| if is_root { CapabilitySet::empty() } else { all & permitted });
        let ambient = read(&five.ambient)?.or(own);
        let inheritable = match (read(&five.inheritable)?, ambient) {
            (Some(named), _) => named,
            (None, Some(ambient)) => ambient,
            (None, None) => held.inheritable,
        };
        Ok(Wanted {
            bounding: read(&five.bounding)?.or(all),
            sets: Some(CapabilitySets { effective, permitted, inheritable }),
            ambient: ambient.map(|ambient| ambient & permitted & inheritable),
        })
    }

    /// Sets the sets, except the bounding one.
    pub(super) fn take(&self) -> Result<(), Fault> {
        if self.ambient.is_some() {
            clear_ambient()?;
        }
        self.sets.map_or(Ok(()), reduce)?;
        self.ambient.map_or(Ok(()), raise_ambient)
    }

    /// Sets the sets, and secure bits that prevent adding anything to the ambient set: the bits are set after the
    /// ambient set, and before the right to set them may be dropped.
    pub(super) fn take_before(&self, bits: CapabilitiesSecureBits) -> Result<(), Fault> {
        let right = CapabilitySet::SETPCAP;
        let more = |sets: CapabilitySets| CapabilitySets {
            permitted: sets.permitted | right,
            effective: sets.effective | right,
            ..sets
        };
        Wanted { sets: self.sets.map(more), ..*self }.take()?;
        securebits::set(bits)?;
        self.sets.map_or(Ok(()), reduce)
    }

    /// Returns whether anything is to be in the ambient set.
    pub(super) fn raises(&self) -> bool {
        self.ambient.is_some_and(|ambient| !ambient.is_empty())
    }

    /// Returns whether a change to a user other than root must leave the permitted set unchanged: what is inheritable
    /// or ambient comes from there.
    pub(super) fn outlives_root(&self) -> bool {
        let inheritable = self.sets.is_some_and(|sets| !sets.inheritable.is_empty());
        inheritable || self.raises()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn wanted(all: Option<&str>, five: FiveSets, is_root: bool) -> Wanted {
        let held = CapabilitySet::CHOWN | CapabilitySet::KILL | CapabilitySet::MKNOD;
        let held = CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() };
        Wanted::new(all.map(names).as_deref(), Some(&five), || Ok(held), is_root).unwrap()
    }

    #[test]
    fn one_list_means_all_sets_and_the_ambient_one_for_a_user_only() {
        let root = wanted(Some("chown,sys_admin"), FiveSets::default(), true);
        assert_eq!(root.bounding, Some(CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN));
        assert_eq!(
            root.sets.map(|sets| (sets.permitted, sets.inheritable)),
            Some((CapabilitySet::CHOWN, CapabilitySet::empty()))
        );
        assert!(root.ambient == Some(CapabilitySet::empty()) && !root.outlives_root());
        let user = wanted(Some("chown,sys_admin"), FiveSets::default(), false);
        assert!(user.ambient == Some(CapabilitySet::CHOWN) && user.outlives_root());
    }

    #[test]
    fn a_named_set_takes_precedence_over_the_list() {
        let five =
            FiveSets { ambient: Some(names("kill")), bounding: Some(names("kill,mknod")), ..FiveSets::default() };
        let wanted = wanted(Some("chown,kill"), five, true);
        assert_eq!(wanted.bounding, Some(CapabilitySet::KILL | CapabilitySet::MKNOD));
        assert_eq!(wanted.ambient, Some(CapabilitySet::KILL));
        assert_eq!(wanted.sets.map(|sets| sets.inheritable), Some(CapabilitySet::KILL));
    }

    #[test]
    fn without_a_list_only_what_is_named_changes() {
        let five = FiveSets { bounding: Some(Vec::new()), ..FiveSets::default() };
        let wanted = wanted(None, five, false);
        assert_eq!((wanted.bounding, wanted.ambient), (Some(CapabilitySet::empty()), None));
        assert_eq!(wanted.sets.map(|sets| sets.permitted.bits().count_ones()), Some(3));
    }
}
