//! The chain and the pipe of the README, seen from inside: they make the same container, with the properties that were
//! asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::NetworkNamespaces, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a chain and a pipe make the same container", NEEDS, |world| {
        let chain = look_inside(world, &chain(world, "", PROBE));
        let mut pipe = look_inside(world, &pipe(world, "", PROBE));
        // The chain protects the inode of the host's null device by a view. Of a user's, nothing can be changed.
        if !world.is_root {
            pipe.insert("stdin".to_owned(), chain["stdin"].clone());
        }
        compare(&chain, &pipe);
    }),
    Row::new("a chain and a pipe make the same container in a user namespace that root made", NEEDS, |world| {
        let user = "--user --map-root-user";
        let mut seen = [chain(world, user, PROBE), pipe(world, user, PROBE)].map(|script| look_inside(world, &script));
        // The chain's network namespace belongs to the host's user namespace, so its /sys shows what the host mounted there:
        // docs/composing.md.
        let is_of_the_host = |line: &&str| line.contains(" /sys/") && !line.contains(" /sys/fs/cgroup");
        for seen in &mut seen {
            let mounts = seen["mounts"].lines().filter(|line| !is_of_the_host(line)).collect::<Vec<_>>().join("\n");
            seen.insert("mounts".to_owned(), mounts);
        }
        compare(&seen[0], &seen[1]);
    })
    .root_only(),
    Row::new("the container has the properties that were asked for", NEEDS, |world| {
        for script in [chain(world, "", PROBE), pipe(world, "", PROBE)] {
            let seen = look_inside(world, &script);
            assert_eq!(seen["host name"], "box");
            assert_eq!(seen["uid"], "0");
            assert!(seen["capabilities"].contains("CapEff: 00000000a00405fb"), "{}", seen["capabilities"]);
            assert!(seen["capabilities"].contains("NoNewPrivs: 1"), "{}", seen["capabilities"]);
            assert_eq!(seen["descriptors"], "0\n1\n2");
            for kind in ["mnt", "uts", "ipc", "net", "pid"] {
                assert!(seen["namespaces"].contains(&format!("{kind} own")), "{}", seen["namespaces"]);
            }
            if world.is_root {
                assert!(seen["addresses"].contains("10.93.0.2/24"), "{}", seen["addresses"]);
                assert!(seen["routes"].contains("default via 10.93.0.1"), "{}", seen["routes"]);
                assert!(!seen["cgroup"].contains("cgexec-rs"), "the container's own group is not its root: {}", seen["cgroup"]);
            }
            let processes: Vec<_> = seen["processes"].lines().collect();
            assert!(processes.len() <= 4, "processes of the host are seen: {processes:?}");
        }
    }),
    Row::new("the limits apply in the chain and in the pipe", NEEDS, |world| {
        // tail(1) keeps what may be the last line, and /dev/zero has no end: tail fills memory until it is killed.
        let hog = "tail /dev/zero; echo hog $?; i=0; while [ $i -lt 90 ]; do sleep 3 & i=$((i+1)); done 2>&1 | head -n 1";
        for script in [chain(world, "", hog), pipe(world, "", hog)] {
            let outcome = world.sh(&script);
            assert!(outcome.stdout.contains("hog 137"), "memory is not limited\n{outcome}");
            let all = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(all.contains("fork"), "processes are not limited\n{outcome}");
        }
    })
    .root_only(),
    Row::new("a packet reaches the gateway and returns, in the chain and in the pipe", NEEDS, |world| {
        for script in [chain(world, "", "ping -c 1 -W 5 10.93.0.1"), pipe(world, "", "ping -c 1 -W 5 10.93.0.1")] {
            // This ping needs raw sockets.
            let script = script.replace("--std", "--std --capabilities default,NET_RAW");
            world.sh(&script).succeeds().stdout_has("1 packets received");
        }
    })
    .root_only(),
    Row::new("cgexec-rs in front of --hold limits the pipe as well", NEEDS, |world| {
        let root = world.busybox_root().display();
        let script = format!(
            "cgexec-rs --memory 64M --pids 40 -- unshare-rs --hold --mount --pid --cgroup | chroot-rs --pipe --std {root} | \
             nsenter-rs --pipe --rm -- /bin/sh -c 'cat /proc/self/cgroup; tail /dev/zero; echo hog $?'"
        );
        let outcome = world.sh(&script).succeeds().stdout_has("hog 137");
        assert!(!outcome.stdout.contains("cgexec-rs"), "the container's own group is not the root that it sees\n{outcome}");
    })
    .root_only(),
    Row::new("a container changes no option of the cgroup hierarchy that it shows", NEEDS, |world| {
        let options = || world.sh("grep -o ' - cgroup2 .*' /proc/self/mountinfo").stdout;
        let (before, root) = (options(), world.busybox_root().display());
        // Without a cgroup namespace: only in the initial one the kernel lets a mount set the options of the hierarchy.
        world.sh(&format!("unshare-rs --mount --pid --fork -- chroot-rs --std {root} -- /bin/true")).succeeds();
        assert_eq!(options(), before);
    })
    .root_only(),
    Row::new("an unprivileged user makes a container by chain and by pipe", NEEDS, |world| {
        for script in [chain(world, "", "id -u; hostname"), pipe(world, "", "id -u; hostname")] {
            world.sh(&script).succeeds().stdout_is("0\nbox\n");
        }
    })
    .user_only(),
];

