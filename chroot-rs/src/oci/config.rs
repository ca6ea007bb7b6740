//! `config.json` of the OCI runtime specification, in its own format: every member that is known, and no other.
//!
//! `parse.rs` leaves out and reports what is unknown. Members that other tools handle are known, and ignored. The
//! specification lists all of them in config.md and config-linux.md.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plumbing::confinement::privilege::{id, umask};
use plumbing::pipeline::record::{IoPriority, Scheduler};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The whole file. The members with an underscore are left to other tools, which docs/oci.md names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) oci_version: String,
    pub(super) root: Root,
    pub(super) process: Option<Process>,
    #[serde(default)]
    pub(super) mounts: Vec<Mount>,
    pub(super) linux: Option<Linux>,
    #[serde(rename = "hostname")]
    _hostname: Option<IgnoredAny>,
    #[serde(rename = "domainname")]
    _domainname: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) hooks: BTreeMap<String, Vec<Value>>,
    #[serde(rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) readonly: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Process {
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    pub(super) cwd: PathBuf,
    #[serde(default)]
    pub(super) user: User,
    pub(super) capabilities: Option<Capabilities>,
    #[serde(default)]
    pub(super) rlimits: Vec<Limit>,
    #[serde(default)]
    pub(super) no_new_privileges: bool,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) apparmor_profile: Option<String>,
    pub(super) selinux_label: Option<String>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) io_priority: Option<IoPriority>,
    // By the specification, not for a container's first process, which is the one that this tool makes.
    #[serde(rename = "execCPUAffinity")]
    _exec_cpu_affinity: Option<IgnoredAny>,
    #[serde(rename = "terminal")]
    _terminal: Option<IgnoredAny>,
    pub(super) console_size: Option<ConsoleSize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleSize {
    #[serde(default)]
    pub(super) height: u16,
    #[serde(default)]
    pub(super) width: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct User {
    #[serde(default, deserialize_with = "id::of_json")]
    pub(super) uid: u32,
    #[serde(default, deserialize_with = "id::of_json")]
    pub(super) gid: u32,
    #[serde(default, deserialize_with = "umask::of_json_if_any")]
    pub(super) umask: Option<u32>,
    #[serde(default, deserialize_with = "id::list_of_json")]
    pub(super) additional_gids: Vec<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    #[serde(default)]
    pub(super) bounding: Vec<String>,
    #[serde(default)]
    pub(super) permitted: Vec<String>,
    #[serde(default)]
    pub(super) effective: Vec<String>,
    #[serde(default)]
    pub(super) inheritable: Vec<String>,
    #[serde(default)]
    pub(super) ambient: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) destination: PathBuf,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) source: Option<PathBuf>,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default)]
    pub(super) uid_mappings: Vec<Range>,
    #[serde(default)]
    pub(super) gid_mappings: Vec<Range>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    #[serde(rename = "containerID")]
    pub(super) container: u32,
    #[serde(rename = "hostID")]
    pub(super) host: u32,
    pub(super) size: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Linux {
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) masked_paths: Vec<PathBuf>,
    #[serde(default)]
    pub(super) readonly_paths: Vec<PathBuf>,
    pub(super) rootfs_propagation: Option<String>,
    pub(super) seccomp: Option<Value>,
    pub(super) personality: Option<Personality>,
    pub(super) mount_label: Option<String>,
    pub(super) memory_policy: Option<Value>,
    #[serde(rename = "namespaces")]
    _namespaces: Option<IgnoredAny>,
    #[serde(rename = "uidMappings")]
    _uid_mappings: Option<IgnoredAny>,
    #[serde(rename = "gidMappings")]
    _gid_mappings: Option<IgnoredAny>,
    #[serde(rename = "timeOffsets")]
    _time_offsets: Option<IgnoredAny>,
    #[serde(rename = "cgroupsPath")]
    _cgroups_path: Option<IgnoredAny>,
    #[serde(rename = "resources")]
    _resources: Option<IgnoredAny>,
    #[serde(rename = "intelRdt")]
    _intel_rdt: Option<IgnoredAny>,
    #[serde(rename = "netDevices")]
    _net_devices: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) sysctl: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Personality {
    pub(super) domain: String,
    #[serde(default)]
    pub(super) flags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Device {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) major: u32,
    #[serde(default)]
    pub(super) minor: u32,
    pub(super) file_mode: Option<u32>,
    #[serde(default, deserialize_with = "id::of_json")]
    pub(super) uid: u32,
    #[serde(default, deserialize_with = "id::of_json")]
    pub(super) gid: u32,
}
