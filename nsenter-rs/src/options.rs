//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use clap::Parser;
use plumbing::command_line::manual::after_help;
use plumbing::command_line::options::{Narration, of_os};
use plumbing::command_line::ordinary::Ordinary;
use plumbing::process::namespace::Kind;

use crate::copy::options::CopyOptions;
use crate::enter::credentials::Id;
use crate::enter::like_target::Unreadable;
use crate::enter::setns::Source;
use crate::find::PidOrName;
use crate::find::{Reference, Runtime};

const EXAMPLES: &str = "
  nsenter-rs --target 4242 --all -- sh                      enter every namespace of a process
  nsenter-rs --target 4242 --net -- ss -tln                 the host's tools, in the network of a container
  nsenter-rs --net=/run/netns/blue -- ip address            a namespace by its file
  nsenter-rs -t 4242 -a --join-cgroup --env --wd -- sh      like the process: cgroup, environment, directory
  nsenter-rs -t 4242 -a --like-target -- mount -a           find out why it gets EPERM
  nsenter-rs --pipe --rm -- /bin/sh                         last stage: run a command, then end the container
  nsenter-rs --pipe -- ps <web.json                         enter the container of a saved record
  nsenter-rs --target web --all -- sh                       enter a container by name, of any runtime
  nsenter-rs --shell web                                    a shell in it, also if it has none
  nsenter-rs -t web -a --tools -- ps                        the host's busybox in a container without programs
  nsenter-rs --copy web:/var/log/app.log .                  copy a file out of a container, or into it
  nsenter-rs --list --containers                            all containers, their namespaces and start times
  nsenter-rs --find web --json | cgexec-rs --pipe --show    find a container by name, and show its usage
  nsenter-rs --why web                                      why it died or is slow, and which file says so
  nsenter-rs --find web --stopped                           a command that opens the files of a stopped container
  nsenter-rs --inspect web                                  how a container is isolated, and the risks
  nsenter-rs --diff web host                                how it differs from the host
";

/// Enter namespaces of processes and containers; find, list and inspect containers
#[derive(Debug, Default, Parser, Ordinary)]
#[command(name = "nsenter-rs", version, after_help = after_help(EXAMPLES), args_override_self = true)]
pub struct Options {
    /// Process or container to enter, with --all or single namespaces; INODE of its pidfd guards against pid reuse
    #[arg(short, long, value_name = "PID[:INODE]|NAME", help_heading = "Target",
          value_parser = of_os(PidOrName::read),
          action = clap::ArgAction::Append, conflicts_with_all = ["pipe", "find"])]
    pub(crate) target: Vec<PidOrName>,
    /// A shell in this container: -t NAME -a -c -e -r -w, and --tools if it has no shell
    #[arg(long, value_name = "PID[:INODE]|NAME", help_heading = "Target", value_parser = of_os(PidOrName::read),
          conflicts_with_all = ["target", "pipe", "find"])]
    pub(crate) shell: Option<PidOrName>,
    /// Enter all namespaces of the container whose record is on stdin
    #[arg(long, help_heading = "Target", conflicts_with = "find")]
    pub(crate) pipe: bool,
    /// Print the record of the container with this name or id (needs --json, or --stopped)
    #[arg(long, value_name = "NAME", group = "answer", help_heading = "Target", conflicts_with = "command",
          value_parser = of_os(Reference::read))]
    pub(crate) find: Option<Reference>,
    /// Search NAME only in this runtime: docker, podman, cri-o, containerd, nspawn, lxc, hold, crun, runc, systemd, netns
    #[arg(long = "type", value_name = "RUNTIME", value_parser = Runtime::read, help_heading = "Target",
          conflicts_with = "pipe")]
    pub(crate) runtime: Option<Runtime>,
    /// With --find: search stopped containers, and print a command that opens the files
    #[arg(long, requires = "find", help_heading = "Target")]
    pub(crate) stopped: bool,
    /// With --find, --inspect, --diff or --why: print JSON on one line
    #[arg(long, requires = "answer", help_heading = "Target")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) inspection: InspectionOptions,
    #[command(flatten)]
    pub(crate) copying: CopyOptions,

    /// List namespaces, with the options of lsns; must come first; see --list --help
    #[arg(long, help_heading = "Target")]
    pub(crate) list: bool,

    /// With --list: list containers instead; see --list --containers --help
    #[arg(long, requires = "list", help_heading = "Target")]
    pub(crate) containers: bool,

    #[command(flatten)]
    pub(crate) namespaces: NamespaceOptions,
    #[command(flatten)]
    pub(crate) command_options: CommandOptions,

    /// End the container when the command or nsenter-rs ends
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) rm: bool,
    /// Keep an unfinished container when this stage fails
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) keep_on_error: bool,
    /// Descriptor for the command's stdin; default: the terminal, else /dev/null
    #[arg(long, value_name = "FD", requires = "pipe", value_parser = clap::value_parser!(i32).range(1..),
          help_heading = "Pipe")]
    pub(crate) stdin: Option<RawFd>,

    #[command(flatten)]
    pub(crate) narration: Narration,

    /// Command and its arguments; default: $SHELL, or a shell that the root has
    #[arg(trailing_var_arg = true, value_name = "COMMAND", help_heading = None)]
    pub(crate) command: Vec<OsString>,
}

