//! `--explain` and `--dry-run`: printing each state-changing kernel call on stderr before it is made.
//!
//! One line, one `write(2)`: what strace would show, then the reason, then the manual page. So a test can compare it
//! with strace's own output, call by call.

use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::Fault;
use crate::fault::write_stderr;
use crate::text::on_one_line;

const QUIET: u8 = 0;
const EXPLAIN: u8 = 1;
const DRY_RUN: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(QUIET);
static IS_STRICT: AtomicBool = AtomicBool::new(false);
static HAS_REMARKS: AtomicBool = AtomicBool::new(true);
static TOOL: OnceLock<&'static str> = OnceLock::new();

/// Sets the name of the tool, which begins each line.
pub fn name_tool(tool: &'static str) {
    TOOL.get_or_init(|| tool);
}

/// Returns the name of the tool.
pub fn tool() -> &'static str {
    TOOL.get().copied().unwrap_or("plumbing")
}

/// Chooses between no narration, `--explain` and `--dry-run` (which explains and changes nothing).
pub fn set(explain: bool, dry_run: bool) {
    let mode = if dry_run {
        DRY_RUN
    } else if explain {
        EXPLAIN
    } else {
        QUIET
    };
    MODE.store(mode, Ordering::Relaxed);
}

/// Returns whether calls are only narrated, not made.
pub fn is_dry_run() -> bool {
    MODE.load(Ordering::Relaxed) == DRY_RUN
}

/// Returns whether calls are narrated at all.
pub fn is_on() -> bool {
    MODE.load(Ordering::Relaxed) != QUIET
}

/// Prints one call, just before it is made.
pub fn before(call: &impl Display, why: &str) {
    if is_on() {
        let line = format!("{call:<52} # {why}");
        write_stderr(&format!("{}: {}\n", tool(), on_one_line(&line)));
    }
}

/// Prints a line on stderr under the tool's name, for consequences and progress (never for records).
pub fn remark(text: impl Display) {
    if !HAS_REMARKS.load(Ordering::Relaxed) {
        return;
    }
    write_stderr(&format!("{}: {}\n", tool(), on_one_line(&text.to_string())));
}

/// Does something again whose remarks were printed the first time.
pub fn without_remarks<T>(what: impl FnOnce() -> T) -> T {
    HAS_REMARKS.store(false, Ordering::Relaxed);
    let done = what();
    HAS_REMARKS.store(true, Ordering::Relaxed);
    done
}

/// Prints a warning: what was asked for is done, but is probably not what a careful caller wants. The text says what to
/// do.
pub fn warn(text: impl Display) {
    remark(format_args!("warning: {text}"));
}

/// Makes every later caution an error.
pub fn be_strict() {
    IS_STRICT.store(true, Ordering::Relaxed);
}

/// Reports something that was promised and cannot be done. It is a warning, on one line with the reason and the remedy, or
/// with `--strict` the error itself.
pub fn caution(fault: Fault) -> Result<(), Fault> {
    if IS_STRICT.load(Ordering::Relaxed) {
        return Err(fault);
    }
    match fault.remedy_now() {
        Some(remedy) => warn(format_args!("{fault}; continuing without it; remedy: {remedy}")),
        None => warn(format_args!("{fault}; continuing without it")),
    }
    Ok(())
}
