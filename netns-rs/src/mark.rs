//! The alias that we put on our links on the host: that they are ours, which addresses are taken, whether they are
//! behind NAT or isolated, and for which process they were made. `ip-link(8)`.
//!
//! Only a process that may change the network can write an alias, and it is removed with its link: so no one else can
//! write what an alias says, and no file can contradict it.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use plumbing::process::namespace::Kind;
use plumbing::process::pid_namespaces::PidNamespaces;
use plumbing::process::target::{own_namespace_inode, pidfd_inode};
use plumbing::{Fault, kernel};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::network::Address;
use crate::publish::Published;

/// The alias of a bridge that we made; the first word of the alias of a pair's end.
pub const MARK: &str = "netns-rs";
/// The prefix of a published port.
const PORTS: &str = "port=";
const NAT: &str = "nat";
const ISOLATE: &str = "isolated";
const SPOOF: &str = "spoof";
/// `IFALIASZ` minus its NUL.
pub const LONGEST_ALIAS: usize = 255;
const INSIDE: &str = "in=";
const NAMESPACE: &str = "ns=";
/// The longest text of the words " nat", " isolated", " spoof", " in=…", " ns=…" and " of=…". The kernel numbers namespaces with 32 bits.
pub const LONGEST_REST: usize = 4 + 9 + 6 + (4 + 15) + (4 + 10) + (4 + 10 + 2 * 21);
/// The name of an interface inside, if none is given.
pub const INTERFACE: &str = "eth0";

/// The contents of the alias of our end of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The addresses of the other end.
    pub addresses: Vec<Address>,
    /// Whether they are masqueraded with the host's own address.
    pub nat: bool,
    /// Whether it is kept apart from the other such containers of the bridge.
    pub isolate: bool,
    /// Whether it may send from other addresses.
    pub allow_spoofing: bool,
    /// The ports of the host that lead there.
    pub published: Vec<Published>,
    /// The name of the other end, as it was made: root inside can rename and move it.
    pub interface: String,
    /// The inode of the network namespace in which the other end was made.
    pub namespace: Option<u64>,
    /// The process with which the pair ends.
    pub owner: Option<Owner>,
}

impl Default for Mark {
    fn default() -> Mark {
        Mark {
            addresses: Vec::new(),
            nat: false,
            isolate: false,
            allow_spoofing: false,
            published: Vec::new(),
            interface: INTERFACE.to_owned(),
            namespace: None,
            owner: None,
        }
    }
}

/// A process: enough to find out later that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    /// The inode of its pidfd, which no other process of this boot has; 0 before Linux 6.9.
    pidfd_inode: u64,
    /// The pid namespace to which the pid belongs.
    pid_namespace: u64,
}

impl Mark {
    /// Parses an alias; `None` if it is not ours.
    pub fn parse(alias: &str) -> Option<Mark> {
        let words = alias.strip_prefix(MARK)?.strip_prefix(' ')?.split(' ');
        let mut mark = Mark::default();
        for word in words {
            match word.strip_prefix("of=") {
                Some(owner) => mark.owner = Owner::parse(owner),
                None if word.starts_with(INSIDE) => mark.interface = word[INSIDE.len()..].to_owned(),
                None if word.starts_with(NAMESPACE) => mark.namespace = word[NAMESPACE.len()..].parse().ok(),
                None if word == NAT => mark.nat = true,
                None if word == ISOLATE => mark.isolate = true,
                None if word == SPOOF => mark.allow_spoofing = true,
                None if word.starts_with(PORTS) => mark.published.extend(Published::parse(&word[PORTS.len()..]).ok()),
                None => mark.addresses.extend(Address::parse(word).ok()),
            }
        }
        Some(mark)
    }

    /// Returns the alias.
    pub fn text(&self) -> String {
        let mut words = vec![MARK.to_owned()];
        words.extend(self.addresses.iter().map(Address::to_string));
        words.extend(self.nat.then(|| NAT.to_owned()));
        words.extend(self.isolate.then(|| ISOLATE.to_owned()));
        words.extend(self.allow_spoofing.then(|| SPOOF.to_owned()));
        words.extend(self.published.iter().map(|published| format!("{PORTS}{published}")));
        words.extend((self.interface != INTERFACE).then(|| format!("{INSIDE}{}", self.interface)));
        words.extend(self.namespace.map(|inode| format!("{NAMESPACE}{inode}")));
        words.extend(self.owner.map(|owner| format!("of={}", owner.text())));
        words.join(" ")
    }

    /// Returns whether this address is taken.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }
}

