//! `--std`: the mounts of a container's root, as one list in the order in which they are made. No I/O here.
//! `mount(8)`, `proc(5)`, `sysfs(5)`, `cgroups(7)`.

use std::path::Path;

use crate::cgroup_view::View;
use crate::entry::{Absent, Attributes, Bind, Entry, Filesystem, Otherwise, What};
use crate::facts::Facts;
use crate::{devices, host_root, masks};

const CGROUP: &str = "/sys/fs/cgroup";

/// Returns what a root that somebody else made gets in addition to the list: empty temporary directories in memory, and
/// the host's files that map network names to addresses. They come first: their file system is mounted at /dev, where it
/// is covered later.
pub(crate) fn for_given_root(facts: &Facts) -> Vec<Entry> {
    let guarded = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
    let dev = Path::new("/dev");
    // A resolv.conf may be long; each file and directory takes whole pages.
    let size = (64 << 10) + facts.resolv_conf.len() * 2;
    let files = Filesystem::new("tmpfs", &[("mode", "755"), ("size", &size.to_string())], kept_in());
    let why = "the names and addresses that this machine knows; hosts(5), resolv.conf(5)";
    let mut list = vec![Entry::new(
        dev,
        What::Fresh(files, Otherwise::Refuse),
        "a place for the files that are shown in /etc; tmpfs(5)",
    )];
    for (name, content) in host_root::names(facts) {
        list.push(Entry::new(dev.join(name), What::File(content), why));
        list.push(Entry::new(Path::new("/etc").join(name), What::Seen(dev.join(name)), why));
    }
    // A tmpfs has mode 1777 unless another one is set. /tmp is last: where one is a link to the other, users can write in it.
    for (path, parameters) in [("/run", &[("mode", "755")][..]), ("/tmp", &[])] {
        let tmpfs = Filesystem::new("tmpfs", parameters, guarded);
        list.push(Entry::new(path, What::Fresh(tmpfs, Otherwise::OverDirectory), "a new, empty directory; hier(7)"));
    }
    list
}

/// Returns the list of mounts.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let proc = Filesystem::new("proc", &[], kept_in());
    let sys = Filesystem::new("sysfs", &[], kept_in() | Attributes::MOUNT_ATTR_RDONLY);
    let mut list = vec![
        Entry::new("/proc", What::Fresh(proc, Otherwise::Refuse), "the processes of our PID namespace; proc(5)"),
        Entry::new(
            "/sys",
            What::Fresh(sys, Otherwise::Bind("/sys")),
            "the kernel's objects, with the devices of our network namespace; sysfs(5)",
        ),
    ];
    list.extend(cgroup_entries(Path::new(CGROUP), facts, kept_in() | Attributes::MOUNT_ATTR_RDONLY));
    list.extend(devices::entries(facts, Path::new("/dev")));
    list.extend(masks::entries(facts));
    list
}

/// Returns the flags of the kernel's file systems, which never need programs, devices or set-user-ID bits in a container.
fn kept_in() -> Attributes {
    Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC
}

/// Returns the mounts of the cgroup hierarchies: one mount with cgroup v2 alone, a mount for each hierarchy with v1 and
/// hybrid, as on the host. Each shows the caller's group and the groups below it; a hierarchy in which the caller has no
/// group of its own is not shown. With --std all are read-only: through a writable v1 hierarchy a container can run a
/// program of its choice on the host (release_agent, CVE-2022-0492).
pub(crate) fn cgroup_entries(at: &Path, facts: &Facts, attributes: Attributes) -> Vec<Entry> {
    let hierarchies: Vec<&str> = facts.cgroups.lines().filter_map(controllers).collect();
    if hierarchies.is_empty() {
        return Vec::new();
    }
    if hierarchies.iter().all(|controllers| controllers.is_empty()) {
        let hidden = || Entry::new(at, What::Mask(Absent::PassOver), NOTHING_OURS);
        return vec![own_group(at, "", facts, attributes).unwrap_or_else(hidden)];
    }
    let above = attributes - Attributes::MOUNT_ATTR_RDONLY;
    let tmpfs = Filesystem::new("tmpfs", &[("mode", "755"), ("size", "64k")], above);
    let why = "a directory for each cgroup hierarchy; cgroups(7)";
    let mut list = vec![Entry::new(at, What::Fresh(tmpfs, Otherwise::Refuse), why)];
    for controllers in hierarchies {
        let name = match controllers {
            "" => "unified",
            named => named.strip_prefix("name=").unwrap_or(named),
        };
        let Some(shown) = own_group(&at.join(name), controllers, facts, attributes) else { continue };
        list.push(shown);
        for alias in controllers.split(',').filter(|_| controllers.contains(',')) {
            let what = What::Link(controllers.to_owned());
            list.push(Entry::new(at.join(alias), what, "a controller's own name for its hierarchy"));
        }
    }
    let sealed = What::Tighten(Attributes::MOUNT_ATTR_RDONLY);
    list.push(Entry::new(at, sealed, "nothing else can be made next to the hierarchies"));
    list
}

