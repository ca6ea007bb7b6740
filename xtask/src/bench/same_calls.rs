//! Compares the changes that two programs make in the kernel, process by process, with strace(1).

use std::fs;
use std::path::Path;
use std::process::{Command, id};

use anyhow::{Context, Result, bail};

use super::table::{Row, Run, Stage};
use crate::workspace;

/// Fails if two rows make different calls among `traced`: a floor that does less would be wrong. Prints a message if strace
/// is missing.
pub fn check(traced: &str, one: &Row, other: &Row) -> Result<()> {
    let (Run::Stages(one), Run::Stages(other)) = (&one.run, &other.run) else { return Ok(()) };
    let (one, other) = (&one[0], &other[0]);
    let Some(strace) = workspace::program("strace") else {
        println!("the calls of the floor are not compared: strace is not installed");
        return Ok(());
    };
    let (ones, others) = (calls(&strace, traced, one)?, calls(&strace, traced, other)?);
    if ones != others {
        bail!("{} makes {ones:#?}, but {} makes {others:#?}", one.program.display(), other.program.display());
    }
    Ok(())
}

/// Returns the calls of each process, in the order of their creation.
fn calls(strace: &Path, traced: &str, stage: &Stage) -> Result<Vec<Vec<String>>> {
    let folder = std::env::temp_dir().join(format!("xtask-bench-{}-strace", id()));
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new(strace);
    command.args(["-ff", "-qq", "-e", "signal=none", "-e", &format!("trace={traced}"), "-o"]).arg(folder.join("of"));
    command.arg(&stage.program).args(&stage.arguments);
    let status = command.status();
    let seen = read(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    // The table shows what the kernel refuses to this user.
    if !status.context("cannot start strace")?.success() {
        return Ok(Vec::new());
    }
    let mut seen = seen?;
    if let Some(first) = seen.first_mut().filter(|_| traced.split(',').any(|call| call == "execve")) {
        // The execve(2) by which strace started it.
        first.remove(0);
    }
    Ok(seen)
}

fn read(folder: &Path) -> Result<Vec<Vec<String>>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let pid: u32 = path.extension().unwrap_or_default().to_string_lossy().parse()?;
        processes.push((pid, fs::read_to_string(&path)?));
    }
    processes.sort();
    Ok(processes.iter().map(|(_, text)| text.lines().map(|line| essence(line).to_owned()).collect()).collect())
}

/// Returns a call without its result, and without the ways to fork and their numbers.
fn essence(line: &str) -> &str {
    let call = line.rsplit_once(" = ").map_or(line, |(call, _)| call).trim_end();
    match call.split_once('(') {
        Some(("clone" | "clone3" | "fork" | "vfork", _)) => "fork",
        // Without the address of the environment.
        Some(("execve", arguments)) => arguments.split(", 0x").next().unwrap_or(arguments),
        _ => call,
    }
}

#[cfg(test)]
mod tests {
    use super::essence;

    #[test]
    fn addresses_are_removed_from_a_call() {
        assert_eq!(essence("clone3({flags=CLONE_PIDFD, stack=NULL} => {pidfd=[3]}, 88) = 7"), "fork");
        assert_eq!(
            essence("execve(\"/b/true\", [\"/b/true\"], 0x7ffd /* 35 vars */) = 0"),
            "\"/b/true\", [\"/b/true\"]"
        );
        assert_eq!(essence("write(3, \"0 0 1\", 5)  = 5"), "write(3, \"0 0 1\", 5)");
    }
}
