//! Each tool with a command that does nothing, or with the one option that its peer requires, compared with its peer.

use std::time::Duration;

use anyhow::Result;

use super::REST;
use super::scene::Scene;
use super::table::{Goal, Row, Run, Table};

const PAYLOAD: &str = "payload alone";

/// Makes the tables of start-up and parsing, without and with cgroups.
pub fn tables(scene: &Scene) -> Result<Vec<Table>> {
    Ok(vec![table(scene)?, cgroups(scene)?])
}

/// Makes the table of start-up and parsing.
fn table(scene: &Scene) -> Result<Table> {
    let us = std::process::id();
    let network = |line: String| match &scene.network {
        Some(name) => scene.run(&line.replace("NAME", name)),
        None => Run::NotHere("a network namespace"),
    };
    let rows = vec![
        row(PAYLOAD, scene.run("true"), None),
        row("unshare", scene.run("unshare true"), None),
        row("unshare-rs", scene.run("unshare-rs -- true"), Some("unshare")),
        row("nsenter -t PID -u", scene.run(&format!("nsenter -t {us} -u true")), None),
        row("nsenter-rs -t PID -u", scene.run(&format!("nsenter-rs -t {us} -u -- true")), Some("nsenter -t PID -u")),
        // Joining a mount namespace needs a sealed copy; here it is our own, so nothing else changes.
        row("nsenter -t PID -m", scene.run(&format!("nsenter -t {us} -m true")), None),
        row("nsenter-rs -t PID -m", scene.run(&format!("nsenter-rs -t {us} -m -- true")), Some("nsenter -t PID -m")),
        row("nsenter-rs", scene.run("nsenter-rs -- true"), Some("nsenter -t PID -u")),
        row("chroot /", scene.run("chroot / true"), None),
        row("chroot-rs /", scene.run("chroot-rs / true"), Some("chroot /")),
        // The first runs from a read-only view of itself; this row shows the cost of a second exec.
        row("chroot-rs --sealed-copy /", scene.run("chroot-rs --sealed-copy / true"), Some("chroot /")),
        row("ip netns exec NAME", network("ip netns exec NAME true".into()), None),
        row("netns-rs exec NAME", network("netns-rs exec NAME -- true".into()), Some("ip netns exec NAME")),
    ];
    let goals = vec![
        goal("unshare-rs", "unshare"),
        goal("nsenter-rs -t PID -u", "nsenter -t PID -u"),
        goal("nsenter-rs -t PID -m", "nsenter -t PID -m"),
        goal("chroot-rs /", "chroot /"),
        goal("netns-rs exec NAME", "ip netns exec NAME"),
    ];
    Ok(Table { title: "each tool alone", rest: Duration::ZERO, floor: PAYLOAD, rows, goals })
}

/// Makes the same table for cgroups, whose changes take longer on an idle machine.
fn cgroups(scene: &Scene) -> Result<Table> {
    let group = |line: &str| match &scene.group {
        Some(group) => scene.run(&line.replace("GROUP", group)),
        None => Run::NotHere("a cgroup"),
    };
    let peer = "cgexec -g memory:GROUP";
    let rows = vec![
        row(PAYLOAD, scene.run("true"), None),
        row(peer, group("cgexec -g memory:GROUP true"), None),
        row("cgexec-rs", scene.run("cgexec-rs -- true"), Some(peer)),
        row("cgexec-rs -g memory:GROUP", group("cgexec-rs -g memory:GROUP -- true"), Some(peer)),
        row("cgexec-rs --memory 256M", scene.run("cgexec-rs --memory 256M -- true"), Some(peer)),
    ];
    let goals = vec![goal("cgexec-rs", peer), goal("cgexec-rs -g memory:GROUP", peer)];
    Ok(Table { title: "each tool alone: cgroups", rest: REST, floor: PAYLOAD, rows, goals })
}

pub fn row(name: &str, run: Run, peer: Option<&'static str>) -> Row {
    Row { name: name.to_owned(), run, peer }
}

fn goal(row: &'static str, than: &'static str) -> Goal {
    Goal { row, than, at_most: 1.0 }
}
