//! Who the command is: `--setuid`, `--setgid`, `--keep-caps`, and the `--owner` of the user namespace.
//! `credentials(7)`, `capabilities(7)`.

use plumbing::Fault;
use plumbing::kernel::call;
use plumbing::privilege;

/// What changes before the command runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) keep_capabilities: bool,
}

impl Credentials {
    /// Whether a user or group changes, which makes the kernel forget what it shall do at the parent's death.
    pub(crate) fn change_identity(self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    /// Changes to them.
    pub(crate) fn apply(self) -> Result<(), Fault> {
        if self.keep_capabilities && self.uid.is_some() {
            privilege::keep_capabilities()?;
        }
        change(self.uid, self.gid)?;
        if self.keep_capabilities { privilege::hand_on_capabilities() } else { Ok(()) }
    }
}

/// Becomes the user and group that shall own the namespaces made next.
pub(crate) fn become_owner((uid, gid): (u32, u32)) -> Result<(), Fault> {
    change(Some(uid), Some(gid))?;
    // Whoever is allowed to trace us by that is the owner, whom the namespaces belong to anyway.
    let why =
        "else our /proc/self would be root's, and the new namespaces are set up through it; PR_SET_DUMPABLE(2const)";
    call("own our files in /proc", "prctl(PR_SET_DUMPABLE, SUID_DUMP_USER)", why, || {
        nix::sys::prctl::set_dumpable(true)
    })
}

/// A new group takes along no other one.
fn change(uid: Option<u32>, gid: Option<u32>) -> Result<(), Fault> {
    privilege::change_identity(uid, gid, gid.map(|_| &[][..]))
}
