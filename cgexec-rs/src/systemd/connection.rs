//! A connection to a D-Bus socket: connecting, the handshake, messages. `unix(7)`; the D-Bus specification,
//! "Authentication Protocol".
//!
//! All waiting has an end, and nothing that is received is kept beyond one message. The surprise: with the mechanism
//! EXTERNAL and no name, the server takes the user from the socket, so that a user namespace does not matter.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{look, own};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::process::geteuid;

use super::message::{Message, decode};

/// How long the whole conversation may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// The longest answer of the handshake.
const LONGEST_HANDSHAKE: usize = 512;

const GOAL: &str = "ask systemd for a cgroup";

/// A connection after its handshake.
pub(crate) struct Connection {
    socket: OwnedFd,
    path: PathBuf,
    input: Vec<u8>,
    deadline: Instant,
}

impl Connection {
    /// Connects to the socket at `path`, which must belong to root or to us.
    pub(crate) fn open(path: &Path) -> Result<Connection, Fault> {
        let flags = SocketFlags::CLOEXEC;
        let socket = own(GOAL, "socket(AF_UNIX, SOCK_STREAM)", || {
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        })?;
        for (side, name) in [(Timeout::Send, "SO_SNDTIMEO"), (Timeout::Recv, "SO_RCVTIMEO")] {
            own(GOAL, format!("setsockopt({name})"), || set_socket_timeout(&socket, side, Some(PATIENCE)))?;
        }
        own(GOAL, format!("connect({path:?})"), || connect(&socket, &SocketAddrUnix::new(path)?))?;
        let peer = look(GOAL, "getsockopt(SO_PEERCRED)", || socket_peercred(&socket))?.uid;
        if !peer.is_root() && peer != geteuid() {
            return Err(Fault::new(format!(
                "cannot {GOAL}: {} belongs to a process of uid {}",
                path.display(),
                peer.as_raw()
            )));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut connection = Connection { socket, path: path.to_owned(), input: Vec::new(), deadline };
        connection.authenticate()?;
        Ok(connection)
    }

    /// Returns the path of the socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends all bytes.
    pub(crate) fn send(&self, mut bytes: &[u8]) -> Result<(), rustix::io::Errno> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                // We were stopped and continued: a call with a time limit is not restarted.
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn authenticate(&mut self) -> Result<(), Fault> {
        own(GOAL, format!("sendto({:?}, AUTH EXTERNAL)", self.path), || {
            self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        })?;
        let mut is_first = true;
        loop {
            let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") else {
                if self.input.len() > LONGEST_HANDSHAKE {
                    return Err(self.wrong("its handshake is not D-Bus"));
                }
                self.receive()?;
                continue;
            };
            let line: Vec<u8> = self.input.drain(..end + 2).collect();
            match &line[..end] {
                b"DATA" if is_first => is_first = false,
                line if line.starts_with(b"OK ") => return Ok(()),
                line if line.starts_with(b"REJECTED") => return Err(self.wrong("it rejects our user")),
                _ => return Err(self.wrong("its handshake is not D-Bus")),
            }
        }
    }

    /// Returns the next message.
    pub(crate) fn message(&mut self) -> Result<Message, Fault> {
        loop {
            match decode(&self.input).map_err(|why| self.wrong(&format!("a message is invalid: {why}")))? {
                Some((message, length)) => {
                    self.input.drain(..length);
                    return Ok(message);
                }
                None => self.receive()?,
            }
        }
    }

    fn receive(&mut self) -> Result<(), Fault> {
        let mut bytes = [0; 4096];
        if Instant::now() >= self.deadline {
            return Err(self.silent());
        }
        let text = format!("recvfrom({:?})", self.path);
        match look(GOAL, text, || recv(&self.socket, &mut bytes, RecvFlags::empty()).map(|(filled, _)| filled)) {
            Ok(0) => Err(self.wrong("it has closed the connection")),
            Ok(length) => {
                self.input.extend(bytes.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(fault) if fault.errno() == Some(Errno::EAGAIN) => Err(self.silent()),
            Err(fault) if fault.errno() == Some(Errno::EINTR) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    fn silent(&self) -> Fault {
        self.wrong(&format!("it has not answered for {} s", PATIENCE.as_secs()))
    }

    fn wrong(&self, what: &str) -> Fault {
        Fault::new(format!("cannot {GOAL} through {}: {what}", self.path.display()))
    }
}
