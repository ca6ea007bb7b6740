//! Records are input: a stale one is refused with the reason, unknown members pass through unchanged, and a forged one
//! harms no process, whatever it claims.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use serde_json::{Value, json};

use crate::harness::held::Held;
use crate::harness::need::BUSYBOX;
use crate::harness::row::Row;
use crate::harness::stat::Stat;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a stale or broken record is refused by every stage, with the reason", &[BUSYBOX], |world| {
        let container = Held::new(world, "stale");
        for (record, reason) in broken_records(&container.record) {
            for stage in stages(world) {
                let outcome = world.script(&stage).stdin(record.clone()).run().fails_with(125).stdout_is("");
                assert!(outcome.stderr.contains(reason), "{stage}: expected {reason:?}\n{outcome}");
                assert!(outcome.stderr.lines().count() <= 2, "{stage}: one error, and its remedy\n{outcome}");
            }
        }
        assert!(container.is_alive(), "a stage ended the container that a broken record named");
    })
    .root_only(),
    Row::new("members that a stage does not know pass through it unchanged", &[BUSYBOX], |world| {
        let container = Held::new(world, "unknown");
        let odd = r#""later":{"z":1,"a":12345678901234567890.1234567890,"null":null,"text":"a\u0000b"}"#;
        let line = container.record.replacen('{', &format!("{{{odd},"), 1);
        let line = line.replace("\"inode\":", "\"extra\":[1.10],\"inode\":");
        for stage in ["cgexec-rs --pipe --show", "netns-rs show --pipe"] {
            let outcome = world.script(stage).stdin(line.clone()).run().succeeds().stdout_has(odd);
            assert!(outcome.stdout.contains("\"extra\":[1.10]"), "{outcome}");
            assert!(outcome.stdout.starts_with(&format!("{{{odd},")), "the order has changed\n{outcome}");
        }
    })
    .root_only(),
    Row::new("a record in a file enters its container twice, and --rm then ends it", &[], |world| {
        let container = Held::new(world, "handle");
        for _ in 0..2 {
            world
                .script("nsenter-rs --pipe -- hostname")
                .stdin(container.record.clone())
                .run()
                .succeeds()
                .stdout_is("handle\n");
        }
        world.script("nsenter-rs --pipe --rm -- true").stdin(container.record.clone()).run().succeeds();
        assert!(!container.is_alive(), "--rm left the container alive");
    })
    .root_only(),
    Row::new("a forged record harms no process of others, however a stage fails", &[BUSYBOX], |world| {
        let template = Held::new(world, "template");
        // In namespaces of its own, like a container; but not made by --hold.
        let foreign = world.script("exec unshare --mount --pid --net --uts --fork --kill-child sleep 86412").start();
        // Before it executes the command, unshare still changes the propagation of the mounts.
        let pid = world.eventually(|| child_of(foreign.pid.as_raw()).filter(|pid| is_called(*pid, "sleep")));
        let pid = pid.expect("a child");
        let record = forge(&template.record, pid);
        let before = picture(pid);
        for stage in failing_stages(world) {
            let outcome = world.script(&stage).stdin(record.clone()).run();
            assert!(outcome.status != 0, "{stage} was to fail\n{outcome}");
            assert_eq!(picture(pid), before, "{stage} changed the process that a forged record named\n{outcome}");
        }
    })
    .root_only(),
    Row::new("a forged record harms no held container that is in use, however a stage fails", &[BUSYBOX], |world| {
        let container = Held::new(world, "in-use");
        let busy = world.script("nsenter-rs --pipe -- sleep 86413").stdin(container.record.clone()).start();
        world.eventually(|| child_of(busy.pid.as_raw())).expect("a child");
        let record = forge(&container.record, container.pid);
        let has_closed = || (fs::read_dir(format!("/proc/{}/fd", container.pid)).ok()?.count() == 7).then_some(());
        world.eventually(has_closed).expect("an init without doorbell");
        let before = picture(container.pid);
        for stage in failing_stages(world).into_iter().filter(|stage| !stage.contains("--rm")) {
            let outcome = world.script(&stage).stdin(record.clone()).run();
            assert!(outcome.status != 0, "{stage} was to fail\n{outcome}");
            assert_eq!(picture(container.pid), before, "{stage} changed a container in use\n{outcome}");
        }
    })
    .root_only(),
    Row::new(
        "an edited record chooses neither environment nor directory for the host's programs in a --host-root",
        &[],
        |world| {
            let made = "unshare-rs --hold --ttl 60 --name edited --mount --pid --ipc --uts | \
                    chroot-rs --pipe --std --host-root --setenv MARK=kept";
            let record = world.sh(made).succeeds().stdout;
            let enter = |record: &str| {
                let script = world.script("nsenter-rs --pipe -- /bin/sh -c 'echo \"$MARK in $PWD\"'");
                script.stdin(record).run().succeeds()
            };
            // What chroot-rs has recorded is kept by the init too, so the record is not the source of it.
            enter(&record).stdout_is("kept in /\n").stderr_is("");
            let mut edited: Value = serde_json::from_str(&record).expect("a record");
            edited["process"]["setenv"] = json!(["MARK=forged"]);
            edited["process"]["cwd"] = json!("/usr");
            let outcome = enter(&edited.to_string());
            assert!(!outcome.stdout.contains("forged") && !outcome.stdout.contains("/usr"), "{outcome}");
            outcome.stderr_has("used only names, locale and time zone of the record's environment");
            world.script("nsenter-rs --pipe --rm -- /bin/true").stdin(record).run().succeeds();
        },
    )
    .root_only()
    .host_only(),
    Row::new("an inspection stage that fails ends nothing, not even an unfinished container", &[], |world| {
        let container = Held::new(world, "inspected");
        let broken = container.record.replace("\"boot_id\":\"", "\"boot_id\":\"0");
        for stage in ["cgexec-rs --pipe --show", "netns-rs show --pipe"] {
            let both = format!("{}{broken}", container.record);
            world.script(stage).stdin(both).run().fails_with(125);
            world.script(&format!("{stage} >/dev/full")).stdin(container.record.clone()).run().fails_with(125);
            assert!(container.is_alive(), "{stage} ended the container");
        }
    }),
];

