//! Each cause for which the kernel refuses namespaces, provoked: the error names the cause, and no other.

use super::options::{own, staged};
use crate::harness::need::{BWRAP, Need};
use crate::harness::row::Row;

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
    Row::new("the error names a limit of 0, for each kind alone and with others", OURS, |world| {
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
    Row::new("the error names a limit that is used up", OURS, |world| {
        let script = "unshare-rs -r -- sh -c 'echo 1 >/proc/sys/user/max_uts_namespaces; unshare-rs -u -- unshare-rs -u true'";
        world.sh(script).fails_with(125).stderr_has("remedy: user.max_uts_namespaces, which is 1 here, or the same limit of an outer user namespace");
    }),
    Row::new("the error says that namespaces are nested too deep", OURS, |world| {
        let users = "unshare-rs -r -- ".repeat(34);
        world.sh(&format!("{users} true")).fails_with(125).stderr_has("ENOSPC").stderr_has("nested 32 levels deep");
        let pids = "unshare-rs -pf -- ".repeat(34);
        world.sh(&format!("unshare-rs -r -- {pids} true")).fails_with(125).stderr_has("ENOSPC").stderr_has("32 below the initial one");
    }),
    Row::new("the error names a chroot", OURS, |world| {
        // In a new user namespace, whose root may call chroot(2).
        let script = "mkdir root; cp $TOOLS/unshare-rs root; $TOOLS/chroot-rs root /unshare-rs --user /unshare-rs";
        staged(world, script).fails_with(125).stderr_has("EPERM").stderr_has("remedy: we are in a chroot");
        let script = "mkdir -p root/proc; mount --rbind /proc root/proc; cp $TOOLS/unshare-rs root
            $TOOLS/chroot-rs root /unshare-rs --mount -- /unshare-rs --version";
        staged(world, script).succeeds().stdout_has("unshare-rs");
        // What makes the way out of a chroot possible is the right to it.
        let script = "mkdir -p root/proc; mount --rbind /proc root/proc; cp $TOOLS/unshare-rs root
            $TOOLS/chroot-rs --capability-set bounding=SYS_ADMIN --capabilities SYS_ADMIN root /unshare-rs --mount /unshare-rs";
        let outcome = staged(world, script).fails_with(125).stderr_has("EINVAL").stderr_has("CAP_SYS_CHROOT is missing");
        outcome.stderr_has("add --propagation unchanged");
    }),
    Row::new("the error says that our own id is not mapped", OURS, |world| {
        world
            .sh("unshare-rs --user -- unshare-rs --user true")
            .fails_with(125)
            .stderr_has("EPERM")
            .stderr_has("remedy: our own id is not mapped in this user namespace (/proc/self/uid_map)");
    }),
    Row::new("the error names a missing capability", OURS, |world| {
        world
            .sh("unshare-rs --net true")
            .fails_with(125)
            .stderr_has("remedy: CAP_SYS_ADMIN is missing here; add --user --map-root-user");
        world.sh("touch kept; unshare-rs --net=kept -r true").fails_with(125).stderr_has("CAP_SYS_ADMIN is missing here");
    })
    .user_only(),
    Row::new(
        "the error names a seccomp filter",
        &[Need::UserNamespaces, BWRAP],
        |world| {
            // BPF: load the call's number; unshare(2) fails with EPERM, all other calls are allowed.
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
    Row::new("the error says why proc cannot be mounted", OURS, |world| {
        for (options, remedy) in
            [("-r --mount-proc", "add --pid --fork"), ("-rp --mount-proc", "in which we still are; add --fork")]
        {
            world.sh(&format!("unshare-rs {options} true")).fails_with(125).stderr_has("EPERM").stderr_has(remedy);
        }
        let script = "mount --bind /dev/null /proc/keys; unshare-rs -rpf --mount-proc true";
        staged(world, script).fails_with(125).stderr_has("another mount covers /proc/keys here");
    }),
    Row::new("the error names the sysctl that denies user namespaces to users", OURS, |world| {
        let script = "
            old=$(cat /proc/sys/kernel/unprivileged_userns_clone) || exit 1
            echo 0 >/proc/sys/kernel/unprivileged_userns_clone
            setpriv --reuid 54321 --regid 54321 --clear-groups unshare-rs -r true; status=$?
            echo $old >/proc/sys/kernel/unprivileged_userns_clone; exit $status";
        // A sysctl of Debian's kernels, which the virtual machines run.
        world.sh(script).fails_with(125).stderr_has("remedy: kernel.unprivileged_userns_clone is 0 here");
    })
    .root_only()
    .vm_only(),
    Row::new("without a refusal nothing is printed", OURS, |world| {
        let outcome = world.sh(&format!("unshare-rs {} -mupf --mount-proc true", own(world))).succeeds();
        assert_eq!(outcome.stderr, "", "{outcome}");
    }),
];
