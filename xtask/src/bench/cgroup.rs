//! A command in a new group with limits: cgexec-rs compared with the same calls in C, and with libcgroup's four tools.

use std::process::Command;

use anyhow::{Context, Result};

use super::REST;
use super::alone::row;
use super::scene::Scene;
use super::table::{Goal, Run, Stage, Table};
use crate::workspace;

const SOURCE: &str = include_str!("cgroup.c");
const FLOOR: &str = "floor: the same calls, in C";
const PEER: &str = "cgcreate, cgset, cgexec, cgdelete";
const OURS: &str = "cgexec-rs --memory 64M --pids 50";
const REPORT: &str = "cgexec-rs --report --memory 64M --pids 50";
const LIMITS: &str = "--memory 64M --pids 50";

/// Makes the table.
pub fn tables(scene: &mut Scene) -> Result<Vec<Table>> {
    let steps = steps(scene)?;
    let floor = if scene.compile("floor-cgroup", SOURCE, "-static-pie")? {
        scene.run(&format!("floor-cgroup {} -- true", steps.join(" ")))
    } else {
        Run::NotHere("cc")
    };
    let rows = vec![
        row(FLOOR, floor, None),
        row(OURS, scene.run(&format!("cgexec-rs {LIMITS} -- true")), Some(PEER)),
        row(REPORT, scene.run(&format!("cgexec-rs --report=/dev/null {LIMITS} -- true")), Some(PEER)),
        row("cgexec-rs --net-rate 10mbit", scene.run("cgexec-rs --net-rate 10mbit -- true"), None),
        row("cgexec-rs --devices docker", scene.run("cgexec-rs --devices docker -- true"), None),
        row(PEER, peer(scene), None),
    ];
    let goal = |than, at_most| Goal { row: OURS, than, at_most };
    let goals = vec![goal(FLOOR, 1.2), goal(PEER, 0.33)];
    let run = Table { title: "a command in a new limited group", rest: REST, floor: FLOOR, rows, goals };
    Ok(vec![run].into_iter().chain(views(scene)).collect())
}

const TREE: &str = "cgexec-rs --tree";
const TOP: &str = "cgexec-rs --top";
const CGLS: &str = "systemd-cgls --all";
const CGTOP: &str = "systemd-cgtop";

/// Views of a thousand groups.
fn views(scene: &mut Scene) -> Option<Table> {
    let group = scene.make_groups(1000)?;
    let quiet = |line: &str| {
        let Stage { program, arguments } = scene.stage(line);
        if !program.exists() {
            return Run::NotHere("systemd");
        }
        let script = "exec \"$0\" \"$@\" >/dev/null".to_owned();
        let arguments = [vec!["-c".to_owned(), script, program.to_string_lossy().into_owned()], arguments].concat();
        Run::Stages(vec![Stage { program: "/bin/sh".into(), arguments }])
    };
    let rows = vec![
        row(TREE, quiet(&format!("cgexec-rs --tree --cgroup {group}")), Some(CGLS)),
        row(CGLS, quiet(&format!("systemd-cgls --all --no-pager {group}")), None),
        row(TOP, quiet(&format!("cgexec-rs --top --batch --iterations 1 --delay 100ms --cgroup {group}")), Some(CGTOP)),
        row(CGTOP, quiet("systemd-cgtop --iterations=1 --batch --depth=5"), None),
    ];
    let goals = vec![Goal { row: TREE, than: CGLS, at_most: 0.5 }, Goal { row: TOP, than: CGTOP, at_most: 0.5 }];
    Some(Table { title: "a view of 1000 groups", rest: REST, floor: "none", rows, goals })
}

/// Returns what cgexec-rs does for these limits, from the plan that it prints, as steps of the C program.
fn steps(scene: &Scene) -> Result<Vec<String>> {
    let Stage { program, arguments } = scene.stage(&format!("cgexec-rs --dry-run --name @ {LIMITS} -- true"));
    let output = Command::new(program).args(arguments).output().context("cannot start cgexec-rs")?;
    let plan = String::from_utf8(output.stderr).context("the plan")?;
    let step = |line: &str| {
        let call = line.split_once(": ")?.1;
        let quoted: Vec<_> = call.split('"').skip(1).step_by(2).collect();
        match (call.split_once('(')?.0, &quoted[..]) {
            ("mkdirat", [parent, name, ..]) => Some(format!("m{parent}/{name}")),
            ("fchmod", [group]) => Some(format!("c{group}")),
            // A mark has spaces, and every mark costs the same.
            ("fsetxattr", [group, ..]) => Some(format!("x{group}=mark")),
            ("write", [file, "0", ..]) if file.ends_with("/tasks") || file.ends_with("/cgroup.procs") => {
                Some(format!("j{file}"))
            }
            ("write", [file, value, ..]) => Some(format!("w{file}={value}")),
            _ => None,
        }
    };
    Ok(plan.lines().filter_map(step).collect())
}

/// The same by libcgroup's tools. A shell starts them, which a script would do, too.
fn peer(scene: &Scene) -> Run {
    if let Some(missing) =
        ["cgcreate", "cgset", "cgexec", "cgdelete"].into_iter().find(|it| workspace::program(it).is_none())
    {
        return Run::NotHere(missing);
    }
    let set = if std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        "-r memory.limit_in_bytes=67108864 -r pids.max=50"
    } else {
        "-r memory.max=67108864 -r pids.max=50"
    };
    let script = format!(
        "g=xtask-bench-$$; cgcreate -g memory,pids:$g && cgset {set} $g && cgexec -g memory,pids:$g {}; cgdelete -g memory,pids:$g",
        scene.path("bin/true")
    );
    Run::Stages(vec![Stage { program: "/bin/sh".into(), arguments: vec!["-c".to_owned(), script] }])
}
