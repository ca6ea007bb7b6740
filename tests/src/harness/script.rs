//! A shell script, run to its end within a time limit, and its outcome. The tools are made for the shell, so rows contain
//! what a user would type, and a failed assertion prints everything: script, status, stdout, stderr.

use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use crate::harness::children;
use crate::harness::world::World;

/// The time that an output may stay open after its script has ended, because another process inherited it.
const GRACE: Duration = Duration::from_secs(3);

/// What ip(8) adds to stderr when an address changes while it prints: the kernel's work for the row, not a fault of the row.
const IP_NOTE: &str = "Dump was interrupted and may be inconsistent.\n";

/// A script that has not been started.
pub struct Script<'a> {
    world: &'a World,
    text: String,
    stdin: Vec<u8>,
    limit: Duration,
    environment: Vec<(String, String)>,
}

/// A running script. When dropped, it is killed with its whole process group.
pub struct Running {
    /// The shell, which leads a process group.
    pub pid: Pid,
    text: String,
    deadline: Instant,
    stdout: Output,
    stderr: Output,
}

/// The exit status of a script, and everything that it wrote.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status as in a shell: 128+N if signal N ended it.
    pub status: i32,
    /// The text that it wrote to stdout.
    pub stdout: String,
    /// The text that it wrote to stderr.
    pub stderr: String,
    script: String,
}

impl<'a> Script<'a> {
    /// Makes a script with nothing on stdin and the world's time limit.
    pub fn new(world: &'a World, text: &str) -> Self {
        Self { world, text: text.to_owned(), stdin: Vec::new(), limit: world.limit(), environment: Vec::new() }
    }

    /// Sets the input of the script.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Sets another time limit than the world's.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the script to its end.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts the script.
    #[allow(clippy::zombie_processes, reason = "`children` collects it")]
    pub fn start(self) -> Running {
        let (stdout, write_stdout) = pipe().expect("pipe()");
        let (stderr, write_stderr) = pipe().expect("pipe()");
        let mut command = self.world.shell(&self.text);
        command.envs(self.environment).stdout(write_stdout).stderr(write_stderr).process_group(0);
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        // The command holds our copies of the pipes' write ends, which would prevent the end of file.
        drop::<Command>(command);
        let pid = Pid::from_raw(child.id().cast_signed());
        children::expect(pid);
        if let Some(mut stdin) = child.stdin.take() {
            // A script may stop reading before the end, which breaks the pipe.
            thread::spawn(move || stdin.write_all(&self.stdin).ok());
        }
        let deadline = Instant::now() + self.limit;
        Running { pid, text: self.text, deadline, stdout: Output::collect(stdout), stderr: Output::collect(stderr) }
    }
}

impl Running {
    /// Waits for the end, and panics if the time limit passes first or if a process keeps the output open.
    pub fn wait(self) -> Outcome {
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = children::ended(self.pid) {
                break status;
            }
            assert!(Instant::now() < self.deadline, "the script did not end in time:\n{}", self.text);
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let stdout = self.stdout.text(&self.text);
        let stderr = self.stderr.text(&self.text).replace(IP_NOTE, "");
        Outcome { status, stdout, stderr, script: self.text.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if children::ended(self.pid).is_none() {
            // Only we collect its status, so the number still refers to this group.
            killpg(self.pid, Signal::SIGKILL).ok();
            while children::ended(self.pid).is_none() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        children::forget(self.pid);
    }
}

/// One of the two outputs, read to its end by a thread so that a full pipe blocks nobody.
struct Output {
    inode: u64,
    bytes: Receiver<Vec<u8>>,
}

impl Output {
    fn collect(mut pipe: PipeReader) -> Self {
        let inode = fstat(pipe.as_fd()).expect("fstat(pipe)").st_ino;
        let (send, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut all = Vec::new();
            pipe.read_to_end(&mut all).ok();
            send.send(all).ok();
        });
        Self { inode, bytes }
    }

    fn text(&self, script: &str) -> String {
        match self.bytes.recv_timeout(GRACE) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => panic!("the script has ended, but its output is held open by {:?}:\n{script}", self.holders()),
        }
    }

    fn holders(&self) -> Vec<String> {
        let pipe = format!("pipe:[{}]", self.inode);
        let holds = |process: &fs::DirEntry| {
            let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|link| link.as_os_str() == pipe.as_str())
        };
        let name = |process: fs::DirEntry| {
            let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("{} ({})", process.file_name().display(), comm.trim())
        };
        let is_other = |process: &fs::DirEntry| {
            let pid: Option<u32> = process.file_name().to_str().and_then(|name| name.parse().ok());
            pid.is_some_and(|pid| pid != std::process::id())
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter(|process| is_other(process) && holds(process)).map(name).collect()
    }
}

impl Outcome {
    /// Demands that the script ended with status 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.fails_with(0)
    }

    /// Demands that the script ended with this status.
    #[track_caller]
    pub fn fails_with(self, status: i32) -> Self {
        assert!(self.status == status, "expected status {status}\n{self}");
        self
    }

    /// Demands that stdout is exactly this text.
    #[track_caller]
    pub fn stdout_is(self, text: &str) -> Self {
        assert!(self.stdout == text, "expected stdout {text:?}\n{self}");
        self
    }

    /// Demands that stdout contains this text.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "expected stdout with {text:?}\n{self}");
        self
    }

    /// Demands that stderr is exactly this text.
    #[track_caller]
    pub fn stderr_is(self, text: &str) -> Self {
        assert!(self.stderr == text, "expected stderr {text:?}\n{self}");
        self
    }

    /// Demands that stderr contains this text.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected stderr with {text:?}\n{self}");
        self
    }

    /// Returns the lines of stdout.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr, script } = self;
        write!(f, "--- script\n{script}\n--- status {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
