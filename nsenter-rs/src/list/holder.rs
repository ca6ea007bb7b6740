//! What keeps a namespace alive: being in it, a descriptor of it, a socket made in it, a mount of it, or another namespace
//! that it is the parent or the owner of. `namespaces(7)`.

use super::line::Relation;

/// One thing that keeps a namespace alive; a namespace may have many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The first process in it.
    Process(i32),
    /// A thread that is in it without its process: pid and tid.
    Thread(i32, i32),
    /// A descriptor: pid and number.
    Descriptor(i32, i32),
    /// A socket: pid and number.
    Socket(i32, i32),
    /// A mount: the process in whose mount table it is, unless it is ours, and where.
    Mount(Option<i32>, Vec<u8>),
    /// Something that the kernel does not tell: it lists the namespace, by this id.
    Unknown(u64),
    /// It is the `relation` of another namespace.
    Relative { of: u64, relation: Relation },
}

impl Holder {
    /// `mount /run/netns/blue`.
    pub(crate) fn told(&self) -> Vec<u8> {
        match self {
            Holder::Process(pid) => format!("process {pid}").into_bytes(),
            Holder::Thread(pid, tid) => format!("thread {tid} of process {pid}").into_bytes(),
            Holder::Descriptor(pid, fd) => format!("descriptor {fd} of process {pid}").into_bytes(),
            Holder::Socket(pid, fd) => format!("socket {fd} of process {pid}").into_bytes(),
            Holder::Mount(None, point) => [b"mount ", &point[..]].concat(),
            Holder::Mount(Some(pid), point) => {
                [b"mount ", &point[..], format!(" of process {pid}").as_bytes()].concat()
            }
            Holder::Unknown(_) => b"unknown".to_vec(),
            Holder::Relative { of, .. } => format!("namespace {of}").into_bytes(),
        }
    }

    /// The process in it.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Holder::Process(pid) => Some(*pid),
            _ => None,
        }
    }
}
