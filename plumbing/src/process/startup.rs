//! The start of every tool: from `main` to parsing and applying, and to the exit status.
//!
//! The C library calls [`main!`](crate::main!)'s `main` directly, without Rust's runtime: that would read
//! /proc/self/maps and set up handlers for a stack that never overflows, which takes as long as making three
//! namespaces. What the runtime does for safety, `inherited.rs` does.

use std::ffi::OsString;

use nix::errno::Errno;
use plumbing_kernel::{Argv, arguments, auxiliary};

use crate::command_line::folding;
use crate::confinement::privilege::capabilities::has_more_than_ambient;
use crate::process::exposure::{self, Exposure};
use crate::process::inherited;
use crate::{Fault, Status, kernel, narrate};

/// The whole of every tool's `main.rs`, under `#![no_main]`: parse, begin, then apply, then report.
#[macro_export]
macro_rules! main {
    ($tool:literal, $parse:expr, $begin:expr, $apply:expr) => {
        $crate::kernel::define_main!(argv => $crate::process::startup::run($tool, argv, $parse, $begin, $apply));
    };
}

/// The result of parsing a command line: something to do, or text such as help.
pub enum Parsed<P> {
    /// A plan to apply.
    Plan(P),
    /// Text to print on stdout: `--help`, `--version`.
    Text(String),
}

/// Does the work of [`main!`](crate::main!), and ends the process. `begin` starts the narration, and says who may see
/// this run.
pub fn run<P>(
    tool: &'static str,
    argv: Argv,
    parse: fn(Vec<OsString>) -> Result<Parsed<P>, Fault>,
    begin: fn(&P) -> Exposure,
    apply: fn(&P) -> Result<Status, Fault>,
) -> ! {
    narrate::name_tool(tool);
    plumbing_kernel::keep_arguments(argv);
    let outcome = refuse_foreign_rights().and_then(|()| inherited::remember()).and_then(|()| parse(arguments()));
    let outcome = outcome.and_then(|parsed| match parsed {
        Parsed::Plan(plan) => exposure::protect(begin(&plan)).and_then(|()| apply(&plan)),
        Parsed::Text(text) => print(&folding::for_terminal(&text)),
    });
    // Not by returning to the C library: if a filter forbids exit_group(2), it ends us with SIGSEGV.
    kernel::exit_now(outcome.unwrap_or_else(|fault| fault.report(tool)))
}

/// Refuses rights that the caller lacks: each of the tools would pass them to the command. `AT_SECURE` alone does not
/// prove them: security modules set it as well, if a program only changes its label. `getauxval(3)`.
fn refuse_foreign_rights() -> Result<(), Fault> {
    if !gained_rights() {
        return Ok(());
    }
    Err(Fault::new(
        "cannot run with rights that the caller lacks: this executable is set-user-ID or set-group-ID or has file \
         capabilities, or its caller runs with a real user ID other than the effective one; every user could become \
         root with it",
    )
    .with_remedy(
        "remove the set-user-ID bit and the file capabilities (chmod ug-s FILE, setcap -r FILE), and start it by sudo(8), \
         or as it is in a user namespace of the user's own",
    ))
}

/// Returns whether `execve(2)` gave us rights that the caller lacks: by set-user-ID, set-group-ID or file capabilities.
fn gained_rights() -> bool {
    let is_changed =
        auxiliary(libc::AT_UID) != auxiliary(libc::AT_EUID) || auxiliary(libc::AT_GID) != auxiliary(libc::AT_EGID);
    // Root has all capabilities by itself, and ambient ones come from the caller.
    auxiliary(libc::AT_SECURE) != 0 && (is_changed || auxiliary(libc::AT_UID) != 0 && has_more_than_ambient())
}

/// Writes text for a person or a record to stdout, completely.
pub fn print(text: &str) -> Result<Status, Fault> {
    let (goal, call) = ("write the output", "write(stdout)");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // /dev/null in its place would accept all, and we would report success.
        if inherited::was_closed(1) {
            return Err(Fault::kernel(goal, call, Errno::EBADF));
        }
        let written = kernel::own(goal, call, || rustix::io::write(rustix::stdio::stdout(), rest))?;
        rest = &rest[written..];
    }
    Ok(Status::SUCCESS)
}
