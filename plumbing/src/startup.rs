//! What the process inherited, remembered before Rust's runtime changes it, so that the next program gets it unchanged.
//!
//! Rust's start-up ignores SIGPIPE and opens /dev/null on closed descriptors 0 to 2, before `main`. A constructor in
//! `.init_array` runs earlier still; [`hand_on`] undoes both just before `execve(2)`. The constructor itself undoes one
//! thing for as long as we run: with SIGCHLD ignored, the kernel would keep no child's status for us; `wait(2)`.

use std::os::fd::RawFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::{env, ffi::OsString};

use nix::sys::signal::Signal;

use crate::{Fault, Status, kernel, narrate};

/// Bits 0 to 2: that descriptor was closed. Bits 3 and 4: that signal was ignored.
static INHERITED: AtomicU8 = AtomicU8::new(0);
const SIGPIPE_IGNORED: u8 = 1 << 3;
const SIGCHLD_IGNORED: u8 = 1 << 4;

#[used]
// SAFETY: the loader calls every pointer in `.init_array` once, before `main`, with nothing to uphold on our side but
// not to rely on Rust's runtime; `remember` makes three fcntl(2) calls, at most three sigaction(2) and stores one atomic.
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = remember;

extern "C" fn remember() {
    let mut inherited = 0;
    for fd in 0..3 {
        if !kernel::is_open(fd) {
            inherited |= 1 << fd;
        }
    }
    if kernel::is_ignored(Signal::SIGPIPE) {
        inherited |= SIGPIPE_IGNORED;
    }
    if kernel::is_ignored(Signal::SIGCHLD) {
        inherited |= SIGCHLD_IGNORED;
        kernel::restore_disposition(Signal::SIGCHLD, false);
    }
    INHERITED.store(inherited, Ordering::Relaxed);
}

/// Whether descriptor `fd` (0 to 2) was closed when we were started.
pub fn was_closed(fd: RawFd) -> bool {
    (0..3).contains(&fd) && INHERITED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Restores what the runtime and the constructor changed: two dispositions and the closed descriptors.
pub fn hand_on() {
    let inherited = INHERITED.load(Ordering::Relaxed);
    if inherited & SIGPIPE_IGNORED == 0 {
        kernel::restore_disposition(Signal::SIGPIPE, false);
    }
    if inherited & SIGCHLD_IGNORED != 0 {
        kernel::restore_disposition(Signal::SIGCHLD, true);
    }
    for fd in (0..3).filter(|fd| was_closed(*fd)) {
        kernel::close_inherited(fd);
    }
}

/// What a command line asks for: something to do, or text such as help.
pub enum Parsed<P> {
    /// To be applied.
    Plan(P),
    /// To be printed on stdout: `--help`, `--version`.
    Text(String),
}

/// The whole of every tool's `main`: parse, then apply, then report.
pub fn run<P>(
    tool: &'static str,
    parse: fn(Vec<OsString>) -> Result<Parsed<P>, Fault>,
    apply: fn(&P) -> Result<Status, Fault>,
) -> ExitCode {
    narrate::name_tool(tool);
    let outcome = parse(env::args_os().collect()).and_then(|parsed| match parsed {
        Parsed::Plan(plan) => apply(&plan),
        Parsed::Text(text) => print(&text),
    });
    match outcome {
        Ok(status) => status.into(),
        Err(fault) => fault.report(tool).into(),
    }
}

/// Writes text for a person or a record to stdout, whole.
pub fn print(text: &str) -> Result<Status, Fault> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written =
            kernel::look("write the answer", "write(stdout)", || rustix::io::write(rustix::stdio::stdout(), rest))?;
        rest = &rest[written..];
    }
    Ok(Status::SUCCESS)
}
