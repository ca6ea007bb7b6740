//! Landlock of Linux 7.1 and 7.2: sockets on files, and ports of UDP. The controls are the same actions without the option.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketType, connect, sendto, socket};

use crate::chroot::landlock::abi;
use crate::harness::need::{IP, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a socket on a file outside is reached only where a rule of Landlock allows it", &[], |world| {
        let place = world.directory("landlock-on-files");
        let inside = |path: &str| place.join(path);
        std::fs::create_dir(inside("allowed")).expect("a directory");
        let _stream = UnixListener::bind(inside("stream")).expect("a socket");
        let _datagram = UnixDatagram::bind(inside("datagram")).expect("a socket");
        let _allowed = UnixListener::bind(inside("allowed/stream")).expect("a socket");
        std::os::unix::fs::symlink("stream", inside("link")).expect("a link");
        let run = |options: &str| {
            reached(world, &place, options, "stream:stream stream:link stream:allowed/stream datagram:datagram own:own")
        };
        let all = "stream reached\nlink reached\nallowed/stream reached\ndatagram reached\nown reached\n";
        run("").stdout_is(all);
        if abi() < 9 {
            run("--landlock-scope resolve_unix").fails_with(125).stderr_has("resolve_unix (since Linux 7.1)");
            return;
        }
        let (none, one) = (
            "stream EACCES\nlink EACCES\nallowed/stream EACCES\ndatagram EACCES\nown reached\n",
            "stream EACCES\nlink EACCES\nallowed/stream reached\ndatagram EACCES\nown reached\n",
        );
        run("--landlock-scope resolve_unix").stdout_is(none);
        run("--landlock-ro / --landlock make_sock,remove_file:.").stdout_is(none);
        run("--landlock-ro / --landlock make_sock,remove_file:. --landlock resolve_unix:allowed").stdout_is(one);
        run("--landlock-scope resolve_unix --landlock resolve_unix:allowed --landlock rw:. --landlock ro:/")
            .stdout_is(all);
        // Other rules of Landlock leave these sockets as they are.
        run("--landlock-scope signal --landlock-bind none").stdout_is(all);
    })
    .vm_only(),
    Row::new("the ports of UDP that are named can be used, and no others", &[IP, Need::NetworkNamespaces], |world| {
        let place = world.directory("landlock-udp");
        let run = |options: &str| {
            let tries = "send:7001 send:7002 connect:7001 connect:7002 bind:7003 bind:7004 bind:0";
            reached(world, &place, options, tries)
        };
        run("").stdout_is(
            "send 7001 reached\nsend 7002 reached\nconnect 7001 reached\nconnect 7002 reached\n\
             bind 7003 reached\nbind 7004 reached\nbind 0 reached\n",
        );
        if abi() < 10 {
            run("--landlock-bind udp:none").fails_with(125).stderr_has("bind_udp (since Linux 7.2)");
            run("--landlock-connect udp:none").fails_with(125).stderr_has("connect_send_udp (since Linux 7.2)");
            return;
        }
        let sent = |one, two| format!("send 7001 {one}\nsend 7002 {two}\nconnect 7001 {one}\nconnect 7002 {two}\n");
        let bound = |one, two, any| format!("bind 7003 {one}\nbind 7004 {two}\nbind 0 {any}\n");
        let (yes, no) = ("reached", "EACCES");
        // The kernel binds a socket that sends without an address of its own: this needs the right to a port that the
        // kernel chooses.
        for (options, expected) in [
            ("--landlock-connect udp:7002", sent(no, yes) + &bound(yes, yes, yes)),
            ("--landlock-connect udp:none", sent(no, no) + &bound(yes, yes, yes)),
            ("--landlock-bind udp:7004", sent(no, no) + &bound(no, yes, no)),
            ("--landlock-bind udp:0 --landlock-connect udp:7002", sent(no, yes) + &bound(no, no, yes)),
            ("--landlock-bind none --landlock-connect none", sent(yes, yes) + &bound(yes, yes, yes)),
        ] {
            run(options).stdout_is(&expected);
        }
    })
    .vm_only(),
];

/// Runs the actions of [`reach`] under chroot-rs with these options, in a network namespace of its own.
fn reached(world: &World, place: &Path, options: &str, actions: &str) -> Outcome {
    let suite = std::env::current_exe().expect("this program");
    world.sh(&format!(
        "cd {}; rm -f own; ulimit -c 0; unshare-rs {} --net -- sh -c 'ip link set lo up; \
         exec chroot-rs --keep-root {options} -- {} --reach {actions}'",
        place.display(),
        world.as_root(),
        suite.display()
    ))
}

/// Tries to reach what each word names, and prints the results.
pub fn reach(words: &[String]) -> ExitCode {
    for word in words {
        let (action, object) = word.split_once(':').unwrap_or((word, ""));
        let port = object.parse().unwrap_or(0);
        let (shown, answer) = match action {
            "stream" => (object.to_owned(), UnixStream::connect(object).map(drop)),
            "datagram" => {
                (object.to_owned(), UnixDatagram::unbound().and_then(|socket| socket.send_to(b"x", object)).map(drop))
            }
            "own" => {
                (object.to_owned(), UnixListener::bind(object).and_then(|_own| UnixStream::connect(object)).map(drop))
            }
            "bind" => (format!("bind {port}"), UdpSocket::bind(("127.0.0.1", port)).map(drop)),
            _ => (format!("{action} {port}"), udp(action == "connect", port)),
        };
        let result = answer.map_or_else(name_of, |()| "reached".to_owned());
        println!("{shown} {result}");
    }
    ExitCode::SUCCESS
}

/// Sends to a port from a socket without an address of its own.
fn udp(connects: bool, port: u16) -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    if connects {
        connect(&socket, &to)?;
    } else {
        sendto(&socket, b"x", SendFlags::empty(), &to)?;
    }
    Ok(())
}

fn name_of(error: io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| format!("{:?}", Errno::from_raw(number)))
}
