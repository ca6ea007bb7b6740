//! Whether two programs change the same in the kernel, process by process: what strace(1) sees of them.

use std::fs;
use std::path::Path;
use std::process::{Command, id};

use anyhow::{Context, Result, bail};

use super::table::{Row, Run, Stage};
use crate::workspace;

/// Fails where two rows make other calls among `traced`: a floor that did less would be no floor. Says so where that
/// cannot be told here.
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

/// Of each process in the order of their births.
fn calls(strace: &Path, traced: &str, stage: &Stage) -> Result<Vec<Vec<String>>> {
    let folder = std::env::temp_dir().join(format!("xtask-bench-{}-strace", id()));
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new(strace);
    command.args(["-ff", "-qq", "-e", "signal=none", "-e", &format!("trace={traced}"), "-o"]).arg(folder.join("of"));
    command.arg(&stage.program).args(&stage.arguments);
    let status = command.status();
    let seen = read(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    // What the kernel refuses to this user, the table says.
    if !status.context("cannot start strace")?.success() {
        return Ok(Vec::new());
    }
    let mut seen = seen?;
    if let Some(first) = seen.first_mut().filter(|_| traced.split(',').any(|call| call == "execve")) {
        // How strace started it.
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

/// Without the answer, and without the ways to fork and the numbers in them.
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
    fn the_essence_of_a_call_has_no_addresses() {
        assert_eq!(essence("clone3({flags=CLONE_PIDFD, stack=NULL} => {pidfd=[3]}, 88) = 7"), "fork");
        assert_eq!(
            essence("execve(\"/b/true\", [\"/b/true\"], 0x7ffd /* 35 vars */) = 0"),
            "\"/b/true\", [\"/b/true\"]"
        );
        assert_eq!(essence("write(3, \"0 0 1\", 5)  = 5"), "write(3, \"0 0 1\", 5)");
    }
}
