//! Rules for devices as writes to a group of v1. The kernel's `Documentation/admin-guide/cgroup-v1/devices.rst`.
//!
//! The surprise: v1 has no list of rules, only one of exceptions: it forgets an exception only if a rule names exactly the
//! same devices, and ignores all other rules that would take something back. Such lists are refused.

use plumbing::Fault;

use super::{Devices, Rule};
use crate::setting::{Reads, Setting};

impl Devices {
    /// Returns the writes for a group of v1.
    pub(crate) fn settings_v1(&self) -> Result<Vec<Setting>, Fault> {
        let set = |file: &str, value: String, why| Setting { reads: Reads::Unknown, ..Setting::new(file, value, why) };
        let mut settings = Vec::new();
        if !self.otherwise {
            settings.push(set(
                "devices.deny",
                "a".to_owned(),
                "no device, except those that are allowed next; mknod(2)",
            ));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let takes_back = rule.allow == self.otherwise;
            let differs =
                |earlier: &&Rule| earlier.allow != rule.allow && earlier.overlaps(rule) && !earlier.is_same(rule);
            if takes_back && let Some(earlier) = self.rules[..at].iter().find(differs) {
                return Err(Fault::new(format!(
                    "cannot apply the rule {} for devices: cgroup v1 cannot take back a part of the earlier rule {}",
                    rule.text(),
                    earlier.text()
                )));
            }
            let file = if rule.allow { "devices.allow" } else { "devices.deny" };
            settings.push(set(file, rule.text(), "opening and making such devices; r: read, w: write, m: mknod(2)"));
        }
        Ok(settings)
    }

    /// Returns the write that takes back earlier rules of a group of v1 that exists.
    pub(crate) fn reset_v1(&self) -> Option<Setting> {
        let all = Setting::new("devices.allow", "a", "every device, except those that are denied next");
        self.otherwise.then_some(Setting { reads: Reads::Unknown, ..all })
    }
}

impl Rule {
    fn is_same(&self, other: &Rule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Returns whether both match the same access to some device.
    fn overlaps(&self, other: &Rule) -> bool {
        let meet = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
        self.kind == other.kind
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.0 & other.access.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Kind};
    use super::*;

    #[test]
    fn v1_is_not_asked_for_what_it_would_ignore() {
        let rule =
            |allow, minor, access| Rule { allow, kind: Kind::Character, major: Some(1), minor, access: Access(access) };
        let with = |otherwise, rules: &[Rule]| Devices { otherwise, rules: rules.to_vec(), nodes: Vec::new() };
        let hole = with(false, &[rule(true, None, 7), rule(false, Some(3), 7)]);
        assert!(hole.settings_v1().unwrap_err().to_string().contains("cgroup v1 cannot take back"));
        let same = with(false, &[rule(true, Some(3), 7), rule(false, Some(3), 4)]).settings_v1().unwrap();
        assert_eq!(same.iter().map(|set| set.value.as_str()).collect::<Vec<_>>(), ["a", "c 1:3 rwm", "c 1:3 w"]);
        assert!(with(true, &[rule(false, None, 7), rule(true, Some(3), 7)]).settings_v1().is_err());
        assert!(with(true, &[rule(false, None, 7)]).settings_v1().is_ok());
    }
}
