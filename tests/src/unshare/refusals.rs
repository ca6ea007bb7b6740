//! Each way in which the kernel refuses namespaces, provoked: the cause is told, and nothing that is not one.

use super::{own, staged};
use crate::need::{BWRAP, Need};
use crate::row::Row;

const OURS: &[Need] = &[Need::UserNamespaces];
const KINDS: [(&str, &str); 8] = [
    ("--user", "user"),
    ("--mount", "mnt"),
    ("--uts", "uts"),
    ("--ipc", "ipc"),
    ("--net", "net"),
    ("--pid", "pid"),
    ("--cgroup", "cgroup"),
    ("--time", "time"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a limit of none is told for each kind, also among others", OURS, |world| {
        for (option, name) in KINDS {
            let script = format!(
                "unshare-rs -r -- sh -c 'echo 0 >/proc/sys/user/max_{name}_namespaces; unshare-rs {option} true; \
                 unshare-rs --uts --net --user {option} true'"
            );
            let remedy = format!("remedy: user.max_{name}_namespaces is 0 here; raise it with sysctl");
            let outcome = world.sh(&script).fails_with(125);
            assert_eq!(outcome.stderr.matches(&remedy).count(), 2, "{outcome}");
        }
    }),
    Row::new("a limit that is used up is told", OURS, |world| {
        let script = "unshare-rs -r -- sh -c 'echo 1 >/proc/sys/user/max_uts_namespaces; unshare-rs -u -- unshare-rs -u true'";
        world.sh(script).fails_with(125).stderr_has("remedy: user.max_uts_namespaces, which is 1 here, or the same limit of an outer user namespace");
    }),
    Row::new("nesting too deep is told", OURS, |world| {
        let users = "unshare-rs -r -- ".repeat(34);
        world.sh(&format!("{users} true")).fails_with(125).stderr_has("ENOSPC").stderr_has("nested 32 levels deep");
        let pids = "unshare-rs -pf -- ".repeat(34);
        world.sh(&format!("unshare-rs -r -- {pids} true")).fails_with(125).stderr_has("ENOSPC").stderr_has("32 below the initial one");
    }),
    Row::new("a chroot is told", OURS, |world| {
        // In a namespace of its own, so that root of that one may call chroot(2).
        let script = "mkdir root; cp $TOOLS/unshare-rs root; $TOOLS/chroot-rs root /unshare-rs --user /unshare-rs";
        staged(world, script).fails_with(125).stderr_has("EPERM").stderr_has("remedy: we are in a chroot");
        let script = "mkdir -p root/proc; mount --rbind /proc root/proc; cp $TOOLS/unshare-rs root
            $TOOLS/chroot-rs root /unshare-rs --mount /unshare-rs";
        staged(world, script).fails_with(125).stderr_has("EINVAL").stderr_has("add --propagation unchanged");
    }),
    Row::new("having no id of one's own is told", OURS, |world| {
        world
            .sh("unshare-rs --user -- unshare-rs --user true")
            .fails_with(125)
            .stderr_has("EPERM")
            .stderr_has("remedy: our own id is not mapped in this user namespace (/proc/self/uid_map)");
    }),
    Row::new("a missing capability is told", OURS, |world| {
        world
            .sh("unshare-rs --net true")
            .fails_with(125)
            .stderr_has("remedy: CAP_SYS_ADMIN is missing here; add --user --map-root-user");
        world.sh("touch kept; unshare-rs --net=kept -r true").fails_with(125).stderr_has("CAP_SYS_ADMIN is missing here");
    })
    .user_only(),
    Row::new(
        "a seccomp filter is told",
        &[Need::UserNamespaces, BWRAP],
        |world| {
            // BPF: load the call's number; unshare(2) and clone3(2) are answered by EPERM, all else is allowed.
            let number = if cfg!(target_arch = "x86_64") { "\\x10\\x01" } else { "\\x61\\x00" };
            let filter = format!(
                "printf '\\x20\\0\\0\\0\\0\\0\\0\\0\\x15\\0\\0\\x01{number}\\0\\0\\x06\\0\\0\\0\\x01\\0\\x05\\0\\x06\\0\\0\\0\\0\\0\\xff\\x7f'"
            );
            for options in ["--user", "--net", "-r --pid --fork"] {
                let script = format!("{filter} >filter; bwrap --dev-bind / / --seccomp 9 unshare-rs {options} true 9<filter");
                world.sh(&script).fails_with(125).stderr_has("EPERM").stderr_has("remedy: a seccomp filter refuses this call");
            }
        },
    )
    .root_only()
    .host_only(),
    Row::new("a proc that may not be mounted is told", OURS, |world| {
        for (options, remedy) in
            [("-r --mount-proc", "add --pid --fork"), ("-rp --mount-proc", "in which we still are; add --fork")]
        {
            world.sh(&format!("unshare-rs {options} true")).fails_with(125).stderr_has("EPERM").stderr_has(remedy);
        }
        let script = "mount --bind /dev/null /proc/keys; unshare-rs -rpf --mount-proc true";
        staged(world, script).fails_with(125).stderr_has("another mount covers /proc/keys here");
    }),
    Row::new("a user who may make no user namespaces is told which switch it is", OURS, |world| {
        let script = "
            old=$(cat /proc/sys/kernel/unprivileged_userns_clone) || exit 1
            echo 0 >/proc/sys/kernel/unprivileged_userns_clone
            setpriv --reuid 54321 --regid 54321 --clear-groups unshare-rs -r true; status=$?
            echo $old >/proc/sys/kernel/unprivileged_userns_clone; exit $status";
        // A switch of Debian's, whose kernels these are.
        world.sh(script).fails_with(125).stderr_has("remedy: kernel.unprivileged_userns_clone is 0 here");
    })
    .root_only()
    .vm_only(),
    Row::new("without a refusal there is no remedy", OURS, |world| {
        let outcome = world.sh(&format!("unshare-rs {} -mupf --mount-proc true", own(world))).succeeds();
        assert_eq!(outcome.stderr, "", "{outcome}");
    }),
];
