//! `netns-rs`: network namespaces, and the veth pairs, bridges, addresses and NAT that connect them.
//!
//! Where to start reading: [`plan`], which does what the command line asks for in the order in which the kernel wants
//! it; `wiring` connects a container, `show` shows the network of one; below them is one file per kernel mechanism.
#![forbid(unsafe_code)]

mod address;
mod capability;
mod conntrack;
mod fence;
mod forwarding;
mod leftovers;
mod link;
mod lock;
pub mod manual;
mod mark;
mod message;
mod name;
mod namespace;
mod nat;
mod netlink;
mod network;
mod nftables;
mod nsid;
pub mod options;
pub mod plan;
mod route;
mod rule;
mod see;
mod settings;
mod show;
mod survey;
mod wiring;

pub use options::command;
