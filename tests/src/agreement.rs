//! Agreement with the tools replaced: the same invocation of the peer and of ours, and what the command of each finds.
//!
//! A table is data: arguments, whom they are for, how the peer ends, and where ours may differ. Ours may differ only
//! in what `docs/differences.md` says: an exception names the words of the line there, and fails when it is not needed.
//! Under emulation every eighth case runs.

mod case;
mod frame;
mod look;
mod pair;
mod seen;
mod unshare;

pub use look::look;
pub use unshare::ROWS;
