//! A connection that was accepted, and the one that continues it. `tcp(7)`, `shutdown(2)`.
//!
//! Each direction ends by itself: what one side ends, the other side sees ended, and may still send. A side that is gone
//! is passed on as such (a reset), never as an end, or a part of an answer would look like the whole. The surprise: a
//! connection that nobody takes outside was accepted inside before that is known.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::flow::{Flow, Pipes, Progress};

/// One of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was accepted.
    Near,
    /// The one that continues it.
    Far,
}

/// Both connections.
pub struct Pair {
    near: OwnedFd,
    far: OwnedFd,
    /// The addresses that are still to be tried, while the far one is not connected.
    untried: Option<Vec<SocketAddr>>,
    outwards: Flow,
    inwards: Flow,
    buffers: Buffers,
}

/// How much the kernel may keep for each of the two sockets, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffers {
    /// As much as it finds useful: up to the limits of tcp_rmem and tcp_wmem.
    Tuned,
    /// `SMALL`.
    Small,
}

/// The kernel doubles it for its own use.
const SMALL: usize = 64 << 10;

impl Pair {
    /// Begins to continue a connection to the first of the addresses that takes it. `None` if none does.
    pub fn begin(near: OwnedFd, to: &[SocketAddr], buffers: Buffers) -> Option<Pair> {
        prepare(&near, buffers);
        let mut untried: Vec<_> = to.iter().rev().copied().collect();
        match start(&mut untried, buffers) {
            Some(far) => {
                let (outwards, inwards) = (Flow::default(), Flow::default());
                Some(Pair { near, far, untried: Some(untried), outwards, inwards, buffers })
            }
            None => {
                reset(&near);
                None
            }
        }
    }

    /// Returns the connection of a side.
    pub fn socket(&self, side: Side) -> BorrowedFd<'_> {
        match side {
            Side::Near => self.near.as_fd(),
            Side::Far => self.far.as_fd(),
        }
    }

    /// Learns that the far connection was made, or could not be made. Returns whether another address is tried, for which
    /// there is a new connection.
    pub fn settle(&mut self) -> Settled {
        let Some(untried) = &mut self.untried else { return Settled::Connected };
        if matches!(sockopt::socket_error(&self.far), Ok(Ok(()))) {
            self.untried = None;
            return Settled::Connected;
        }
        match start(untried, self.buffers) {
            Some(far) => {
                self.far = far;
                Settled::TriesNext
            }
            None => {
                reset(&self.near);
                Settled::Refused
            }
        }
    }

    /// Notes that urgent data has come.
    pub fn expect_urgent(&mut self, side: Side) {
        match side {
            Side::Near => self.outwards.expect_urgent(),
            Side::Far => self.inwards.expect_urgent(),
        }
    }

    /// Moves what can be moved in both directions; `Ended` when there is nothing more to come.
    pub fn advance(&mut self, pipes: &mut Pipes) -> Progress {
        if self.untried.is_some() {
            return Progress::Waits;
        }
        let out = self.outwards.advance(self.near.as_fd(), self.far.as_fd(), pipes);
        let back = self.inwards.advance(self.far.as_fd(), self.near.as_fd(), pipes);
        let is_over = |progress| !matches!(progress, Progress::Waits | Progress::Continues);
        match (out, back) {
            (Progress::Ended, Progress::Ended) => Progress::Ended,
            (Progress::Lost, _) | (_, Progress::Lost) => self.abort(),
            // A receiver that is gone may have answered before.
            _ if is_over(out) && is_over(back) => self.abort(),
            (Progress::Continues, _) | (_, Progress::Continues) => Progress::Continues,
            _ => Progress::Waits,
        }
    }

    fn abort(&self) -> Progress {
        reset(&self.near);
        reset(&self.far);
        Progress::Ended
    }
}

/// What became of a connection that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was made.
    Connected,
    /// It was refused, and the next address is tried.
    TriesNext,
    /// It was refused, and there is no further address.
    Refused,
}

/// Begins a connection to the last of the addresses that does not refuse it at once.
fn start(untried: &mut Vec<SocketAddr>, buffers: Buffers) -> Option<OwnedFd> {
    while let Some(address) = untried.pop() {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = socket_with(family, SocketType::STREAM, flags, None) else { continue };
        prepare(&socket, buffers);
        if matches!(connect(&socket, &address), Ok(()) | Err(Errno::INPROGRESS)) {
            return Some(socket);
        }
    }
    None
}

/// Sets what no socket of TCP refuses: the end of a short answer does not wait for an acknowledgment, and urgent data
/// stays in its place, and small buffers.
fn prepare(socket: &OwnedFd, buffers: Buffers) {
    if buffers == Buffers::Small {
        sockopt::set_socket_send_buffer_size(socket, SMALL).ok();
        sockopt::set_socket_recv_buffer_size(socket, SMALL).ok();
    }
    sockopt::set_tcp_nodelay(socket, true).ok();
    sockopt::set_socket_oobinline(socket, true).ok();
}

/// Makes the end of this connection a reset.
fn reset(socket: &OwnedFd) {
    // If it fails, the other side sees the end of the connection.
    sockopt::set_socket_linger(socket, Some(Duration::ZERO)).ok();
}
