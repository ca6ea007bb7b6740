//! What the manual page says beyond the options. Tests hold the calls against the narration, and run the examples.

use plumbing::manual::Who::{Anyone, Root};
use plumbing::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Creates namespaces and runs a command in them. Of a namespace that was asked for, the command has a \
                  new one; all others it shares with its caller. With --hold there is no command: a small init keeps \
                  the namespaces, and a container record on stdout names them for the next stage of a pipeline.",
    calls: CALLS,
    examples: EXAMPLES,
    see_also: &[
        "unshare(1)",
        "unshare(2)",
        "clone(2)",
        "setns(2)",
        "namespaces(7)",
        "user_namespaces(7)",
        "pid_namespaces(7)",
        "mount_namespaces(7)",
        "nsenter-rs(1)",
        "chroot-rs(1)",
    ],
};

const CALLS: &[Call] = &[
    call(
        "execveat",
        "",
        "memfd_create(2)",
        "An init stays while the command runs: it goes on in a sealed copy of itself, since /proc/1/exe shows its file \
         to the command (CVE-2019-5736).",
    ),
    call(
        "clone3",
        "",
        "clone(2)",
        "A process is left in the old namespaces, for what can only be done from there: ranges of ids, files that keep \
         namespaces, the pid file. With --hold, this is the init, and the namespaces are its own from the start.",
    ),
    call("setgroups", "", "setgroups(2)", "The --owner has no groups but their own."),
    call(
        "setresgid",
        "",
        "setresgid(2)",
        "The group goes first: without the user's privilege it could not be changed.",
    ),
    call("setresuid", "", "setresuid(2)", "Who makes a user namespace owns it, and the namespaces made with it."),
    call(
        "prctl",
        "PR_SET_DUMPABLE",
        "PR_SET_DUMPABLE(2const)",
        "The change of user gave our files in /proc to root; the id maps are written through them.",
    ),
    call(
        "unshare",
        "",
        "unshare(2)",
        "All namespaces at once: the kernel makes the user namespace first, so that the right to the others comes from \
         it, and either makes all of them or none.",
    ),
    call(
        "write",
        "setgroups",
        "user_namespaces(7)",
        "Before the gid map: an unprivileged one is taken only after setgroups(2) was given up, since leaving a group can \
         be a gain.",
    ),
    call(
        "execve",
        "idmap",
        "newuidmap(1)",
        "Who is not root has ranges of ids mapped by the helpers that know /etc/subuid and /etc/subgid.",
    ),
    call(
        "write",
        "uid_map",
        "user_namespaces(7)",
        "Who is who inside: until this is written, everybody is nobody and owns no file. It can be written once.",
    ),
    call("write", "gid_map", "user_namespaces(7)", "The same for groups."),
    call(
        "write",
        "timens_offsets",
        "time_namespaces(7)",
        "Before the first process is in the time namespace, which fixes its clocks.",
    ),
    call(
        "clone3",
        "",
        "pid_namespaces(7)",
        "The process that unshares a pid namespace is never in it; its first child is, as pid 1.",
    ),
    call(
        "prctl",
        "PR_SET_PDEATHSIG",
        "PR_SET_PDEATHSIG(2const)",
        "So that the child ends with its parent, however that ends.",
    ),
    call(
        "mount",
        "\"/\"",
        "mount_namespaces(7)",
        "Before any other mount: the copied mounts are peers of the originals, and what is mounted below would travel back.",
    ),
    call("sethostname", "", "uts_namespaces(7)", "In the new uts namespace, which began with the host's name."),
    call("setdomainname", "", "uts_namespaces(7)", "As the host name."),
    call(
        "mount",
        "binfmt_misc",
        "binfmt_misc of the kernel's admin guide",
        "An interpreter with the flag F is opened when it is registered, and so before the root changes.",
    ),
    call(
        "write",
        "/register",
        "binfmt_misc of the kernel's admin guide",
        "Which program runs these executables, in this user namespace alone.",
    ),
    call("chroot", "", "chroot(2)", "After what is mounted from the old root, before what is mounted in the new one."),
    call("chdir", "", "chdir(2)", "chroot(2) leaves the working directory outside of the new root."),
    call(
        "mount",
        "MS_REC",
        "mount_namespaces(7)",
        "Where mounts still travel, not the new proc: it belongs to this pid namespace alone.",
    ),
    call("mount", "\"proc\"", "proc(5)", "After the fork: a proc shows the pid namespace of whoever mounts it."),
    call("mount", "binfmt_misc", "binfmt_misc of the kernel's admin guide", "In the new root, and on the new proc."),
    call(
        "write",
        "/register",
        "binfmt_misc of the kernel's admin guide",
        "An interpreter that is found in the new root.",
    ),
    shared::KEEP_CAPABILITIES,
    shared::GROUPS,
    shared::GROUP,
    call("setresuid", "", "setresuid(2)", "After everything that takes root's rights."),
    call("capset", "", "capabilities(7)", "What is permitted becomes inheritable, so that it can become ambient."),
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "Ambient capabilities are those that a command keeps."),
    shared::DEATH_SIGNAL_AGAIN,
    call(
        "mount",
        "MS_BIND",
        "namespaces(7)",
        "From the old mount namespace: a bound file keeps a namespace without any process. Last, since only now it is complete.",
    ),
    call("umount2", "", "umount2(2)", "All of the files are bound, or none is."),
    call("openat", "O_CREAT", "open(2)", "The pid file, beside its place at first."),
    call("rename", "", "rename(2)", "It appears whole, and only when all is set up."),
    call(
        "prctl",
        "PR_SET_CHILD_SUBREAPER",
        "PR_SET_CHILD_SUBREAPER(2const)",
        "Without a pid namespace, an init has to ask for the orphans of the command.",
    ),
    call("prctl", "PR_SET_NAME", "PR_SET_NAME(2const)", "What ps(1) shows of the init."),
    call("clone3", "", "clone(2)", "The command is the child of the init, where there is one."),
    call("prctl", "PR_SET_PDEATHSIG", "PR_SET_PDEATHSIG(2const)", "And ends with it."),
    call("write", "\"\\n\"", "write(2)", "To --ready-fd, when there is nothing left to set up."),
    call(
        "read",
        "",
        "read(2)",
        "From --block-fd: whoever started us can look, or add something, before the command runs.",
    ),
    shared::COMMAND,
    call(
        "execveat",
        "",
        "execveat(2)",
        "With --hold, the init becomes a sealed copy with no file, directory or environment of the host.",
    ),
];

