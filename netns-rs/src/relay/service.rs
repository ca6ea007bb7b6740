//! All connections of a relay, in one process: it waits for any of their sockets. `epoll(7)`, `accept(2)`.
//!
//! The kernel reports a change of a connection once, so what is not finished in its turn is remembered. A listener is
//! reported for as long as somebody waits: one that is over the limit waits in the kernel's queue.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use plumbing::Fault;
use plumbing::kernel::own;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::Timespec;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SocketFlags, accept_with};

use super::flow::{Pipes, Progress};
use super::pair::{Buffers, Pair, Settled, Side};

const GOAL: &str = "relay connections";
/// The descriptors of a connection: two sockets, and a pipe for each direction in which bytes wait.
const DESCRIPTORS: u64 = 6;
/// The descriptors of the relay itself.
const OWN: u64 = 64;
/// The most connections at once. What waits in them is not charged to the container, whose limits a relay outlives.
const MOST: u64 = 1 << 10;
/// How many connections at once have buffers that grow: by some MiB each, if their receiver takes nothing.
const TUNED: usize = 8;
/// How many connections of one listener are accepted before the others get their turn.
const ACCEPTED: u32 = 64;
/// How long nothing is accepted after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(200);
const EVENTS: usize = 128;

/// A listening socket, and the addresses to which its connections are continued.
pub struct Listener {
    /// The socket.
    pub socket: OwnedFd,
    /// The addresses, tried in this order.
    pub to: Vec<SocketAddr>,
}

/// Returns how many connections are possible at once with this many open files.
pub fn capacity(files: u64) -> u64 {
    (files.saturating_sub(OWN) / DESCRIPTORS).min(MOST)
}

/// The connections.
pub struct Service<'a> {
    epoll: OwnedFd,
    listeners: &'a [Listener],
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// The connections for which there is something to do.
    waiting: Vec<usize>,
    pipes: Pipes,
    capacity: usize,
    accepts: bool,
}

/// What an event is about: the end of the container, a listener, or one side of a connection.
enum About {
    End,
    Listener(usize),
    Side(usize, Side),
}

impl About {
    fn data(&self) -> EventData {
        let number = |kind: u64, at: usize| EventData::new_u64((at as u64) << 2 | kind);
        match self {
            About::End => number(0, 0),
            About::Listener(at) => number(1, *at),
            About::Side(at, Side::Near) => number(2, *at),
            About::Side(at, Side::Far) => number(3, *at),
        }
    }

    fn of(data: EventData) -> About {
        let (kind, at) = (data.u64() & 3, (data.u64() >> 2) as usize);
        match kind {
            0 => About::End,
            1 => About::Listener(at),
            2 => About::Side(at, Side::Near),
            _ => About::Side(at, Side::Far),
        }
    }
}

