//! The record's member `container`: what is known of a container that another program may have started. `nsenter-rs`
//! writes it, with what its runtime said, and with `--list --containers` also what the kernel says.

use serde::Serialize;

use super::Member;
use crate::text::Text;

/// The runtime of the container, and what the runtime calls it.
#[derive(Debug, Default, Serialize)]
pub struct Container {
    /// The runtime, or `systemd` for a unit.
    pub runtime: String,
    /// The runtime's own id; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The image, as the runtime recorded it; absent if it did not, or if we may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Kubernetes: `NAMESPACE/POD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The user who chose the name, the id and the image: 0 for the runtimes of root.
    pub user: u32,
}

impl Member for Container {
    const KEY: &'static str = "container";
}

/// Facts about a container from the kernel, which are added to its [`Container`].
#[derive(Debug, Serialize)]
pub struct Facts {
    /// When its first process started: RFC 3339, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// The lines of /proc/PID/uid_map: the first id inside, the first outside, and the count.
    pub uid_map: Vec<[u32; 3]>,
    /// The lines of /proc/PID/gid_map.
    pub gid_map: Vec<[u32; 3]>,
    /// The cgroup of its first process, or of a hold's command, as in /proc/PID/cgroup; with several hierarchies, the
    /// deepest path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Text>,
}

impl Member for Facts {
    const KEY: &'static str = Container::KEY;
}
