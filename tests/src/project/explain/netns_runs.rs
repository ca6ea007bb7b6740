//! What is run with `--explain`: netns-rs. See `runs.rs`.

use super::runs::{Run, run};

pub const NETNS: &[Run] = &[
    run("$TRACE netns-rs exec --explain --new -- true", 0, &["unshare", "sendto", "execve"]),
    run(
        "$TRACE netns-rs exec --explain --new --reach 127.0.0.1:1 --publish 127.0.0.1:8474:1 -- /bin/true",
        0,
        &["clone3", "unshare", "pivot_root", "seccomp", "clone3", "seccomp", "execve"],
    ),
    run(
        "$TRACE netns-rs exec --explain --new --bridge explain0 --address 10.92.0.2/24 --gateway 10.92.0.1 --nat -- /bin/true",
        0,
        &["unshare", "sendto", "clone3", "clone3", "setns", "sendto", "sendto", "sendto", "sendto", "execve", "sendto"],
    ),
    run(
        "unshare-rs --hold --ttl 60 --mount --pid --net | \
               $TRACE netns-rs connect --explain --pipe --bridge explain0 --address 10.92.0.2/24 --gateway 10.92.0.1 | \
               nsenter-rs --pipe --rm -- true",
        0,
        &["sendto", "clone3", "clone3", "sendto", "sendto", "sendto", "sendto"],
    ),
    run("$TRACE netns-rs --explain add explain && netns-rs exec explain true; netns-rs delete explain", 0, &["mount"]),
    run(
        "netns-rs add explain; $TRACE netns-rs --explain exec explain true; s=$?; netns-rs delete explain; exit $s",
        0,
        &["setns", "execve"],
    ),
    run(
        "[ -e /etc/resolv.conf ] || : >/etc/resolv.conf; $TRACE netns-rs exec --explain --new --dns 192.0.2.1 -- true",
        0,
        &[
            "unshare",
            "sendto",
            "unshare",
            "mount",
            "mount",
            "openat",
            "fchmod",
            "open_tree",
            "umount2",
            "move_mount",
            "execve",
        ],
    ),
    run("netns-rs add explain && $TRACE netns-rs --explain delete explain", 0, &["umount2", "unlinkat"]),
    run(
        "netns-rs add explain; $TRACE netns-rs --explain set explain auto; s=$?; netns-rs delete explain; exit $s",
        0,
        &["sendto"],
    ),
    run(
        "netns-rs add explain; $TRACE netns-rs --explain exec --etc explain true; s=$?; netns-rs delete explain; exit $s",
        0,
        &["setns", "unshare", "mount", "umount2", "mount", "execve"],
    ),
    run("$TRACE netns-rs --explain attach explain $$; s=$?; netns-rs delete explain; exit $s", 0, &["mount"]),
    run("$TRACE netns-rs --explain show . >/dev/null", 0, &[]),
    run("$TRACE netns-rs --explain identify >/dev/null", 0, &[]),
    run("$TRACE netns-rs --explain list >/dev/null", 0, &[]),
];
