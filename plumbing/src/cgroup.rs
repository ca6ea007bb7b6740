//! Cgroups: where hierarchies are mounted, one group, its mark, its limits and its usage.

pub mod group;
pub mod hierarchy;
mod making;
pub mod mark;
mod mount;
pub mod usage;
