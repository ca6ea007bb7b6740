//! The executable: parse, then apply, then report. Everything else is in the library of this crate.
#![forbid(unsafe_code)]
#![no_main]

use unshare_rs::plan::Plan;

plumbing::main!("unshare-rs", Plan::parse, Plan::begin, Plan::apply);
