//! What keeps a namespace alive: a process or thread in it, a descriptor of the namespace, a socket created in it, a
//! mount of it, or another namespace of which it is the parent or the owner. `namespaces(7)`.

use super::line::Relation;

/// One thing that keeps a namespace alive; a namespace may have many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The first process in the namespace.
    Process(i32),
    /// A thread in the namespace, whose process is in another one: pid and tid.
    Thread(i32, i32),
    /// A descriptor: pid and number.
    Descriptor(i32, i32),
    /// A socket: pid and number.
    Socket(i32, i32),
    /// A mount: the process in whose mount table it is, `None` for our own table, and the mount point.
    Mount(Option<i32>, Vec<u8>),
    /// Something to which nothing in /proc leads: the kernel only lists the namespace, with this id. If it is the parent or
    /// the owner of another namespace, that one keeps it alive.
    Listed { id: u64, relative: Option<u64> },
    /// Another namespace, of which this one is the `relation`.
    Relative { of: u64, relation: Relation },
}

impl Holder {
    /// Returns a description such as `mount /run/netns/blue`.
    pub(crate) fn shown(&self) -> Vec<u8> {
        match self {
            Holder::Process(pid) => format!("process {pid}").into_bytes(),
            Holder::Thread(pid, tid) => format!("thread {tid} of process {pid}").into_bytes(),
            Holder::Descriptor(pid, fd) => format!("descriptor {fd} of process {pid}").into_bytes(),
            Holder::Socket(pid, fd) => format!("socket {fd} of process {pid}").into_bytes(),
            Holder::Mount(None, point) => [b"mount ", &point[..]].concat(),
            Holder::Mount(Some(pid), point) => {
                [b"mount ", &point[..], format!(" of process {pid}").as_bytes()].concat()
            }
            Holder::Listed { relative: None, .. } => b"unknown".to_vec(),
            Holder::Listed { relative: Some(of), .. } | Holder::Relative { of, .. } => {
                format!("namespace {of}").into_bytes()
            }
        }
    }

    /// Returns the pid of the process, if the holder is a process.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Holder::Process(pid) => Some(*pid),
            _ => None,
        }
    }
}
