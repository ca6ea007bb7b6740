//! Reading the files of one group for a view of many: few files, none of them expensive, and no error text unless one is
//! needed. The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use std::os::fd::BorrowedFd;

use plumbing::cgroup::hierarchy::Hierarchy;
use plumbing::cgroup::usage::field;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::groups::{Amount, Cpu, Io, Node};

/// Fills the node with what this directory counts.
pub(crate) fn read(dir: BorrowedFd<'_>, hierarchy: &Hierarchy, node: &mut Node) -> Result<(), Errno> {
    node.processes = processes(dir)?;
    if hierarchy.version == 2 {
        return v2(dir, node);
    }
    for controller in &hierarchy.controllers {
        match controller.as_str() {
            "memory" => node.memory = amount(dir, "memory.usage_in_bytes", "memory.limit_in_bytes")?,
            "pids" => node.pids = amount(dir, "pids.current", "pids.max")?,
            "cpuacct" => {
                let usage = number(dir, "cpuacct.usage")?.unwrap_or(0) / 1000;
                node.cpu.get_or_insert_default().usage_usec = usage;
            }
            "cpu" => {
                let limit = number(dir, "cpu.cfs_quota_us")?.zip(number(dir, "cpu.cfs_period_us")?);
                let stat = text(dir, "cpu.stat")?.unwrap_or_default();
                let cpu = node.cpu.get_or_insert_default();
                cpu.max = limit.map(|(quota, period)| format!("{quota} {period}"));
                cpu.throttled_usec = field(&stat, "throttled_time").map(|time| time / 1000);
            }
            "blkio" => {
                let text = text(dir, "blkio.throttle.io_service_bytes")?.unwrap_or_default();
                node.io = Some(Io { rbytes: sum(&text, " Read "), wbytes: sum(&text, " Write ") });
            }
            "freezer" => {
                node.is_frozen = text(dir, "freezer.state")?.is_some_and(|state| state.trim_end() == "FROZEN");
            }
            _ => {}
        }
    }
    Ok(())
}

fn v2(dir: BorrowedFd<'_>, node: &mut Node) -> Result<(), Errno> {
    node.memory = amount(dir, "memory.current", "memory.max")?;
    node.pids = amount(dir, "pids.current", "pids.max")?;
    if let Some(stat) = text(dir, "cpu.stat")? {
        node.cpu = Some(Cpu {
            usage_usec: field(&stat, "usage_usec").unwrap_or(0),
            max: text(dir, "cpu.max")?.map(|max| max.trim_end().to_owned()).filter(|max| !max.starts_with("max")),
            throttled_usec: field(&stat, "throttled_usec"),
        });
    }
    if let Some(stat) = text(dir, "io.stat")? {
        node.io = Some(Io { rbytes: sum(&stat, " rbytes="), wbytes: sum(&stat, " wbytes=") });
    }
    for (resource, file) in [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("io", "io.pressure")] {
        let share = text(dir, file)?.and_then(|text| text.strip_prefix("some avg10=")?.split(' ').next()?.parse().ok());
        node.pressure.extend(share.map(|share| (resource, share)));
    }
    node.is_frozen = text(dir, "cgroup.events")?.is_some_and(|events| field(&events, "frozen") == Some(1));
    Ok(())
}

fn amount(dir: BorrowedFd<'_>, current: &str, max: &str) -> Result<Option<Amount>, Errno> {
    let Some(current) = number(dir, current)? else { return Ok(None) };
    // v1 writes "no limit" as the largest number of pages.
    let max = number(dir, max)?.filter(|max| *max < i64::MAX as u64 - 0xffff);
    Ok(Some(Amount { current, max }))
}

fn number(dir: BorrowedFd<'_>, file: &str) -> Result<Option<u64>, Errno> {
    Ok(text(dir, file)?.and_then(|text| text.trim_end().parse().ok()))
}

/// Adds the numbers that follow a word, in all lines.
fn sum(text: &str, word: &str) -> u64 {
    let number = |line: &str| line.split_once(word)?.1.split(' ').next()?.parse::<u64>().ok();
    text.lines().filter_map(number).sum()
}

/// Returns the text of a file; `None` if the group has no such file.
pub(crate) fn text(dir: BorrowedFd<'_>, file: &str) -> Result<Option<String>, Errno> {
    let mut bytes = Vec::new();
    let take = |chunk: &[u8]| {
        bytes.extend_from_slice(chunk);
        // The kernel writes the whole text at once, so what does not fill the buffer is all of it.
        chunk.len() < CHUNK
    };
    match chunks(dir, file, take) {
        Ok(()) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Counts the processes of the group itself.
fn processes(dir: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut lines = 0;
    let take = |chunk: &[u8]| {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        false
    };
    match chunks(dir, "cgroup.procs", take) {
        // A group of threads has no processes.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(lines),
        Err(errno) => Err(errno),
    }
}

const CHUNK: usize = 4096;

/// Reads a file until its end, or until `take` knows that a part was the last one.
fn chunks(dir: BorrowedFd<'_>, file: &str, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Errno> {
    let file = openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; CHUNK];
    loop {
        match rustix::io::read(&file, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(length) if take(&buffer[..length]) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_after_a_word_are_added_over_all_lines() {
        assert_eq!(sum("8:0 rbytes=5 wbytes=7 rios=1\n8:1 rbytes=6 wbytes=0", " rbytes="), 11);
        assert_eq!(sum("8:0 Read 4096\n8:0 Write 1\nTotal 4097", " Read "), 4096);
    }
}
