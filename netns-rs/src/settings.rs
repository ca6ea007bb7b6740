//! Settings of one interface: the files of /proc/sys/net/ipv4/conf/INTERFACE and those for IPv6. `ip-sysctl` in the
//! kernel's documentation.
//!
//! By default an interface accepts router advertisements and redirects. On a bridge with containers those would come
//! from the containers, which could become the host's router. The surprise: which network namespace a path below
//! /proc/sys/net leads to depends on the process that opens it, not on the mount.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look};
use rustix::fs::{Mode, OFlags, open, openat};

const DIRECTORY: &str = "/proc/sys/net";
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// The settings of the network namespace in which it was opened.
pub struct Settings {
    directory: OwnedFd,
}

impl Settings {
    /// Opens /proc/sys/net.
    pub fn open() -> Result<Settings, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            look(GOAL, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_PATH)"), || open(DIRECTORY, flags, Mode::empty()))?;
        let on = look(GOAL, "fstatfs()", || rustix::fs::fstatfs(&directory))?;
        if on.f_type as i64 != PROC_SUPER_MAGIC {
            return Err(Fault::new(format!("cannot {GOAL}: {DIRECTORY} is not a proc file system")));
        }
        Ok(Settings { directory })
    }

    /// Makes an interface that is still down ignore what containers could send it about routes. Without an IPv6
    /// address, IPv6 is disabled on it.
    pub fn close(&self, interface: &str, has_ipv6: bool) -> Result<(), Fault> {
        let set = |family: &str, name: &str, value: &str, why: &str| {
            self.set(&format!("{family}/conf/{interface}/{name}"), value, why)
        };
        set("ipv4", "accept_redirects", "0", "no neighbor can change its routes")?;
        set("ipv4", "send_redirects", "0", "it does not change the routes of its neighbors")?;
        if !self.knows_ipv6()? {
            return Ok(());
        }
        set("ipv6", "accept_ra", "0", "a neighbor that advertises itself does not become a router")?;
        set("ipv6", "accept_redirects", "0", "no neighbor can change its routes")?;
        if !has_ipv6 {
            return set("ipv6", "disable_ipv6", "1", "no IPv6 address was asked for");
        }
        // The setting for new interfaces may disable it.
        match self.get(&format!("ipv6/conf/{interface}/disable_ipv6"))? {
            Some(value) if value != "0" => set("ipv6", "disable_ipv6", "0", "it gets an IPv6 address"),
            _ => Ok(()),
        }
    }

    /// Makes all interfaces of a container's own network ignore redirects, and those that it makes later: an interface
    /// that does not forward accepts them if either its own setting or that of `all` is 1, and the kernel's default is 1.
    pub fn close_all(&self) -> Result<(), Fault> {
        for which in ["all", "default"] {
            for name in ["accept_redirects", "send_redirects"] {
                let why = "the kernel also looks at the setting of all interfaces";
                self.set(&format!("ipv4/conf/{which}/{name}"), "0", why)?;
            }
        }
        Ok(())
    }

    /// Enables IPv6 on a bridge that was made without it. Router advertisements are still ignored.
    pub fn allow_ipv6(&self, interface: &str) -> Result<(), Fault> {
        self.set(&format!("ipv6/conf/{interface}/disable_ipv6"), "0", "the bridge gets an IPv6 address now")
    }

    /// Allows every group that is mapped in the network namespace's user namespace to send echo requests through a
    /// datagram socket, so that ping(8) works without CAP_NET_RAW; `icmp(7)`.
    pub fn allow_ping(&self) -> Result<(), Fault> {
        const RANGE: &str = "ipv4/ping_group_range";
        let why = "ping works without raw sockets";
        match self.set(RANGE, "0 2147483647", why) {
            // If a user namespace maps only a part of the groups: both ends of the range have to be mapped.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => self.set(RANGE, "0 0", why),
            outcome => outcome,
        }
    }

    /// Returns whether the kernel has IPv6; if it was built or started without, there is nothing to disable.
    fn knows_ipv6(&self) -> Result<bool, Fault> {
        match openat(&self.directory, "ipv6/conf", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(false),
            found => look(GOAL, format!("openat({DIRECTORY:?}, \"ipv6/conf\", O_PATH)"), || found).map(|_| true),
        }
    }

    /// Writes a setting, given as its path below /proc/sys/net. If settings cannot be written, one that already has
    /// that value is accepted.
    pub fn set(&self, path: &str, value: &str, why: &str) -> Result<(), Fault> {
        let goal = format!("set {} to {value}", name_of(path));
        let written = call(goal, format!("write(\"{DIRECTORY}/{path}\", {value:?})"), why, || {
            self.file(path, OFlags::WRONLY)?.write_all(value.as_bytes())
        });
        match written {
            Err(fault) if fault.errno() == Some(Errno::EROFS) => match self.get(path)? {
                Some(found) if found == value => Ok(()),
                _ => Err(fault.with_remedy(format!("{DIRECTORY} is mounted read-only here; remount it read-write"))),
            },
            outcome => outcome,
        }
    }

    /// Reads a setting; `None` if it does not exist, such as one of an interface that is not made yet.
    pub fn get(&self, path: &str) -> Result<Option<String>, Fault> {
        let mut text = Vec::new();
        let read = self.file(path, OFlags::RDONLY).and_then(|mut file| file.read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => look(format!("read {}", name_of(path)), format!("read(\"{DIRECTORY}/{path}\")"), || read)?,
        };
        Ok(Some(String::from_utf8_lossy(&text).trim_end().to_owned()))
    }

    fn file(&self, path: &str, flags: OFlags) -> Result<std::fs::File, std::io::Error> {
        let opened = openat(&self.directory, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        Ok(opened.map(std::fs::File::from)?)
    }
}

const GOAL: &str = "open the network's settings";

/// Returns the name as sysctl(8) writes it, with an interface's own dots left alone.
fn name_of(path: &str) -> String {
    format!("net/{path}")
}
