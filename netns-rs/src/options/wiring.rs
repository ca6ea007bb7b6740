//! The options that connect a network namespace: for `exec --new` and for `connect`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time;

use clap::Args;
use plumbing::command_line::ordinary::Ordinary;
use plumbing::pipeline::record::Domain;

use crate::cni;
use crate::direct::Direct;
use crate::impairment::{Duration, Loss};
use crate::interface;
use crate::name_servers::Server;
use crate::network::{self, Route, Wanted};
use crate::publish::Published;
use crate::rate::{Limit, Rate};
use crate::reach::Reach;

#[derive(Debug, Default, Args, Ordinary)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Wiring {
    /// Connect the namespace to this bridge on the host; create the bridge if it does not exist
    #[arg(long, value_name = "NAME", value_parser = interface::interface_name)]
    pub(crate) bridge: Option<String>,
    /// Connect the namespace to the network of PARENT with a hardware address of its own: bridge, private, vepa or passthru
    #[arg(long, value_name = "PARENT[,MODE]", value_parser = Direct::macvlan)]
    pub(crate) macvlan: Option<Direct>,
    /// Connect the namespace to the network of PARENT with PARENT's hardware address: l2, l3 or l3s
    #[arg(long, value_name = "PARENT[,MODE]", value_parser = Direct::ipvlan)]
    pub(crate) ipvlan: Option<Direct>,
    /// Connect the namespace to this network of a CNI configuration, by its plugins
    #[arg(long, value_name = "NETWORK", value_parser = cni::network_name)]
    pub(crate) cni: Option<String>,
    /// Directory of the CNI configurations [default: /etc/cni/net.d]
    #[arg(long, value_name = "DIR", requires = "cni")]
    pub(crate) cni_conf: Option<PathBuf>,
    /// Time limit of each CNI plugin [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = cni::patience, requires = "cni")]
    pub(crate) cni_timeout: Option<time::Duration>,
    /// Connect the namespace by pasta(1), or else slirp4netns(1): for every user, with the ports of --publish and no others
    #[arg(long)]
    pub(crate) pasta: bool,
    /// Move this interface of the host into the namespace, and back when the process ends
    #[arg(long, value_name = "NAME", value_parser = interface::interface_name)]
    pub(crate) link: Option<String>,
    /// Address of the interface, e.g. 10.88.0.2/24; auto:10.88.0.0/24: a free one; auto: one of the bridge's subnet (repeatable)
    #[arg(long, value_name = "ADDRESS/PREFIX", value_parser = Wanted::parse)]
    pub(crate) address: Vec<Wanted>,
    /// Default gateway; this address is assigned to the bridge (one for IPv4, one for IPv6)
    #[arg(long, value_name = "ADDRESS", value_parser = network::gateway)]
    pub(crate) gateway: Vec<IpAddr>,
    /// Masquerade: packets that leave the host get the host's address as their source
    #[arg(long, requires = "bridge")]
    pub(crate) nat: bool,
    /// Name server for the command's /etc/resolv.conf; host: those of the host (up to three; with --new or --pipe)
    #[arg(long, value_name = "ADDRESS|host", value_parser = Server::parse)]
    pub(crate) dns: Vec<Server>,
    /// Domain in which names without dots are looked up (repeatable)
    #[arg(long, value_name = "DOMAIN", value_parser = Domain::parse, requires = "dns")]
    pub(crate) dns_search: Vec<Domain>,
    /// Publish a port of the container on the host: 8080:80, 127.0.0.1:8080:80 or 53:53/udp (repeatable); without --bridge, a process relays TCP to 127.0.0.1 inside
    #[arg(long, value_name = "PORTS", value_parser = Published::parse)]
    pub(crate) publish: Vec<Published>,
    /// Relay a TCP port of 127.0.0.1 inside to HOST:PORT outside, and to nothing else (repeatable)
    #[arg(long, value_name = "HOST:PORT[=PORT]", value_parser = Reach::parse)]
    pub(crate) reach: Vec<Reach>,
    /// Name of the interface inside [default: eth0, with --link NAME]
    #[arg(long, value_name = "NAME", value_parser = interface::interface_name)]
    pub(crate) interface: Option<String>,
    /// Add a route inside, to a network on the link or behind ROUTER, e.g. 192.0.2.0/24,10.88.0.9 (repeatable)
    #[arg(long, value_name = "NETWORK[,ROUTER]", value_parser = Route::parse)]
    pub(crate) route: Vec<Route>,
    /// MTU of the interface: size of the largest packet, in bytes
    #[arg(long, value_name = "BYTES", value_parser = interface::mtu)]
    pub(crate) mtu: Option<u32>,
    /// Bandwidth in each direction, in bits per second: 500kbit, 10mbit, 1gbit, none
    #[arg(long, value_name = "RATE", value_parser = Rate::parse_limit)]
    pub(crate) rate: Option<Limit>,
    /// Delay packets in each direction: 50ms, 200us
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    pub(crate) delay: Option<Duration>,
    /// Delay each packet by up to this much more or less than --delay
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    pub(crate) jitter: Option<Duration>,
    /// Share of the packets that are lost in each direction: 1%
    #[arg(long, value_name = "PERCENT", value_parser = Loss::parse)]
    pub(crate) loss: Option<Loss>,
    /// Hardware address of the interface inside
    #[arg(long, value_name = "MAC", value_parser = interface::mac)]
    pub(crate) mac: Option<[u8; 6]>,
    /// Separate the container from others on the bridge that were connected with this option
    #[arg(long, requires = "bridge")]
    pub(crate) isolate: bool,
    /// Let the container send from addresses that --address did not give
    #[arg(long, requires = "bridge")]
    pub(crate) allow_spoofing: bool,
    /// Name of the container: the host's end of the pair is also found as NAME.INTERFACE
    #[arg(long, value_name = "NAME", value_parser = interface::container_name, requires = "bridge")]
    pub(crate) name: Option<String>,
}
