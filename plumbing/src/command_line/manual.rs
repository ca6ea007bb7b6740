//! What a tool's manual page contains besides its options: the kernel calls that it makes, and examples;
//! `man-pages(7)`.
//!
//! All of it is declared as data, so that tests can compare it with what the tool narrates and prints.

/// What a page needs besides the declaration of the options.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// The description: one sentence, or a few.
    pub description: &'static str,
    /// The kernel calls, in the order in which the kernel wants them.
    pub calls: &'static [Call],
    /// Tasks that the tool solves.
    pub examples: &'static [Example],
    /// Related manual pages, such as `unshare(2)`.
    pub see_also: &'static [&'static str],
}

/// A kernel call that the tool makes.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The name of the call.
    pub name: &'static str,
    /// What the call acts on: a part of its arguments as they are narrated; empty if the name is sufficient.
    pub about: &'static str,
    /// The manual page of the call.
    pub page: &'static str,
    /// The purpose of the call, and the reason for its place.
    pub why: &'static str,
}

/// Makes a row of [`Manual::calls`].
pub const fn call(name: &'static str, about: &'static str, page: &'static str, why: &'static str) -> Call {
    Call { name, about, page, why }
}

/// Rows that more than one page has: those about giving up privilege, and the last step of every tool.
pub mod shared {
    use super::{Call, call};

    /// The first of the three calls that keep our executable from being written to.
    pub const VIEW: Call = call(
        "open_tree",
        "/proc/self/exe",
        "open_tree(2)",
        "First: a view of our executable that cannot be written through. A program of the root finds that file by \
         /proc/PID/exe, or by beginning with #!/proc/self/exe (CVE-2019-5736). Without the right to it, a sealed copy \
         is used; memfd_create(2).",
    );
    /// The second of these calls.
    pub const READ_ONLY_VIEW: Call = call(
        "mount_setattr",
        "tree, ",
        "mount_setattr(2)",
        "Read-only; once only we have it, it belongs to no mount namespace in which that could be undone.",
    );
    /// The third of these calls.
    pub const OWN_FILE: Call =
        call("prctl", "PR_SET_MM", "PR_SET_MM(2const)", "From here on the view is our executable.");
    /// Made as soon as our own files in /proc are not needed any more.
    pub const HIDDEN: Call = call(
        "prctl",
        "SUID_DUMP_DISABLE",
        "PR_SET_DUMPABLE(2const)",
        "Until the command runs, no process that sees us may trace us or open our files in /proc.",
    );
    /// Made before a change of user.
    pub const KEEP_CAPABILITIES: Call = call(
        "prctl",
        "PR_SET_KEEPCAPS",
        "PR_SET_KEEPCAPS(2const)",
        "Otherwise changing from root to another user drops all capabilities.",
    );
    /// The first of the three calls that change the identity.
    pub const GROUPS: Call =
        call("setgroups", "", "setgroups(2)", "First, because after the change of user they could not be changed.");
    /// The second of these calls.
    pub const GROUP: Call = call("setresgid", "", "setresgid(2)", "Then the group, for the same reason.");
    /// The third of these calls.
    pub const USER: Call = call("setresuid", "", "setresuid(2)", "Then the user.");
    /// Made after the change of user.
    pub const CAPABILITIES: Call = call("capset", "", "capset(2)", "Sets the remaining capabilities.");
    /// Made after the change of user, for a process that had asked for the signal before.
    pub const DEATH_SIGNAL_AGAIN: Call = call(
        "prctl",
        "PR_SET_PDEATHSIG",
        "PR_SET_PDEATHSIG(2const)",
        "Again, because the kernel clears it when credentials change.",
    );
    /// Made for a command of another owner.
    pub const KEYRING: Call =
        call("keyctl", "", "keyctl(2)", "A new session keyring, so that the command cannot read the caller's keys.");
    /// The last of the steps that confine.
    pub const FILTER: Call =
        call("seccomp", "", "seccomp(2)", "Last, because the filter would refuse some of the calls above.");
    /// The last of all calls.
    pub const COMMAND: Call = call("execve", "", "execve(2)", "The command takes over.");
}

impl Call {
    /// Returns whether a narrated call, such as `mount("proc", …)`, is this one.
    pub fn is_told_by(&self, narrated: &str) -> bool {
        narrated.split_once('(').is_some_and(|(name, rest)| name == self.name && rest.contains(self.about))
    }
}

/// The users who can run an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Every user who may make user namespaces.
    Anyone,
    /// Root only.
    Root,
}

/// A console transcript: lines that begin with `$ ` are typed, those that begin with `> ` continue them, and the rest
/// is printed. In it, `…` matches anything, and on a line of its own any lines.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What the example shows.
    pub what: &'static str,
    /// The users who can run it.
    pub who: Who,
    /// The transcript of the console.
    pub console: &'static str,
}

/// Makes a row of [`Manual::examples`].
pub const fn example(what: &'static str, who: Who, console: &'static str) -> Example {
    Example { what, who, console }
}

impl Example {
    /// Returns what is typed, as a script.
    pub fn typed(&self) -> String {
        let lines = self.console.lines().filter_map(|line| line.strip_prefix("$ ").or(line.strip_prefix("> ")));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Returns what is printed.
    pub fn printed(&self) -> Vec<&'static str> {
        self.console.lines().filter(|line| !line.starts_with("$ ") && !line.starts_with("> ")).collect()
    }
}

/// The exit statuses of every tool, and their meanings.
pub const EXIT_STATUS: [(&str, &str); 5] = [
    ("0–124", "the command's own status"),
    ("125", "our own failure: wrong usage, the kernel refused, the record was bad"),
    ("126", "the command was found but could not be run"),
    (
        "127",
        "the command was not found; or it was found, but its interpreter or dynamic loader is missing in its root, \
         which the message then says",
    ),
    ("128+N", "signal N ended the command"),
];

/// Returns the end of `--help`: a new line and examples, then the exit status, in the same words for all five tools.
pub fn after_help(examples: &str) -> String {
    format!(
        "Examples:{examples}\nExit status: 125 our own failure, 126 command not runnable, 127 not found, else the \
         command's; 128+N by signal N."
    )
}

impl Manual {
    /// Returns the end of `--help`: the commands of the examples that fit on a line, and the exit status.
    pub fn help(&self) -> String {
        let mut text = "\n".to_owned();
        for example in self.examples {
            let typed = example.typed();
            let line = typed.trim_end();
            match line.len() {
                _ if line.contains('\n') => {}
                0..56 => text.push_str(&format!("  {line:<56}  {}\n", example.what)),
                _ => text.push_str(&format!("  {line}\n  {:56}  {}\n", "", example.what)),
            }
        }
        after_help(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_and_printed_lines_are_distinguished() {
        let console = example("", Who::Anyone, "$ echo a \\\n>   b\na b\n$ true\n");
        assert_eq!(console.typed(), "echo a \\\n  b\ntrue\n");
        assert_eq!(console.printed(), ["a b"]);
    }

    #[test]
    fn a_narrated_call_is_found_by_its_name_and_its_arguments() {
        let row = call("write", "uid_map", "", "");
        assert!(row.is_told_by("write(\"/proc/self/uid_map\", \"0 0 1\")"));
        assert!(!row.is_told_by("write(\"/proc/self/gid_map\", \"0 0 1\")") && !row.is_told_by("writev(uid_map)"));
    }
}
