//! The texts of the manual page that are not options. Tests compare the calls with the narration, and run the examples.

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Call, Example, Manual, call, example, shared};

/// The manual page.
pub const MANUAL: Manual = Manual {
    description: "Runs a command with another root directory. Without further options it works like chroot(8). With \
                  --std it makes a container's root: new mounts, with the files that control or show the whole \
                  machine masked or read-only; pivot_root(2), so that nothing leads back; then few capabilities, \
                  no_new_privs, a system call filter and a clean environment. A mount point that a read-only root \
                  lacks is made without writing to the root. The supplementary groups are those of --groups, or of \
                  the user of --userspec.",
    calls: CALLS,
    examples: EXAMPLES,
    see_also: &[
        "chroot(1)",
        "chroot(2)",
        "pivot_root(2)",
        "mount_setattr(2)",
        "open_tree(2)",
        "fsopen(2)",
        "capabilities(7)",
        "seccomp(2)",
        "landlock(7)",
        "mount_namespaces(7)",
        "unshare-rs(1)",
    ],
};

const CALLS: &[Call] = &[
    shared::HIDDEN,
    shared::VIEW,
    shared::READ_ONLY_VIEW,
    shared::OWN_FILE,
    call(
        "clone3",
        "",
        "clone(2)",
        "In a pipe, a child joins the container and works there, because joining cannot be undone.",
    ),
    call(
        "prctl",
        "PR_SET_DUMPABLE",
        "PR_SET_DUMPABLE(2const)",
        "In a pipe, where the container has a user namespace: its owner may not trace us.",
    ),
    call(
        "setns",
        "",
        "setns(2)",
        "Through the pidfd of the container's init, which cannot refer to another process later; or through our own, which \
         makes the root of the mount namespace ours, in case that chroot(2) has hidden it.",
    ),
    call(
        "setsid",
        "",
        "setsid(2)",
        "If no terminal was given: the command gets neither the caller's terminal nor its process group.",
    ),
    call("unshare", "", "mount_namespaces(7)", "A new mount namespace, before the first mount."),
    call(
        "mount_setattr",
        "propagation",
        "mount_setattr(2)",
        "The copied mounts are peers of the originals: our mounts would propagate to the old namespace.",
    ),
    call(
        "open_tree",
        "",
        "open_tree(2)",
        "A detached copy of a tree, used by descriptor, so that no symbolic link in it can redirect us.",
    ),
    call(
        "mount_setattr",
        "attr_set",
        "mount_setattr(2)",
        "Read-only, nosuid, nodev: on a whole tree, before it is attached.",
    ),
    call("fsopen", "", "fsopen(2)", "A new file system: proc, sysfs, tmpfs, devpts, mqueue, overlay."),
    call("fsconfig", "", "fsconfig(2)", "Its parameters, one by one; then its superblock is created."),
    call("fsmount", "", "fsmount(2)", "A mount of the new file system, with its flags, still detached."),
    call(
        "mkdirat",
        "",
        "mkdir(2)",
        "A missing mount point; in a read-only root, in a directory in memory that covers the root's own.",
    ),
    call("mknodat", "", "mknod(2)", "Empty files to mount the host's devices on; the devices of an OCI bundle."),
    call("openat", "O_CREAT", "open(2)", "New files in /etc."),
    call(
        "symlinkat",
        "",
        "symlink(2)",
        "Links that programs expect in /dev; copies of the links of a covered directory.",
    ),
    call("move_mount", "", "move_mount(2)", "The complete tree is attached in its place."),
    call(
        "chroot",
        "",
        "chroot(2)",
        "Without mounts, or with --no-pivot: / is the new root from here on, and the old root still exists. In a chroot, also \
         to the root of the mount namespace, which is pivoted, and back.",
    ),
    call("pivot_root", "", "pivot_root(2)", "The new root replaces the old one, in the whole mount namespace."),
    call("umount2", "", "umount2(2)", "Detaches the old root, so that nothing leads back to it."),
    call(
        "renameat2",
        "",
        "rename(2)",
        "Only after a failure: what is to be removed is examined in a directory in which only we can write.",
    ),
    call("unlinkat", "", "unlink(2)", "Only after a failure: removes the mount points that this run made."),
    call(
        "prctl",
        "PR_SET_SECUREBITS",
        "PR_SET_SECUREBITS(2const)",
        "Sets the secure bits, while we still have the privilege for it.",
    ),
    call(
        "prctl",
        "PR_CAPBSET_DROP",
        "PR_CAPBSET_DROP(2const)",
        "No program that is executed from here on can have these capabilities.",
    ),
    call("umask", "", "umask(2)", "Sets the file mode creation mask."),
    call("prlimit64", "", "prlimit(2)", "Resource limits, before the user changes."),
    call(
        "sched_setattr",
        "",
        "sched(7)",
        "With a bundle: its scheduling policy, with rights that the command may not have.",
    ),
    call("ioprio_set", "", "ioprio_set(2)", "With a bundle: its I/O priority."),
    call("personality", "", "personality(2)", "With a bundle: its execution domain, which execve(2) keeps."),
    shared::GROUPS,
    shared::GROUP,
    shared::USER,
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "Clears the ambient set, except for what was asked for."),
    shared::CAPABILITIES,
    call(
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        "PR_SET_NO_NEW_PRIVS(2const)",
        "No set-user-ID program can regain privileges.",
    ),
    call("landlock_create_ruleset", "", "landlock(7)", "The kinds of access that the rules cover."),
    call("landlock_add_rule", "", "landlock(7)", "The paths below which, and the ports to which, access is allowed."),
    call("landlock_restrict_self", "", "landlock(7)", "Applies the rules to this process and all its descendants."),
    shared::KEYRING,
    shared::FILTER,
    shared::COMMAND,
];

const EXAMPLES: &[Example] = &[
    example("another root, like chroot(8)", Root, "$ chroot-rs ./rootfs /bin/sh -c 'ls / | head -1'\nbin\n"),
    example("as another user", Root, "$ chroot-rs --userspec 1000:1000 ./rootfs /bin/id -u\n1000\n"),
    example(
        "a container's root, without privilege",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --ipc --fork -- chroot-rs --std ./rootfs -- /bin/sh -c 'echo $$; ls /proc/sys/kernel/hostname'\n\
         1\n\
         /proc/sys/kernel/hostname\n",
    ),
    example(
        "the host's own system, read-only",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --ipc --fork -- chroot-rs --std --host-root -- sh -c 'touch /usr/here'\n\
         touch: cannot touch '/usr/here': Read-only file system\n",
    ),
    example(
        "a directory of the host, and a temporary directory",
        Root,
        "$ mkdir src && echo text >src/file\n\
         $ chroot-rs --bind ./src:/srv:ro --tmpfs /tmp:size=64m ./rootfs -- /bin/sh -c 'cat /srv/file; echo >/tmp/x; echo >/srv/x'\n\
         text\n\
         …: Read-only file system\n",
    ),
    example(
        "in a pipeline: the last stage confines its command",
        Anyone,
        "$ unshare-rs --hold --map-root-user --mount --pid --ipc | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/sh -c 'grep NoNewPrivs /proc/self/status'\n\
         NoNewPrivs:\t1\n",
    ),
];
