//! The parent and the owner of a namespace, which the kernel returns as descriptors. `ioctl_nsfs(2)`.
//!
//! The kernel returns no namespace outside our own user or pid namespace. A parent or owner may have no process and no
//! name: its descendants keep it alive, and it is found only through them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumbing::kernel::namespace_owner;
use plumbing::kernel::nsfs::{namespace_owner_uid, namespace_parent};
use plumbing::process::namespace::Kind;

use super::holder::Holder;
use super::inventory::{Inventory, inode_of, kind_of};
use super::line::Relation;

/// The relatives of a namespace, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Relatives {
    pub(crate) parent: Option<u64>,
    pub(crate) owner: Option<u64>,
    /// The uid that created the user namespace which owns this one; for a user namespace, the uid that created it.
    pub(crate) maker: Option<u32>,
}

/// The relatives that were found so far: the kernel is asked once for each namespace.
#[derive(Default)]
pub(crate) struct KnownRelatives(RefCell<HashMap<u64, Relatives>>);

impl KnownRelatives {
    /// Returns the relatives of a namespace.
    pub(crate) fn of(&self, inventory: &Inventory, inode: u64) -> Relatives {
        if let Some(known) = self.0.borrow().get(&inode) {
            return *known;
        }
        let relatives = ask(inventory, inode).unwrap_or_default();
        self.0.borrow_mut().insert(inode, relatives);
        relatives
    }
}

fn ask(inventory: &Inventory, inode: u64) -> Option<Relatives> {
    let kind = inventory.namespaces.get(&inode)?.kind;
    let opened = inventory.open(inode)?;
    let owner = relative_of(opened.as_fd(), Relation::Owner);
    let has_parent = matches!(kind, Kind::User | Kind::Pid);
    let parent = has_parent.then(|| relative_of(opened.as_fd(), Relation::Parent)).flatten();
    let user = if kind == Kind::User { Some(&opened) } else { owner.as_ref() };
    Some(Relatives {
        parent: parent.as_ref().and_then(inode_of),
        owner: owner.as_ref().and_then(inode_of),
        maker: user.and_then(|user| namespace_owner_uid(user).ok()),
    })
}

/// Opens the parent or the owner of an open namespace.
pub(crate) fn relative_of(namespace: BorrowedFd<'_>, relation: Relation) -> Option<OwnedFd> {
    match relation {
        Relation::Parent => namespace_parent(namespace).ok(),
        Relation::Owner => namespace_owner(namespace).ok(),
        Relation::Process => None,
    }
}

/// Adds those ancestors of a namespace that were not found in another way.
pub(crate) fn add_ancestors(inventory: &mut Inventory, inode: u64) {
    let mut pending = vec![inode];
    while let Some(of) = pending.pop() {
        let Some(opened) = inventory.open(of) else { continue };
        for relation in [Relation::Parent, Relation::Owner] {
            let Some(relative) = relative_of(opened.as_fd(), relation) else { continue };
            if let (Some(found), Some(kind)) = (inode_of(&relative), kind_of(&relative))
                && !inventory.namespaces.contains_key(&found)
            {
                inventory.add_holder(found, kind, Holder::Relative { of, relation });
                // A namespace whose kind was not asked for was not added.
                pending.extend(inventory.namespaces.contains_key(&found).then_some(found));
            }
        }
    }
}
