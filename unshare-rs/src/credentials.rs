//! The ids and capabilities of the command (`--setuid`, `--setgid`, `--keep-caps`), and the `--owner` of the user
//! namespace.
//! `credentials(7)`, `capabilities(7)`.

use plumbing::Fault;
use plumbing::confinement::privilege;
use plumbing::kernel::call;

/// The credentials to change before the command runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) keep_capabilities: bool,
}

impl Credentials {
    /// Reports whether a user or group changes: the kernel then clears the parent death signal.
    pub(crate) fn change_identity(self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    /// Changes the credentials of this process.
    pub(crate) fn apply(self) -> Result<(), Fault> {
        if self.keep_capabilities && self.uid.is_some() {
            privilege::keep_capabilities()?;
        }
        change(self.uid, self.gid)?;
        if self.keep_capabilities { privilege::hand_on_capabilities() } else { Ok(()) }
    }
}

/// Changes to the user and group that will own the namespaces made next.
pub(crate) fn become_owner((uid, gid): (u32, u32)) -> Result<(), Fault> {
    change(Some(uid), Some(gid))?;
    // This allows only the owner to trace us, and the namespaces belong to the owner anyway.
    let why = "otherwise our files in /proc would belong to root, and the new namespaces are set up through them; \
               PR_SET_DUMPABLE(2const)";
    call("own our files in /proc", "prctl(PR_SET_DUMPABLE, SUID_DUMP_USER)", why, || {
        nix::sys::prctl::set_dumpable(true)
    })
}

/// Changes the ids. A new group comes without supplementary groups.
fn change(uid: Option<u32>, gid: Option<u32>) -> Result<(), Fault> {
    privilege::change_identity(uid, gid, gid.map(|_| &[][..]))
}
