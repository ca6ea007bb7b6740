//! Runs each case with the peer and with our tool, one after the other, and compares the findings. All cases of a table
//! run before the row fails, so that one report shows all failures.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Difference};
use super::frame::Frame;
use super::seen::Seen;
use crate::harness::world::World;

/// The number of times that a run is repeated if other processes mount something at the same time.
const REPETITIONS: usize = 10;

/// The document that explains the differences.
const DIFFERENCES: &str = include_str!("../../../../docs/differences.md");

/// Runs the cases of a table that apply.
pub fn agree(world: &World, tool: &Tool, cases: &[Case]) {
    let place = Place::new(world);
    // Emulation is slow, and a difference between kernels usually shows in every case of a table.
    let step = if world.in_vm { 8 } else { 1 };
    let applies = |case: &&Case| case.applies_to(world) && world.chooses(&case.line());
    let applying: Vec<_> = cases.iter().filter(applies).step_by(step).collect();
    assert!(!applying.is_empty() || world.case.is_some(), "no case of the table applies here");
    let complaints: Vec<_> = applying.into_iter().flat_map(|case| complaints(&place, tool, case)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The two tools to compare.
pub struct Tool {
    /// The replaced tool.
    pub peer: &'static str,
    /// Our tool.
    pub ours: &'static str,
}

fn complaints(place: &Place<'_>, tool: &Tool, case: &Case) -> Vec<String> {
    let ours = place.run(case, tool.ours);
    let found = match case.documented {
        Some(promises) => broken_promises(&ours, case, promises),
        None => against_the_peer(&place.run(case, tool.peer), &ours, tool, case),
    };
    let (errors, line) = (ours.stderr.trim(), case.line());
    if found.is_empty() { found } else { vec![format!("$ {line}\n  {}\n  our stderr: {errors}", found.join("\n  "))] }
}

fn broken_promises(ours: &Seen, case: &Case, promises: &[(&str, &str)]) -> Vec<String> {
    let value = |key: &str| ours.by_key.get(key).map_or("(missing)", |value| value.trim_end());
    let broken = promises.iter().filter(|(key, promised)| value(key) != *promised);
    let mut found: Vec<_> =
        broken.map(|(key, promised)| format!("{key}: promised {promised:?}, ours {:?}", value(key))).collect();
    if ours.status != case.ends {
        found.push(format!("ours ended with {}, not with {}", ours.status, case.ends));
    }
    found
}

fn against_the_peer(peer: &Seen, ours: &Seen, tool: &Tool, case: &Case) -> Vec<String> {
    if peer.status != case.ends {
        let errors = peer.stderr.trim();
        return vec![format!("the peer ended with {}, not with {}: {errors}", peer.status, case.ends)];
    }
    let documented = documented_status(peer, tool);
    if ours.status != documented {
        // One of the tools failed, so there is nothing else to compare.
        return match case.differs {
            [Difference { key: "status", document }] => undocumented("status", document),
            _ => vec![format!("the peer ended with {}, ours with {}, not {documented}", peer.status, ours.status)],
        };
    }
    let mut found = Vec::new();
    let mut excused: Vec<&Difference> = Vec::new();
    for (key, theirs, own) in peer.disagreements(ours) {
        if key == "status" {
            continue;
        }
        match case.differs.iter().find(|difference| difference.key == key) {
            Some(difference) => excused.push(difference),
            None => found.push(format!("{key}: the peer's {theirs:?}, ours {own:?}")),
        }
    }
    for Difference { key, document } in case.differs {
        if !excused.iter().any(|difference| difference.key == *key) {
            found.push(format!("{key}: ours is the same as the peer's; the exception is not needed"));
        }
        found.extend(undocumented(key, document));
    }
    found
}

fn undocumented(key: &str, document: &str) -> Vec<String> {
    let is_documented = DIFFERENCES.lines().any(|line| line.contains(document));
    if is_documented { Vec::new() } else { vec![format!("{key}: no line of docs/differences.md says {document:?}")] }
}

/// Returns the status that docs/exit-status.md demands: 125 for the peer's own failure, otherwise the command's status.
fn documented_status(peer: &Seen, tool: &Tool) -> i32 {
    let complains = |line: &str| ["newuidmap", "newgidmap", tool.peer].iter().any(|name| line.starts_with(name));
    let complained = peer.stderr.lines().any(complains);
    if peer.status == 1 && complained { 125 } else { peer.status }
}

/// The root file system for the cases, with the program `/look`.
struct Place<'a> {
    world: &'a World,
    look: PathBuf,
    root: PathBuf,
}

impl<'a> Place<'a> {
    fn new(world: &'a World) -> Self {
        let look = std::env::current_exe().expect("our own path");
        let root = world.shared_directory("agreement");
        if !root.join("look").exists() {
            for directory in ["proc", "tmp", "etc", "bin"] {
                fs::create_dir(root.join(directory)).expect("a directory of the root");
            }
            copy(&look, &root.join("look"));
            copy(&world.program("busybox").expect("busybox"), &root.join("bin/busybox"));
        }
        Self { world, look, root }
    }

    /// Runs a case. Mounts are counted relative to ours, so a run is valid only if our mounts did not change meanwhile.
    fn run(&self, case: &Case, tool: &str) -> Seen {
        for _ in 0..REPETITIONS {
            let frame = Frame::now();
            let seen = self.run_once(case, tool, &frame);
            if frame.still_holds() || !seen.by_key.contains_key("mounts") {
                return seen;
            }
        }
        panic!("the mounts of this machine change with every run of {tool}, or all the time: {}", case.line());
    }

    fn run_once(&self, case: &Case, tool: &str, frame: &Frame) -> Seen {
        // The same name in both runs, because a command may print it.
        let dir = self.root.join("tmp/empty");
        fs::create_dir(&dir).expect("an empty directory");
        let script = self.world.script(&case.line()).variable("unshare", tool);
        let script = script.variable("look", format!("{} --look", self.look.display()));
        let script = script.variable("root", self.root.display().to_string());
        // A fixed PATH: in a directory of root's PATH that an unprivileged user may not search, execvp(3) fails with
        // another
        // error.
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.world.tools.display());
        let script = script.variable("PATH", path);
        let running = script.variable("dir", dir.display().to_string()).start();
        let started = running.pid;
        let seen = Seen::of(&running.wait(), started, frame);
        fs::remove_dir_all(&dir).expect("nothing is mounted in the directory");
        seen
    }
}

fn copy(from: &Path, to: &Path) {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).expect("a copy of a program");
}
