//! One case: what is typed, by whom, and what is known beforehand of how it ends.
//!
//! What is typed is a shell's line in which `$unshare` is the peer in one run and ours in the other, `$look` a program
//! that tells what it finds, `$root` a root file system with that program as `/look`, and `$dir` an empty directory.

use crate::world::World;

/// One invocation.
pub struct Case {
    /// The line.
    pub script: Script,
    /// The status that the peer ends with, as a shell tells it.
    pub ends: i32,
    /// What ours finds other than the peer's command does.
    pub differs: &'static [Difference],
    /// Where the peer of this machine is too old: what its manual page promises.
    pub documented: Option<&'static [(&'static str, &'static str)]>,
    who: Who,
    host_only: bool,
}

/// The parts of the line.
pub enum Script {
    /// `BEFORE; exec $unshare ARGUMENTS COMMAND`.
    Invocation { before: &'static str, arguments: &'static str, command: &'static str },
    /// More than one invocation, or something around it.
    Whole(&'static str),
}

/// An exception: the key that may differ, and words of the line of docs/differences.md that says so.
pub struct Difference {
    /// A key of what is found, or `status`.
    pub key: &'static str,
    /// Words of one line of the document.
    pub document: &'static str,
}

#[derive(PartialEq)]
enum Who {
    Anyone,
    Root,
    User,
}

impl Case {
    /// The tool with these arguments, and `$look` as its command.
    pub const fn new(arguments: &'static str) -> Self {
        Self::of(Script::Invocation { before: "", arguments, command: "$look" })
    }

    /// A whole script.
    pub const fn script(text: &'static str) -> Self {
        Self::of(Script::Whole(text))
    }

    const fn of(script: Script) -> Self {
        Self { script, ends: 0, differs: &[], documented: None, who: Who::Anyone, host_only: false }
    }

    /// What the shell does first.
    pub const fn after(mut self, preparation: &'static str) -> Self {
        if let Script::Invocation { before, .. } = &mut self.script {
            *before = preparation;
        }
        self
    }

    /// Another command than `$look`.
    pub const fn command(mut self, text: &'static str) -> Self {
        if let Script::Invocation { command, .. } = &mut self.script {
            *command = text;
        }
        self
    }

    /// The peer fails, or its command does.
    pub const fn ends(mut self, status: i32) -> Self {
        self.ends = status;
        self
    }

    /// Ours differs, and the documents say so.
    pub const fn differs(mut self, differs: &'static [Difference]) -> Self {
        self.differs = differs;
        self
    }

    /// The peer learnt this after 2.38: its command would have found this.
    pub const fn documented(mut self, seen: &'static [(&'static str, &'static str)]) -> Self {
        self.documented = Some(seen);
        self
    }

    /// For root.
    pub const fn root(mut self) -> Self {
        self.who = Who::Root;
        self
    }

    /// For an unprivileged user.
    pub const fn user(mut self) -> Self {
        self.who = Who::User;
        self
    }

    /// Not in the virtual machine, which lacks a program or a file that the case is about.
    pub const fn host(mut self) -> Self {
        self.host_only = true;
        self
    }

    /// Whether the case is about this user on this machine.
    pub fn applies_to(&self, world: &World) -> bool {
        let who = if world.is_root { Who::Root } else { Who::User };
        (self.who == Who::Anyone || self.who == who) && !(self.host_only && world.in_vm)
    }

    /// The line as it is typed.
    pub fn line(&self) -> String {
        match self.script {
            Script::Whole(text) => text.to_owned(),
            Script::Invocation { before: "", arguments, command } => format!("exec $unshare {arguments} {command}"),
            Script::Invocation { before, arguments, command } => {
                format!("{before}\nexec $unshare {arguments} {command}")
            }
        }
    }
}

impl Difference {
    /// A difference in `key` that the document excuses with these words.
    pub const fn new(key: &'static str, document: &'static str) -> Self {
        Self { key, document }
    }
}
