//! The user namespaces between ours and the one that is entered: each owns namespaces that only its root may join.
//! `ioctl_nsfs(2)`, `user_namespaces(7)`.
//!
//! The owner of the outermost may enter the innermost at once, but then loses the rights over what the others own (this
//! is so in a sandbox that nests a second user namespace). So they are joined one after the other, outermost first.

use std::os::fd::{AsFd, OwnedFd};

use plumbing::Fault;
use plumbing::kernel::nsfs::namespace_owner_uid;
use plumbing::kernel::{look, namespace_owner};
use plumbing::process::namespace::Kind;
use plumbing::process::target::own_namespace_inode;

/// A user namespace between ours and the one to enter.
pub(crate) struct Owner {
    pub(crate) shown: String,
    pub(crate) fd: OwnedFd,
}

/// Returns the user namespace that owns `namespace`; for a user namespace, its parent.
pub(crate) fn owner(shown: &str, namespace: impl AsFd) -> Result<Owner, Fault> {
    let goal = format!("find the user namespace that owns {shown}");
    let fd = look(goal, format!("ioctl({shown}, NS_GET_USERNS)"), || namespace_owner(namespace))?;
    Ok(Owner { shown: format!("the owner of {shown}"), fd })
}

/// Returns the ancestors of the user namespace `inner` that own one of `owned`, the outermost first, without our own.
pub(crate) fn above<'a>(inner: &OwnedFd, owned: &'a [Owner]) -> Result<Vec<&'a Owner>, Fault> {
    let ours = own_namespace_inode(Kind::User);
    let mut ancestors = Vec::new();
    let mut next = namespace_owner(inner).ok();
    // The kernel returns no parent above our own user namespace.
    while let Some(fd) = next {
        let inode = inode(&fd)?;
        if Some(inode) == ours {
            break;
        }
        next = namespace_owner(&fd).ok();
        ancestors.push(inode);
    }
    let mut found = Vec::new();
    for wanted in ancestors.iter().rev() {
        for owner in owned {
            if inode(&owner.fd)? == *wanted {
                found.push(owner);
                break;
            }
        }
    }
    Ok(found)
}

/// Reports whether another user made this user namespace, or one between it and ours: that user may trace what is in it.
/// `user_namespaces(7)`: the maker of a namespace, in its parent, has all capabilities in it.
pub(crate) fn is_strangers(inner: &OwnedFd) -> bool {
    let own_uid = rustix::process::geteuid().as_raw();
    let ours = own_namespace_inode(Kind::User);
    let is_anothers = |fd: &OwnedFd| namespace_owner_uid(fd) != Ok(own_uid);
    let mut parent = namespace_owner(inner);
    let mut found = is_anothers(inner);
    while !found {
        // The kernel returns no namespace that is not below ours.
        let Ok(fd) = parent else { return true };
        match inode(&fd) {
            Ok(inode) if Some(inode) == ours => return false,
            Ok(_) => (found, parent) = (is_anothers(&fd), namespace_owner(&fd)),
            Err(_) => return true,
        }
    }
    true
}

fn inode(namespace: &OwnedFd) -> Result<u64, Fault> {
    look("compare namespaces", "fstat(nsfs)", || rustix::fs::fstat(namespace)).map(|stat| stat.st_ino)
}
