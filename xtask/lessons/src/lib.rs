//! The lessons of `docs/lessons`: their text in both languages, the place in which their commands run, and the comparison of
//! what a command prints with what the lesson shows.
//!
//! `cargo xtask lesson` shows them to a person, and a row of the tests runs them all.
#![forbid(unsafe_code)]

pub mod catalog;
pub mod exercise;
pub mod likeness;
pub mod place;
pub mod text;