/// Returns every stage that reads a record, with options that would work.
fn stages(world: &World) -> Vec<String> {
    let root = world.busybox_root().display();
    vec![
        "cgexec-rs --pipe --memory 64M".to_owned(),
        "cgexec-rs --pipe --show".to_owned(),
        "netns-rs connect --pipe --bridge rec0 --address 10.92.0.2/24 --gateway 10.92.0.1 --nat".to_owned(),
        "netns-rs show --pipe".to_owned(),
        format!("chroot-rs --pipe --std {root}"),
        "nsenter-rs --pipe --rm -- true".to_owned(),
        "nsenter-rs --pipe -- true".to_owned(),
    ]
}

/// Returns every stage, with options that fail for any process that is not an unfinished hold.
fn failing_stages(world: &World) -> Vec<String> {
    let root = world.busybox_root().display();
    vec![
        "cgexec-rs --pipe --memory 64M".to_owned(),
        "cgexec-rs --pipe --memory 64M >/dev/full".to_owned(),
        "cgexec-rs --pipe --show >/dev/full".to_owned(),
        "netns-rs connect --pipe --bridge lo --address 10.92.0.2/24".to_owned(),
        "netns-rs connect --pipe --bridge rec0 --address 127.0.0.1/8".to_owned(),
        "netns-rs show --pipe >/dev/full".to_owned(),
        "chroot-rs --pipe --std /no/such/root".to_owned(),
        format!("chroot-rs --pipe --std {root}"),
        format!("chroot-rs --pipe --std {root} >/dev/full"),
        "nsenter-rs --pipe -- /no/such/command".to_owned(),
        "nsenter-rs --pipe --rm -- /no/such/command".to_owned(),
    ]
}

