//! The kernel calls of the manual page, in the order in which they are made.

use plumbing::command_line::manual::{Call, call, shared};

/// The calls.
pub(super) const CALLS: &[Call] = &[
    shared::VIEW,
    shared::READ_ONLY_VIEW,
    shared::OWN_FILE,
    call(
        "execveat",
        "",
        "memfd_create(2)",
        "With --init, the init continues in a sealed copy of itself, because /proc/1/exe gives the command access to \
         its executable (CVE-2019-5736).",
    ),
    call(
        "fsetxattr",
        "",
        "xattr(7)",
        "With --hold by root of the first user namespace: a mark for the init that no root of a container can make.",
    ),
    call(
        "clone3",
        "",
        "clone(2)",
        "A process stays in the old namespaces, for what can only be done from there: mapping ranges of ids, binding \
         namespaces to files, writing the pid file. With --hold, this call makes the init, directly in its new \
         namespaces.",
    ),
    call("setgroups", "", "setgroups(2)", "With --owner: the owner gets no supplementary groups of the caller."),
    call("setresgid", "", "setresgid(2)", "The group first: after the change of user it could not be changed."),
    call(
        "setresuid",
        "",
        "setresuid(2)",
        "The user that creates a user namespace owns it, and the namespaces created with it.",
    ),
    call(
        "prctl",
        "SUID_DUMP_USER",
        "PR_SET_DUMPABLE(2const)",
        "The change of user made root the owner of our files in /proc, through which the id maps are written.",
    ),
    call(
        "unshare",
        "",
        "unshare(2)",
        "All namespaces at once: the kernel creates the user namespace first, which gives the right to create the \
         others, and creates either all of them or none.",
    ),
    call(
        "write",
        "setgroups",
        "user_namespaces(7)",
        "Before the gid map: the kernel accepts an unprivileged gid map only after setgroups(2) is denied, because \
         leaving a group can give access.",
    ),
    call(
        "execve",
        "idmap",
        "newuidmap(1)",
        "For an unprivileged user, ranges of ids are mapped by these helpers, which check /etc/subuid and \
         /etc/subgid.",
    ),
    call(
        "write",
        "uid_map",
        "user_namespaces(7)",
        "The map of user ids. Until it is written, every id inside is the overflow id and no file can be created. It \
         can be written only once.",
    ),
    call("write", "gid_map", "user_namespaces(7)", "The map of group ids."),
    call(
        "write",
        "timens_offsets",
        "time_namespaces(7)",
        "Before the first process enters the time namespace; after that the offsets cannot be changed.",
    ),
    call(
        "clone3",
        "",
        "pid_namespaces(7)",
        "The process that creates a pid namespace never enters it; its first child is pid 1 there.",
    ),
    call(
        "prctl",
        "PR_SET_PDEATHSIG",
        "PR_SET_PDEATHSIG(2const)",
        "The child is killed when its parent dies for any reason.",
    ),
    call("setsid", "", "setsid(2)", "With --hold: the container is not signaled by the caller's terminal."),
    call(
        "mount",
        "\"/\"",
        "mount_namespaces(7)",
        "Before any other mount: the copied mounts are peers of the originals, and new mounts would propagate to the \
         old namespace.",
    ),
    call(
        "setns",
        "",
        "setns(2)",
        "Where that failed, in a chroot: joining our own mount namespace makes its root ours, and / is a mount there.",
    ),
    call("chroot", "", "chroot(2)", "To that root for the change of propagation, and back."),
    call("sethostname", "", "uts_namespaces(7)", "In the new uts namespace, which starts with the host's name."),
    call("setdomainname", "", "uts_namespaces(7)", "In the new uts namespace too."),
    call(
        "mount",
        "binfmt_misc",
        "binfmt_misc of the kernel's admin guide",
        "Before the root changes, because the kernel opens an interpreter with the flag F when it is registered.",
    ),
    call(
        "write",
        "/register",
        "binfmt_misc of the kernel's admin guide",
        "Registers an interpreter for this user namespace only.",
    ),
    call("chroot", "", "chroot(2)", "After the mounts that need the old root, and before those in the new root."),
    call("chdir", "", "chdir(2)", "chroot(2) leaves the working directory outside the new root."),
    call(
        "mount",
        "MS_REC",
        "mount_namespaces(7)",
        "If mounts still propagate: not the new proc, which belongs to this pid namespace only.",
    ),
    call(
        "mount",
        "\"proc\"",
        "proc(5)",
        "After the fork: a proc file system shows the pid namespace of the process that mounts it.",
    ),
    call("mount", "binfmt_misc", "binfmt_misc of the kernel's admin guide", "In the new root, below the new proc."),
    call(
        "write",
        "/register",
        "binfmt_misc of the kernel's admin guide",
        "For an interpreter that is inside the new root.",
    ),
    shared::HIDDEN,
    shared::KEEP_CAPABILITIES,
    shared::GROUPS,
    shared::GROUP,
    call("setresuid", "", "setresuid(2)", "After all steps that need root's privileges."),
    call(
        "capset",
        "",
        "capabilities(7)",
        "Permitted capabilities become inheritable, so that they can become ambient.",
    ),
    call(
        "prctl",
        "PR_CAP_AMBIENT",
        "PR_CAP_AMBIENT(2const)",
        "A command that is not root keeps only ambient capabilities across execve(2).",
    ),
    shared::DEATH_SIGNAL_AGAIN,
    call(
        "mount",
        "MS_BIND",
        "namespaces(7)",
        "From the old mount namespace: a bound file keeps a namespace alive without a process. Last, because only \
         now is the namespace complete.",
    ),
    call("umount2", "", "umount2(2)", "After an error: either all files are bound, or none."),
    call("openat", "O_CREAT", "open(2)", "The pid file, under a temporary name in the same directory."),
    call("renameat", "", "rename(2)", "The pid file appears complete, and only when everything is set up."),
    call(
        "prctl",
        "PR_SET_CHILD_SUBREAPER",
        "PR_SET_CHILD_SUBREAPER(2const)",
        "Without a pid namespace, an init must request to become the parent of the command's orphans.",
    ),
    call("prctl", "PR_SET_NAME", "PR_SET_NAME(2const)", "The name of the init that ps(1) shows."),
    call("clone3", "", "clone(2)", "With an init, the command is its child."),
    call("unshare", "CLONE_NEWNS", "mount_namespaces(7)", "With an init: a mount namespace for it alone."),
    call("fsopen", "", "tmpfs(5)", "An empty file system for it."),
    call("fsconfig", "", "fsconfig(2)", "Creates the superblock."),
    call("fsmount", "", "fsmount(2)", "A read-only mount of it, still detached."),
    call("mount", "\"/\"", "mount_namespaces(7)", "Nothing of the next steps propagates to the old mount namespace."),
    call("move_mount", "", "move_mount(2)", "Attaches it, because pivot_root(2) requires that."),
    call(
        "pivot_root",
        "",
        "pivot_root(2)",
        "A process that reaches the init's mount namespace through the init finds nothing in it.",
    ),
    call("umount2", "", "umount2(2)", "Detaches the old root there."),
    NO_CAPABILITY_LATER,
    NO_AMBIENT_CAPABILITY,
    FEW_CAPABILITIES,
    NO_NEW_PRIVILEGES,
    FEW_CALLS,
    call("prctl", "PR_SET_PDEATHSIG", "PR_SET_PDEATHSIG(2const)", "The command is killed when its init dies."),
    shared::HIDDEN,
    call("write", "\"\\n\"", "write(2)", "To --ready-fd, when everything is set up."),
    call("read", "", "read(2)", "From --block-fd: the caller can inspect or add something before the command runs."),
    shared::COMMAND,
    call(
        "execveat",
        "",
        "execveat(2)",
        "With --hold, the init becomes a sealed copy of unshare-rs, without any file, directory or environment of \
         the host.",
    ),
    NO_CAPABILITY_LATER,
    NO_AMBIENT_CAPABILITY,
    FEW_CAPABILITIES,
    NO_NEW_PRIVILEGES,
    FEW_CALLS,
];

// How an init confines itself: a process inside may be able to trace it, and must gain nothing by that.
const NO_CAPABILITY_LATER: Call = call(
    "prctl",
    "PR_CAPBSET_DROP",
    "PR_CAPBSET_DROP(2const)",
    "No program that the init could be made to execute has a capability.",
);
const NO_AMBIENT_CAPABILITY: Call =
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "The init passes no capability on.");
const FEW_CAPABILITIES: Call =
    call("capset", "", "capabilities(7)", "The init keeps only the capabilities that it still needs.");
const NO_NEW_PRIVILEGES: Call = call(
    "prctl",
    "PR_SET_NO_NEW_PRIVS",
    "PR_SET_NO_NEW_PRIVS(2const)",
    "No program can give back what the init dropped.",
);
const FEW_CALLS: Call = call("seccomp", "", "seccomp(2)", "The init can make only the few calls that it still needs.");
