//! One case: a command line, the user who runs it, and how it is expected to end.
//!
//! The line is for a shell. In it, `$unshare` is the peer in one run and our tool in the other, `$look` a program that
//! prints what it finds, `$root` a root file system with that program as `/look`, and `$dir` an empty directory.

use crate::harness::world::World;

/// One invocation.
pub struct Case {
    /// The line.
    pub script: Script,
    /// The exit status of the peer, as a shell reports it.
    pub ends: i32,
    /// The findings of our tool's command that differ from those of the peer's command.
    pub differs: &'static [Difference],
    /// If the peer of this machine is too old: what the manual page of a newer one promises.
    pub documented: Option<&'static [(&'static str, &'static str)]>,
    who: Who,
    host_only: bool,
}

/// The parts of the line.
pub enum Script {
    /// One invocation: `BEFORE; exec $unshare ARGUMENTS COMMAND`.
    Invocation { before: &'static str, arguments: &'static str, command: &'static str },
    /// More than one invocation, or something around it.
    Whole(&'static str),
}

/// An exception: the key that may differ, and words of the line of docs/differences.md that explains it.
pub struct Difference {
    /// A key of the findings, or `status`.
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
    /// Makes a case of the tool with these arguments, and `$look` as its command.
    pub const fn new(arguments: &'static str) -> Self {
        Self::of(Script::Invocation { before: "", arguments, command: "$look" })
    }

    /// Makes a case of a whole script.
    pub const fn script(text: &'static str) -> Self {
        Self::of(Script::Whole(text))
    }

    const fn of(script: Script) -> Self {
        Self { script, ends: 0, differs: &[], documented: None, who: Who::Anyone, host_only: false }
    }

    /// Sets what the shell does first.
    pub const fn after(mut self, preparation: &'static str) -> Self {
        if let Script::Invocation { before, .. } = &mut self.script {
            *before = preparation;
        }
        self
    }

    /// Sets a command other than `$look`.
    pub const fn command(mut self, text: &'static str) -> Self {
        if let Script::Invocation { command, .. } = &mut self.script {
            *command = text;
        }
        self
    }

    /// Sets the status with which the peer, or its command, fails.
    pub const fn ends(mut self, status: i32) -> Self {
        self.ends = status;
        self
    }

    /// Sets the documented differences of our tool.
    pub const fn differs(mut self, differs: &'static [Difference]) -> Self {
        self.differs = differs;
        self
    }

    /// Sets what the command of a newer peer would find: version 2.38 does not have this feature.
    pub const fn documented(mut self, seen: &'static [(&'static str, &'static str)]) -> Self {
        self.documented = Some(seen);
        self
    }

    /// Runs the case only as root.
    pub const fn root(mut self) -> Self {
        self.who = Who::Root;
        self
    }

    /// Runs the case only as an unprivileged user.
    pub const fn user(mut self) -> Self {
        self.who = Who::User;
        self
    }

    /// Skips the case in virtual machines, which lack a program or a file that it needs.
    pub const fn host(mut self) -> Self {
        self.host_only = true;
        self
    }

    /// Reports whether the case is for this user on this machine.
    pub fn applies_to(&self, world: &World) -> bool {
        let who = if world.is_root { Who::Root } else { Who::User };
        (self.who == Who::Anyone || self.who == who) && !(self.host_only && world.in_vm)
    }

    /// Returns the line for the shell.
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
    /// Makes a difference in `key` that the document explains with these words.
    pub const fn new(key: &'static str, document: &'static str) -> Self {
        Self { key, document }
    }
}
