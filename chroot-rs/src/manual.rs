//! What the manual page says beyond the options. Tests hold the calls against the narration, and run the examples.

use plumbing::manual::Who::{Anyone, Root};
use plumbing::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Runs a command with another root directory. Without further options it does what chroot(8) does. With \
                  --std it makes a container's root: mounts of its own, what speaks for the whole machine masked or \
                  read-only, pivoted so that no way leads back, and then few capabilities, no_new_privs, a filter of system \
                  calls and a clean environment.",
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
    call(
        "clone3",
        "",
        "clone(2)",
        "In a pipe, a child joins the container and works there, so that we stay who we are.",
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
        "Through the pidfd of the container's init, which nobody can put another process behind.",
    ),
    call("unshare", "", "mount_namespaces(7)", "Mounts of our own, before the first of them is made."),
    call(
        "mount_setattr",
        "propagation",
        "mount_setattr(2)",
        "What was copied is shared with where it was copied from: our mounts would travel back.",
    ),
    call(
        "open_tree",
        "",
        "open_tree(2)",
        "A copy of a tree, seen by nobody yet; by descriptor, so that no link in it can mislead us.",
    ),
    call(
        "mount_setattr",
        "attr_set",
        "mount_setattr(2)",
        "Read-only, nosuid, nodev: on a tree and all below, while nobody sees it.",
    ),
    call("fsopen", "", "fsopen(2)", "A new file system: proc, sysfs, tmpfs, devpts, mqueue, overlay."),
    call("fsconfig", "", "fsconfig(2)", "Its parameters one by one, then its superblock."),
    call("fsmount", "", "fsmount(2)", "A mount of it, with its flags, still detached."),
    call(
        "mkdirat",
        "",
        "mkdir(2)",
        "A place to mount on, where there is none; in a read-only root, in a directory of memory that lies over its own.",
    ),
    call(
        "mknodat",
        "",
        "mknod(2)",
        "The devices that every program may expect; in a user namespace, files to mount the host's on.",
    ),
    call("openat", "O_CREAT", "open(2)", "Files of its own in /etc, where --host-root makes the root on the spot."),
    call("symlinkat", "", "symlink(2)", "Names that programs expect in /dev; links of a directory that is shown anew."),
    call("move_mount", "", "move_mount(2)", "The tree appears in its place, whole."),
    call(
        "chroot",
        "",
        "chroot(2)",
        "Where nothing is mounted, or with --no-pivot: from here on, / is there, and the old root only out of sight.",
    ),
    call(
        "pivot_root",
        "",
        "pivot_root(2)",
        "The new root takes the place of the old one, in the whole mount namespace.",
    ),
    call("umount2", "", "umount2(2)", "Then the old one can go, and nothing leads back to it."),
    call("unlinkat", "", "unlink(2)", "Only after a failure: removes the places to mount on that this run made."),
    call("prctl", "PR_SET_SECUREBITS", "PR_SET_SECUREBITS(2const)", "What being root means, as long as we may say so."),
    call(
        "prctl",
        "PR_CAPBSET_DROP",
        "PR_CAPBSET_DROP(2const)",
        "Capabilities that no program run from here on can have.",
    ),
    call("umask", "", "umask(2)", "What new files do not permit."),
    call("prlimit64", "", "prlimit(2)", "Limits of resources, before the user changes."),
    shared::GROUPS,
    shared::GROUP,
    shared::USER,
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "Nothing is handed on unasked."),
    shared::CAPABILITIES,
    call("prctl", "PR_SET_NO_NEW_PRIVS", "PR_SET_NO_NEW_PRIVS(2const)", "No set-user-ID program gives any of it back."),
    call("landlock_create_ruleset", "", "landlock(7)", "Which access to files is ruled at all."),
    call("landlock_add_rule", "", "landlock(7)", "Below which paths it is allowed."),
    call("landlock_restrict_self", "", "landlock(7)", "For us and all that we become."),
    shared::KEYRING,
    shared::FILTER,
    shared::COMMAND,
];

const EXAMPLES: &[Example] = &[
    example("another root, as chroot(8) does it", Root, "$ chroot-rs ./rootfs /bin/sh -c 'ls / | head -1'\nbin\n"),
    example("as somebody else", Root, "$ chroot-rs --userspec 1000:1000 ./rootfs /bin/id -u\n1000\n"),
    example(
        "a container's root, without privilege",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --fork -- chroot-rs --std ./rootfs -- /bin/sh -c 'echo $$; ls /proc/sys/kernel/hostname'\n\
         1\n\
         /proc/sys/kernel/hostname\n",
    ),
    example(
        "the host's own system, read-only",
        Anyone,
        "$ unshare-rs --map-root-user --mount --pid --fork -- chroot-rs --std --host-root -- sh -c 'touch /usr/here'\n\
         touch: cannot touch '/usr/here': Read-only file system\n",
    ),
    example(
        "a directory of the host inside, and scratch space",
        Root,
        "$ mkdir src && echo text >src/file\n\
         $ chroot-rs --bind ./src:/srv:ro --tmpfs /tmp:size=64m ./rootfs -- /bin/sh -c 'cat /srv/file; echo >/tmp/x; echo >/srv/x'\n\
         text\n\
         …: Read-only file system\n",
    ),
    example(
        "in a pipeline: the last stage does it to what it runs",
        Anyone,
        "$ unshare-rs --hold --map-root-user --mount --pid | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/sh -c 'grep NoNewPrivs /proc/self/status'\n\
         NoNewPrivs:\t1\n",
    ),
];
