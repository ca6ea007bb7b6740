//! What the manual page says beyond the options. Tests hold the calls against the narration, and run the examples.

use plumbing::manual::Who::{Anyone, Root};
use plumbing::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Runs a command in namespaces that exist: of a process, of files, or of the container that a record on \
                  stdin names. It crosses the border from what of itself nobody can write to, hands no descriptor on that was not \
                  asked for, and takes no program, library or variable from inside.",
    calls: CALLS,
    examples: EXAMPLES,
    see_also: &[
        "nsenter(1)",
        "setns(2)",
        "pidfd_open(2)",
        "namespaces(7)",
        "proc_pid_ns(5)",
        "unshare-rs(1)",
        "cgexec-rs(1)",
    ],
};

const CALLS: &[Call] = &[
    call(
        "open_tree",
        "",
        "open_tree(2)",
        "First, as long as nobody inside can see us: a view of our executable that nobody can write through, because a \
         container must not reach a file of the host by /proc/PID/exe (CVE-2019-5736). Without the right to it, a sealed \
         copy stands in.",
    ),
    call(
        "mount_setattr",
        "",
        "mount_setattr(2)",
        "Read-only; once only we have it, it belongs to no mount namespace in which that could be undone.",
    ),
    call(
        "prctl",
        "PR_SET_MM",
        "PR_SET_MM(2const)",
        "From here the view is our executable; without the right to it, a sealed copy.",
    ),
    call("execveat", "", "memfd_create(2)", "The sealed copy goes on."),
    call(
        "bpf",
        "",
        "bpf(2)",
        "With --like-target: no call tells the secure bits of another process, so the kernel's own iterator over tasks \
         tells them to a program of a few instructions.",
    ),
    call(
        "ptrace",
        "",
        "ptrace(2)",
        "With --like-target: the target stands for an instant, since only a tracer is shown its system call filters.",
    ),
    call(
        "clone3",
        "",
        "clone(2)",
        "A process crosses the border; the one outside waits, and passes signals and the terminal on.",
    ),
    call("prctl", "PR_SET_PDEATHSIG", "PR_SET_PDEATHSIG(2const)", "The command does not outlive nsenter-rs."),
    call("sched_setaffinity", "", "sched_setaffinity(2)", "With --like-target: on the target's CPUs."),
    call(
        "write",
        "oom_score_adj",
        "proc_pid_oom_score_adj(5)",
        "With --like-target: to be killed when the target would be.",
    ),
    call("prctl", "PR_SET_DUMPABLE", "PR_SET_DUMPABLE(2const)", "Until the command runs, nobody inside may trace us."),
    call(
        "setns",
        "",
        "setns(2)",
        "Through a pidfd, all namespaces at once: the user namespace gives the right to the others.",
    ),
    call("chroot", "", "chroot(2)", "To a directory that was opened before."),
    call("clone3", "", "pid_namespaces(7)", "A joined pid namespace holds for children only."),
    call(
        "prctl",
        "PR_CAPBSET_DROP",
        "PR_CAPBSET_DROP(2const)",
        "What chroot-rs --std has put into the record, from here on.",
    ),
    shared::KEYRING,
    shared::KEEP_CAPABILITIES,
    shared::GROUPS,
    shared::GROUP,
    shared::USER,
    call(
        "prctl",
        "PR_CAP_AMBIENT",
        "PR_CAP_AMBIENT(2const)",
        "What is handed on: nothing unasked, all with --keep-caps.",
    ),
    shared::CAPABILITIES,
    call(
        "prctl",
        "PR_SET_SECUREBITS",
        "PR_SET_SECUREBITS(2const)",
        "After the ambient set, to which some of them let nothing be added.",
    ),
    call("umask", "", "umask(2)", "What new files do not permit."),
    shared::DEATH_SIGNAL_AGAIN,
    call("prlimit64", "", "prlimit(2)", "Late, since the limits may be too tight for what comes before."),
    call(
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        "PR_SET_NO_NEW_PRIVS(2const)",
        "Before the filter, which takes it from whoever has no privilege.",
    ),
    shared::FILTER,
    shared::COMMAND,
    call("pidfd_send_signal", "", "pidfd_send_signal(2)", "With --rm: a held container ends with the command."),
];

const EXAMPLES: &[Example] = &[
    example(
        "a container by the record that names it",
        Anyone,
        "$ unshare-rs --hold --ttl 60 --map-root-user --uts --hostname box --pid >box.json\n\
         $ nsenter-rs --pipe -- hostname <box.json\n\
         box\n\
         $ nsenter-rs --pipe --rm -- true <box.json\n",
    ),
    example(
        "all namespaces of a process",
        Root,
        "$ unshare-rs --uts --hostname box sleep 30 &\n\
         $ until nsenter-rs --target $! --all -- hostname | grep box; do sleep 0.1; done; kill $!\n\
         box\n",
    ),
    example(
        "the end of a pipeline",
        Anyone,
        "$ unshare-rs --hold --map-root-user --mount --pid | nsenter-rs --pipe --rm -- sh -c 'readlink /proc/self/ns/pid'\n\
         …\n",
    ),
    example(
        "each step, and why",
        Root,
        "$ nsenter-rs --explain --target $$ --uts -- true\n\
         …\n\
         nsenter-rs: setns(…, CLONE_NEWUTS)… # …\n\
         …\n\
         nsenter-rs: execve(…\n",
    ),
];
