//! The id maps of a new user namespace: which ids inside are which outside. `user_namespaces(7)`.
//!
//! One line each, written once. Without privilege outside, the kernel takes a gid_map only after setgroups was given
//! up, and maps only the writer's own ids.

use std::io::Write;

use plumbing::Fault;
use plumbing::kernel::call;

/// Which ids the caller has inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// 0 and 0.
    Root,
    /// The same as outside.
    Current,
}

/// Who the caller is outside; inside, before the map is written, it is nobody and cannot say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    uid: u32,
    gid: u32,
}

impl Caller {
    pub(crate) fn now() -> Caller {
        Caller { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }
}

impl IdMap {
    /// Writes the maps of our own user namespace.
    pub(crate) fn write(self, caller: Caller) -> Result<(), Fault> {
        let inside = |outside| if self == IdMap::Root { 0 } else { outside };
        let line = |outside| format!("{} {outside} 1", inside(outside));
        write("setgroups", "deny", "the kernel wants this before an unprivileged gid_map; user_namespaces(7)")?;
        write("uid_map", &line(caller.uid), "who the caller is inside; user_namespaces(7)")?;
        write("gid_map", &line(caller.gid), "the caller's group inside; user_namespaces(7)")
    }
}

fn write(file: &str, content: &str, why: &str) -> Result<(), Fault> {
    let path = format!("/proc/self/{file}");
    let goal = format!("map ids through {path}");
    call(&goal, format!("write({path:?}, {content:?})"), why, || {
        // Opened as what it is: a file that exists, and that one write(2) fills.
        let mut file = std::fs::OpenOptions::new().write(true).open(&path)?;
        file.write_all(content.as_bytes())
    })
}
