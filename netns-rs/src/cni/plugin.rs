//! Executing a CNI plugin: a program of others, which gets its configuration on stdin, the rest in `CNI_…` variables, and
//! answers on stdout. `containernetworking/cni SPEC.md`, section 2.
//!
//! Its time and its output are limited: it runs while the container waits, as root. It gets a process group of its own, so
//! that programs that it has started end with it. The surprise: an error is on stdout too, and stderr is a log.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, execve, setpgid};
use plumbing::fault::IntoErrno;
use plumbing::kernel::{Cloned, call, exit_now, fork, own, place};
use plumbing::process::environment::Environment;
use plumbing::process::{chain, inherited};
use plumbing::{Fault, Status, narrate};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;

use super::output::{self, Output};

/// Where plugins are, if CNI_PATH does not say so: the directory of Kubernetes, Debian's and Fedora's.
const DIRECTORIES: &str = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";

/// What plugins are executed for.
pub struct Call<'a> {
    /// `ADD`, `DEL` or `CHECK`.
    pub command: &'static str,
    /// The id of the container.
    pub container: &'a str,
    /// The file of the network namespace; empty if it is gone.
    pub namespace: &'a Path,
    /// The interface inside.
    pub interface: &'a str,
    /// The network, for texts.
    pub network: &'a str,
    /// The longest time.
    pub patience: Duration,
}

impl Call<'_> {
    /// Executes the plugin of this type, and returns its answer; `None` in a dry run. The inner fault: the plugin's own error.
    pub fn execute(&self, kind: &str, input: &Value) -> Result<Result<Option<Vec<u8>>, Fault>, Fault> {
        let places = places();
        let goal = format!("execute the plugin {kind} ({}) of the CNI network {}", self.command, self.network);
        let path = find(kind, &places, &goal)?;
        let input = memory_file(&goal, input.to_string().as_bytes())?;
        let pipe = || own(&goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC));
        let ((answer, to_answer), (log, to_log)) = (pipe()?, pipe()?);
        match fork(&goal, "a process for the plugin")? {
            Cloned::Child => match self.become_plugin(&goal, &path, kind, &places, [&input, &to_answer, &to_log]) {
                Ok(()) => Ok(Ok(None)),
                Err(fault) => exit_now(fault.report(narrate::tool())),
            },
            Cloned::Parent { pid, pidfd } => {
                drop((to_answer, to_log));
                let output = output::collect(&goal, (pid, &pidfd), [&answer, &log], self.patience)?;
                understand(&goal, output).map(|answer| answer.map(Some))
            }
        }
    }

    /// Returns only in a dry run or after an error.
    fn become_plugin(
        &self,
        goal: &str,
        path: &Path,
        kind: &str,
        places: &OsStr,
        fds: [&OwnedFd; 3],
    ) -> Result<(), Fault> {
        let environment = self.environment(places);
        let text = format!("{}, CNI_COMMAND={}", chain::execve_text(path, &[kind]), self.command);
        call(goal, text, "a plugin of the network; its configuration is on its stdin", || {
            let c_string = |word: &OsStr| CString::new(word.as_bytes()).map_err(|_| Errno::EINVAL);
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            // If the guardian is killed, its plugin ends too: it would otherwise make something after gc has removed the rest.
            set_parent_process_death_signal(Some(Signal::KILL)).map_err(IntoErrno::into_errno)?;
            inherited::hand_on();
            // A guardian blocks them all.
            SigSet::empty().thread_set_mask()?;
            // Last: from here on, what we print is read as the plugin's log.
            fds.into_iter().zip(0..).try_for_each(|(fd, number)| place(fd, number))?;
            execve(&c_string(path.as_os_str())?, &[c_string(OsStr::new(kind))?], environment.entries()).map(|_| ())
        })
    }

    fn environment(&self, places: &OsStr) -> Environment {
        let mut environment = Environment::inherited();
        environment.set("CNI_COMMAND", self.command);
        environment.set("CNI_CONTAINERID", self.container);
        environment.set("CNI_NETNS", self.namespace);
        environment.set("CNI_IFNAME", self.interface);
        environment.set("CNI_PATH", places);
        // Those of a runtime that called us are about another container.
        environment.unset("CNI_ARGS");
        environment.unset("CNI_NETNS_OVERRIDE");
        environment
    }
}

/// Refuses a plugin that is not installed, before anything is made.
pub fn require(kind: &str, network: &str) -> Result<(), Fault> {
    find(kind, &places(), &format!("use the plugin {kind} of the CNI network {network}")).map(drop)
}

fn find(kind: &str, places: &OsStr, goal: &str) -> Result<PathBuf, Fault> {
    let found = std::env::split_paths(places).map(|place| place.join(kind)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Fault::new(format!("cannot {goal}: it is not in {}", places.to_string_lossy()))
            .with_remedy("install it (package containernetworking-plugins on Debian), or set CNI_PATH")
    })
}

fn places() -> OsString {
    let inherited = Environment::inherited();
    inherited.get("CNI_PATH").filter(|path| !path.is_empty()).unwrap_or(OsStr::new(DIRECTORIES)).to_owned()
}

/// A file and not a pipe: a plugin that reads late, or not at all, does not keep us waiting.
fn memory_file(goal: &str, content: &[u8]) -> Result<OwnedFd, Fault> {
    let file = own(goal, "memfd_create(\"cni\")", || rustix::fs::memfd_create("cni", MemfdFlags::CLOEXEC))?;
    let mut written = 0;
    while written < content.len() {
        written += own(goal, "write(memfd)", || rustix::io::write(&file, &content[written..]))?;
    }
    own(goal, "lseek(memfd)", || rustix::fs::seek(file.as_fd(), SeekFrom::Start(0)))?;
    Ok(file)
}

/// Returns the answer, or the plugin's own error: its code, its message and the details.
fn understand(goal: &str, Output { status, answer, log }: Output) -> Result<Result<Vec<u8>, Fault>, Fault> {
    if status == Status::SUCCESS {
        return Ok(Ok(answer));
    }
    let text =
        |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    let error = serde_json::from_slice::<Value>(&answer).unwrap_or_default();
    if let Some(code) = error.get("code") {
        let details = Some(text(&error, "details")).filter(|it| !it.is_empty()).map(|it| format!("; {it}"));
        let (message, details) = (text(&error, "msg"), details.unwrap_or_default());
        return Ok(Err(Fault::new(format!("cannot {goal}: error {code}: {message}{details}"))));
    }
    let log = String::from_utf8_lossy(&log);
    let lines = || log.lines().filter(|line| !line.trim().is_empty());
    // What follows a panic of Go is the stack.
    let last = lines().find(|line| line.starts_with("panic:")).or_else(|| lines().next_back());
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    let status = status.0;
    Err(Fault::new(format!("cannot {goal}: it ended with status {status} and without an error in JSON{last}")))
}