#[track_caller]
fn compare(chain: &BTreeMap<String, String>, pipe: &BTreeMap<String, String>) {
    assert_eq!(chain.keys().collect::<Vec<_>>(), pipe.keys().collect::<Vec<_>>());
    for (what, seen) in chain {
        let only = |these: &str, others: &str| -> Vec<String> {
            these.lines().filter(|line| !others.lines().any(|other| other == *line)).map(str::to_owned).collect()
        };
        let (in_chain, in_pipe) = (only(seen, &pipe[what]), only(&pipe[what], seen));
        assert!(
            seen == &pipe[what],
            "{what} differs\nonly in the chain: {in_chain:#?}\nonly in the pipe: {in_pipe:#?}"
        );
    }
}

/// Returns the chain with `script` as its command; without the stages that need rights on the host if the caller has none.
fn chain(world: &World, user: &str, script: &str) -> String {
    let root = world.busybox_root().display();
    let (outside, namespaces) = if world.is_root {
        (
            "cgexec-rs --memory 64M --pids 40 -- \
             netns-rs exec --new --bridge pip0 --address 10.93.0.2/24 --gateway 10.93.0.1 --nat --",
            user.to_owned(),
        )
    } else {
        ("", "--user --map-root-user --net".to_owned())
    };
    format!(
        "{outside} unshare-rs {namespaces} --mount --pid --ipc --uts --cgroup --fork --kill-child --hostname box -- \
         chroot-rs --std {root} -- /bin/sh -c {}",
        quoted(script)
    )
}

