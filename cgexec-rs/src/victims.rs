//! The processes that the kernel killed because memory ran out, by its own log. `kmsg`: the kernel's
//! `Documentation/ABI/testing/dev-kmsg`.
//!
//! A killed process is gone when a counter shows it, and no file of the group names it. The log does, for those who may
//! read it (CAP_SYSLOG, or kernel.dmesg_restrict = 0). The surprise: its paths begin at the root of the hierarchy, even in
//! a cgroup namespace, so there a group is recognized by the end of its path. And when memory runs out often, the kernel
//! leaves out the lines that name groups; the processes are then not named.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use plumbing::cgroup::verdict::Process;
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use plumbing::text::Text;
use rustix::fs::{CWD, Mode, OFlags, SeekFrom, openat, seek};
use rustix::io::Errno;

/// The kernel's log, from where it ended when this was opened.
pub(crate) struct Log(Option<OwnedFd>);

impl Log {
    /// Opens the log at its end. Without the right to read it, no process is named.
    pub(crate) fn open() -> Log {
        let log = openat(CWD, "/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        Log(log.ok().filter(|log| seek(log, SeekFrom::End(0)).is_ok()))
    }

    /// Returns the killed processes of a group and of the groups in it, the largest first. `kills` is their number.
    pub(crate) fn killed_in(&self, group: &Path, kills: u64) -> Vec<Process> {
        let Some(log) = self.0.as_ref().filter(|_| kills > 0) else { return Vec::new() };
        let (mut text, mut record) = (String::new(), [0; 8192]);
        loop {
            match rustix::io::read(log, &mut record[..]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(length) => {
                    let line = String::from_utf8_lossy(&record[..length]);
                    // After the prefix, up to the end of the first line: the rest are properties.
                    text += line.split_once(';').map_or("", |(_, message)| message.lines().next().unwrap_or_default());
                    text.push('\n');
                }
                // EPIPE: records were overwritten before they were read.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let mut found = Place::of(group).killed(&text);
        found.truncate(usize::try_from(kills).unwrap_or(usize::MAX));
        found
    }
}

/// A group, as the log names it.
struct Place {
    path: String,
    /// Whether the path begins at the root of the hierarchy. In a cgroup namespace it does not, and only the end of the
    /// path in the log can be compared.
    is_whole: bool,
}

impl Place {
    fn of(group: &Path) -> Place {
        let path = escaped(group.as_os_str().as_bytes());
        Place { path, is_whole: is_in_first_namespace(Kind::Cgroup) == Some(true) }
    }

    /// Finds the kills of the group and of those in it, the largest first.
    fn killed(&self, log: &str) -> Vec<Process> {
        // The process of the last report, and whether its whole group is killed: memory.oom.group.
        let (mut named, mut is_all) = (None, false);
        let mut found: Vec<Process> = Vec::new();
        for line in log.lines() {
            if line.starts_with("oom-kill:") {
                (named, is_all) = (self.victim(line), false);
            } else if let Some(path) = line.strip_prefix("Tasks in ").and_then(|rest| rest.strip_suffix(ALL)) {
                is_all = self.holds(path);
            } else if let Some((pid, process)) = kill(line)
                && (is_all || named.take_if(|named| *named == pid).is_some())
            {
                found.push(process);
            }
        }
        found.sort_by_key(|process| std::cmp::Reverse(process.memory));
        found
    }

    /// Returns the pid in `oom-kill:…,task_memcg=/box/web,task=python3,pid=12,uid=0`, if the group is this one.
    fn victim<'l>(&self, line: &'l str) -> Option<&'l str> {
        let (_, rest) = line.split_once(",task_memcg=")?;
        let (rest, _) = rest.rsplit_once(",uid=")?;
        let (rest, pid) = rest.rsplit_once(",pid=")?;
        let (path, _) = rest.rsplit_once(",task=")?;
        self.holds(path).then_some(pid)
    }

    /// Returns whether the path is that of the group, or of a group in it.
    fn holds(&self, path: &str) -> bool {
        if self.path == "/" || self.path.is_empty() {
            return false;
        }
        path.match_indices(&self.path).any(|(at, _)| {
            let after = &path[at + self.path.len()..];
            (at == 0 || !self.is_whole) && (after.is_empty() || after.starts_with('/'))
        })
    }
}

const ALL: &str = " are going to be killed due to memory.oom.group set";

/// Reads `…Killed process 12 (python3) total-vm:35064kB, anon-rss:32640kB, file-rss:1252kB, shmem-rss:0kB, …`.
fn kill(line: &str) -> Option<(&str, Process)> {
    let (_, rest) = line.split_once("Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    // The name may contain parentheses.
    let (name, rest) = rest.rsplit_once(") total-vm:")?;
    let size = |key: &str| rest.split_once(key)?.1.split_once("kB")?.0.parse::<u64>().ok();
    let memory: u64 = ["anon-rss:", "file-rss:", "shmem-rss:"].into_iter().filter_map(size).sum();
    Some((pid, Process { name: Text(OsString::from_vec(unescaped(name))), memory: memory << 10 }))
}

/// Writes bytes as the log does.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b' '..=b'[' | b']'..=b'~' => text.push(char::from(*byte)),
            byte => text += &format!("\\x{byte:02x}"),
        }
    }
    text
}

