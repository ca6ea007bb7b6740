//! Command lines of processes that wait for a real FUSE server with their memory maps locked. `proc_pid_cmdline(5)`.
//!
//! Only in the virtual machines: such a process keeps each ps(1) of its machine waiting. It waits for a page to be written
//! in one thread, and unmaps that page in another, which locks the map until the server answers. The surprise: a file mapped
//! over the arguments does not do it, since Linux 4.17 reads no file as a command line.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use nix::mount::{MsFlags, mount};

use crate::harness::need::BASH;
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "a process that waits for a FUSE server with its memory map locked keeps no tool waiting",
    &[BASH],
    |world| {
        let directory = world.directory("fuse");
        let program = directory.join("stuck");
        fs::write(&program, stuck()).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        let script = format!(
            "cd {}; mkdir fs; $SUITE --fuse fs & S=$!; until [ -e fs/file ]; do kill -0 $S || exit 1; sleep 0.02; done
             ./stuck fs/file & P=$!
             is_locked() {{ [ \"$(cat /proc/$P/task/*/status | grep -c '^State:.D')\" = 2 ]; }}
             for i in $(seq 600); do is_locked && break; kill -0 $P || exit 1; sleep 0.05; done
             # The control: it keeps a reader waiting.
             cat /proc/$P/cmdline >/dev/null & C=$!
             for i in $(seq 200); do kill -0 $C 2>/dev/null || break; grep -q '^State:.D' /proc/$C/status && break; sleep 0.05; done
             if ! is_locked || ! kill -0 $C 2>/dev/null; then
                 nsenter-rs --list --containers >/dev/null && echo nobody waits
                 kill -KILL $S; kill -KILL $P; wait; umount fs; exit
             fi
             for command in '--list --containers' '--find no-such --json' '--list -t net -p 1' \"--target $P --env --no-pty -- true\"; do
                 nsenter-rs $command 2>err >/dev/null; echo $? $(sed -n \"s/process $P/P/; s,/$P/,/P/,; s/.*cannot read/cannot read/p\" err)
             done
             grep -c '^State:.D' /proc/$C/status
             # The kernel ends all waiting with the server.
             kill -KILL $S; wait $C; kill -KILL $P; wait $P; umount fs",
            directory.display()
        );
        let late = "cannot read the command line of P: the process keeps the reader waiting; if it is a container runtime, its containers are \
                    not found";
        let suite = std::env::current_exe().expect("this program").display().to_string();
        let outcome = world.script(&script).variable("SUITE", suite).run();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        // Linux 7.2 was seen to lock less, so that there is nothing to wait for.
        if !["5.", "6."].iter().any(|old| release.starts_with(old)) && outcome.stdout == "nobody waits\n" {
            return;
        }
        outcome.stdout_is(&format!(
            "0 {late}\n125 {late}\n0\n125 cannot read /proc/P/environ: the process keeps the reader waiting\n1\n"
        ));
    },
)
.root_only()
.vm_only()];

/// The code of a program for x86_64: it opens its argument, writes to a page of it that is mapped shared, unmaps that, so
/// that the kernel sends it to the server, and writes to it again, while a thread unmaps it two seconds later.
const CODE: &str = "\
    488b7c2410b802000000be0200000031d20f054989c4e854000000c60301e86f000000e847000000b838000000bf000f\
    010031f631d24531d24531c00f0585c0740cc60302b8220000000f05ebf7488d3d4d00000031f6b8230000000f05b80b\
    0000004889dfbe001000000f05ebd6b80900000031ffbe00100000ba0300000041ba010000004d89e04531c90f054889\
    c3c3b80b0000004889dfbe001000000f05c302000000000000000000000000000000";

/// Returns the program: the headers of an ELF file, and the code.
fn stuck() -> Vec<u8> {
    const START: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code = CODE.as_bytes().chunks(2).map(|digits| {
        let digits = std::str::from_utf8(digits).expect("digits");
        u8::from_str_radix(digits, 16).expect("a byte")
    });
    let code: Vec<u8> = code.collect();
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [START + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // PT_LOAD, PF_R|PF_X.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, START, START, size, size, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

/// Serves a file system with one file until it is killed, but never answers a write.
pub fn serve(place: &Path) -> ExitCode {
    match try_serve(place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("suite: cannot serve {}: {error}", place.display());
            ExitCode::FAILURE
        }
    }
}

/// The requests that are answered; `fuse(4)`.
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
/// Requests without an answer: FORGET, SETATTR, WRITE, FSYNC, BATCH_FORGET.
const IGNORED: [u32; 5] = [2, 4, 16, 20, 42];

const PAGE: usize = 4096;

fn try_serve(place: &Path) -> std::io::Result<()> {
    let mut device = File::options().read(true).write(true).open("/dev/fuse")?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    mount(Some("fuse"), place, Some("fuse"), MsFlags::empty(), Some(options.as_str()))?;
    let mut request = vec![0; 1 << 17];
    loop {
        let length = device.read(&mut request)?;
        let word = |at: usize| u32::from_ne_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
        let (operation, node) = (word(4), word(16));
        if length < 40 || IGNORED.contains(&operation) {
            continue;
        }
        let answer: Option<Vec<u8>> = match operation {
            INIT => Some(
                [7, 31, 1 << 16, 0, 0, PAGE as u32].into_iter().chain([0; 10]).flat_map(u32::to_ne_bytes).collect(),
            ),
            LOOKUP => Some([words(&[2, 0, 9999, 9999, 0]), attributes(2)].concat()),
            GETATTR => Some([words(&[9999, 0]), attributes(node)].concat()),
            OPEN => Some(words(&[0, 0])),
            READ => Some(vec![0; PAGE]),
            FLUSH => Some(Vec::new()),
            _ => None,
        };
        // ENOSYS.
        let error: i32 = if answer.is_some() { 0 } else { -38 };
        let answer = answer.unwrap_or_default();
        let size = u32::try_from(16 + answer.len()).unwrap_or(0).to_ne_bytes();
        let head = [&size[..], &error.to_ne_bytes(), &request[8..16]].concat();
        device.write_all(&[head, answer].concat())?;
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().copied().flat_map(u64::to_ne_bytes).collect()
}

/// The state of the directory, which is node 1, or of the file.
fn attributes(node: u32) -> Vec<u8> {
    let (mode, size) = if node == 1 { (0o040_755, 0) } else { (0o100_644, PAGE as u64) };
    let state: [u32; 10] = [0, 0, 0, mode, 1, 0, 0, 0, PAGE as u32, 0];
    [words(&[node.into(), size, 0, 0, 0, 0]), state.into_iter().flat_map(u32::to_ne_bytes).collect()].concat()
}
