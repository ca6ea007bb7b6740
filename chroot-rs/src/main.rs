//! The executable: parses, applies, reports. The library contains everything else.
#![forbid(unsafe_code)]
#![no_main]

use chroot_rs::plan::Plan;

plumbing::main!("chroot-rs", Plan::parse, Plan::begin, Plan::apply);
