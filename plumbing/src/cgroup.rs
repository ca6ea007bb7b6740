//! Cgroups: where hierarchies are mounted, one group, its mark, its limits and its usage.

pub mod counters;
pub mod group;
pub mod hierarchy;
pub mod levels;
mod making;
pub mod mark;
mod mount;
pub mod usage;
pub mod verdict;
