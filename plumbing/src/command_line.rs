//! Argv to options, option files, help, manual pages and tables.

pub mod columns;
pub mod folding;
pub mod manual;
pub mod named_file;
pub mod options;
pub mod ordinary;
pub mod picture;
pub mod regular;
pub mod units;