/// Returns the pipe with the same options.
fn pipe(world: &World, user: &str, script: &str) -> String {
    let root = world.busybox_root().display();
    let (outside, user) = if world.is_root {
        (
            "cgexec-rs --pipe --memory 64M --pids 40 | \
             netns-rs connect --pipe --bridge pip0 --address 10.93.0.2/24 --gateway 10.93.0.1 --nat |",
            user,
        )
    } else {
        ("", "--user --map-root-user")
    };
    format!(
        "unshare-rs --hold --name box {user} --mount --pid --ipc --uts --net --cgroup --hostname box | {outside} \
         chroot-rs --pipe --std {root} | nsenter-rs --pipe --rm -- /bin/sh -c {}",
        quoted(script)
    )
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

/// Prints one section for each property of a container.
const PROBE: &str = r#"
say() { echo "== $1"; }
say "host name"; hostname
say uid; id -u
say "id maps"; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
say capabilities; grep -E "^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups|SigBlk|SigIgn|Umask)" /proc/self/status
say "resource limits"; cat /proc/self/limits
say descriptors; for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done
say stdin; readlink /proc/self/fd/0
say environment; env | sort
say directory; pwd
say namespaces; for kind in user mnt uts ipc net pid cgroup time; do echo "$kind $(readlink /proc/self/ns/$kind)"; done
say cgroup; cat /proc/self/cgroup
say mounts; cat /proc/self/mountinfo
say devices; stat -c '%A %h %U %G %t:%T %N' /dev/*
say links; ip -o link
say addresses; ip -o addr
say routes; ip route
say oom; cat /proc/self/oom_score_adj
say masked; stat -c '%A %h %U %G %t:%T %n' /proc/kcore /proc/keys /proc/timer_list /sys/firmware; head -c 1 /proc/kcore | wc -c
say read-only; echo x 2>/dev/null >/proc/sys/kernel/domainname && echo "proc/sys is writable"
say processes; ps -o pid,comm
"#;

/// Returns the sections that the probe prints, without what differs in every container.
fn look_inside(world: &World, script: &str) -> BTreeMap<String, String> {
    let outcome = world.sh(script).succeeds();
    let mut seen = BTreeMap::new();
    for section in outcome.stdout.split("== ").skip(1) {
        let (what, text) = section.split_once('\n').expect("a title");
        let text = match what {
            "namespaces" => text.lines().map(own_or_shared).collect::<Vec<_>>().join("\n"),
            "mounts" => visible_mounts(text).join("\n"),
            "links" | "addresses" => text.lines().map(without_link_ids).collect::<Vec<_>>().join("\n"),
            "devices" => text.lines().filter_map(device).collect::<Vec<_>>().join("\n"),
            _ => text.trim_end().split('\t').collect::<Vec<_>>().join(" "),
        };
        seen.insert(what.to_owned(), text);
    }
    // The pipe has its init, the chain's shell is pid 1: docs/composing.md.
    if let Some(processes) = seen.get_mut("processes") {
        *processes = processes
            .lines()
            .filter(|line| !line.contains("box") && !line.contains("PID"))
            .map(comm)
            .collect::<Vec<_>>()
            .join("\n");
    }
    assert!(seen.len() >= 20, "the probe did not run to its end\n{outcome}");
    seen
}

fn comm(line: &str) -> String {
    line.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

/// Returns `mnt own` if the namespace is not ours.
fn own_or_shared(line: &str) -> String {
    let (kind, link) = line.split_once(' ').expect("a kind");
    let ours = fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
    format!("{kind} {}", if ours.as_os_str() == link { "shared" } else { "own" })
}

/// Returns the mounts that can be reached: one that a later mount covers still exists, but cannot be reached.
fn visible_mounts(mountinfo: &str) -> Vec<String> {
    let lines: Vec<&str> = mountinfo.lines().collect();
    let point = |line: &str| Path::new(line.split(' ').nth(4).expect("a mount point")).to_owned();
    let is_seen = |(index, line): &(usize, &&str)| {
        let below = point(line);
        !lines[index + 1..].iter().any(|later| below.starts_with(point(later)))
    };
    lines.iter().enumerate().filter(is_seen).filter_map(|(_, line)| mount_without_ids(line)).collect()
}

/// Returns a line of mountinfo without mount ids and device numbers, and without the group that a cgroup mount shows.
fn mount_without_ids(line: &str) -> Option<String> {
    let fields: Vec<_> = line.split(' ').collect();
    let rest = fields.get(5..)?.join(" ");
    let propagation = rest.split(' ').filter(|field| !field.contains(':') || field.contains('='));
    Some(format!("{} {} {}", fields.get(3)?, fields.get(4)?, propagation.collect::<Vec<_>>().join(" ")))
}

/// Removes interface numbers and the addresses that the kernel makes up, which differ.
fn without_link_ids(line: &str) -> String {
    let words = line.split_whitespace().skip(1);
    let words = words.map(|word| word.split('@').next().unwrap_or(word));
    let mut kept = Vec::new();
    let mut is_made_up = false;
    for word in words {
        is_made_up = is_made_up || word == "link/ether" || word.starts_with("fe80:") || word == "link-netnsid";
        if !is_made_up {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// Returns mode, owner, device number and name, without the time.
fn device(line: &str) -> Option<String> {
    let fields: Vec<_> = line.split_whitespace().collect();
    (fields.len() > 8).then(|| [&fields[..1], &fields[2..5], &fields[8..]].concat().join(" "))
}
