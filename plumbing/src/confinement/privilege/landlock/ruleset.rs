//! What one version of the kernel's Landlock is asked to do: the attributes of the ruleset, and its rules. Pure.
//! `landlock_create_ruleset(2)`, `landlock_add_rule(2)`.

use super::ports;
use super::rights::{self, BIND_TCP, BIND_UDP, CONNECT_SEND_UDP, CONNECT_TCP, READ, REFER, RESOLVE_UNIX, Right};
use crate::pipeline::record::{Landlock, LandlockRule};
use crate::text::Text;

/// A ruleset, as far as this version can express it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `handled_access_fs`: what is refused unless a rule allows it.
    pub(super) files: u64,
    /// `handled_access_net`.
    pub(super) ports: u64,
    pub(super) scoped: u64,
    pub(super) below: Vec<(Text, u64)>,
    pub(super) at_ports: Vec<(u16, u64)>,
    /// What was asked for by name and this version does not know.
    pub(super) unknown: Vec<Right>,
}

impl Wanted {
    pub(super) fn of(landlock: &Landlock, version: u32) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        wanted.scope(&landlock.scoped, version)?;
        wanted.restrict_files(landlock, version)?;
        for (right, ports) in ports(landlock) {
            if let Some(ports) = ports
                && wanted.is_known(right, version)
            {
                wanted.ports |= right.bit;
                wanted.at_ports.extend(ports.iter().map(|port| (*port, right.bit)));
            }
        }
        Ok(wanted)
    }

    /// Reports whether nothing is left to restrict.
    pub(super) fn is_empty(&self) -> bool {
        self.files | self.ports | self.scoped == 0
    }

    /// Reports whether ports of TCP, or of UDP, are restricted.
    pub(super) fn restricts_ports(&self) -> (bool, bool) {
        let any = |rights: [Right; 2]| rights.iter().any(|right| self.ports & right.bit != 0);
        (any([BIND_TCP, CONNECT_TCP]), any([BIND_UDP, CONNECT_SEND_UDP]))
    }

    fn is_known(&mut self, right: Right, version: u32) -> bool {
        let is_known = right.since <= version;
        if !is_known && !self.unknown.contains(&right) {
            self.unknown.push(right);
        }
        is_known
    }

    fn scope(&mut self, words: &[String], version: u32) -> Result<(), String> {
        for word in words {
            for right in rights::of_scope(word)? {
                match self.is_known(right, version) {
                    true if right == RESOLVE_UNIX => self.files |= RESOLVE_UNIX.bit,
                    true => self.scoped |= right.bit,
                    false => {}
                }
            }
        }
        Ok(())
    }

    fn restrict_files(&mut self, landlock: &Landlock, version: u32) -> Result<(), String> {
        let all = rights::files(version);
        let mut below: Vec<_> = landlock.ro.iter().map(|path| (path.clone(), READ)).collect();
        below.extend(landlock.rw.iter().map(|path| (path.clone(), all)));
        for LandlockRule { rights: words, path } in &landlock.rules {
            let mut bits = 0;
            for word in words {
                let (several, one) = rights::of_word(word)?;
                if one.is_none_or(|right| self.is_known(right, version)) {
                    bits |= several & all;
                }
            }
            below.push((path.clone(), bits));
        }
        if !below.is_empty() {
            self.files = all;
        } else if self.files != 0 {
            // The kernel refuses `refer` with any restriction of files, asked for or not, so it is allowed everywhere.
            self.files |= REFER;
            below.push(("/".into(), REFER));
        }
        self.below = below;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wanted: &Wanted) -> String {
        wanted.unknown.iter().map(|right| right.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_version_does_not_know_is_listed_if_it_was_named() {
        let rule = LandlockRule { rights: vec!["ro".into(), "ioctl_dev".into()], path: "/dev".into() };
        let landlock = Landlock {
            rules: vec![rule],
            connect_tcp: Some(vec![443]),
            bind_udp: Some(Vec::new()),
            scoped: vec!["all".into()],
            ..Landlock::default()
        };
        let of = |version| Wanted::of(&landlock, version).unwrap();
        assert_eq!(shown(&of(1)), "abstract_unix_socket signal resolve_unix ioctl_dev connect_tcp bind_udp");
        assert_eq!(shown(&of(6)), "resolve_unix bind_udp");
        let newest = of(10);
        assert_eq!((newest.files, newest.ports, newest.scoped), ((1 << 17) - 1, 0b110, 0b11));
        assert_eq!(newest.below, [("/dev".into(), READ | 1 << 15)]);
        assert_eq!((newest.at_ports, newest.unknown), (vec![(443, 2)], Vec::new()));
    }

    #[test]
    fn rules_for_files_work_with_every_version() {
        let landlock = Landlock { ro: vec!["/".into()], rw: vec!["/tmp".into()], ..Landlock::default() };
        for version in 1..=11 {
            let wanted = Wanted::of(&landlock, version).unwrap();
            assert_eq!((shown(&wanted), wanted.files), (String::new(), rights::files(version)));
            assert_eq!(wanted.below, [("/".into(), READ), ("/tmp".into(), wanted.files)]);
        }
    }

    #[test]
    fn a_scope_alone_leaves_files_as_they_are() {
        let scoped = |word: &str| Landlock { scoped: vec![word.into()], ..Landlock::default() };
        let signal = Wanted::of(&scoped("signal"), 6).unwrap();
        assert_eq!((signal.files, signal.below.len(), signal.scoped), (0, 0, 2));
        let sockets = Wanted::of(&scoped("resolve_unix"), 9).unwrap();
        assert_eq!((sockets.files, sockets.below), (REFER | 1 << 16, vec![("/".into(), REFER)]));
        assert!(Wanted::of(&scoped("resolve_unix"), 8).unwrap().is_empty());
    }
}
