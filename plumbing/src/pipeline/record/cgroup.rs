//! The record's member `cgroup`: the group of the container, and on request its usage. `crate::cgroup` fills it and joins
//! the group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Member;
use crate::text::Text;

/// The group of the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The version of the hierarchy of `path`: 1 or 2.
    pub version: u8,
    /// The group, as the cgroup namespace of the stages sees it; on v1, that of `memory`, or else the first one in
    /// `paths`.
    pub path: Text,
    /// The group in the v1 hierarchy of each controller that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, Text>,
    /// The inode of the group in the v2 hierarchy: another group can get its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// The inodes of the groups in `paths`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inodes: BTreeMap<String, u64>,
    /// The limits in force, in v2's names and notation for both versions; numbers where possible.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
}

impl Member for Cgroup {
    const KEY: &'static str = "cgroup";
}

/// The group of the container with its usage.
#[derive(Debug, Serialize)]
pub struct Usage {
    /// The groups, and their limits.
    #[serde(flatten)]
    pub cgroup: Cgroup,
    /// Absent if the memory controller reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Absent if the pids controller reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Absent if the cpu controller reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// The controllers about which nothing can be read from here, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, String>,
}

impl Member for Usage {
    const KEY: &'static str = Cgroup::KEY;
}

/// Memory, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The current usage.
    pub current: u64,
    /// The limit; `None`: no limit.
    pub max: Option<u64>,
    /// The highest usage since the group was made; absent before Linux 5.19 on v2.
    pub peak: Option<u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// The current number.
    pub current: u64,
    /// The limit; `None`: no limit.
    pub max: Option<u64>,
}

/// CPU time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// The usage in microseconds, since the group was made.
    pub usage_usec: u64,
}
