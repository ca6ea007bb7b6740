//! The texts of the manual page besides the options. Tests compare the calls with the narration, and run the examples.

mod calls;

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Example, Manual, example};

use calls::CALLS;

/// The manual page.
pub const MANUAL: Manual = Manual {
    description: "Creates namespaces and runs a command in them. Each requested kind of namespace is new; the \
                  command shares all other kinds with the caller. With --hold no command is run: a small init keeps \
                  the namespaces alive, and a container record on stdout identifies them for the next stage of a \
                  pipeline.",
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

const EXAMPLES: &[Example] = &[
    example(
        "a separate host name",
        Root,
        "$ unshare-rs --uts --hostname lab -- hostname\n\
         lab\n",
    ),
    example(
        "only its own processes are visible, without privilege",
        Anyone,
        "$ unshare-rs --map-root-user --pid --fork --mount-proc -- ps -o pid,user,args\n\
         …PID USER     COMMAND\n\
         …1 root     ps -o pid,user,args\n",
    ),
    example(
        "root inside, the calling user outside",
        Anyone,
        "$ unshare-rs --map-root-user -- id -u\n\
         0\n",
    ),
    example(
        "each step, and the reason for its place",
        Anyone,
        "$ unshare-rs --explain --map-root-user --uts --hostname lab -- true\n\
         unshare-rs: unshare(CLONE_NEWUSER|CLONE_NEWUTS)… # new user and uts namespaces from here on; …\n\
         unshare-rs: write(\"/proc/self/setgroups\", \"deny\")… # the kernel requires this before an unprivileged gid_map; …\n\
         unshare-rs: write(\"/proc/self/uid_map\", \"0 … 1\")… # the caller's user id inside; user_namespaces(7)\n\
         unshare-rs: write(\"/proc/self/gid_map\", \"0 … 1\")… # the caller's group id inside; user_namespaces(7)\n\
         unshare-rs: sethostname(\"lab\", 3)… # …\n\
         unshare-rs: execve(\"…/true\", [\"true\"])… # the command takes over\n",
    ),
    example(
        "a refusal, and what to do about it",
        Anyone,
        "$ unshare-rs --user -- unshare-rs --user -- true\n\
         unshare-rs: cannot create the user namespaces: unshare(CLONE_NEWUSER): EPERM (Operation not permitted)\n\
         unshare-rs: remedy: our own id is not mapped in this user namespace (/proc/self/uid_map); …\n",
    ),
    example(
        "a network namespace that stays without a process, like one of `ip netns add`",
        Root,
        "$ touch kept\n\
         $ unshare-rs --net=kept -- true\n\
         $ nsenter --net=kept -- ip -brief link\n\
         lo…DOWN…\n\
         $ umount kept && rm kept\n",
    ),
    example(
        "two user namespaces: root sets up, another user runs",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --fork --mount-proc -- \\\n\
         >   unshare-rs --map-user 1000 --map-group 1000 -- sh -c 'id -u; echo /proc/[0-9]*'\n\
         1000\n\
         /proc/1\n",
    ),
    example(
        "an uptime that is one day longer",
        Anyone,
        "$ unshare-rs --map-root-user --time --boottime 86400 --fork -- sh -c 'read up rest </proc/uptime; echo ${up%.*}'\n\
         …\n",
    ),
    example(
        "the start of a container",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --ipc --fork --kill-child -- chroot-rs --std ./rootfs -- sh -c 'echo $$'\n\
         1\n",
    ),
    example(
        "the same in a pipeline: a record identifies the namespaces",
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
