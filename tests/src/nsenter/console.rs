//! `--console-socket` of chroot-rs and nsenter-rs: a terminal of the container, whose controlling end an engine gets.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("an engine gets the controlling end of a terminal that the container knows by name", &[BUSYBOX, Need::UserNamespaces], |world| {
        let at = world.directory("console");
        let own = world.as_root();
        let root = world.busybox_root().display();
        let console = "ls -l /dev/console | cut -c1-10; echo said >/dev/console";
        let look = "read -r line; echo \"<$line>\"; trap \"echo INT; exit 3\" INT; echo ready; while :; do sleep 0.1; done";
        let container = format!("unshare-rs {own} --mount --pid --ipc --uts --fork --kill-child --pid-file $P/pid --");
        let make = format!("{container} chroot-rs --std --console-socket $P/socket {root} -- sh -c 'tty; {console}; {look}'");
        let held = format!("{container} chroot-rs --std {root} -- sh -c 'echo >/dev/shm/up; exec sleep 86493' & until [ -s $P/pid ] && [ -e /proc/$(cat $P/pid)/root/dev/shm/up ]; do sleep 0.01; done");
        let within = format!("nsenter-rs --target $(cat $P/pid) --all --console-socket $P/socket -- sh -c 'tty; echo crw said; {look}'");
        let exec = format!("{held}; {within}; r=$?; kill -KILL $(cat $P/pid); wait; exit $r");
        // The script's own stdin, stdout and stderr are no terminals: what arrives came through the socket.
        for line in [make, exec] {
            let listener = Listener::bind(&at.join("socket"));
            let running = world.script(&line).variable("P", at.display().to_string()).start();
            let mut terminal = listener.receive(world);
            let seen = read_until(&mut terminal, "said\r\n");
            assert!(seen.starts_with("/dev/pts/") && seen.contains("\r\ncrw"), "{seen}");
            terminal.write_all(b"typed\n").expect("a terminal");
            read_until(&mut terminal, "<typed>\r\nready\r\n");
            // The key of the terminal reaches its foreground job.
            terminal.write_all(b"\x03").expect("a terminal");
            read_until(&mut terminal, "INT\r\n");
            running.wait().fails_with(3).stdout_is("");
            std::fs::remove_file(at.join("pid")).expect("a pid file");
        }
    })
    .host_only(),
    Row::new("--console-socket uses no terminal that a container has planted in its /dev", &[BUSYBOX, Need::UserNamespaces], |world| {
        let at = world.directory("planted-console");
        let own = world.as_root();
        let root = world.busybox_root().display();
        // Each is a /dev/pts that is no devpts, or whose ptmx is another file. The control: the same without it.
        for (planted, said) in [
            ("true", "ran"),
            ("mount -t tmpfs none /dev/pts; mkfifo /dev/pts/ptmx", "no devpts"),
            ("mount --bind /dev/null /dev/pts/ptmx", "EXDEV"),
            ("umount /dev/pts; rmdir /dev/pts; ln -s /tmp /dev/pts", "ELOOP"),
        ] {
            let listener = Listener::bind(&at.join("socket"));
            let line = format!(
                "unshare-rs {own} --mount --pid --fork --kill-child --pid-file $P/pid -- chroot-rs --std --capabilities all --seccomp none --tmpfs /planted {root} -- \
                    sh -c '{planted}; touch /planted/done; exec sleep 86494' & until [ -s $P/pid ] && [ -e /proc/$(cat $P/pid)/root/planted/done ]; do sleep 0.01; done
                nsenter-rs --target $(cat $P/pid) --all --console-socket $P/socket -- true && echo ran >&2; kill -KILL $(cat $P/pid); wait"
            );
            world.script(&line).variable("P", at.display().to_string()).run().stderr_has(said);
            drop(listener);
            std::fs::remove_file(at.join("pid")).expect("a pid file");
        }
        let root = root.to_string();
        for (line, said) in [
            (format!("unshare-rs {own} --mount --pid --fork -- chroot-rs --std --console-socket /no/such {root} -- true"), "cannot connect to the console socket /no/such: connect("),
            (format!("chroot-rs --console-socket x {root} true"), "--console-socket needs --std or --oci"),
            (format!("unshare-rs {own} --mount --pid --fork -- chroot-rs --std --console-socket {} {root} -- true", "x".repeat(200)), "1 to 107 bytes"),
        ] {
            world.sh(&line).fails_with(125).stderr_has(said);
        }
    })
    .host_only(),
];

/// The socket of an engine.
struct Listener(UnixListener);

impl Listener {
    fn bind(path: &Path) -> Listener {
        std::fs::remove_file(path).ok();
        let listener = UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        Listener(listener)
    }

    /// Waits for a tool to connect, and takes the descriptor that it sends.
    fn receive(&self, world: &World) -> File {
        let (stream, _) = world.eventually(|| self.0.accept().ok()).expect("a connection");
        stream.set_nonblocking(false).expect("a socket");
        File::from(descriptor(&stream))
    }
}

fn descriptor(stream: &UnixStream) -> OwnedFd {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .expect("a message");
    let found = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    found.expect("a descriptor")
}

/// Reads until this text has arrived.
fn read_until(terminal: &mut File, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut ready = [PollFd::new(terminal, PollFlags::IN)];
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut ready, Some(&limit)), Ok(1), "no {text:?} within 20 s: {seen:?}");
        let mut bytes = [0; 256];
        match terminal.read(&mut bytes) {
            Ok(0) | Err(_) => panic!("the terminal ended before {text:?}: {seen:?}"),
            Ok(length) => seen.push_str(&String::from_utf8_lossy(&bytes[..length])),
        }
    }
    seen
}
