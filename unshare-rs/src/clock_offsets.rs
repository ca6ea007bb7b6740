//! The offsets of the clocks of a new time namespace. `time_namespaces(7)`.
//!
//! The offsets can be set until the first process enters the namespace. The process that unshared it does not enter;
//! its children do, and since about Linux 6.2 also the program that it executes.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::call;
use rustix::time::{ClockId, clock_gettime};

/// Seconds to add to each clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClockOffsets {
    pub(crate) monotonic: Option<i64>,
    pub(crate) boottime: Option<i64>,
}

/// The highest second that a clock with an offset may show: half of what the kernel can count (`KTIME_SEC_MAX`).
const LATEST: i64 = i64::MAX / 1_000_000_000 / 2;

impl ClockOffsets {
    /// Sets the offsets of our children's time namespace.
    pub(crate) fn write(self) -> Result<(), Fault> {
        self.boottime.map_or(Ok(()), |offset| write("boottime", ClockId::Boottime, offset))?;
        self.monotonic.map_or(Ok(()), |offset| write("monotonic", ClockId::Monotonic, offset))
    }
}

fn write(clock: &str, id: ClockId, offset: i64) -> Result<(), Fault> {
    const PATH: &str = "/proc/self/timens_offsets";
    let content = format!("{clock} {offset} 0");
    let text = format!("write({PATH:?}, {content:?})");
    call(
        format!("shift the {clock} clock by {offset} s"),
        text,
        "before the first process enters; time_namespaces(7)",
        || {
            let mut file = std::fs::OpenOptions::new().write(true).open(PATH)?;
            std::io::Write::write_all(&mut file, content.as_bytes())
        },
    )
    .map_err(|fault| match fault.errno() {
        Some(Errno::ERANGE) => {
            let now = clock_gettime(id).tv_sec;
            fault.with_remedy(format!(
                "the clock is at {now} s; the result must be between 0 and {LATEST}: expected offsets from {} to {}",
                -now,
                LATEST - now
            ))
        }
        _ => fault,
    })
}
