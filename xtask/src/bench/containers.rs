//! Containers with the same root, limits and namespaces, made by our tools, by their peers, and by the bare kernel calls.
//! None of them has a network.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::REST;
use super::alone::row;
use super::scene::Scene;
use super::table::{Goal, Run, Stage, Table};

const FLOOR: &str = "floor: the kernel calls";
const CRUN: &str = "crun run";
const FOUR: &str = "chain of four";
const LIMITS: &str = "--memory 256M --pids 100";
const OWN: &str = "--mount --pid --ipc --uts --cgroup --hostname bench";

/// The title of the only table.
pub const TITLE: &str = "a container";

/// Makes the only table.
pub fn tables(scene: &Scene) -> Result<Vec<Table>> {
    let root = scene.root().to_string_lossy().into_owned();
    let chain = format!("cgexec-rs {LIMITS} -- unshare-rs {OWN} --fork -- chroot-rs --std {root} -- /bin/true");
    let pipe = format!(
        "unshare-rs --hold --name bench {OWN} | cgexec-rs --pipe {LIMITS} | chroot-rs --pipe --std {root} | \
         nsenter-rs --pipe --rm -- /bin/true"
    );
    let bwrap = format!(
        "bwrap --unshare-all --share-net --hostname bench --bind {root} / --proc /proc --dev /dev --tmpfs /tmp -- /bin/true"
    );
    let peers = match &scene.group {
        Some(group) => scene.run(&format!("cgexec -g memory:{group} unshare -fpmuiC chroot {root} /bin/true")),
        None => Run::NotHere("a cgroup"),
    };
    let rows = vec![
        row(FLOOR, Run::Stages(vec![floor(scene, &root)]), None),
        row(FOUR, scene.run(&format!("nsenter-rs -- {chain}")), Some(CRUN)),
        row("chain of three", scene.run(&chain), Some(CRUN)),
        row("pipe of four", scene.run(&pipe), Some(CRUN)),
        row("unshare-rs, chroot-rs: no limits", scene.run(&without_limits(&root)), Some("bwrap --unshare-all")),
        row("peers: cgexec, unshare, chroot", peers, None),
        row("bwrap --unshare-all", scene.run(&bwrap), None),
        row(CRUN, runtime(scene, "crun", "--cgroup-manager=cgroupfs"), None),
        row("runc run", runtime(scene, "runc", ""), None),
    ];
    let goals = vec![Goal { row: FOUR, than: CRUN, at_most: 0.5 }];
    Ok(vec![Table { title: TITLE, rest: REST, floor: FLOOR, rows, goals }])
}

fn without_limits(root: &str) -> String {
    format!("unshare-rs {OWN} --fork -- chroot-rs --std {root} -- /bin/true")
}

fn runtime(scene: &Scene, name: &'static str, option: &str) -> Run {
    let (state, bundle) = (scene.path(&format!("state-{name}")), scene.path(&format!("bundle-{name}")));
    let line =
        format!("{name} {option} --root {state} run --bundle {bundle} xtask-bench-{name}-{}", std::process::id());
    match scene.run(&line) {
        Run::Stages(stages) => Run::WithoutHybrid(stages),
        other => other,
    }
}

/// Returns the command of the floor, with the limits in a new group in each v1 hierarchy, or in one in v2.
fn floor(scene: &Scene, root: &str) -> Stage {
    let group = format!("xtask-floor-{}", std::process::id());
    let v1 = Path::new("/sys/fs/cgroup/memory/tasks").exists();
    let file = |controller: &str, file: &str| -> PathBuf {
        let top = Path::new("/sys/fs/cgroup");
        if v1 { top.join(controller).join(&group).join(file) } else { top.join(&group).join(file) }
    };
    let memory = file("memory", if v1 { "memory.limit_in_bytes" } else { "memory.max" });
    let pids = file("pids", "pids.max");
    let mut stage = scene.stage(&format!("floor {root} /bin/true"));

    stage.arguments.push(format!("{}=268435456", memory.display()));
    stage.arguments.push(format!("{}=100", pids.display()));
    stage
}
