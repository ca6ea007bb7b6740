//! The runtimes whose containers are found, each with its name in options and records.

/// A runtime. If several know the same process, the first one in this order knows most about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runtime {
    /// docker.
    Docker,
    /// podman.
    Podman,
    /// CRI-O.
    CriO,
    /// containerd.
    Containerd,
    /// systemd-nspawn.
    Nspawn,
    /// LXC.
    Lxc,
    /// crun, started by itself.
    Crun,
    /// runc, started by itself.
    Runc,
    /// `unshare-rs --hold`.
    Hold,
    /// systemd, with a unit as the container.
    Systemd,
    /// `ip netns`, which names network namespaces only.
    Netns,
}

const NAMES: &[(Runtime, &str)] = &[
    (Runtime::Docker, "docker"),
    (Runtime::Podman, "podman"),
    (Runtime::CriO, "cri-o"),
    (Runtime::Containerd, "containerd"),
    (Runtime::Nspawn, "nspawn"),
    (Runtime::Lxc, "lxc"),
    (Runtime::Crun, "crun"),
    (Runtime::Runc, "runc"),
    (Runtime::Hold, "hold"),
    (Runtime::Systemd, "systemd"),
    (Runtime::Netns, "netns"),
];

impl Runtime {
    /// Returns the name, for example `docker`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(runtime, _)| *runtime == self).map_or("", |(_, name)| name)
    }

    /// Parses a runtime from the command line.
    pub fn read(text: &str) -> Result<Runtime, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(runtime, _)| *runtime);
        found.ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("'{text}' is not a runtime; expected one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_is_parsed_by_its_name() {
        for (runtime, name) in NAMES {
            assert_eq!(Runtime::read(name), Ok(*runtime));
            assert_eq!(runtime.name(), *name);
        }
    }
}
