//! A case is run with the peer and with ours, one after the other, and compared. Every case of a table is run before
//! the row fails, so that one report shows all that is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Difference};
use super::frame::Frame;
use super::seen::Seen;
use crate::world::World;

/// How often a run is tried while somebody else mounts.
const REPETITIONS: usize = 10;

/// Where differences are documented.
const DIFFERENCES: &str = include_str!("../../../docs/differences.md");

/// Runs the cases of a table that apply.
pub fn agree(world: &World, tool: &Tool, cases: &[Case]) {
    let place = Place::new(world);
    // Emulation is slow, and most of what can differ between kernels differs in every case of a table.
    let step = if world.in_vm { 8 } else { 1 };
    let applies = |case: &&Case| case.applies_to(world) && world.chooses(&case.line());
    let applying: Vec<_> = cases.iter().filter(applies).step_by(step).collect();
    assert!(!applying.is_empty() || world.case.is_some(), "no case of the table applies here");
    let complaints: Vec<_> = applying.into_iter().flat_map(|case| complaints(&place, tool, case)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The two that are compared.
pub struct Tool {
    /// The tool replaced.
    pub peer: &'static str,
    /// Ours.
    pub ours: &'static str,
}

fn complaints(place: &Place<'_>, tool: &Tool, case: &Case) -> Vec<String> {
    let ours = place.run(case, tool.ours);
    let found = match case.documented {
        Some(promises) => broken_promises(&ours, case, promises),
        None => against_the_peer(&place.run(case, tool.peer), &ours, tool, case),
    };
    let (said, line) = (ours.stderr.trim(), case.line());
    if found.is_empty() { found } else { vec![format!("$ {line}\n  {}\n  ours said: {said}", found.join("\n  "))] }
}

fn broken_promises(ours: &Seen, case: &Case, promises: &[(&str, &str)]) -> Vec<String> {
    let value = |key: &str| ours.by_key.get(key).map_or("(not said)", |value| value.trim_end());
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
        let said = peer.stderr.trim();
        return vec![format!("the peer ended with {}, not with {}: {said}", peer.status, case.ends)];
    }
    let documented = documented_status(peer, tool);
    if ours.status != documented {
        // One of them did not do it, so there is nothing else to compare.
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
            found.push(format!("{key}: ours is as the peer's; the exception is not needed"));
        }
        found.extend(undocumented(key, document));
    }
    found
}

fn undocumented(key: &str, document: &str) -> Vec<String> {
    let is_documented = DIFFERENCES.lines().any(|line| line.contains(document));
    if is_documented { Vec::new() } else { vec![format!("{key}: no line of docs/differences.md says {document:?}")] }
}

/// docs/exit-status.md: what the peer's own failure becomes. Its command's status stays what it is.
fn documented_status(peer: &Seen, tool: &Tool) -> i32 {
    let complains = |line: &str| ["newuidmap", "newgidmap", tool.peer].iter().any(|name| line.starts_with(name));
    let complained = peer.stderr.lines().any(complains);
    if peer.status == 1 && complained { 125 } else { peer.status }
}

/// Where cases run: a root file system that has `/look`.
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

    /// Mounts are counted against ours, so a run counts when ours were the same all the time.
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
        // An unprivileged user may not look into a directory of root's PATH, and is then refused there instead of here.
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
