//! The members of `linux.resources` that are known. <https://github.com/opencontainers/runtime-spec>, config-linux.md.
//!
//! The surprise: all others are left out with a warning, also those that only this list lacks.

/// The members of each object, by its path; `[]` is an element of an array, `*` is any member.
pub(super) const KNOWN: [(&str, &[&str]); 17] = [
    ("", &["memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "rdma", "unified", "devices"]),
    (
        "memory",
        &[
            "limit",
            "swap",
            "reservation",
            "kernel",
            "kernelTCP",
            "swappiness",
            "disableOOMKiller",
            "useHierarchy",
            "checkBeforeUpdate",
        ],
    ),
    ("cpu", &["shares", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod", "cpus", "mems", "idle"]),
    ("pids", &["limit"]),
    (
        "blockIO",
        &[
            "weight",
            "leafWeight",
            "weightDevice",
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        ],
    ),
    ("blockIO.weightDevice[]", &["major", "minor", "weight", "leafWeight"]),
    ("blockIO.throttleReadBpsDevice[]", THROTTLE),
    ("blockIO.throttleWriteBpsDevice[]", THROTTLE),
    ("blockIO.throttleReadIOPSDevice[]", THROTTLE),
    ("blockIO.throttleWriteIOPSDevice[]", THROTTLE),
    ("hugepageLimits[]", &["pageSize", "limit"]),
    ("network", &["classID", "priorities"]),
    ("network.priorities[]", &["name", "priority"]),
    ("rdma", &["*"]),
    ("rdma.*", &["hcaHandles", "hcaObjects"]),
    ("unified", &["*"]),
    ("devices[]", &["allow", "type", "major", "minor", "access"]),
];

const THROTTLE: &[&str] = &["major", "minor", "rate"];