impl<'a> Service<'a> {
    /// Begins to listen, until the process behind `watched` ends.
    pub fn new(listeners: &'a [Listener], watched: BorrowedFd<'_>, capacity: u64) -> Result<Service<'a>, Fault> {
        let epoll = own(GOAL, "epoll_create1(EPOLL_CLOEXEC)", || epoll::create(CreateFlags::CLOEXEC))?;
        let service = Service {
            epoll,
            listeners,
            pairs: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            pipes: Pipes::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            accepts: true,
        };
        own(GOAL, "epoll_ctl(EPOLL_CTL_ADD)", || {
            epoll::add(&service.epoll, watched, About::End.data(), EventFlags::IN)?;
            for (at, listener) in listeners.iter().enumerate() {
                epoll::add(&service.epoll, &listener.socket, About::Listener(at).data(), EventFlags::IN)?;
            }
            Ok::<_, Errno>(())
        })?;
        Ok(service)
    }

    /// Relays until the process has ended.
    pub fn run(mut self) -> Result<(), Fault> {
        loop {
            let mut events = Vec::with_capacity(EVENTS);
            let patience = match (self.waiting.is_empty(), self.accepts) {
                (false, _) => Some(Duration::ZERO),
                (true, false) => Some(PAUSE),
                (true, true) => None,
            };
            let patience = patience.map(|time| Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() });
            let seen = own(GOAL, "epoll_wait()", || {
                retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), patience.as_ref()))
            })?;
            if seen == 0 && !self.accepts {
                self.listen(true)?;
            }
            for event in events {
                match About::of(event.data) {
                    About::End => return Ok(()),
                    About::Listener(at) => self.accept(at)?,
                    About::Side(at, side) => self.notice(at, side, event.flags),
                }
            }
            self.advance()?;
        }
    }

    /// Accepts connections; stops when there is no room for more.
    fn accept(&mut self, at: usize) -> Result<(), Fault> {
        let listener = &self.listeners[at];
        for _ in 0..ACCEPTED {
            if !self.accepts {
                break;
            }
            if self.pairs.len() - self.free.len() >= self.capacity {
                return self.listen(false);
            }
            let is_small = self.pairs.len() - self.free.len() >= TUNED;
            let buffers = if is_small { Buffers::Small } else { Buffers::Tuned };
            match accept_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(near) => {
                    if let Some(pair) = Pair::begin(near, &listener.to, buffers) {
                        self.keep(pair);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => return self.listen(false),
                // The connection has ended before it was accepted; accept(2) reports errors of the network, too.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn keep(&mut self, pair: Pair) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let watches = [Side::Near, Side::Far].map(|side| watch(&self.epoll, &pair, at, side));
        if watches.iter().all(Result::is_ok) {
            self.pairs[at] = Some(pair);
        } else {
            // The user may watch no more sockets (max_user_watches): this connection ends.
            self.free.push(at);
        }
    }

    fn notice(&mut self, at: usize, side: Side, flags: EventFlags) {
        // An event of a connection that has ended meanwhile, perhaps with another one in its place: nothing is moved
        // that could not be moved anyway.
        let Some(pair) = &mut self.pairs[at] else { return };
        if side == Side::Far && flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            match pair.settle() {
                Settled::Connected => {}
                Settled::TriesNext if watch(&self.epoll, pair, at, Side::Far).is_ok() => return,
                Settled::TriesNext | Settled::Refused => return self.end(at),
            }
        }
        if flags.contains(EventFlags::PRI) {
            pair.expect_urgent(side);
        }
        self.waiting.push(at);
    }

    /// Gives every connection that has something to do one turn.
    fn advance(&mut self) -> Result<(), Fault> {
        let mut turn = std::mem::take(&mut self.waiting);
        turn.sort_unstable();
        turn.dedup();
        let was_full = !self.accepts;
        let before = self.free.len();
        for at in turn {
            let Some(pair) = &mut self.pairs[at] else { continue };
            match pair.advance(&mut self.pipes) {
                Progress::Waits => {}
                Progress::Continues => self.waiting.push(at),
                Progress::Ended | Progress::Broken | Progress::Lost => self.end(at),
            }
        }
        if was_full && self.free.len() > before { self.listen(true) } else { Ok(()) }
    }

    /// Closes both connections, which removes them from what is watched.
    fn end(&mut self, at: usize) {
        if self.pairs[at].take().is_some() {
            self.free.push(at);
        }
    }

    /// Lets the kernel report those who wait to be accepted, or leaves them in its queue.
    fn listen(&mut self, accepts: bool) -> Result<(), Fault> {
        self.accepts = accepts;
        let flags = if accepts { EventFlags::IN } else { EventFlags::empty() };
        own(GOAL, "epoll_ctl(EPOLL_CTL_MOD)", || {
            let change = |(at, listener): (usize, &Listener)| {
                epoll::modify(&self.epoll, &listener.socket, About::Listener(at).data(), flags)
            };
            self.listeners.iter().enumerate().try_for_each(change)
        })
    }
}

fn watch(epoll: &OwnedFd, pair: &Pair, at: usize, side: Side) -> Result<(), Errno> {
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
    epoll::add(epoll, pair.socket(side).as_fd(), About::Side(at, side).data(), flags)
}

#[cfg(test)]
mod tests {
    use super::capacity;

    #[test]
    fn a_connection_needs_six_files() {
        assert_eq!([0, 64, 70, 1024, 1 << 20, u64::MAX].map(capacity), [0, 0, 1, 160, 1024, 1024]);
    }
}
