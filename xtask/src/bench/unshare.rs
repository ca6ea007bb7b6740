//! unshare-rs compared with unshare(1), and with a C program that makes the same calls and nothing else.

use std::time::Duration;

use anyhow::Result;

use super::alone::row;
use super::same_calls;
use super::scene::Scene;
use super::table::{Goal, Run, Table};

const SOURCE: &str = include_str!("unshare.c");
const FLOOR: &str = "floor: the same calls, in C";
const PEER: &str = "unshare";
const OURS: &str = "unshare-rs";

/// The calls that make namespaces, fill them, and make processes.
const TRACED: &str = "unshare,clone,clone3,fork,vfork,mount,write,execve";

const PROC: &str = "--fork --pid --mount-proc";
const ALL: &str = "--mount --uts --ipc --net --pid --user --cgroup --time --map-root-user --fork";

/// Makes one table for each case.
pub fn tables(scene: &Scene) -> Result<Vec<Table>> {
    let has_floor = scene.compile("unshare-floor", SOURCE, "-static-pie")?;
    let table = |title, word: &str, options: &str| -> Result<Table> {
        let floor = if has_floor { scene.run(&format!("unshare-floor {word} true")) } else { Run::NotHere("cc") };
        let rows = vec![
            row(FLOOR, floor, None),
            row(OURS, scene.run(&format!("unshare-rs {options} -- true")), Some(PEER)),
            row(PEER, scene.run(&format!("unshare {options} true")), None),
        ];
        if let [floor, ours, ..] = &rows[..] {
            same_calls::check(TRACED, floor, ours)?;
        }
        let goal = |than, at_most| Goal { row: OURS, than, at_most };
        let goals = vec![goal(FLOOR, 1.15), goal(PEER, 0.85)];
        Ok(Table { title, rest: Duration::ZERO, floor: FLOOR, rows, goals })
    };
    Ok(vec![
        table("unshare --fork --pid --mount-proc", "proc", PROC)?,
        table("unshare with all eight namespaces", "all", ALL)?,
    ])
}