/// Reads what the log has escaped.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(byte);
        bytes.extend_from_slice(if byte.is_some() { &part.as_bytes()[2..] } else { part.as_bytes() });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n\
        oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/outer/box,task_memcg=/outer/box/web,task=python3,pid=12,uid=0\n\
        Memory cgroup out of memory: Killed process 12 (python3) total-vm:35064kB, anon-rss:32640kB, file-rss:1024kB, shmem-rss:0kB, UID:0 pgtables:104kB oom_score_adj:0\n\
        oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/outer/boxer,task_memcg=/outer/boxer,task=other,pid=13,uid=0\n\
        Memory cgroup out of memory: Killed process 13 (other) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0\n\
        oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/outer/box,task=a) b,pid=14,uid=0\n\
        Memory cgroup out of memory: Killed process 14 (a) total-vm:9\\xff) total-vm:9kB, anon-rss:65536kB, file-rss:0kB, shmem-rss:0kB, UID:0\n\
        Tasks in /outer/box are going to be killed due to memory.oom.group set\n\
        Memory cgroup out of memory: Killed process 15 (sleep) total-vm:9kB, anon-rss:1024kB, file-rss:0kB, shmem-rss:0kB, UID:0\n\
        oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/else,task=sleep,pid=16,uid=0\n\
        Memory cgroup out of memory: Killed process 16 (sleep) total-vm:9kB, anon-rss:512kB, file-rss:0kB, shmem-rss:0kB, UID:0\n";

    fn names(path: &str, is_whole: bool) -> Vec<String> {
        let place = Place { path: path.to_owned(), is_whole };
        place.killed(LOG).iter().map(Process::shown).collect()
    }

    #[test]
    fn the_processes_of_the_group_are_named_and_no_others() {
        let of_box = ["a) total-vm:9\u{fffd} 64M", "python3 32.8M", "sleep 1M"];
        assert_eq!(names("/box", false), of_box);
        assert_eq!(names("/outer/box", true), of_box);
        assert_eq!(names("/box/web", false), ["python3 32.8M"]);
        for (path, is_whole) in [("/box", true), ("/", false), ("/er", false), ("/b", false)] {
            assert!(names(path, is_whole).is_empty(), "{path}");
        }
    }

    #[test]
    fn names_are_bytes() {
        assert_eq!(escaped(b"/a\\\xc3\xa9 b"), "/a\\x5c\\xc3\\xa9 b");
        assert_eq!(unescaped("a\\x5c\\xc3\\xa9\\x"), b"a\\\xc3\xa9");
    }
}
