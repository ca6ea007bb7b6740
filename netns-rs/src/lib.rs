//! `netns-rs`: network namespaces, and the veth pairs, bridges, addresses and NAT that connect them.
//!
//! Start reading at `plan.rs`: it lists the steps in the order that the kernel requires. `wiring.rs` does so for the
//! connection of a container.
#![forbid(unsafe_code)]

mod address;
mod attributes;
mod batch;
mod capability;
mod change;
mod cni;
mod connection;
mod conntrack;
mod counters;
mod departure;
mod direct;
mod directory;
mod disconnect;
mod doctor;
mod etc;
mod fence;
mod forwarding;
mod guard;
mod impairment;
mod inside;
mod interface;
mod ip_netns;
mod leftovers;
mod legacy;
mod link;
mod listing;
mod lock;
pub mod manual;
mod map;
mod mark;
mod message;
mod monitor;
mod moved;
mod name;
mod name_servers;
mod namespace;
mod nat;
mod neighbor;
mod netlink;
mod network;
mod nftables;
mod nsid;
pub mod options;
mod outside;
mod overview;
mod pair;
pub mod plan;
mod policies;
mod print;
mod publish;
mod qdisc;
mod rate;
mod reach;
mod relay;
mod republish;
mod request;
mod restored;
mod route;
mod rule;
mod see;
mod settings;
mod shape;
mod show;
mod stacked;
mod subject;
mod survey;
mod tap;
mod top;
mod uplink;
mod who;
mod wiring;

pub use options::command;