const EXAMPLES: &[Example] = &[
    example(
        "a host name of its own",
        Root,
        "$ unshare-rs --uts --hostname lab -- hostname\n\
         lab\n",
    ),
    example(
        "alone in the process list, without privilege",
        Anyone,
        "$ unshare-rs --map-root-user --pid --fork --mount-proc -- ps -o pid,user,args\n\
         …PID USER     COMMAND\n\
         …1 root     ps -o pid,user,args\n",
    ),
    example(
        "root inside, the caller outside",
        Anyone,
        "$ unshare-rs --map-root-user -- id -u\n\
         0\n",
    ),
    example(
        "each step, and why the kernel wants it there",
        Anyone,
        "$ unshare-rs --explain --map-root-user --uts --hostname lab -- true\n\
         unshare-rs: unshare(CLONE_NEWUSER|CLONE_NEWUTS)… # own user and uts namespaces from here on; …\n\
         unshare-rs: write(\"/proc/self/setgroups\", \"deny\")… # the kernel wants this before an unprivileged gid_map; …\n\
         unshare-rs: write(\"/proc/self/uid_map\", \"0 … 1\")… # who the caller is inside; user_namespaces(7)\n\
         unshare-rs: write(\"/proc/self/gid_map\", \"0 … 1\")… # the caller's group inside; user_namespaces(7)\n\
         unshare-rs: sethostname(\"lab\", 3)… # …\n\
         unshare-rs: execve(\"…/true\", [\"true\"])… # from here the command speaks\n",
    ),
    example(
        "a refusal, and what to do about it",
        Anyone,
        "$ unshare-rs --user -- unshare-rs --user -- true\n\
         unshare-rs: cannot create the user namespaces: unshare(CLONE_NEWUSER): EPERM (Operation not permitted)\n\
         unshare-rs: remedy: we have no id of our own in this user namespace: /proc/self/uid_map does not have it; …\n",
    ),
    example(
        "a network namespace that stays without a process, as `ip netns add` makes it",
        Root,
        "$ touch kept\n\
         $ unshare-rs --net=kept -- true\n\
         $ nsenter --net=kept -- ip -brief link\n\
         lo…DOWN…\n\
         $ umount kept && rm kept\n",
    ),
    example(
        "two user namespaces: root sets up, somebody else runs",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --fork --mount-proc -- \\\n\
         >   unshare-rs --map-user 1000 --map-group 1000 -- sh -c 'id -u; echo /proc/[0-9]*'\n\
         1000\n\
         /proc/1\n",
    ),
    example(
        "a machine that has been up for a day longer",
        Anyone,
        "$ unshare-rs --map-root-user --time --boottime 86400 --fork -- sh -c 'read up rest </proc/uptime; echo ${up%.*}'\n\
         …\n",
    ),
    example(
        "the start of a container",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --fork --kill-child -- chroot-rs --std ./rootfs -- sh -c 'echo $$'\n\
         1\n",
    ),
    example(
        "the same for a pipeline: a record names the namespaces",
        Anyone,
        "$ unshare-rs --hold --name web --map-root-user --mount --pid | nsenter-rs --pipe --rm -- sh -c 'cat /proc/self/uid_map'\n\
         …0 … 1\n",
    ),
    example(
        "for an engine: everything is set up, then the command waits",
        Anyone,
        "$ mkfifo ready go\n\
         $ exec 8<>ready 9<>go\n\
         $ unshare-rs --map-root-user --net --pid-file pid --ready-fd 8 --block-fd 9 -- echo started &\n\
         $ read -r line <&8 && echo \"process $(cat pid) is ready\" && echo >&9 && wait\n\
         process … is ready\n\
         started\n\
         $ rm ready go pid\n",
    ),
];
