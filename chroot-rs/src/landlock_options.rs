//! The declared options of Landlock, and the member of the record that they fill in. No I/O. `landlock(7)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plumbing::command_line::options::of_os;
use plumbing::command_line::ordinary::Ordinary;
use plumbing::confinement::privilege::landlock;
use plumbing::pipeline::record::{Landlock, LandlockRule};
use plumbing::text::Text;

/// What the command can reach: files, ports, processes and sockets outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Ordinary)]
pub(crate) struct LandlockOptions {
    /// Allow RIGHTS below PATH and deny all other file access: ro, rw, exec, or names of landlock(7), e.g. read_file (repeatable)
    #[arg(long, value_name = "RIGHTS:PATH", value_parser = of_os(files), help_heading = "Landlock")]
    pub(crate) landlock: Vec<Files>,
    /// Like --landlock ro:PATH: below PATH, allow reading, listing and executing (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Landlock")]
    pub(crate) landlock_ro: Vec<PathBuf>,
    /// Like --landlock rw:PATH: below PATH, allow everything (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Landlock")]
    pub(crate) landlock_rw: Vec<PathBuf>,
    /// Allow connecting only to these TCP ports, or none; udp:PORT, udp:none: the same for sending UDP (repeatable)
    #[arg(long, value_name = "PORT,...", value_parser = ports, help_heading = "Landlock")]
    pub(crate) landlock_connect: Vec<Ports>,
    /// Allow binding only to these TCP ports, or none; 0: a port that the kernel chooses; udp:PORT, udp:none: UDP (repeatable)
    #[arg(long, value_name = "PORT,...", value_parser = ports, help_heading = "Landlock")]
    pub(crate) landlock_bind: Vec<Ports>,
    /// Block ways to outside processes: signal, abstract_unix_socket, resolve_unix (sockets on files), or all (repeatable)
    #[arg(long, value_name = "SCOPE,...", value_parser = Scopes::parse, help_heading = "Landlock")]
    pub(crate) landlock_scope: Vec<Scopes>,
    /// With --keep-root or --host-root: refuse symbolic links on the path of a rule
    #[arg(long, help_heading = "Landlock")]
    pub(crate) landlock_nofollow: bool,
    /// Skip, with a warning, Landlock restrictions that this kernel does not support, instead of failing
    #[arg(long, help_heading = "Landlock")]
    pub(crate) landlock_try: bool,
}

/// The value of `--landlock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files(LandlockRule);

/// The value of `--landlock-scope`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<String>);

/// The ports of one option; `None` if the protocol is not mentioned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    tcp: Option<Vec<u16>>,
    udp: Option<Vec<u16>>,
}

impl Scopes {
    fn parse(text: &str) -> Result<Scopes, String> {
        landlock::scopes_of(text).map(Scopes)
    }
}

impl LandlockOptions {
    /// Returns what all the options ask for; `None` if it is nothing.
    pub(crate) fn wanted(&self, follow_links: bool) -> Option<Landlock> {
        let follow_links = follow_links && !self.landlock_nofollow;
        let texts = |paths: &[PathBuf]| paths.iter().map(|path| Text::from(path.as_path())).collect();
        let (bind, connect) = (together(&self.landlock_bind), together(&self.landlock_connect));
        let wanted = Landlock {
            ro: texts(&self.landlock_ro),
            rw: texts(&self.landlock_rw),
            rules: self.landlock.iter().map(|files| files.0.clone()).collect(),
            bind_tcp: bind.tcp,
            connect_tcp: connect.tcp,
            bind_udp: bind.udp,
            connect_send_udp: connect.udp,
            scoped: self.landlock_scope.iter().flat_map(|scopes| scopes.0.clone()).collect(),
            follow_links: false,
            tries: false,
        };
        (wanted != Landlock::default()).then_some(Landlock { follow_links, tries: self.landlock_try, ..wanted })
    }

