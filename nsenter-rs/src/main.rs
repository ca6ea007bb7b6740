//! The executable: parse, then apply, then report. Everything else is in the library.
#![forbid(unsafe_code)]
#![no_main]

use nsenter_rs::plan::Plan;

plumbing::main!("nsenter-rs", Plan::parse, Plan::begin, Plan::apply);
