//! The declaration of the options, from which the parser, the help, the manual page and the completions are made.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use plumbing::command_line::manual::after_help;
use plumbing::command_line::options::{Narration, of_os};
use plumbing::command_line::ordinary::Ordinary;
use plumbing::command_line::units::{self, Limit};
use plumbing::find::PidOrName;

use crate::limit_options::LimitOptions;
use crate::view_options::ViewOptions;

const EXAMPLES: &str = "
  cgexec-rs --memory 256M --pids 100 -- make        limit a build; the cgroup is removed after it
  cgexec-rs --cpus 50% -- ffmpeg -i a.mkv b.webm    half of one CPU
  cgexec-rs --cpu-weight 20 -- ./backup             a fifth of the usual share, only while others want the CPUs
  cgexec-rs --report --max-time 30s -- ./job        print what the job used, and which limit acted
  cgexec-rs --devices docker --net-rate 10mbit -- ./job   only harmless devices; sends at most 10 Mbit/s
  cgexec-rs -g memory,cpu:/batch -- ./job           run in an existing cgroup
  unshare-rs --hold --mount --pid --cgroup | cgexec-rs --pipe --memory 1G | nsenter-rs --pipe --rm -- sh
  cgexec-rs --show --json 4242                      limits and usage of a process
  cgexec-rs --why web                               which limits hold for a container, and whose they are
  cgexec-rs --freeze web                            stop a container; --thaw, --kill, --remove and others likewise
  cgexec-rs --cgroup /box/web --memory 512M -- sh   run in a cgroup that is made if it is missing, and kept
  cgexec-rs --tree                                  all groups, with their use of each limit, and pressure
  cgexec-rs --events web | jq .event                what happens to a container, as it happens
  cgexec-rs --gc                                    remove what killed runs left behind
";

/// Run a command with limits, in a control group; cgroups(7)
///
/// Limits are set in a new cgroup below the current one. The cgroup is removed when the command and all processes
/// that it started have ended. Without limits, nothing is changed.
#[derive(Debug, Default, Parser, Ordinary)]
#[command(name = "cgexec-rs", version, after_help = after_help(EXAMPLES))]
pub struct Options {
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// If only the current cgroup can be the parent of the new one: first move its processes into a child named leaf
    #[arg(long, help_heading = "Limits")]
    pub(crate) leaf: bool,
    /// Name the cgroup cgexec-rs-NAME; default: the container's name or the pid
    #[arg(long, value_name = "NAME", help_heading = "Limits")]
    pub(crate) name: Option<OsString>,

    /// Join an existing cgroup: memory,pids:PATH, *:PATH (all controllers) or :PATH (cgroup v2) (repeatable)
    #[arg(short = 'g', value_name = "CONTROLLERS:PATH", help_heading = "Existing groups")]
    pub(crate) group: Vec<OsString>,

    /// Cgroup for the verb or view, in every hierarchy that has it; without a verb: set the given limits there. With
    /// COMMAND: run it there; the cgroup is made if it is missing, and kept
    #[arg(long, value_name = "PATH", help_heading = "Verbs")]
    pub(crate) cgroup: Option<PathBuf>,
    /// The cgroup of this process or container, instead of --cgroup
    #[arg(long, value_name = "PID|NAME", value_parser = of_os(PidOrName::read), help_heading = "Verbs")]
    pub(crate) target: Option<PidOrName>,
    /// Stop all processes of the group, and wait until they have stopped
    #[arg(long, help_heading = "Verbs")]
    pub(crate) freeze: bool,
    /// Let the processes of the group continue
    #[arg(long, help_heading = "Verbs")]
    pub(crate) thaw: bool,
    /// Kill all processes of the group, and wait until none is left
    #[arg(long, help_heading = "Verbs")]
    pub(crate) kill: bool,
    /// Move the processes whose pids follow into the group
    #[arg(long = "move", help_heading = "Verbs")]
    pub(crate) move_pids: bool,
    /// Make the kernel reclaim this much memory of the group
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Verbs")]
    pub(crate) reclaim: Option<Limit>,
    /// Remove the group with the empty groups in it; refused if a process is in one
    #[arg(long, help_heading = "Verbs")]
    pub(crate) remove: bool,
    /// How long a verb waits for the kernel, default: 10s; how long --events and --wait-until last, default: no end
    #[arg(long, value_name = "TIME", value_parser = units::milliseconds, help_heading = "Verbs")]
    pub(crate) timeout: Option<u64>,

    #[command(flatten)]
    pub(crate) views: ViewOptions,

    /// Read a container record from stdin, limit that container, and pass the record on
    #[arg(long, help_heading = "Pipe")]
    pub(crate) pipe: bool,
    /// Keep an unfinished container when this stage fails
    #[arg(long, help_heading = "Pipe")]
    pub(crate) keep_on_error: bool,

    /// When the command and all that it started have ended, print their usage and the limit that acted, to stderr or FILE;
    /// =json: as JSON
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-",
        help_heading = "Report"
    )]
    pub(crate) report: Option<PathBuf>,
    /// Print limits for the next run, a fifth above what this one used
    #[arg(long, help_heading = "Report")]
    pub(crate) suggest: bool,
    /// End the command and all that it started after this time: TERM, then KILL
    #[arg(long, value_name = "TIME", value_parser = units::milliseconds, help_heading = "Report")]
    pub(crate) max_time: Option<u64>,
    /// End the command and all that it started when memory runs out: TERM, then KILL (needs --memory, cgroup v2)
    #[arg(long, help_heading = "Report")]
    pub(crate) oom_guard: bool,
    /// Time between TERM and KILL (needs --max-time or --oom-guard); default: 5s
    #[arg(long, value_name = "TIME", value_parser = units::milliseconds, help_heading = "Report")]
    pub(crate) grace: Option<u64>,
    /// Show cgroups, limits and usage of this process, or of a PID or NAME; with --pipe, add them to each record
    #[arg(long, help_heading = "Report")]
    pub(crate) show: bool,
    /// Print the limits that hold for this process, or for a PID or NAME, which group sets each, and what they have done;
    /// with --pipe, add them to each record
    #[arg(long, help_heading = "Report")]
    pub(crate) why: bool,
    /// Remove cgroups that killed runs left behind, in all hierarchies, and print their paths
    #[arg(long, help_heading = "Report")]
    pub(crate) gc: bool,
    /// Print JSON
    #[arg(long, help_heading = "Report")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) narration: Narration,
    /// Command and its arguments; with a verb or a view: a PID, or the NAME of a container; with --move: PIDs
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn common_lines_need_no_clap() {
        let lines = [
            "cgexec-rs true",
            "cgexec-rs --memory 256M --pids 100 -- sh",
            "cgexec-rs -g memory:box true",
            "cgexec-rs --pipe --show",
            "cgexec-rs --gc --json",
        ];
        assert_eq!(plumbing::command_line::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_and_clap_read_the_same_options() {
        let read = plumbing::command_line::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 300), "{read:?}");
    }
}
