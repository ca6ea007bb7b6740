//! `linux.sysctl` of a bundle: settings of the kernel that belong to a namespace of the container. `proc_sys(5)`.
//!
//! The surprise: /proc/sys shows each process the settings of its own namespaces, in every mount of it, so they are written
//! through the caller's /proc, before the root changes. What belongs to the whole machine is refused, and what belongs to a
//! namespace that is not the container's own is left out with a warning.

use std::collections::BTreeMap;

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{call, look};
use plumbing::process::namespace::Kind;
use plumbing::process::procfs;
use plumbing::process::target::is_in_first_namespace;
use plumbing::{Fault, narrate};
use rustix::fs::OFlags;

/// The settings of each kind of namespace: whole names, or beginnings with a dot at the end.
const OWNERS: [(&str, Kind); 12] = [
    ("net.", Kind::Net),
    ("fs.mqueue.", Kind::Ipc),
    ("kernel.msgmax", Kind::Ipc),
    ("kernel.msgmnb", Kind::Ipc),
    ("kernel.msgmni", Kind::Ipc),
    ("kernel.sem", Kind::Ipc),
    ("kernel.shmall", Kind::Ipc),
    ("kernel.shmmax", Kind::Ipc),
    ("kernel.shmmni", Kind::Ipc),
    ("kernel.shm_rmid_forced", Kind::Ipc),
    ("kernel.domainname", Kind::Uts),
    ("kernel.hostname", Kind::Uts),
];

/// Writes the settings.
pub(crate) fn write(settings: &BTreeMap<String, String>) -> Result<(), Fault> {
    settings.iter().try_for_each(|(name, value)| set(name, value))
}

fn set(name: &str, value: &str) -> Result<(), Fault> {
    let name = dotted(name);
    let goal = format!("set {name}");
    let Some(kind) = owner(&name) else {
        return Err(Fault::new(format!("cannot {goal}: it belongs to the whole machine, and not to a namespace"))
            .with_remedy("take it out of linux.sysctl, and set it on the host if it is wanted there"));
    };
    if !is_own(kind)? {
        let fault = Fault::new(format!("cannot {goal}: the {} namespace is the host's", kind.option()));
        return narrate::caution(fault.with_remedy(format!("add --{} to unshare-rs", kind.option())));
    }
    let path = format!("sys/{}", path(&name));
    if narrate::is_dry_run() {
        return call(&goal, format!("write(\"/proc/{path}\", {value:?})"), WHY, || Ok::<_, Errno>(()));
    }
    let file = look(&goal, format!("openat(\"/proc/{path}\", O_WRONLY)"), || procfs::open(&path, OFlags::WRONLY))?;
    call(&goal, format!("write(\"/proc/{path}\", {value:?})"), WHY, || {
        rustix::io::write(&file, value.as_bytes()).map(drop).map_err(IntoErrno::into_errno)
    })
}

/// Reports whether our namespace of this kind is another one than the machine's first. The number of a network namespace does
/// not show that, but the first one has settings that no other has.
fn is_own(kind: Kind) -> Result<bool, Fault> {
    const OF_THE_FIRST: &str = "sys/net/core/netdev_max_backlog";
    if kind != Kind::Net {
        return Ok(is_in_first_namespace(kind) == Some(false));
    }
    match procfs::open(OF_THE_FIRST, OFlags::PATH) {
        Ok(_) => Ok(false),
        Err(Errno::ENOENT) => {
            // Also missing where /proc has no settings at all.
            let text = "openat(\"/proc/sys/net/ipv4\", O_PATH)";
            look("look for the settings of the network namespace", text, || {
                procfs::open("sys/net/ipv4", OFlags::PATH)
            })?;
            Ok(true)
        }
        Err(errno) => Err(Fault::kernel("look for the settings of the network namespace", "openat(O_PATH)", errno)),
    }
}

const WHY: &str = "a setting of the container's own namespace; proc_sys(5)";

/// Returns the name with dots between its parts. `sysctl(8)` accepts slashes, too: then a dot is part of a name, as in that of
/// an interface.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).map(|place| name.as_bytes()[place]) {
        Some(b'/') => name
            .chars()
            .map(|letter| match letter {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Returns the path below /proc/sys.
fn path(dotted: &str) -> String {
    dotted
        .chars()
        .map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

/// Returns the kind of namespace that has the setting; none for a name that leads elsewhere.
fn owner(name: &str) -> Option<Kind> {
    let is_plain = name.split('.').all(|part| !part.is_empty() && !part.starts_with('/') && !part.contains('\0'));
    let is_named = |known: &str| if known.ends_with('.') { name.starts_with(known) } else { name == known };
    OWNERS.iter().find(|(known, _)| is_plain && is_named(known)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_belongs_to_a_namespace_or_to_the_machine() {
        for (name, kind) in [
            ("net.ipv4.ip_forward", Some(Kind::Net)),
            ("net/ipv4/conf/eth0.5/forwarding", Some(Kind::Net)),
            ("kernel.shmmax", Some(Kind::Ipc)),
            ("fs.mqueue.msg_max", Some(Kind::Ipc)),
            ("kernel.hostname", Some(Kind::Uts)),
            ("kernel.core_pattern", None),
            ("kernel.shmmax.x", None),
            ("network.x", None),
            ("net...kernel.core_pattern", None),
            ("net//../kernel/core_pattern", None),
            ("net.", None),
        ] {
            assert_eq!(owner(&dotted(name)), kind, "{name}");
        }
        assert_eq!(path(&dotted("net/ipv4/conf/eth0.5/forwarding")), "net/ipv4/conf/eth0.5/forwarding");
        assert_eq!(path(&dotted("net.ipv4.conf.eth0/5.forwarding")), "net/ipv4/conf/eth0.5/forwarding");
    }
}