/// Options that report on a container instead of entering it.
#[derive(Debug, Default, clap::Args, Ordinary)]
#[command(next_help_heading = "Inspection")]
pub(crate) struct InspectionOptions {
    /// Report how a process or container is isolated, and the risks; with --pipe, without a value: add it to each record
    #[arg(long, value_name = "PID|NAME|host", num_args = 0..=1, group = "answer", conflicts_with = "command")]
    pub(crate) inspect: Option<Option<OsString>>,
    /// Compare the isolation of two processes or containers; each is a PID, a NAME or host
    #[arg(long, value_names = ["A", "B"], num_args = 2, group = "answer", conflicts_with_all = ["command", "pipe"])]
    pub(crate) diff: Option<Vec<OsString>>,
    /// Report why a process or container died or is slow: its end, OOM kills, limits, pressure, refused calls, cores
    #[arg(long, value_name = "PID|NAME", group = "answer", conflicts_with_all = ["command", "pipe", "inspect", "diff"],
          value_parser = of_os(PidOrName::read))]
    pub(crate) why: Option<PidOrName>,
}

/// The namespaces to enter. `Some(None)` means the target's.
#[derive(Debug, Default, clap::Args, Ordinary)]
#[command(next_help_heading = "Namespaces: of the target, of FILE, or with the kernel's ID")]
pub(crate) struct NamespaceOptions {
    /// All namespaces of the target, except those that are already ours
    #[arg(short, long, requires = "target")]
    pub(crate) all: bool,
    /// Mount namespace
    #[arg(short, long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    mount: Option<Option<PathBuf>>,
    /// UTS namespace: host name and NIS domain name
    #[arg(short, long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    uts: Option<Option<PathBuf>>,
    /// IPC namespace: System V IPC and POSIX message queues
    #[arg(short, long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    ipc: Option<Option<PathBuf>>,
    /// Network namespace
    #[arg(short, long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    net: Option<Option<PathBuf>>,
    /// PID namespace
    #[arg(short, long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    pid: Option<Option<PathBuf>>,
    /// User namespace: user and group ids
    #[arg(short = 'U', long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    user: Option<Option<PathBuf>>,
    /// Cgroup namespace
    #[arg(short = 'C', long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    cgroup: Option<Option<PathBuf>>,
    /// Time namespace: monotonic and boot-time clocks
    #[arg(short = 'T', long, value_name = "FILE|:ID", num_args = 0..=1, require_equals = true)]
    time: Option<Option<PathBuf>>,
    /// Enter the parent of the --user namespace instead; without --user: also enter the owner of the other namespaces
    #[arg(long, conflicts_with = "pipe")]
    pub(crate) user_parent: bool,
    /// Network namespace of the socket that is descriptor FD of the target
    #[arg(short = 'N', long, value_name = "FD", requires = "target", conflicts_with = "net",
          value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) net_socket: Option<RawFd>,
}