impl Owner {
    /// Describes the process that we see under this pid.
    pub fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<Owner, Fault> {
        Ok(Owner {
            pid,
            pidfd_inode: pidfd_inode(pidfd)?.unwrap_or(0),
            pid_namespace: own_namespace_inode(Kind::Pid).unwrap_or(0),
        })
    }

    /// Returns it as text.
    pub fn text(&self) -> String {
        let Owner { pid, pidfd_inode, pid_namespace } = self;
        format!("{pid}:{pidfd_inode}:{pid_namespace}")
    }

    /// Parses such a text.
    pub fn parse(text: &str) -> Option<Owner> {
        let mut numbers = text.split(':');
        let owner = Owner {
            pid: numbers.next()?.parse().ok().filter(|pid| *pid > 0)?,
            pidfd_inode: numbers.next()?.parse().ok()?,
            pid_namespace: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(owner)
    }

    /// Returns whether the process is certainly gone. A pid of another pid namespace shows nothing here, but the process is gone
    /// if that namespace is.
    pub fn is_gone(&self, known: &mut PidNamespaces) -> Result<bool, Fault> {
        if own_namespace_inode(Kind::Pid) != Some(self.pid_namespace) {
            return Ok(known.is_over(self.pid_namespace));
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        let goal = format!("determine whether process {} exists", self.pid);
        let text = format!("pidfd_open({})", self.pid);
        let pidfd = match kernel::look(goal, text, || pidfd_open(pid, PidfdFlags::empty())) {
            // No process has the pid, or (EINVAL, since Linux 6.14 ENOENT) a thread of another process has it now.
            Err(fault) if matches!(fault.errno(), Some(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT)) => {
                return Ok(true);
            }
            pidfd => pidfd?,
        };
        let inode = pidfd_inode(pidfd.as_fd())?;
        Ok(self.pidfd_inode != 0 && inode.is_some_and(|inode| inode != self.pidfd_inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_says_what_is_taken_and_for_whom() {
        let addresses = ["10.88.0.2/24", "fd00::2/64"].map(|text| Address::parse(text).unwrap()).to_vec();
        let mark = Mark { addresses, ..Mark::default() };
        assert_eq!(mark.text(), "netns-rs 10.88.0.2/24 fd00::2/64");
        let owner = Owner { pid: 4, pidfd_inode: 5, pid_namespace: 6 };
        let published = vec![Published::parse("[::1]:53:53/udp").unwrap()];
        let (interface, namespace) = ("eth1".to_owned(), Some(7));
        let full = Mark {
            nat: true,
            isolate: true,
            allow_spoofing: true,
            published,
            interface,
            namespace,
            owner: Some(owner),
            ..mark.clone()
        };
        assert_eq!(
            full.text(),
            "netns-rs 10.88.0.2/24 fd00::2/64 nat isolated spoof port=[::1]:53:53/udp in=eth1 ns=7 of=4:5:6"
        );
        for mark in [mark, full] {
            assert_eq!(Mark::parse(&mark.text()), Some(mark));
        }
        let longest = Owner { pid: i32::MAX, pidfd_inode: u64::MAX, pid_namespace: u64::MAX };
        let longest = Mark {
            nat: true,
            isolate: true,
            allow_spoofing: true,
            interface: "x".repeat(15),
            namespace: Some(u32::MAX.into()),
            owner: Some(longest),
            ..Mark::default()
        };
        assert!(longest.text().len() <= MARK.len() + LONGEST_REST);
    }

    #[test]
    fn a_process_is_gone_when_its_pid_is_unused_or_belongs_to_another() {
        let pid_namespace = own_namespace_inode(Kind::Pid).unwrap();
        let is_gone = |pid, pidfd_inode, pid_namespace| {
            Owner { pid, pidfd_inode, pid_namespace }.is_gone(&mut PidNamespaces::default()).unwrap()
        };
        let ourselves = rustix::process::getpid().as_raw_nonzero().get();
        assert!(!is_gone(ourselves, 0, pid_namespace));
        assert!(is_gone(i32::MAX, 0, pid_namespace));
        assert!(!is_gone(i32::MAX, 0, 0), "it may exist in another namespace");
        let thread = std::thread::spawn(move || {
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            assert!(is_gone(own, 0, pid_namespace));
        });
        thread.join().unwrap();
    }

    #[test]
    fn an_alias_of_someone_else_is_ignored() {
        for alias in ["uplink 10.88.0.2/24", "netns-rs2 nat", "", MARK] {
            assert_eq!(Mark::parse(alias), None, "{alias}");
        }
        for owner in ["of=0:1:2", "of=1:2", "of=1:2:3:4", "of=x:1:2", "of=-1:1:2"] {
            assert_eq!(Mark::parse(&format!("netns-rs {owner}")), Some(Mark::default()), "{owner}");
        }
    }
}