const NOTHING_OURS: &str =
    "it would show the cgroups of the whole machine: none of them is the container's; cgroups(7)";

/// Returns the mount that shows our group in a hierarchy; `None` if we have none there.
fn own_group(at: &Path, controllers: &str, facts: &Facts, attributes: Attributes) -> Option<Entry> {
    let view = facts.views.iter().find(|(known, _)| known == controllers).map(|(_, view)| view);
    match view.unwrap_or(&View::Namespace) {
        View::Nothing => None,
        View::Namespace => Some(hierarchy(at, controllers, &facts.cgroup2_options, attributes)),
        View::Group(group) => {
            let bind = Bind { attributes, recursive: false, ..Bind::read_only(group) };
            Some(Entry::new(at, What::Bind(bind), "the limits and usage of our cgroup, read-only; cgroups(7)"))
        }
    }
}

/// Returns the second field of `4:cpu,cpuacct:/group`; empty for v2.
fn controllers(line: &str) -> Option<&str> {
    line.split(':').nth(1)
}

/// Returns a mount of one hierarchy. It repeats the options that the hierarchy has: in the first cgroup namespace, other
/// options would apply to all its mounts.
fn hierarchy(target: &Path, controllers: &str, v2_options: &[String], attributes: Attributes) -> Entry {
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
    let why = "the limits and usage of our cgroup, read-only; cgroup_namespaces(7)";
    Entry::new(target, What::Fresh(filesystem, Otherwise::Hide), why)
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
    fn mounts_precede_the_mounts_on_top_of_them() {
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
    fn flags_of_kernel_file_systems_are_set_on_the_mount_not_on_the_superblock() {
        for entry in entries(&Facts { cgroups: "4:cpu:/\n0::/\n".into(), ..Facts::default() }) {
            if let What::Fresh(filesystem, _) = entry.what {
                assert!(filesystem.attributes.contains(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC));
                assert!(filesystem.parameters.iter().all(|(key, _)| key != "ro"), "{:?}", entry.target);
            }
        }
    }

    #[test]
    fn each_cgroup_layout_gets_its_mounts() {
        let list = |text: &str| {
            let facts = Facts { cgroups: text.to_owned(), ..Facts::default() };
            cgroup_entries(Path::new(CGROUP), &facts, kept_in())
                .into_iter()
                .map(|entry| entry.target.display().to_string())
                .collect::<Vec<_>>()
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
    fn only_our_own_groups_are_shown() {
        let entries = |text: &str, views: &[(&str, View)]| {
            let views = views.iter().map(|(name, view)| ((*name).to_owned(), view.clone())).collect();
            let facts = Facts { cgroups: text.to_owned(), views, ..Facts::default() };
            cgroup_entries(Path::new(CGROUP), &facts, kept_in())
        };
        let group = |path: &str| View::Group(path.into());
        let v2 = entries("0::/\n", &[("", View::Nothing)]);
        assert!(matches!(v2[..], [Entry { what: What::Mask(_), .. }]), "{v2:?}");
        let v2 = entries("0::/box\n", &[("", group("/sys/fs/cgroup/box"))]);
        let [Entry { what: What::Bind(bind), .. }] = &v2[..] else { panic!("{v2:?}") };
        assert_eq!(bind.source, Path::new("/sys/fs/cgroup/box"));
        let hybrid = entries(
            "4:pids:/a\n3:cpu:/\n0::/\n",
            &[("pids", group("/c/pids/a")), ("cpu", View::Nothing), ("", View::Nothing)],
        );
        let targets: Vec<_> = hybrid.iter().map(|entry| entry.target.display().to_string()).collect();
        assert_eq!(targets, [CGROUP.to_owned(), format!("{CGROUP}/pids"), CGROUP.to_owned()]);
    }

    #[test]
    fn only_the_listed_devices_work() {
        for entry in entries(&Facts { cgroups: "0::/\n".into(), ..Facts::default() }) {
            match entry.what {
                // Each devpts has its own terminals, and no device can be made in it.
                What::Fresh(filesystem, _) if filesystem.kind != "devpts" => {
                    assert!(filesystem.attributes.contains(Attributes::MOUNT_ATTR_NODEV), "{:?}", entry.target);
                }
                What::Bind(bind) if bind.device.is_some() => {
                    assert!(bind.attributes.contains(Attributes::MOUNT_ATTR_RDONLY), "{:?}", entry.target);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn an_unmapped_group_is_left_out() {
        let inside = entries(&Facts::default());
        let has_gid = |list: &[Entry]| format!("{list:?}").contains("\"gid\"");
        assert!(!has_gid(&inside));
        assert!(has_gid(&entries(&Facts { has_tty_group: true, ..Facts::default() })));
    }
}
