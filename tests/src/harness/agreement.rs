//! Agreement with the replaced tools: the same invocation of the peer and of our tool, and what the command of each
//! finds.
//!
//! A table is data: arguments, the users that they are for, how the peer ends, and how our tool may differ. It may
//! differ only as `docs/differences.md` says: an exception quotes words of a line there, and fails when it is not
//! needed. Under emulation every eighth case runs.

pub mod case;
mod frame;
mod look;
pub mod pair;
mod seen;

pub use look::look;
