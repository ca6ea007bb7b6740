//! `--dns`: name servers for a container, as a resolv.conf for the command of `exec --new`, or in the record for `chroot-rs`.
//! `resolv.conf(5)`, `move_mount(2)`.
//!
//! The file is in memory and mounted over the name /etc/resolv.conf, in a mount namespace of the command. The surprise:
//! mount(2) would follow a symbolic link, such as that of systemd-resolved, and cover a file that is soon replaced; the mount
//! would then be gone, and the host's servers back.

use std::net::IpAddr;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use plumbing::Fault;
use plumbing::command_line::regular;
use plumbing::kernel::{call, look, own};
use plumbing::pipeline::record::{Dns, Domain, MOST_SERVERS, Net};
use plumbing::process::resolv_conf::{self, UPSTREAM};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::{etc, network};

const GOAL: &str = "give the command its name servers";
const ETC: &str = "/etc";
const FILE: &str = "/etc/resolv.conf";
/// The longest resolv.conf of a host that is read.
const LONGEST: u64 = 1 << 16;

/// A value of `--dns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Those that the host uses.
    Host,
    /// This one.
    At(IpAddr),
}

impl Server {
    /// Parses an address or `host`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Server, String> {
        if text == "host" {
            return Ok(Server::Host);
        }
        let ip: IpAddr = text.parse().map_err(|_| "expected the address of a name server, or host")?;
        if !ip.is_loopback() {
            network::require_usable(ip)?;
        }
        Ok(Server::At(ip))
    }
}

/// What the options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    servers: Vec<Server>,
    search: Vec<Domain>,
}

impl Wanted {
    /// Returns what is asked for, if anything is.
    pub fn of(servers: Vec<Server>, search: Vec<Domain>) -> Result<Option<Wanted>, Fault> {
        if servers.is_empty() {
            return Ok(None);
        }
        if servers.len() > MOST_SERVERS {
            return Err(Fault::usage(format!("--dns: programs use the first {MOST_SERVERS} name servers only")));
        }
        Ok(Some(Wanted { servers, search }))
    }

    /// Returns the servers and domains; those of the host are read now.
    pub fn resolve(&self) -> Result<Dns, Fault> {
        let mut dns = Dns { servers: Vec::new(), search: self.search.clone() };
        for server in &self.servers {
            match server {
                Server::At(ip) => dns.servers.push(*ip),
                Server::Host => {
                    let text = host()?;
                    dns.servers.extend(reachable(&text));
                    if dns.search.is_empty() {
                        let domains = resolv_conf::search(&text);
                        dns.search.extend(domains.iter().filter_map(|domain| Domain::parse(domain).ok()));
                    }
                }
            }
        }
        dns.servers.truncate(MOST_SERVERS);
        Ok(dns)
    }
}

/// Returns the text in which the host names servers that can be reached from other network namespaces.
fn host() -> Result<Vec<u8>, Fault> {
    let read = |path| regular::read(Path::new(path), LONGEST).map(Option::unwrap_or_default);
    let own = read(FILE)?;
    if reachable(&own).next().is_some() {
        return Ok(own);
    }
    let upstream = read(UPSTREAM)?;
    if reachable(&upstream).next().is_some() {
        return Ok(upstream);
    }
    let listed: Vec<_> = resolv_conf::servers(&own).map(|ip| ip.to_string()).collect();
    let which = if listed.is_empty() { "none".to_owned() } else { format!("only {}", listed.join(", ")) };
    Err(Fault::new(format!(
        "cannot use the host's name servers: {FILE} names {which}, and the loopback and the links of the host are not those of the container"
    ))
    .with_remedy("name a server: --dns ADDRESS"))
}

/// Returns the servers that are not tied to the host's network namespace, as its loopback and its links are.
fn reachable(text: &[u8]) -> impl Iterator<Item = IpAddr> {
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    resolv_conf::servers(text).filter(move |ip| !resolv_conf::is_own(*ip) && !is_link_local(ip))
}

/// Writes the servers into the record, from which `chroot-rs --std` takes them. A root that is there already has a
/// resolv.conf.
pub fn record(net: &mut Net, dns: &Dns, has_root: bool) -> Result<(), Fault> {
    if has_root {
        return Err(Fault::new("cannot set the name servers: the container has a root already")
            .with_remedy("call netns-rs connect --dns before chroot-rs, which writes /etc/resolv.conf"));
    }
    net.set_dns(dns)
}

/// Mounts a resolv.conf for this process and its children.
pub fn mount_file(dns: &Dns) -> Result<(), Fault> {
    etc::own_mounts()?;
    // Opened first: below, the name leads into the new file system.
    let etc = look(GOAL, format!("openat(AT_FDCWD, {ETC:?}, O_PATH|O_DIRECTORY)"), || {
        openat(CWD, ETC, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let text = format!("mount(\"netns-rs\", {ETC:?}, \"tmpfs\", MS_NOSUID|MS_NODEV|MS_NOEXEC, \"mode=755,size=64k\")");
    call(GOAL, text, "a place in memory for the file, for this moment only; tmpfs(5)", || {
        mount(Some("netns-rs"), ETC, Some("tmpfs"), flags, Some("mode=755,size=64k"))
    })?;
    let text = format!("openat(AT_FDCWD, {FILE:?}, O_WRONLY|O_CREAT|O_EXCL, 0644)");
    let file = call(GOAL, text, "the new file; resolv.conf(5)", || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(CWD, FILE, flags, Mode::from_raw_mode(0o644))
    })?;
    call(GOAL, "fchmod(fd, 0644)", "every user may read it, whatever our umask is", || {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))
    })?;
    own(GOAL, "write(fd)", || std::io::Write::write_all(&mut std::fs::File::from(file), dns.text().as_bytes()))?;
    let text = format!("open_tree(AT_FDCWD, {FILE:?}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)");
    let tree = call(GOAL, text, "a mount of this file alone", || {
        open_tree(CWD, FILE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
    })?;
    let text = format!("umount2({ETC:?}, MNT_DETACH)");
    call(GOAL, text, "the old /etc is visible again", || umount2(ETC, MntFlags::MNT_DETACH))?;
    let text = "move_mount(fd, \"\", fd, \"resolv.conf\", MOVE_MOUNT_F_EMPTY_PATH)";
    call(GOAL, text, "over the name, also if it is a symbolic link", || {
        move_mount(&tree, "", &etc, "resolv.conf", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    })
    .map_err(|fault| match fault.errno() {
        Some(Errno::ENOENT) => fault.with_remedy(format!("{FILE} does not exist; create an empty one")),
        _ => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_or_the_hosts() {
        assert_eq!(Server::parse("host"), Ok(Server::Host));
        assert_eq!(Server::parse("127.0.0.1"), Ok(Server::At("127.0.0.1".parse().unwrap())));
        for text in ["", "dns.example", "192.0.2.1:53", "0.0.0.0", "224.0.0.1", "192.0.2.1\nnameserver 192.0.2.9"] {
            assert!(Server::parse(text).is_err(), "{text}");
        }
        let at = |n: u8| Server::At(IpAddr::from([192, 0, 2, n]));
        assert!(Wanted::of((1..=4).map(at).collect(), Vec::new()).is_err());
        assert_eq!(Wanted::of(Vec::new(), Vec::new()).unwrap(), None);
    }
}