fn broken_records(good: &str) -> Vec<(Vec<u8>, &'static str)> {
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut record: Value = serde_json::from_str(good).expect("a record");
        change(&mut record);
        format!("{record}\n").into_bytes()
    };
    let own = std::process::id();
    let gone = ended_pid();
    vec![
        (edit(&|record| record["init"]["pid"] = own.into()), "belongs to another process"),
        (edit(&|record| record["init"]["start_time"] = 1.into()), "belongs to another process"),
        (edit(&|record| record["init"]["boot_id"] = "another".into()), "another boot"),
        (edit(&|record| record["init"]["pid"] = gone.into()), "gone"),
        (good.as_bytes()[..good.len() / 2].to_vec(), "truncated"),
        (b"{\n".to_vec(), "truncated"),
        (b"hello\n".to_vec(), "not JSON"),
        (b"\xff\xfe{}\n".to_vec(), "not JSON"),
        (b"[]\n".to_vec(), "not a JSON object"),
        (b"\n".to_vec(), "empty"),
        (b"{\"record\":1}\n".to_vec(), "no member \"init\""),
        (edit(&|record| record["init"]["pid"] = "1".into()), "member \"init\""),
        (edit(&|record| record["init"]["pid"] = (-1).into()), "names no process"),
        (edit(&|record| record["init"]["pid"] = json!(1.5)), "member \"init\""),
        (edit(&|record| record["namespaces"] = 7.into()), "member \"namespaces\""),
        (edit(&|record| record["name"] = json!(["web"])), "member \"name\""),
        (edit(&|record| record["record"] = 2.into()), "version 2"),
        (edit(&|record| record["padding"] = "x".repeat(10 << 20).into()), "longer than"),
    ]
}

/// Returns a whole record, as a pipeline makes it, that names `pid` and is correct in everything that can be known.
fn forge(template: &str, pid: i32) -> Vec<u8> {
    let mut record: Value = serde_json::from_str(template).expect("a record");
    let start: u64 = Stat::of(pid).and_then(|stat| stat.field(22).parse().ok()).expect("field 22");
    record["init"]["pid"] = pid.into();
    record["init"]["start_time"] = start.into();
    if record["init"].get("pidfd_inode").is_some() {
        record["init"]["pidfd_inode"] = pidfd_inode(pid).into();
    }
    for (name, namespace) in record["namespaces"].as_object_mut().expect("namespaces") {
        let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("a namespace");
        let inode: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        namespace["inode"] = inode.parse::<u64>().expect("an inode").into();
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("/proc/PID/cgroup");
    let paths: serde_json::Map<String, Value> = groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok())
        .filter(|[controllers, _]: &[&str; 2]| !controllers.is_empty() && !controllers.contains('='))
        .map(|[controllers, path]| (controllers.to_owned(), path.into()))
        .collect();
    record["cgroup"] = json!({"version": if paths.is_empty() { 2 } else { 1 }, "path": "/", "paths": paths, "limits": {"memory.max": 1}});
    record["net"] = json!({"interfaces": [{"name": "lo", "peer": "lo", "bridge": "lo", "addresses": ["127.0.0.1/8"]}], "nat": true});
    record["root"] = json!({"path": "/", "mounts": []});
    format!("{record}\n").into_bytes()
}

fn pidfd_inode(pid: i32) -> u64 {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd_open");
    assert!(pidfd.as_fd().as_raw_fd() >= 0);
    rustix::fs::fstat(&pidfd).expect("fstat(pidfd)").st_ino
}

/// Returns what must not change about a process: its identity, its cgroup and mounts, and its network.
fn picture(pid: i32) -> String {
    let read = |file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}"))
            .unwrap_or_else(|error| panic!("{pid} is gone: {file}: {error}"))
    };
    let interfaces: Vec<_> =
        read("net/dev").lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    let stat = Stat::of(pid).unwrap_or_else(|| panic!("{pid} is gone"));
    assert!(stat.is_alive(), "process {pid} was ended");
    format!("{:?} {} {} {} {}", interfaces, stat.field(22), read("cgroup"), read("mountinfo"), read("net/route"))
}

fn child_of(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn is_called(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// Returns a pid that no process has any more.
fn ended_pid() -> u32 {
    let mut child = std::process::Command::new("true").spawn().expect("true");
    let pid = child.id();
    child.wait().expect("wait");
    pid
}
