//! The parts of the manual page of `nsenter-rs --list` besides its options.

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Example, Manual, example};

/// The manual page.
pub const MANUAL: Manual = Manual {
    description: "Lists the namespaces of this machine: those of every process that the caller may inspect, and \
                  those that only a mount, a descriptor, a socket or another namespace keeps alive. It only reads. \
                  It has the options of lsns(8), and more. Called by the name lsns, through a link, nsenter-rs \
                  reads its command line as lsns does: --json then means -J, and a failure exits with 1.",
    calls: &[],
    examples: EXAMPLES,
    see_also: &["lsns(8)", "namespaces(7)", "ioctl_nsfs(2)", "proc_pid_ns(5)", "nsenter-rs(1)"],
};

const EXAMPLES: &[Example] = &[
    example(
        "a network namespace that only a file keeps alive",
        Root,
        "$ unshare-rs --mount -- sh -c 'touch kept; unshare-rs --net=kept true; nsenter-rs --list -P -n -t net -o TYPE,HOLDER'\n\
         net mount /…/kept\n",
    ),
    example(
        "the namespaces of one process that are not those of process 1",
        Anyone,
        "$ unshare-rs --map-root-user --uts --ipc sh -c 'nsenter-rs --list -p $$ -n -r -o TYPE,NPROCS -Q \"NPROCS == 2\"'\n\
         …\n",
    ),
    example(
        "all namespaces as JSON, for jq(1)",
        Anyone,
        "$ nsenter-rs --list --json | jq -r .type | sort -u | head -1\ncgroup\n",
    ),
];
