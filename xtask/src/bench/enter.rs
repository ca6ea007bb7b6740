//! nsenter-rs compared with nsenter(1), and with a C program that makes the same calls and nothing else.

use std::time::Duration;

use anyhow::Result;

use super::alone::row;
use super::same_calls;
use super::scene::Scene;
use super::table::{Goal, Run, Table};

const SOURCE: &str = include_str!("enter.c");
const FLOOR: &str = "floor: the same calls, in C";
const SEALED: &str = "floor, after executing a read-only view";
const FIXED: &str = "floor, at a fixed address";
const BLIND: &str = "floor, at a fixed address, given what to join";
const PEER: &str = "nsenter -t PID -a";
const OURS: &str = "nsenter-rs -t PID -a";

/// The calls that find the target, compare its namespaces with ours, and join them. execve(2) is left out: an unprivileged
/// strace(1) cannot read it from a process that hides.
const TRACED: &str = "pidfd_open,readlinkat,setns";

/// Makes a table with a border, and one without.
pub fn tables(scene: &mut Scene) -> Result<Vec<Table>> {
    let has_floor = scene.compile("floor-enter", SOURCE, "-static-pie")?
        && scene.compile("floor-enter-fixed", SOURCE, "-static")?;
    let floor = |scene: &Scene, line: String| if has_floor { scene.run(&line) } else { Run::NotHere("cc") };
    let goal = |than, at_most| Goal { row: OURS, than, at_most };
    let within = scene.target("--mount --uts --ipc --net --pid --cgroup")?;
    let rows = vec![
        row(FLOOR, floor(scene, format!("floor-enter plain {within} true")), None),
        row(SEALED, floor(scene, format!("floor-enter sealed {within} true")), None),
        row(OURS, scene.run(&format!("nsenter-rs -t {within} -a -- true")), Some(PEER)),
        row(
            "nsenter-rs --sealed-copy -t PID -a",
            scene.run(&format!("nsenter-rs --sealed-copy -t {within} -a -- true")),
            Some(PEER),
        ),
        row(PEER, scene.run(&format!("nsenter -t {within} -a true")), None),
    ];
    let goals = vec![goal(SEALED, 1.15), goal(PEER, 1.0)];
    let crossing = Table { title: "enter all six namespaces", rest: Duration::ZERO, floor: FLOOR, rows, goals };
    let without_border = scene.target("--uts --ipc --net")?;
    let rows = vec![
        row(FLOOR, floor(scene, format!("floor-enter plain {without_border} true")), None),
        row(OURS, scene.run(&format!("nsenter-rs -t {without_border} -a -- true")), Some(PEER)),
        row(FIXED, floor(scene, format!("floor-enter-fixed plain {without_border} true")), None),
        row(BLIND, floor(scene, format!("floor-enter-fixed blind {without_border} true")), None),
        row(PEER, scene.run(&format!("nsenter -t {without_border} -a true")), None),
    ];
    if let [floor, ours, ..] = &rows[..] {
        same_calls::check(TRACED, floor, ours)?;
    }
    let goals = vec![goal(FLOOR, 1.15), goal(PEER, 0.85)];
    let flat = Table { title: "enter without a border", rest: Duration::ZERO, floor: FLOOR, rows, goals };
    Ok(vec![crossing, flat])
}