/// The identity, the directories and the surroundings of the command.
#[derive(Debug, Default, clap::Args, Ordinary)]
#[command(next_help_heading = "Command")]
pub(crate) struct CommandOptions {
    /// Run as this user (follow: the target's); default: 0 if a user namespace is entered
    #[arg(short = 'S', long, value_name = "UID|follow", value_parser = Id::read, conflicts_with = "pipe")]
    pub(crate) setuid: Option<Id>,
    /// Run as this group, without supplementary groups; values and default as for --setuid
    #[arg(short = 'G', long, value_name = "GID|follow", value_parser = Id::read, conflicts_with = "pipe")]
    pub(crate) setgid: Option<Id>,
    /// Keep user, group and supplementary groups unchanged
    #[arg(long, conflicts_with_all = ["setuid", "setgid", "pipe"])]
    pub(crate) preserve_credentials: bool,
    /// Keep the capabilities of an entered user namespace, also as a user other than root
    #[arg(long, conflicts_with = "pipe")]
    pub(crate) keep_caps: bool,
    /// Root directory, opened before entering; without DIR: the target's
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true, conflicts_with = "pipe")]
    pub(crate) root: Option<Option<PathBuf>>,
    /// Working directory, opened before entering (DIR may be outside the new root); without DIR: the target's
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true,
          conflicts_with_all = ["pipe", "wdns"])]
    pub(crate) wd: Option<Option<PathBuf>>,
    /// Working directory, opened after entering; without DIR: the target's
    #[arg(short = 'W', long, value_name = "DIR", num_args = 0..=1, require_equals = true, conflicts_with = "pipe")]
    pub(crate) wdns: Option<Option<PathBuf>>,
    /// Use the target's environment; a program of the host takes over only its locale and time zone
    #[arg(short, long, requires = "target")]
    pub(crate) env: bool,
    /// Join the cgroups of the target
    #[arg(short = 'c', long, requires = "target")]
    pub(crate) join_cgroup: bool,
    /// Run with the SELinux context of the target
    #[arg(short = 'Z', long, requires = "target")]
    pub(crate) follow_context: bool,
    /// Run with the target's ids, capabilities, limits, cgroups and filters (briefly stops the target)
    #[arg(long, requires = "target",
          conflicts_with_all = ["setuid", "setgid", "preserve_credentials", "keep_caps", "follow_context"])]
    like_target: bool,
    /// Like --like-target, but only warn if filters or secure bits cannot be read
    #[arg(long, requires = "target",
          conflicts_with_all = ["setuid", "setgid", "preserve_credentials", "keep_caps", "follow_context", "like_target"])]
    like_target_try: bool,
    /// Give the command programs that only it sees, at the end of PATH: those in DIR, or the host's static busybox
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, conflicts_with = "pipe")]
    pub(crate) tools: Option<Option<PathBuf>>,
    /// Do not fork; if a PID namespace is entered, only the children of the command are in it
    #[arg(short = 'F', long, conflicts_with = "pipe")]
    pub(crate) no_fork: bool,
    /// Always enter from a sealed in-memory copy, even where a read-only view of the executable would suffice
    #[arg(long)]
    pub(crate) sealed_copy: bool,
    /// Give the command the caller's terminal, also where it would get a new pseudo-terminal
    #[arg(long)]
    pub(crate) no_pty: bool,
    #[command(flatten)]
    pub(crate) handover: HandoverOptions,
    /// Pass descriptors 3 to N+2 to the command
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub(crate) preserve_fds: u32,
}

/// The command without a process of ours that waits for it.
#[derive(Debug, Default, clap::Args, Ordinary)]
#[command(next_help_heading = "Command")]
pub(crate) struct HandoverOptions {
    /// Exit once the command runs; init or the nearest subreaper becomes its parent
    #[arg(long, conflicts_with_all = ["no_fork", "rm"])]
    pub(crate) detach: bool,
    /// Write the pid of the command to FILE when it runs
    #[arg(long, value_name = "FILE", conflicts_with = "no_fork")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Open a pseudo-terminal in the container, and send its master to the Unix socket PATH
    #[arg(long, value_name = "PATH", conflicts_with = "no_fork")]
    pub(crate) console_socket: Option<PathBuf>,
}

impl CommandOptions {
    /// Returns what happens to properties of the target that cannot be read, or `None` without `--like-target`.
    pub(crate) fn like_target(&self) -> Option<Unreadable> {
        let strictly = self.like_target.then_some(Unreadable::Fatal);
        strictly.or(self.like_target_try.then_some(Unreadable::Remarked))
    }
}

impl NamespaceOptions {
    /// Returns the kinds that are requested one by one, and the source of each.
    pub(crate) fn sources(self) -> Vec<(Kind, Source)> {
        let asked = [
            (Kind::User, self.user),
            (Kind::Mnt, self.mount),
            (Kind::Uts, self.uts),
            (Kind::Ipc, self.ipc),
            (Kind::Net, self.net),
            (Kind::Pid, self.pid),
            (Kind::Cgroup, self.cgroup),
            (Kind::Time, self.time),
        ];
        let sources = asked
            .into_iter()
            .filter_map(|(kind, asked)| asked.map(|file| (kind, file.map_or(Source::Target, of_file))));
        sources.chain(self.net_socket.map(|fd| (Kind::Net, Source::Socket(fd)))).collect()
    }
}

/// `:ID` is not a file but the kernel's id of a namespace.
fn of_file(path: PathBuf) -> Source {
    let id = path.to_str().and_then(|text| text.strip_prefix(':')?.parse().ok());
    id.map_or(Source::File(path), Source::Id)
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_common_line_is_not_left_to_clap() {
        let lines = [
            "nsenter-rs -- true",
            "nsenter-rs -t 4242 -a true",
            "nsenter-rs --target=web --all -- true",
            "nsenter-rs -t 4242:4711 -m -- true",
            "nsenter-rs --net=/run/netns/blue true",
            "nsenter-rs -t 1 -a --join-cgroup --env -- sh",
            "nsenter-rs --pipe --rm -- sh",
        ];
        assert_eq!(plumbing::command_line::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_reads_what_clap_reads() {
        let read = plumbing::command_line::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 100), "{read:?}");
    }
}
