//! The place in which the commands of a lesson run: a shell in new namespaces of every kind, on a read-only view of this
//! machine, with a directory in memory for what the commands make.
//!
//! `namespaces(7)`. Nothing has to be undone afterwards, whatever ran: the shell is pid 1 of its pid namespace, so that all
//! other processes end with it; mounts, interfaces and files are in namespaces and in memory, and end with the last process.
//! The shell ends when its input ends, which is when this process ends, even by SIGKILL; a command that runs at that time
//! ends with unshare-rs, which has asked the kernel to be ended with its parent (`PR_SET_PDEATHSIG`).
//!
//! An unprivileged user is root in a user namespace there, so most lessons are the same for everybody.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::catalog::Source;

/// The directory for files of the lesson; it is in memory, and other processes do not see it.
pub const DIRECTORY: &str = "/mnt";

/// The variable of the environment that has the number of the lesson, by which `--check` finds the shell of `--shell`.
pub const VARIABLE: &str = "LESSON";

/// Ends the output of a command; the exit status follows.
const END: u8 = 0x1e;

/// A shell in namespaces of its own, in which one command after another runs.
pub struct Place {
    shell: Child,
    stdin: ChildStdin,
    output: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

/// What a command printed to stdout and stderr, and its exit status.
#[derive(Debug)]
pub struct Outcome {
    /// The output, with bytes that are not UTF-8 replaced.
    pub printed: String,
    /// The exit status as in a shell.
    pub status: i32,
}

/// Where the five tools are in a place.
const TOOLS: &str = "/mnt/.tools";

/// Returns the command that runs `shell`, which is quoted for sh(1), in a new place that has the five tools of the folder
/// `tools`.
///
/// # Errors
/// The folder cannot be an element of PATH.
pub fn command(tools: &Path, source: &Source, is_root: bool, shell: &str) -> Result<Command> {
    let number = source.number;
    let user = if is_root { "" } else { "--map-root-user " };
    // Groups of the lesson are in one of its own, whose guardian is outside of the place and removes them all. A cgroup
    // namespace would hide where they are.
    let (group, cgroup) = match (source.makes_groups, is_root) {
        (false, _) => ("", "--cgroup "),
        (true, true) => ("cgexec-rs --name lesson --pids 1000 -- ", ""),
        (true, false) => ("", ""),
    };
    // --kill-child: if unshare-rs is killed, its child must not go on.
    let line = format!(
        "exec {group}unshare-rs --die-with-parent {user}--mount --pid --ipc --uts --net {cgroup}--fork --kill-child --hostname lesson -- \
         chroot-rs --read-only --proc /proc --tmpfs {DIRECTORY}:mode=700,exec --tmpfs /tmp:exec \
         --bind \"$FOLDER:{TOOLS}:ro\" --bind /sys/fs/cgroup:/sys/fs/cgroup / -- env -u FOLDER PATH={TOOLS}:\"$PATH\" {shell}"
    );
    let old = std::env::var_os("PATH").unwrap_or_default();
    // An unprivileged user's PATH often lacks the sbin directories, where ip is.
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let path = std::iter::once(tools.to_owned()).chain(std::env::split_paths(&old)).chain(system);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &line]).env("PATH", std::env::join_paths(path)?).env("FOLDER", tools);
    command.env(VARIABLE, number.to_string()).env("HOME", DIRECTORY).env("LC_ALL", "C.UTF-8");
    command.env_remove("ENV").env("PS1", format!("lesson {number}$ "));
    Ok(command)
}

impl Place {
    /// Starts the shell.
    ///
    /// # Errors
    /// /bin/sh cannot be started. What else fails is printed, as the output of the first command.
    pub fn start(tools: &Path, source: &Source, is_root: bool) -> Result<Self> {
        let mut command = command(tools, source, is_root, "/bin/sh")?;
        let (mut reader, writer) = std::io::pipe().context("pipe()")?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone().context("dup()")?).stderr(writer);
        let mut shell = command.spawn().context("cannot start /bin/sh")?;
        // The command holds the write ends, which would prevent the end of file.
        drop::<Command>(command);
        let stdin = shell.stdin.take().context("the shell has no stdin")?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut place = Self { shell, stdin, output, unread: Vec::new() };
        place.write(&format!("cd {DIRECTORY}\n"))?;
        Ok(place)
    }

    /// Runs a command, and waits until it has ended.
    ///
    /// # Errors
    /// The shell has ended, or the command has not ended in time.
    pub fn run(&mut self, typed: &str, limit: Duration) -> Result<Outcome> {
        // In the same shell, so that variables and the working directory stay, but with nothing to read.
        let quoted = typed.replace('\'', r"'\''");
        self.write(&format!("eval '{quoted}' </dev/null\nprintf '\\036%d\\n' \"$?\"\n"))?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(outcome) = self.next_outcome() {
                return Ok(outcome);
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.unread.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the shell has ended\n{}", String::from_utf8_lossy(&self.unread))
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the command did not end in time\n{}", String::from_utf8_lossy(&self.unread))
                }
            }
        }
    }

    /// Takes the output of a command that has ended.
    fn next_outcome(&mut self) -> Option<Outcome> {
        let end = self.unread.iter().position(|byte| *byte == END)?;
        let line = end + self.unread[end..].iter().position(|byte| *byte == b'\n')?;
        let status = std::str::from_utf8(&self.unread[end + 1..line]).ok()?.parse().ok()?;
        let printed = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.unread.drain(..=line);
        Some(Outcome { printed, status })
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.stdin.write_all(text.as_bytes()).context("the shell has ended")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // unshare-rs takes the shell and everything in its pid namespace with it.
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}
