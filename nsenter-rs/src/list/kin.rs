//! Who is whose parent and owner: the kernel answers with a descriptor of the relative. `ioctl_nsfs(2)`.
//!
//! It does not speak of what lies outside of our own user or pid namespace. A relative may have no process and no name
//! of its own: it lives because of those below it, and is found through them alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumbing::kernel::namespace_owner;
use plumbing::kernel::nsfs::{namespace_owner_uid, namespace_parent};
use plumbing::namespace::Kind;

use super::holder::Holder;
use super::line::Relation;
use super::survey::{Survey, inode_of, kind_of};

/// What is known of a namespace's relatives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kin {
    pub(crate) parent: Option<u64>,
    pub(crate) owner: Option<u64>,
    /// Who made the user namespace that owns it.
    pub(crate) maker: Option<u32>,
}

/// Asked once for each namespace.
#[derive(Default)]
pub(crate) struct Memory(RefCell<HashMap<u64, Kin>>);

impl Memory {
    /// The relatives of a namespace.
    pub(crate) fn of(&self, survey: &Survey, inode: u64) -> Kin {
        if let Some(known) = self.0.borrow().get(&inode) {
            return *known;
        }
        let kin = ask(survey, inode).unwrap_or_default();
        self.0.borrow_mut().insert(inode, kin);
        kin
    }
}

fn ask(survey: &Survey, inode: u64) -> Option<Kin> {
    let kind = survey.namespaces.get(&inode)?.kind;
    let opened = survey.open(inode)?;
    let owner = relative_of(opened.as_fd(), Relation::Owner);
    let has_parent = matches!(kind, Kind::User | Kind::Pid);
    let parent = has_parent.then(|| relative_of(opened.as_fd(), Relation::Parent)).flatten();
    let user = if kind == Kind::User { Some(&opened) } else { owner.as_ref() };
    Some(Kin {
        parent: parent.as_ref().and_then(inode_of),
        owner: owner.as_ref().and_then(inode_of),
        maker: user.and_then(|user| namespace_owner_uid(user).ok()),
    })
}

/// The parent or the owner of an open namespace.
pub(crate) fn relative_of(namespace: BorrowedFd<'_>, relation: Relation) -> Option<OwnedFd> {
    match relation {
        Relation::Parent => namespace_parent(namespace).ok(),
        Relation::Owner => namespace_owner(namespace).ok(),
        Relation::Process => None,
    }
}

/// Adds the ancestors of a namespace that nothing else led to.
pub(crate) fn add_ancestors(survey: &mut Survey, inode: u64) {
    let mut young = vec![inode];
    while let Some(of) = young.pop() {
        let Some(opened) = survey.open(of) else { continue };
        for relation in [Relation::Parent, Relation::Owner] {
            let Some(relative) = relative_of(opened.as_fd(), relation) else { continue };
            if let (Some(found), Some(kind)) = (inode_of(&relative), kind_of(&relative))
                && !survey.namespaces.contains_key(&found)
            {
                survey.add_holder(found, kind, Holder::Relative { of, relation });
                // Not if its kind is not asked for.
                young.extend(survey.namespaces.contains_key(&found).then_some(found));
            }
        }
    }
}
