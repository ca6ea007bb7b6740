//! The texts of the manual page besides the options. Tests compare the calls with the narration, and run the examples.

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Call, Example, Manual, call, example, shared};

/// The manual page.
pub const MANUAL: Manual = Manual {
    description: "Runs a command in a new control group with limits, and removes the group when the command and all \
                  processes that it started have ended. It works with cgroup v2, with v1, and with both mounted \
                  (hybrid). Each limit is one file of the group, with the kernel's own name. Where systemd is process 1, \
                  the group is in a delegated unit: the current one, or a scope for which cgexec-rs asks systemd.",
    calls: CALLS,
    examples: EXAMPLES,
    see_also: &["cgroups(7)", "cgroup_namespaces(7)", "cgexec(1)", "unshare-rs(1)", "nsenter-rs(1)"],
};

const CALLS: &[Call] = &[
    call(
        "clone3",
        "",
        "clone(2)",
        "A guardian, before anything is created: even if we are killed, it removes the group when the group is \
         empty. Its parent exits at once, so that the command has no child that it did not start.",
    ),
    call(
        "mkdirat",
        "",
        "cgroups(7)",
        "A group is a directory; on v1, one directory in each hierarchy that has a limit, and in those of memory, \
         cpu, cpuacct and cpuset.",
    ),
    call(
        "fchmod",
        "",
        "inode(7)",
        "A new group has the sticky bit until it is opened: a group without it has been put in its place by the owner of \
         the group above.",
    ),
    call(
        "fsetxattr",
        "user.cgexec-rs",
        "xattr(7)",
        "A mark that says which process the group is for: if the guardian is killed, a later run or `--gc` removes the group.",
    ),
    call("write", "/sys/fs/cgroup/", "cgroups(7)", "The limits, before any process is in the group."),
    call(
        "bpf",
        "BPF_MAP_CREATE",
        "bpf(2)",
        "With `--net-rate`: the numbers that the program keeps, a clock and counters.",
    ),
    call(
        "bpf",
        "BPF_PROG_LOAD",
        "bpf(2)",
        "With `--net-rate`, and with `--devices` where cgroup v1 does not control devices: cgroup v2 has no files for \
         these, so the kernel runs a program of a few instructions.",
    ),
    call(
        "bpf",
        "BPF_PROG_ATTACH",
        "bpf(2)",
        "The program decides for the group, in addition to those of groups above and of groups that are left. It is \
         gone with the group.",
    ),
    call("bpf", "BPF_PROG_DETACH", "bpf(2)", "With `--cgroup`: an earlier program of the same kind."),
    call(
        "write",
        "\"0\"",
        "cgroups(7)",
        "Then the process moves itself (0 means the writer). The command and its children start in the group.",
    ),
    call(
        "unshare",
        "CLONE_NEWCGROUP",
        "cgroup_namespaces(7)",
        "In a pipe, a child in the group creates a cgroup namespace, whose root is the group, and the container \
         joins it.",
    ),
    call("openat", "O_CREAT", "open(2)", "The file of `--report`, before the command starts."),
    call(
        "prctl",
        "PR_SET_PDEATHSIG",
        "PR_SET_PDEATHSIG(2const)",
        "With `--max-time` and `--oom-guard`: if cgexec-rs is killed, nobody would end the command.",
    ),
    shared::COMMAND,
    call(
        "pidfd_send_signal",
        "",
        "pidfd_send_signal(2)",
        "When the time limit is over or memory runs out: SIGTERM to every process of the group.",
    ),
    call(
        "write",
        "cgroup.kill",
        "cgroups(7)",
        "After the grace period: all processes of the group are killed at once, which no fork escapes.",
    ),
    call("unlinkat", "", "rmdir(2)", "By the guardian, only when the group is empty."),
];

const EXAMPLES: &[Example] = &[
    example(
        "at most fifty processes and 64 MiB of memory",
        Root,
        "$ cgexec-rs --memory 64M --pids 50 -- sh -c 'grep pids /proc/self/cgroup || cat /proc/self/cgroup'\n\
         …/cgexec-rs-…\n",
    ),
    example("half of one CPU", Root, "$ cgexec-rs --cpus 50% -- echo slow\nslow\n"),
    example(
        "what a command and all that it started have used, and which limit acted",
        Root,
        "$ cgexec-rs --report --pids 1 -- sh -c 'true & true'\n\
         …\n\
         ended      exit status …\n\
         verdict    refused: pids.max 1 of /cgexec-rs-… (… failed)\n\
         …\n",
    ),
    example(
        "what killed runs left behind, and nothing else",
        Anyone,
        "$ cgexec-rs --gc --json | jq -r 'keys | join(\" \")'\n\
         kept removed\n",
    ),
    example(
        "limits and usage of a process",
        Anyone,
        "$ cgexec-rs --show --json | jq -r 'type'\n\
         object\n",
    ),
    example(
        "a container with a limit",
        Root,
        "$ unshare-rs --hold --mount --pid --cgroup | cgexec-rs --pipe --pids 20 | nsenter-rs --pipe --rm -- echo within\n\
         within\n",
    ),
    example(
        "an existing group",
        Root,
        "$ cgexec-rs -g '*:/' -- echo joined\n\
         joined\n",
    ),
];
