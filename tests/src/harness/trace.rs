//! The output of strace(1): the calls of each process in order, with decoded strings. strace and the tools' narration use
//! the same notation, so they can be compared.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::changing::{AT_TIMES, CHANGING, CHANGING_PRCTL, QUESTIONS_OF_BPF};
use crate::harness::notation::scan;
use crate::harness::world::World;

/// One system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The text between its parentheses, in strace's notation.
    pub arguments: String,
    /// Its result; empty if the process ended in it.
    pub answer: String,
    /// Its quoted strings, decoded.
    pub strings: Vec<String>,
    /// The paths that strace prints for its descriptors.
    pub descriptors: Vec<String>,
    /// Its words in capitals: flags and other constants.
    pub constants: Vec<String>,
}

/// The calls of one process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// Returns the words that make strace run a command and write its calls to files whose names begin with `prefix`.
pub fn strace(prefix: &Path) -> String {
    let names: Vec<_> = [CHANGING, AT_TIMES].concat().iter().map(|name| format!("?{name}")).collect();
    format!("strace -qq -ff -yy -s 65536 -e signal=none -e trace={} -o {}", names.join(","), prefix.display())
}

/// Returns a prefix for the traces of one run, in a new directory.
pub fn place(world: &World, name: &str) -> PathBuf {
    let directory = world.directory(name);
    // The traced process may become another user before strace opens the file of its child.
    directory.join("trace")
}

/// Reads the traces with this prefix, and removes them.
pub fn read(prefix: &Path) -> Vec<Process> {
    let directory = prefix.parent().expect("a directory");
    let start = format!("{}.", prefix.file_name().expect("a name").display());
    let mut processes = Vec::new();
    for entry in fs::read_dir(directory).expect("readdir").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix(&start).filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())) {
            let bytes = fs::read(entry.path()).expect("a trace");
            processes.push(Process::parse(pid, &String::from_utf8_lossy(&bytes)).without_setpriv());
            fs::remove_file(entry.path()).expect("unlink(trace)");
        }
    }
    processes.sort_by(|a, b| a.pid.cmp(&b.pid));
    processes
}

impl Process {
    /// Parses the trace of one process.
    pub fn parse(pid: &str, text: &str) -> Self {
        // The kernel interrupts and restarts some calls by itself, such as writes to network settings.
        let is_made = |call: &Call| !call.answer.starts_with("? ERESTART");
        Self { pid: pid.to_owned(), calls: text.lines().filter_map(Call::parse).filter(is_made).collect() }
    }
}

impl Process {
    /// Removes the calls of setpriv(1) before it executes the tool.
    fn without_setpriv(mut self) -> Self {
        let is_setpriv = |call: &Call| call.strings.first().is_some_and(|path| path.ends_with("/setpriv"));
        if self.calls.first().is_some_and(is_setpriv) {
            let tool = self.calls.iter().skip(1).position(|call| call.name == "execve" && call.succeeded());
            self.calls.drain(..1 + tool.unwrap_or(0));
        }
        self
    }
}

