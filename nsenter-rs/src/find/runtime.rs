//! The runtimes whose containers are found, each with the name that options and records have for it.

/// Who runs a container. Of several who know a process the first one here knows most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runtime {
    Docker,
    Podman,
    CriO,
    Containerd,
    Nspawn,
    Lxc,
    Crun,
    Runc,
    Hold,
    Systemd,
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
    /// `docker`.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(runtime, _)| *runtime == self).map_or("", |(_, name)| name)
    }

    /// Reads one from the command line.
    pub(crate) fn read(text: &str) -> Result<Runtime, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(runtime, _)| *runtime);
        found.ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("'{text}' is no runtime; valid are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_is_read_by_its_name() {
        for (runtime, name) in NAMES {
            assert_eq!(Runtime::read(name), Ok(*runtime));
            assert_eq!(runtime.name(), *name);
        }
    }
}
