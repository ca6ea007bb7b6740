//! The test that docs/record.md names every member of a record, and no other.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::*;
use crate::process::namespace::Kind;

const DOCUMENT: &str = include_str!("../../../../docs/record.md");
/// Members whose own members are chosen by the kernel, and so are not listed.
const MAPS: [&str; 4] = ["cgroup.paths", "cgroup.inodes", "cgroup.limits", "cgroup.unreadable"];
/// docs/inspect.md and docs/cgroups.md describe them.
const ELSEWHERE: [&str; 4] = ["isolation", "cgroup.effective", "cgroup.waiting", "cgroup.verdict"];

#[test]
fn the_document_names_every_member_and_no_other() {
    let mut members = BTreeSet::from(ELSEWHERE.map(str::to_owned));
    collect(&crate::json::of_text(&full().to_line()).unwrap(), "", &mut members);
    let documented: BTreeSet<String> = documented().collect();
    let differences: Vec<_> = members.symmetric_difference(&documented).collect();
    assert!(differences.is_empty(), "only in the code, or only in docs/record.md: {differences:?}");
}

/// Returns the members in the first column of the table: `` `a.b`, `.c` `` are a.b and a.c.
fn documented() -> impl Iterator<Item = String> {
    let table = DOCUMENT.split("## Members").nth(1).and_then(|rest| rest.split("## ").next()).unwrap_or_default();
    table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next()).flat_map(|cell| {
        let mut parent = "";
        cell.trim_end_matches('`').split("`, `").map(move |name| match name.strip_prefix('.') {
            Some(sibling) => format!("{parent}.{sibling}"),
            None => {
                parent = name.rsplit_once('.').map_or("", |(parent, _)| parent);
                name.to_owned()
            }
        })
    })
}

/// Collects the paths of the members below `value`, without the indices of lists.
fn collect(value: &Value, path: &str, members: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !MAPS.contains(&path) => {
            for (name, value) in object {
                let name = if path == "namespaces" { "KIND" } else { name };
                let member = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                collect(value, &member, members);
                members.insert(member);
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, path, members)),
        _ => {}
    }
    // A kind has no description of its own.
    members.remove("namespaces.KIND");
}

/// Makes a record with every member. No type is filled up with defaults, so a new member must be named here.
fn full() -> Record {
    let init = Init { pid: 1, start_time: 1, boot_id: "b".to_owned(), pidfd_inode: Some(1) };
    let mut record = Record::new(Some(&"web".into()), init).unwrap();
    record.set_namespaces(&[(Kind::Mnt, Namespace { inode: 1, private: true })]).unwrap();
    record.set("hostname", &Text::from("web")).unwrap();
    let word = || Some("x".to_owned());
    let container = Container { runtime: "x".to_owned(), id: word(), image: word(), pod: word(), user: 0 };
    record.set_member(&container).unwrap();
    let (uid_map, gid_map) = (vec![[0, 0, 1]], vec![[0, 0, 1]]);
    record.set_member(&Facts { started: word(), uid_map, gid_map, cgroup: Some("/".into()) }).unwrap();
    record.set_member(&usage()).unwrap();
    record.set_member(&Network { interfaces: vec![interface()], gateway: "::1".parse().ok() }).unwrap();
    let mut net = Net::of(&record).unwrap();
    net.add(&interface(), true).unwrap();
    let search = vec![Domain::parse("lab").unwrap()];
    net.set_dns(&Dns { servers: vec!["192.0.2.1".parse().unwrap()], search }).unwrap();
    net.add_relayed(&["x".to_owned()], &["x".to_owned()]);
    net.write(&mut record).unwrap();
    record.set_member(&root()).unwrap();
    record.set_member(&process()).unwrap();
    record
}

fn usage() -> Usage {
    let limits = Map::from_iter([("memory.max".to_owned(), json!(1))]);
    let paths = [("memory".to_owned(), "/".into())].into();
    let inodes = [("memory".to_owned(), 1)].into();
    Usage {
        cgroup: Cgroup { version: 1, path: "/".into(), paths, inode: Some(1), inodes, limits },
        memory: Some(Memory { current: 1, max: None, peak: Some(1) }),
        pids: Some(Pids { current: 1, max: None }),
        cpu: Some(Cpu { usage_usec: 1 }),
        unreadable: [("memory".to_owned(), "…".to_owned())].into(),
    }
}

fn interface() -> Interface {
    let word = || Some("x".to_owned());
    Interface {
        name: "eth0".to_owned(),
        kind: word(),
        state: word(),
        mac: word(),
        mtu: Some(1500),
        peer: word(),
        bridge: word(),
        parent: word(),
        addresses: vec!["10.0.0.1/8".to_owned()],
        published: vec!["8080:80".to_owned()],
        gateway: "::1".parse().ok(),
    }
}

fn root() -> Root {
    let mount = Mount { target: "/".into(), kind: "x".to_owned(), source: Some("/".into()), options: Vec::new() };
    Root {
        path: Some("/".into()),
        host_root: true,
        overlay: vec!["/".into()],
        upper: Some("/".into()),
        tmpfs: true,
        read_only: true,
        covered: vec!["/".into()],
        mounts: vec![mount],
    }
}

fn process() -> Process {
    let set = || Some(Vec::new());
    let (bounding, permitted, effective) = (set(), set(), set());
    let rlimit = ResourceLimit { resource: "RLIMIT_CORE".to_owned(), soft: None, hard: None };
    Process {
        capabilities: set(),
        capability_sets: Some(FiveSets { bounding, permitted, effective, inheritable: set(), ambient: set() }),
        no_new_privs: true,
        seccomp: Some(crate::confinement::seccomp::Seccomp::Default),
        seccomp_log: true,
        uid: Some(0),
        gid: Some(0),
        groups: Some(Vec::new()),
        rlimits: vec![rlimit],
        oom_score_adj: Some(0),
        scheduler: Some(Scheduler { policy: "SCHED_OTHER".to_owned(), ..Scheduler::default() }),
        io_priority: Some(IoPriority { class: "IOPRIO_CLASS_BE".to_owned(), priority: 4 }),
        personality: Some("LINUX32".to_owned()),
        apparmor_profile: Some("x".into()),
        selinux_label: Some("x".into()),
        new_session: true,
        umask: Some(0),
        securebits: vec![String::new()],
        landlock: Some(landlock()),
        session_keyring: true,
        own_pipes: true,
        default_signals: true,
        env: Some(Vec::new()),
        unsetenv: vec!["A".into()],
        setenv: vec!["A=b".into()],
        cwd: Some("/".into()),
    }
}

fn landlock() -> Landlock {
    let ports = || Some(vec![1]);
    Landlock {
        ro: vec!["/".into()],
        rw: vec!["/".into()],
        rules: vec![LandlockRule { rights: vec!["ro".to_owned()], path: "/".into() }],
        bind_tcp: ports(),
        connect_tcp: ports(),
        bind_udp: ports(),
        connect_send_udp: ports(),
        scoped: vec!["all".to_owned()],
        follow_links: true,
        tries: true,
    }
}
