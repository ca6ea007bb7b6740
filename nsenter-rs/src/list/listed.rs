//! The namespaces that the kernel lists, and to which nothing leads that we found: `listns(2)`, since Linux 6.19.
//!
//! The surprise: the list does not say what keeps a namespace alive. If that is another namespace, of which it is the parent
//! or the owner, only the other one can say so.

use std::os::fd::{AsFd, OwnedFd};

use plumbing::kernel::nsfs::{list_namespaces, namespace_by_id};
use plumbing::process::namespace::{Kind, KindSet};

use super::holder::Holder;
use super::inventory::{Inventory, Namespace, inode_of, kind_of};
use super::line::Relation;
use super::parent_and_owner::relative_of;

/// Adds the namespaces that were not found in another way, if the kernel can list namespaces.
pub(super) fn add_to(inventory: &mut Inventory) {
    let mut is_complete = true;
    each(inventory.kinds, |id, namespace| {
        let Some(inode) = inode_of(namespace).filter(|inode| !inventory.namespaces.contains_key(inode)) else { return };
        if let Some(kind) = kind_of(namespace) {
            inventory.add_holder(inode, kind, Holder::Listed { id, relative: None });
            is_complete = false;
        }
    });
    if !is_complete {
        // A namespace of a kind that was not asked for has an owner, too.
        let mut all = KindSet::EMPTY;
        Kind::ALL.into_iter().for_each(|kind| all.insert(kind));
        each(all, |_, namespace| name_holder(inventory, namespace));
    }
}

/// Notes that this namespace keeps its parent and its owner alive.
fn name_holder(inventory: &mut Inventory, namespace: &OwnedFd) {
    for relation in [Relation::Parent, Relation::Owner] {
        let kept = relative_of(namespace.as_fd(), relation).as_ref().and_then(inode_of);
        let kept = kept.and_then(|inode| inventory.namespaces.get_mut(&inode));
        if let Some(Namespace { holder: Holder::Listed { relative: relative @ None, .. }, .. }) = kept {
            *relative = inode_of(namespace);
        }
    }
}

/// Opens each namespace of these kinds that the kernel lists for us.
fn each(kinds: KindSet, mut visit: impl FnMut(u64, &OwnedFd)) {
    let mut ids = [0; 512];
    let mut after = 0;
    while let Ok(count @ 1..) = list_namespaces(kinds.clone_flags(), after, &mut ids) {
        for id in &ids[..count] {
            if let Ok(namespace) = namespace_by_id(*id) {
                visit(*id, &namespace);
            }
        }
        // The kernel returns ids in ascending order; if it did not, this loop would still end.
        match ids[count - 1] {
            last if last > after => after = last,
            _ => break,
        }
    }
}