impl Call {
    /// Parses one line; `None` if it is not a call.
    fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let scanned = scan(rest);
        let answer = rest[scanned.end..].trim_start_matches(')').trim_start();
        let answer = answer.strip_prefix('=').unwrap_or_default().trim().to_owned();
        Some(Self {
            name: name.to_owned(),
            arguments: rest[..scanned.end].to_owned(),
            answer,
            strings: scanned.strings,
            descriptors: scanned.descriptors,
            constants: scanned.constants,
        })
    }

    /// Reports whether it is a call that must be narrated.
    pub fn changes_state(&self) -> bool {
        let has = |constant: &str| self.constants.iter().any(|word| word == constant);
        let into = |place: &str| self.descriptors.first().is_some_and(|path| path.starts_with(place));
        match self.name.as_str() {
            "open" | "openat" | "openat2" => has("O_CREAT"),
            // A child without an exit signal only examines something for the tool.
            "clone" | "clone3" => ["SIGCHLD", "CLONE_PARENT"].iter().any(|word| has(word)),
            "open_tree" => has("OPEN_TREE_CLONE"),
            "write" | "pwrite64" | "writev" => into("/proc/") || into("/sys/"),
            // A request for information counts as a read, whichever call sends it.
            "sendto" | "sendmsg" => into("NETLINK:") && self.messages().iter().any(|message| !message.is_question()),
            "bpf" => !QUESTIONS_OF_BPF.iter().any(|command| has(command)),
            "prctl" => CHANGING_PRCTL.iter().any(|option| has(option)),
            "prlimit64" => self.arguments.split(", ").nth(2) != Some("NULL"),
            "ptrace" => ["PTRACE_SEIZE", "PTRACE_INTERRUPT", "PTRACE_DETACH"].iter().any(|request| has(request)),
            "ioctl" => self
                .constants
                .iter()
                .any(|word| word.starts_with("SIOCS") || word.starts_with("TUNSET") || word == "TIOCNOTTY"),
            // From FD_NSFS_ROOT it opens a namespace, as opening a file of /proc does. A file can so be reached past all mounts.
            "open_by_handle_at" => !self.arguments.starts_with("-10003"),
            name => CHANGING.contains(&name),
        }
    }

    /// Returns the types of its netlink messages.
    pub fn messages(&self) -> Vec<Message<'_>> {
        let types = self.arguments.split("nlmsg_type=").skip(1);
        types.map(|rest| Message(rest.split([',', ' ', '}']).next().unwrap_or_default())).collect()
    }

    /// Returns the text written to stderr, if this call did or tried that.
    pub fn printed(&self) -> Option<&str> {
        let is_stderr = self.arguments.starts_with("2<") || self.arguments.starts_with("2,");
        (self.name == "write" && is_stderr).then(|| self.strings.first().map(String::as_str))?
    }

    /// Reports whether the call succeeded.
    pub fn succeeded(&self) -> bool {
        !self.answer.starts_with('-') && !self.answer.is_empty()
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}) = {}", self.name, self.arguments, self.answer)
    }
}

/// The type of a netlink message.
#[derive(Debug, PartialEq)]
pub struct Message<'a>(&'a str);

/// The types of rtnetlink, conntrack and nftables. strace prints numbers if it cannot find out the protocol of a socket: one of another
/// network namespace, or on a kernel without the module for it.
const TYPES: &[(u32, &str)] = &[
    (16, "RTM_NEWLINK"),
    (17, "RTM_DELLINK"),
    (18, "RTM_GETLINK"),
    (19, "RTM_SETLINK"),
    (20, "RTM_NEWADDR"),
    (21, "RTM_DELADDR"),
    (22, "RTM_GETADDR"),
    (24, "RTM_NEWROUTE"),
    (25, "RTM_DELROUTE"),
    (26, "RTM_GETROUTE"),
    (28, "RTM_NEWNEIGH"),
    (29, "RTM_DELNEIGH"),
    (30, "RTM_GETNEIGH"),
    (36, "RTM_NEWQDISC"),
    (38, "RTM_GETQDISC"),
    (88, "RTM_NEWNSID"),
    (90, "RTM_GETNSID"),
    (108, "RTM_NEWLINKPROP"),
    (0x101, "IPCTNL_MSG_CT_GET"),
    (0x102, "IPCTNL_MSG_CT_DELETE"),
    (0xa00, "NFT_MSG_NEWTABLE"),
    (0xa01, "NFT_MSG_GETTABLE"),
    (0xa02, "NFT_MSG_DELTABLE"),
    (0xa03, "NFT_MSG_NEWCHAIN"),
    (0xa04, "NFT_MSG_GETCHAIN"),
    (0xa06, "NFT_MSG_NEWRULE"),
    (0xa07, "NFT_MSG_GETRULE"),
];

impl Message<'_> {
    /// Returns its name, or strace's notation if it is not in the table.
    pub fn name(&self) -> &str {
        let number = self.0.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let known = number.and_then(|number| TYPES.iter().find(|(known, _)| *known == number));
        known.map_or(self.0, |(_, name)| *name)
    }

    fn is_question(&self) -> bool {
        ["RTM_GET", "NFT_MSG_GET", "IPCTNL_MSG_CT_GET"]
            .iter()
            .any(|start| self.name().rsplit("<<8|").next().is_some_and(|name| name.starts_with(start)))
    }
}
