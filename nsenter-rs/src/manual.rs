//! The parts of the manual page besides the options. Tests compare the calls with the narration, and run the examples.

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Runs a command in existing namespaces: of a process, of files, of a container found by name, or of \
                  the container that a record on stdin identifies. It runs from an executable that nobody inside can \
                  write to, passes on no descriptor that was not asked for, and uses no program or library from \
                  inside for itself.",
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
        "First, while nobody inside can see us: a view of our executable that nobody can write through, because a \
         container must not reach a file of the host by /proc/PID/exe (CVE-2019-5736). Without the privilege for it, \
         a sealed copy is used.",
    ),
    call(
        "mount_setattr",
        "",
        "mount_setattr(2)",
        "Read-only. The mount is attached nowhere, so there is no mount namespace in which that could be undone.",
    ),
    call(
        "prctl",
        "PR_SET_MM",
        "PR_SET_MM(2const)",
        "Makes the view our executable, or a sealed copy of our executable in memory.",
    ),
    call("execveat", "", "memfd_create(2)", "Without the privilege for PR_SET_MM, the sealed copy is executed."),
    call(
        "bpf",
        "",
        "bpf(2)",
        "With --like-target: no system call reports the secure bits of another process, so a short program reads \
         them through the kernel's iterator over tasks.",
    ),
    call(
        "ptrace",
        "",
        "ptrace(2)",
        "With --like-target: the target is stopped for a moment, because only a tracer can read its system call \
         filters.",
    ),
    call(
        "fsopen",
        "tmpfs",
        "fsopen(2)",
        "With --tools: a file system in memory for the tools, of which nothing remains.",
    ),
    call("fsconfig", "", "fsconfig(2)", "The mode of its root directory, and its superblock."),
    call("fsmount", "", "fsmount(2)", "A mount of it that is attached nowhere."),
    call(
        "openat",
        "O_CREAT",
        "open(2)",
        "Copies the tools, so that nobody inside reaches the host's files through them. If the right for this mount is \
         gained only in a user namespace of the container, it is made after setns(2). With --copy: a new file.",
    ),
    call("fchmod", "", "chmod(2)", "Everybody may run the tools. With --copy: the mode of a file that is complete."),
    call("symlinkat", "", "symlink(2)", "The names of the programs that busybox is. With --copy: a link."),
    call(
        "mkdirat",
        "",
        "mkdir(2)",
        "With --copy: a directory. A process that is root of the container's user namespace makes what is copied into the \
         container; it joins the namespace with setns(2).",
    ),
    call("fchown", "", "chown(2)", "With --archive: the owner of a file or directory."),
    call("fchownat", "", "chown(2)", "With --archive: the owner of a link."),
    call("renameat", "", "rename(2)", "With --copy: the temporary name becomes DEST when everything is complete."),
    call("unlinkat", "", "unlink(2)", "With --copy: removes an incomplete copy."),
    call("clone3", "", "clone(2)", "A child enters; the process outside waits, and forwards signals and the terminal."),
    call("prctl", "PR_SET_PDEATHSIG", "PR_SET_PDEATHSIG(2const)", "The command is killed when nsenter-rs dies."),
    call("sched_setaffinity", "", "sched_setaffinity(2)", "With --like-target: run on the target's CPUs."),
    call(
        "write",
        "oom_score_adj",
        "proc_pid_oom_score_adj(5)",
        "With --like-target: the same priority for the OOM killer as the target.",
    ),
    call(
        "prctl",
        "PR_SET_DUMPABLE",
        "PR_SET_DUMPABLE(2const)",
        "Until the command runs, no process inside may trace us.",
    ),
    call(
        "setns",
        "",
        "setns(2)",
        "Through a pidfd, all namespaces at once: the user namespace gives the right to join the others.",
    ),
    call("chroot", "", "chroot(2)", "To a directory that was opened before entering."),
    call(
        "unshare",
        "CLONE_NEWNS",
        "mount_namespaces(7)",
        "With --tools: a copy of the container's mount namespace, which only the command is in.",
    ),
    call("mount", "MS_PRIVATE", "mount(2)", "Mounts in it do not propagate to the container."),
    call("move_mount", "", "move_mount(2)", "Attaches the tools, on an empty directory of the root."),
    call("clone3", "", "pid_namespaces(7)", "A joined pid namespace applies only to children."),
    call(
        "prctl",
        "PR_CAPBSET_DROP",
        "PR_CAPBSET_DROP(2const)",
        "From here on: the confinement that chroot-rs wrote into the record.",
    ),
    shared::KEYRING,
    shared::KEEP_CAPABILITIES,
    shared::GROUPS,
    shared::GROUP,
    shared::USER,
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "Clears the ambient set, or fills it with --keep-caps."),
    shared::CAPABILITIES,
    call(
        "prctl",
        "PR_SET_SECUREBITS",
        "PR_SET_SECUREBITS(2const)",
        "After the ambient set, because some secure bits prevent adding to it.",
    ),
    call("umask", "", "umask(2)", "Sets the file mode creation mask."),
    shared::DEATH_SIGNAL_AGAIN,
    call("prlimit64", "", "prlimit(2)", "Late, because the limits may be too low for the steps before."),
    call(
        "sched_setattr",
        "",
        "sched(7)",
        "With a bundle: its scheduling policy, with rights that the command may not have.",
    ),
    call("ioprio_set", "", "ioprio_set(2)", "With a bundle: its I/O priority."),
    call("personality", "", "personality(2)", "With a bundle: its execution domain, which execve(2) keeps."),
    call(
        "setsid",
        "",
        "setsid(2)",
        "A command without the caller's terminal leaves the caller's session and process group.",
    ),
    call(
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        "PR_SET_NO_NEW_PRIVS(2const)",
        "Before the filter: without privilege, the kernel accepts a filter only after it.",
    ),
    shared::FILTER,
    shared::COMMAND,
    call(
        "pidfd_send_signal",
        "",
        "pidfd_send_signal(2)",
        "With --rm: a container of --hold ends with the command. With --copy: ends our own processes.",
    ),
];

const EXAMPLES: &[Example] = &[
    example(
        "the container of a saved record",
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
        "the last stage of a pipeline",
        Anyone,
        "$ unshare-rs --hold --map-root-user --mount --pid | nsenter-rs --pipe --rm -- sh -c 'readlink /proc/self/ns/pid'\n\
         …\n",
    ),
    example(
        "each step, and its reason",
        Root,
        "$ nsenter-rs --explain --target $$ --uts -- true\n\
         …\n\
         nsenter-rs: setns(…, CLONE_NEWUTS)… # …\n\
         …\n\
         nsenter-rs: execve(…\n",
    ),
];
