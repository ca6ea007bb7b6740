//! The needs of a row. Each need is checked by trying it, never by a version number or a configuration file, because a
//! sandbox around the tests may refuse what the kernel offers.

use std::env;
use std::fs;
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use nix::sched::{CloneFlags, unshare};

use crate::harness::mounts::{Mount, mounts_of};
use crate::harness::world::World;

/// Something that a machine may lack.
pub enum Need {
    /// A program in PATH, and the Debian package that contains it.
    Program(&'static str, &'static str),
    /// Permission to create user namespaces, which root needs too to test them.
    UserNamespaces,
    /// Permission to create network namespaces, for users other than root in a new user namespace.
    NetworkNamespaces,
    /// A controller of cgroup v2 that can be used in the root of the hierarchy.
    CgroupV2(&'static str),
}

/// bash(1).
pub const BASH: Need = Need::Program("bash", "bash");
/// busybox(1).
pub const BUSYBOX: Need = Need::Program("busybox", "busybox-static");
/// bwrap(1).
pub const BWRAP: Need = Need::Program("bwrap", "bubblewrap");
/// crun(1).
pub const CRUN: Need = Need::Program("crun", "crun");
/// ip(8).
pub const IP: Need = Need::Program("ip", "iproute2");
/// jq(1).
pub const JQ: Need = Need::Program("jq", "jq");
/// newuidmap(1).
pub const NEWUIDMAP: Need = Need::Program("newuidmap", "uidmap");
/// nft(8).
pub const NFT: Need = Need::Program("nft", "nftables");
/// nsenter(1).
pub const NSENTER: Need = Need::Program("nsenter", "util-linux");
/// perl(1).
pub const PERL: Need = Need::Program("perl", "perl-base");
/// script(1).
pub const SCRIPT: Need = Need::Program("script", "bsdutils");
/// setpriv(1).
pub const SETPRIV: Need = Need::Program("setpriv", "util-linux");
/// strace(1).
pub const STRACE: Need = Need::Program("strace", "strace");
/// unshare(1).
pub const UNSHARE: Need = Need::Program("unshare", "util-linux");

/// A namespace that `suite --probe` tries to create, in its own process: a process cannot undo unshare(2).
#[derive(Clone, Copy, ValueEnum)]
pub enum Probe {
    /// A user namespace
    User,
    /// A network namespace
    Net,
    /// A network namespace inside a user namespace
    UserNet,
}

impl Need {
    /// Returns the reason why the need is not met, or nothing.
    pub fn missing(&self, world: &World) -> Option<String> {
        match self {
            Self::Program(name, package) => {
                world.program(name).is_none().then(|| format!("{name} is not installed (apt-get install {package})"))
            }
            Self::UserNamespaces => Probe::User.refused("user namespaces"),
            Self::NetworkNamespaces if world.is_root => Probe::Net.refused("network namespaces"),
            Self::NetworkNamespaces => Probe::UserNet.refused("network namespaces in a user namespace"),
            Self::CgroupV2(controller) => lacks_v2(controller),
        }
    }
}

impl Probe {
    /// Tries it in this process, and reports by exit status and on stderr.
    pub fn run(self) -> ExitCode {
        let flags = match self {
            Self::User => CloneFlags::CLONE_NEWUSER,
            Self::Net => CloneFlags::CLONE_NEWNET,
            Self::UserNet => CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET,
        };
        match unshare(flags) {
            Ok(()) => ExitCode::SUCCESS,
            Err(errno) => {
                eprintln!("unshare({flags:?}): {errno}");
                ExitCode::FAILURE
            }
        }
    }

    fn refused(self, what: &str) -> Option<String> {
        let kind = self.to_possible_value()?;
        let tried = env::current_exe()
            .and_then(|suite| Command::new(suite).arg("--probe").arg(kind.get_name()).output())
            .map_err(|error| error.to_string());
        match tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("{what} are refused: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Some(format!("{what} could not be tried: {error}")),
        }
    }
}

fn lacks_v2(controller: &str) -> Option<String> {
    let Some(Mount { point, .. }) = mounts_of("cgroup2").into_iter().next() else {
        return Some("cgroup v2 is not mounted".to_owned());
    };
    match fs::read_to_string(format!("{point}/cgroup.controllers")) {
        Ok(list) if list.split_whitespace().any(|name| name == controller) => None,
        Ok(list) => Some(format!("cgroup v2 at {point} has no {controller} controller, only: {}", list.trim())),
        Err(error) => Some(format!("{point}/cgroup.controllers: {error}")),
    }
}
