//! `--std`: the mounts of a container's root, as one list in the order in which they are made. No I/O here.
//! `mount(8)`, `proc(5)`, `sysfs(5)`, `cgroups(7)`.

use std::path::Path;

use crate::entry::{Attributes, Entry, Filesystem, Otherwise, What};
use crate::facts::Facts;
use crate::{devices, masks};

const CGROUP: &str = "/sys/fs/cgroup";

/// The list.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let proc = Filesystem::new("proc", &[], kept_in());
    let sys = Filesystem::new("sysfs", &[], kept_in() | Attributes::MOUNT_ATTR_RDONLY);
    let mut list = vec![
        Entry::new("/proc", What::Fresh(proc, Otherwise::Refuse), "the processes of our pid namespace; proc(5)"),
        Entry::new(
            "/sys",
            What::Fresh(sys, Otherwise::Bind("/sys")),
            "the kernel's objects, with the devices of our network namespace; sysfs(5)",
        ),
    ];
    list.extend(cgroup_entries(&facts.cgroups, &facts.cgroup2_options));
    list.extend(devices::entries(facts, Path::new("/dev")));
    list.extend(masks::entries(facts));
    list
}

/// What a file system of the kernel's never needs inside a container.
fn kept_in() -> Attributes {
    Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC
}

/// cgroup v2 alone is one mount; v1 and hybrid are a mount for each hierarchy, as on the host. All read-only: a
/// writable v1 hierarchy runs a program of the container's choice on the host (release_agent, CVE-2022-0492).
fn cgroup_entries(proc_cgroup: &str, v2_options: &[String]) -> Vec<Entry> {
    let hierarchies: Vec<&str> = proc_cgroup.lines().filter_map(controllers).collect();
    if hierarchies.is_empty() {
        return Vec::new();
    }
    if hierarchies.iter().all(|controllers| controllers.is_empty()) {
        return vec![hierarchy(CGROUP, "", v2_options)];
    }
    let tmpfs = Filesystem::new("tmpfs", &[("mode", "755"), ("size", "64k")], kept_in());
    let why = "a directory for each cgroup hierarchy; cgroups(7)";
    let mut list = vec![Entry::new(CGROUP, What::Fresh(tmpfs, Otherwise::Refuse), why)];
    for controllers in hierarchies {
        let name = match controllers {
            "" => "unified",
            named => named.strip_prefix("name=").unwrap_or(named),
        };
        list.push(hierarchy(&format!("{CGROUP}/{name}"), controllers, v2_options));
        for alias in controllers.split(',').filter(|_| controllers.contains(',')) {
            let what = What::Link(controllers.to_owned());
            list.push(Entry::new(format!("{CGROUP}/{alias}"), what, "a controller's own name for its hierarchy"));
        }
    }
    let sealed = What::Tighten(Attributes::MOUNT_ATTR_RDONLY);
    list.push(Entry::new(CGROUP, sealed, "nothing is to be made beside the hierarchies"));
    list
}

/// The second field of `4:cpu,cpuacct:/group`; empty for v2.
fn controllers(line: &str) -> Option<&str> {
    line.split(':').nth(1)
}

/// Mounting cgroup v2 in the first cgroup namespace sets the options of the one hierarchy that all mounts of it show:
/// without those that it has, the host would lose them, `nsdelegate` among them.
fn hierarchy(target: &str, controllers: &str, v2_options: &[String]) -> Entry {
    let attributes = kept_in() | Attributes::MOUNT_ATTR_RDONLY;
    let filesystem = match (controllers, controllers.strip_prefix("name=")) {
        ("", _) => {
            let parameters: Vec<_> = v2_options.iter().map(|option| (option.as_str(), "")).collect();
            Filesystem::new("cgroup2", &parameters, attributes)
        }
        (_, Some(name)) => Filesystem::new("cgroup", &[("none", ""), ("name", name)], attributes),
        (listed, None) => {
            let parameters: Vec<_> = listed.split(',').map(|controller| (controller, "")).collect();
            Filesystem::new("cgroup", &parameters, attributes)
        }
    };
    let why = "the limits and accounts of our group, to read; cgroup_namespaces(7)";
    Entry::new(target, What::Fresh(filesystem, Otherwise::LeaveOut), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(facts: &Facts) -> Vec<String> {
        entries(facts).into_iter().map(|entry| entry.target.display().to_string()).collect()
    }

    fn place(list: &[String], target: &str) -> usize {
        list.iter().position(|known| known == target).unwrap_or_else(|| panic!("{target} in {list:?}"))
    }

    #[test]
    fn mounts_come_before_what_lies_on_them() {
        let list = targets(&Facts { cgroups: "0::/\n".into(), ..Facts::default() });
        for (first, then) in [
            ("/proc", "/proc/kcore"),
            ("/sys", "/sys/fs/cgroup"),
            ("/dev", "/dev/null"),
            ("/dev/pts", "/proc/sys"),
            ("/sys/fs/cgroup", "/sys/firmware"),
        ] {
            assert!(place(&list, first) < place(&list, then), "{first} before {then}");
        }
    }

    #[test]
    fn every_file_system_of_the_kernel_is_kept_in_on_the_mount_not_on_the_superblock() {
        for entry in entries(&Facts { cgroups: "4:cpu:/\n0::/\n".into(), ..Facts::default() }) {
            if let What::Fresh(filesystem, _) = entry.what {
                assert!(filesystem.attributes.contains(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC));
                assert!(filesystem.parameters.iter().all(|(key, _)| key != "ro"), "{:?}", entry.target);
            }
        }
    }

    #[test]
    fn each_cgroup_layout_gets_its_mounts() {
        let list = |text| {
            cgroup_entries(text, &[]).into_iter().map(|entry| entry.target.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list("0::/a\n"), ["/sys/fs/cgroup"]);
        assert!(list("").is_empty());
        let hybrid = list("4:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n");
        let below = ["cpu,cpuacct", "cpu", "cpuacct", "systemd", "unified"].map(|name| format!("{CGROUP}/{name}"));
        assert_eq!(hybrid[0], CGROUP);
        assert_eq!(hybrid[1..6], below);
        assert_eq!(hybrid[6], CGROUP);
    }

    #[test]
    fn without_mknod_devices_are_the_hosts_and_an_unmapped_group_is_left_out() {
        let inside = entries(&Facts::default());
        assert!(inside.iter().all(|entry| !matches!(entry.what, What::Device(..))));
        let has_gid = |list: &[Entry]| format!("{list:?}").contains("\"gid\"");
        assert!(!has_gid(&inside));
        let outside = entries(&Facts { makes_devices: true, has_tty_group: true, ..Facts::default() });
        assert!(outside.iter().any(|entry| entry.what == What::Device(1, 3)) && has_gid(&outside));
    }
}
