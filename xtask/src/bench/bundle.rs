//! A bundle for crun and runc with the namespaces, limits, mounts, masks and capabilities of the four tools' container,
//! without a network and without a seccomp filter. OCI runtime specification, config.json.

use std::fs;
use std::path::Path;

use anyhow::Result;
use plumbing::confinement::privilege::DEFAULT_CAPABILITIES;
use serde_json::{Value, json};

/// Writes a bundle for each runtime, since a bundle names its cgroup and the runtimes take turns.
pub fn write(folder: &Path, root: &Path) -> Result<()> {
    for runtime in ["crun", "runc"] {
        let bundle = folder.join(format!("bundle-{runtime}"));
        fs::create_dir(&bundle)?;
        let config = config(root, &format!("/{}-{runtime}", folder.file_name().unwrap_or_default().to_string_lossy()));
        fs::write(bundle.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
    }
    Ok(())
}

fn config(root: &Path, cgroup: &str) -> Value {
    let kept_in = ["nosuid", "noexec", "nodev"];
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.0",
        "hostname": "bench",
        "root": {"path": root, "readonly": false},
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": ["/bin/true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": DEFAULT_CAPABILITIES, "effective": DEFAULT_CAPABILITIES, "permitted": DEFAULT_CAPABILITIES
            },
        },
        "mounts": [
            mount("/proc", "proc", &kept_in),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &kept_in),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
            "resources": {"memory": {"limit": 268_435_456}, "pids": {"limit": 100}},
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
