//! The record's member `root`: where the container's root comes from, and what is mounted in it. `chroot-rs` writes it.

use serde::{Deserialize, Serialize};

use super::Member;
use crate::text::Text;

/// The root of the container.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Root {
    /// The directory on the host that became the root; absent if the root is made in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// Whether the root is made of the host's programs.
    pub host_root: bool,
    /// The layers, as directories of the host, the topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlay: Vec<Text>,
    /// The directory that keeps the changes; absent if they end with the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<Text>,
    /// Whether the root is in memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tmpfs: bool,
    /// Whether the root is read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The directories of a read-only root that were replaced by a read-only copy in memory, to add mount points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<Text>,
    /// The mounts, in the order in which they were made.
    pub mounts: Vec<Mount>,
}

impl Member for Root {
    const KEY: &'static str = "root";
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The mount point, inside.
    pub target: Text,
    /// The type of the file system, or `bind`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The path on the host, for bind mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Text>,
    /// The options, as mount(8) names them.
    pub options: Vec<String>,
}
