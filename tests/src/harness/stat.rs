//! /proc/PID/stat, with fields counted from 1 as in proc_pid_stat(5). The second field, the name, is in parentheses and may
//! contain any character, so the other fields are counted from its end.

use std::fs;

/// The contents of the file.
#[derive(Default)]
pub struct Stat {
    /// The name.
    pub name: String,
    behind_name: Vec<String>,
}

impl Stat {
    /// Reads the file of a process; nothing if there is no such process.
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses the line.
    pub fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.rsplit_once(") ")?;
        let (_, name) = head.split_once(" (")?;
        Some(Self { name: name.to_owned(), behind_name: tail.split_whitespace().map(str::to_owned).collect() })
    }

    /// Returns a field after the name; empty if the line ends before it.
    pub fn field(&self, number: usize) -> &str {
        self.behind_name.get(number - 3).map_or("", String::as_str)
    }

    /// Reports whether the process is not a zombie.
    pub fn is_alive(&self) -> bool {
        !matches!(self.field(3), "Z" | "X")
    }
}
