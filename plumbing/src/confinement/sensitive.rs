//! Well-known paths of a host that a container must not see; `hier(7)`.
//!
//! The surprise: a directory is more dangerous than its name suggests if it contains a socket.

/// Names of sockets of container engines and of other services that act for every client that may connect.
pub const SOCKET_NAMES: &[&str] = &[
    "docker.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "crio.sock",
    "podman.sock",
    "buildkitd.sock",
    "cri-dockerd.sock",
    "dockershim.sock",
    "kubelet.sock",
    "system_bus_socket",
    "libvirt-sock",
    "snapd.socket",
];

/// The paths of such sockets on a host, with those whose names say little, such as LXD's and systemd's.
pub const SOCKET_PATHS: &[&str] = &[
    "/run/docker.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/libvirt/libvirt-sock",
    "/run/snapd.socket",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

/// Directories and files that decide who controls the host: reading them is already dangerous.
pub const DIRECTORIES: &[&str] = &[
    "/etc",
    "/root",
    "/home",
    "/boot",
    "/run",
    "/var",
    "/var/run",
    "/var/lib",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
    "/var/lib/incus",
    "/var/lib/lxd",
    "/var/spool/cron",
    "/root/.ssh",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/cron.d",
    "/etc/systemd",
    "/etc/systemd/system",
    "/etc/kubernetes",
    "/etc/ld.so.preload",
];

/// Directories and files of the host's programs and accounts: dangerous if they can be written.
pub const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt",
    "/etc/passwd",
    "/etc/group",
];
