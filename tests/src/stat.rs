//! /proc/PID/stat, its fields counted from 1 as proc_pid_stat(5) does. The second one, the name, stands in parentheses
//! and may itself have any character in it, so the others are counted from its end.

use std::fs;

/// What the file had when it was read.
#[derive(Default)]
pub struct Stat {
    /// The name.
    pub name: String,
    behind_name: Vec<String>,
}

impl Stat {
    /// That of a process; nothing where there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the line.
    pub fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.rsplit_once(") ")?;
        let (_, name) = head.split_once(" (")?;
        Some(Self { name: name.to_owned(), behind_name: tail.split_whitespace().map(str::to_owned).collect() })
    }

    /// A field behind the name, empty where the line ends before.
    pub fn field(&self, number: usize) -> &str {
        self.behind_name.get(number - 3).map_or("", String::as_str)
    }

    /// Whether it runs, and is not only waited for by its parent.
    pub fn is_alive(&self) -> bool {
        !matches!(self.field(3), "Z" | "X")
    }
}
