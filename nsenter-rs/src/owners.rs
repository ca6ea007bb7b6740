//! The user namespaces between us and the one that is entered: each owns namespaces that only its root may join.
//! `ioctl_nsfs(2)`, `user_namespaces(7)`.
//!
//! Who owns the outermost may enter the innermost at once, but has lost by it the right to what the others own (a
//! sandbox that puts a second user namespace on top is so). So they are joined one after the other, outermost first.

use std::os::fd::{AsFd, OwnedFd};

use plumbing::Fault;
use plumbing::kernel::{look, namespace_owner};
use plumbing::namespace::Kind;
use plumbing::target::own_namespace_inode;

/// A user namespace on the way.
pub(crate) struct Owner {
    pub(crate) shown: String,
    pub(crate) fd: OwnedFd,
}

/// The user namespace that owns `namespace`; of a user namespace, its parent.
pub(crate) fn owner(shown: &str, namespace: impl AsFd) -> Result<Owner, Fault> {
    let goal = format!("find the user namespace that owns {shown}");
    let fd = look(goal, format!("ioctl({shown}, NS_GET_USERNS)"), || namespace_owner(namespace))?;
    Ok(Owner { shown: format!("the owner of {shown}"), fd })
}

/// Those above the user namespace `inner` that own one of `owned`, the outermost first. Ours is not among them.
pub(crate) fn above<'a>(inner: &OwnedFd, owned: &'a [Owner]) -> Result<Vec<&'a Owner>, Fault> {
    let ours = own_namespace_inode(Kind::User);
    let mut way = Vec::new();
    let mut at = namespace_owner(inner).ok();
    // The kernel names no parent above ours.
    while let Some(fd) = at {
        let inode = inode(&fd)?;
        if Some(inode) == ours {
            break;
        }
        at = namespace_owner(&fd).ok();
        way.push(inode);
    }
    let mut found = Vec::new();
    for wanted in way.iter().rev() {
        for owner in owned {
            if inode(&owner.fd)? == *wanted {
                found.push(owner);
                break;
            }
        }
    }
    Ok(found)
}

fn inode(namespace: &OwnedFd) -> Result<u64, Fault> {
    look("tell namespaces apart", "fstat(nsfs)", || rustix::fs::fstat(namespace)).map(|stat| stat.st_ino)
}