    /// Returns an option that has no effect, because there is nothing to leave out or no path to look up.
    pub(crate) fn idle(&self) -> Option<&'static str> {
        let has_path = !(self.landlock.is_empty() && self.landlock_ro.is_empty() && self.landlock_rw.is_empty());
        if self.landlock_nofollow && !has_path {
            return Some("--landlock-nofollow needs a rule with a path: --landlock, --landlock-ro or --landlock-rw");
        }
        (self.landlock_try && self.wanted(false).is_none()).then_some("--landlock-try needs another option of Landlock")
    }
}

fn files(text: &OsStr) -> Result<Files, String> {
    let bytes = text.as_bytes();
    let valid = || "expected RIGHTS:PATH, as in ro:/usr or read_file,read_dir:/srv".to_owned();
    let colon = bytes.iter().position(|byte| *byte == b':').ok_or_else(valid)?;
    let (words, path) = (&bytes[..colon], &bytes[colon + 1..]);
    if path.is_empty() {
        return Err(valid());
    }
    let rights = landlock::rights_of(&String::from_utf8_lossy(words))?;
    Ok(Files(LandlockRule { rights, path: Text::from(OsStr::from_bytes(path)) }))
}

fn ports(text: &str) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for word in text.split(',') {
        let (list, number) = match word.split_once(':') {
            None => (&mut ports.tcp, word),
            Some(("tcp", number)) => (&mut ports.tcp, number),
            Some(("udp", number)) => (&mut ports.udp, number),
            Some(_) => return Err(PORTS.to_owned()),
        };
        let list = list.get_or_insert_default();
        if number != "none" {
            let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
            list.push(number.parse().ok().filter(|_| is_number).ok_or(PORTS)?);
        }
    }
    Ok(ports)
}

const PORTS: &str = "expected ports such as 443 or udp:53, none and udp:none, in a list with commas";

fn together(all: &[Ports]) -> Ports {
    let mut together = Ports::default();
    for Ports { tcp, udp } in all.iter().cloned() {
        for (into, from) in [(&mut together.tcp, tcp), (&mut together.udp, udp)] {
            if let Some(from) = from {
                into.get_or_insert_default().extend(from);
            }
        }
    }
    together
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_files_has_rights_and_a_path() {
        let rule = files(OsStr::new("ro,make_reg:/a:b")).unwrap().0;
        assert_eq!((rule.rights, rule.path), (vec!["ro".to_owned(), "make_reg".to_owned()], "/a:b".into()));
        for wrong in ["ro", "ro:", ":/a", "fly:/a", "ro,:/a", "RO:/a", ""] {
            assert!(files(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_lists_for_each_protocol() {
        let options = LandlockOptions {
            landlock_connect: vec![ports("443,udp:53").unwrap(), ports("tcp:80").unwrap()],
            landlock_bind: vec![ports("none").unwrap()],
            ..LandlockOptions::default()
        };
        let wanted = options.wanted(false).unwrap();
        assert_eq!((wanted.connect_tcp, wanted.connect_send_udp), (Some(vec![443, 80]), Some(vec![53])));
        assert_eq!((wanted.bind_tcp, wanted.bind_udp), (Some(Vec::new()), None));
        for wrong in ["", "65536", "-1", "+1", "udp", "sctp:1", "443,,80", "http"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
        assert_eq!(LandlockOptions { landlock_try: true, ..LandlockOptions::default() }.wanted(false), None);
    }

    #[test]
    fn links_are_followed_only_in_a_root_of_ours_and_where_no_option_forbids_it() {
        let rule = LandlockOptions { landlock_ro: vec!["/a".into()], ..LandlockOptions::default() };
        let strict = LandlockOptions { landlock_nofollow: true, ..rule.clone() };
        let follows = |options: &LandlockOptions, is_ours| options.wanted(is_ours).map(|wanted| wanted.follow_links);
        assert_eq!([true, false].map(|is_ours| follows(&rule, is_ours)), [Some(true), Some(false)]);
        assert_eq!([true, false].map(|is_ours| follows(&strict, is_ours)), [Some(false), Some(false)]);
        assert_eq!(strict.idle(), None);
        assert!(LandlockOptions { landlock_ro: Vec::new(), ..strict }.idle().is_some());
    }
}
