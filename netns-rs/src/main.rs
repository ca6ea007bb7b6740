//! The executable: parse, then apply, then report. Everything else is in the library.
#![forbid(unsafe_code)]
#![no_main]

use netns_rs::plan::Plan;

plumbing::main!("netns-rs", Plan::parse, Plan::begin, Plan::apply);
