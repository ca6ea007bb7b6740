//! A container's root by `chroot-rs --std` and by bwrap: the same mounts at the same places, then the command. Both create
//! only a mount namespace, so the cost of making the root is measured.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::alone::row;
use super::scene::Scene;
use super::table::{Goal, Run, Table};
use crate::workspace;

const OURS: &str = "chroot-rs --std";
const BWRAP: &str = "bwrap";
const PAYLOAD: &str = "payload alone";

const HIDDEN_FILES: [&str; 4] = ["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"];
const MORE_HIDDEN_FILES: [&str; 3] = ["/proc/latency_stats", "/proc/sched_debug", "/proc/timer_stats"];
const HIDDEN_DIRECTORIES: [&str; 5] =
    ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes the table.
pub fn table(scene: &Scene) -> Result<Table> {
    let root = scene.root().to_string_lossy().into_owned();
    let ours = format!("chroot-rs --std {root} -- /bin/");
    let bwrap = format!("bwrap {} -- /bin/", bwrap_options(&root));
    let run = |line: &str| match workspace::is_root() {
        Ok(true) => scene.run(&format!("{line}true")),
        _ => Run::NotHere("root: without it, bwrap also makes a user namespace"),
    };
    let rows = vec![
        row(PAYLOAD, scene.run("true"), None),
        row(OURS, run(&ours), Some(BWRAP)),
        row("chroot-rs --std, no filter", run(&ours.replace("--std", "--std --seccomp none")), Some(BWRAP)),
        row(BWRAP, run(&bwrap), None),
    ];
    if rows.iter().all(|row| matches!(row.run, Run::Stages(_))) {
        compare(scene, &ours, &bwrap)?;
    }
    let goals = vec![Goal { row: OURS, than: BWRAP, at_most: 1.0 }];
    Ok(Table { title: "a root", rest: std::time::Duration::ZERO, floor: PAYLOAD, rows, goals })
}

/// Returns the mounts of `--std` as options of bwrap. None of them is for cgroups: bwrap binds the host's /sys with all below.
fn bwrap_options(root: &str) -> String {
    let mut options = format!(
        "--bind {root} / --perms 1777 --tmpfs /tmp --tmpfs /run --ro-bind /etc/hosts /etc/hosts --ro-bind /etc/hostname \
         /etc/hostname --ro-bind /etc/resolv.conf /etc/resolv.conf --proc /proc --ro-bind /sys /sys --dev /dev --tmpfs \
         /dev/shm --mqueue /dev/mqueue --clearenv --setenv PATH /bin --setenv HOME /root"
    );
    let is_here = |path: &&&str| Path::new(path).exists();
    for path in HIDDEN_FILES.iter().chain(&MORE_HIDDEN_FILES).filter(is_here) {
        options.push_str(&format!(" --ro-bind /dev/null {path}"));
    }
    for path in HIDDEN_DIRECTORIES.iter().filter(is_here) {
        options.push_str(&format!(" --tmpfs {path} --remount-ro {path}"));
    }
    for path in READ_ONLY.iter().filter(is_here) {
        options.push_str(&format!(" --ro-bind {path} {path}"));
    }
    options
}

/// Demands that both make the same mounts, except for devices, which only bwrap binds, and mounts below the bound /sys.
fn compare(scene: &Scene, ours: &str, bwrap: &str) -> Result<()> {
    let seen = |line: &str| -> Result<BTreeSet<String>> {
        std::fs::copy(scene.root().join("bin/true"), scene.root().join("bin/cat"))?;
        let stage = scene.stage(&format!("{line}cat /proc/self/mountinfo"));
        let output = Command::new(&stage.program).args(&stage.arguments).output().context("a container")?;
        ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let places = text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
        let is_apart = |place: &String| {
            let is_device = place.starts_with("/dev/") && !["/dev/pts", "/dev/shm", "/dev/mqueue"].contains(&&**place);
            is_device || place.starts_with("/sys/fs/") || place.starts_with("/sys/kernel/")
        };
        Ok(places.filter(|place| !is_apart(place)).collect())
    };
    let (ours, theirs) = (seen(ours)?, seen(bwrap)?);
    ensure!(ours == theirs, "chroot-rs and bwrap mount on different places: {ours:?} and {theirs:?}");
    Ok(())
}
