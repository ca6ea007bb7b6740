//! An error is one line, complete in itself: `TOOL: cannot OPERATION OBJECT: CALL: ENAME (text)`. A second line is a
//! remedy, and only where its cause was looked up.

use std::path::Path;

use crate::harness::narration::TOOLS;
use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;
use crate::project::explain::script;

/// What is provoked, and what is said: operation and object, call, errno, and the remedy (none when empty).
type Provoked = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// The limit of `user.max_KIND_namespaces`, in a user namespace whose root may set it.
const EXHAUSTED: &[Provoked] = &[
    (
        "limited net unshare-rs --net true",
        "create the net namespaces",
        "unshare(CLONE_NEWNET)",
        "ENOSPC",
        "user.max_net_namespaces is 0",
    ),
    (
        "limited mnt unshare-rs --uts --mount true",
        "create the mount and uts namespaces",
        "unshare(CLONE_NEWNS|CLONE_NEWUTS)",
        "ENOSPC",
        "user.max_mnt_namespaces is 0",
    ),
    (
        "limited uts unshare-rs --uts true",
        "create the uts namespaces",
        "unshare(",
        "ENOSPC",
        "user.max_uts_namespaces is 0",
    ),
    (
        "limited ipc unshare-rs --ipc true",
        "create the ipc namespaces",
        "unshare(",
        "ENOSPC",
        "user.max_ipc_namespaces is 0",
    ),
    (
        "limited time unshare-rs --time true",
        "create the time namespaces",
        "unshare(",
        "ENOSPC",
        "user.max_time_namespaces is 0",
    ),
    (
        "limited user unshare-rs --user true",
        "create the user namespaces",
        "unshare(",
        "ENOSPC",
        "user.max_user_namespaces is 0",
    ),
    (
        "limited pid unshare-rs --hold --pid",
        "create the pid namespaces",
        "clone3(",
        "ENOSPC",
        "user.max_pid_namespaces is 0",
    ),
    (
        "limited cgroup unshare-rs --hold --cgroup",
        "create the cgroup namespaces",
        "clone3(",
        "ENOSPC",
        "user.max_cgroup_namespaces is 0",
    ),
    ("limited net netns-rs exec --new -- true", "make a network namespace", "unshare(CLONE_NEWNET)", "ENOSPC", ""),
];

const ANYONE: &[Provoked] = &[
    ("unshare-rs -r --mount-proc=/no/such/place true", "mount a new proc at /no/such/place", "mount(", "ENOENT", ""),
    ("unshare-rs -r --uts --hostname $(printf %070d 0) true", "set the host name to", "sethostname(", "EINVAL", ""),
    ("nsenter-rs --target 2147483647 --all true", "open process 2147483647", "pidfd_open(2147483647)", "ESRCH", ""),
    (
        "unshare-rs -r -- nsenter-rs --target $$ --net true",
        "enter the net namespaces of process",
        "setns(",
        "EPERM",
        "",
    ),
    ("netns-rs exec no-such-name true", "open the network namespace no-such-name", "openat(", "ENOENT", ""),
    ("netns-rs delete no-such-name", "delete the network namespace no-such-name", "lstat(", "ENOENT", ""),
    (
        "unshare-rs -r -- netns-rs add fault",
        "prepare /run/netns",
        "mount(",
        "EPERM",
        "this process has CAP_SYS_ADMIN only in its own user namespace",
    ),
    ("chroot-rs /no/such/root true", "open the new root /no/such/root", "openat(", "ENOENT", ""),
    ("chroot-rs /proc/version true", "open the new root /proc/version", "openat(", "ENOTDIR", ""),
    (
        "unshare-rs -r --mount -- chroot-rs --std /no/such/root -- true",
        "open the new root /no/such/root",
        "openat(",
        "ENOENT",
        "",
    ),
    (
        "unshare-rs -r --mount -- chroot-rs --std $ROOT -- true",
        "mount proc on /proc",
        "fsconfig(",
        "EPERM",
        "unshare-rs --pid --fork",
    ),
    (
        "unshare-rs -r -- chroot-rs --userspec 77:77 / true",
        "change to group 77",
        "setresgid(77, 77, 77)",
        "EINVAL",
        "77 is not mapped",
    ),
    (
        "unshare-rs -r -- chroot-rs --groups 5 / true",
        "change to the supplementary groups 5",
        "setgroups(",
        "EPERM",
        "/proc/self/setgroups is \"deny\"",
    ),
    ("cgexec-rs -g ':/no/such/group' true", "cgroup /no/such/group", "openat2(", "ENOENT", ""),
    ("cgexec-rs --show 2147483647", "open process 2147483647", "pidfd_open(2147483647)", "ESRCH", ""),
    ("unshare-rs --help >/dev/full", "write the output", "write(", "ENOSPC", ""),
];

const USER: &[Provoked] = &[
    (
        "unshare-rs --mount true",
        "create the mount namespaces",
        "unshare(CLONE_NEWNS)",
        "EPERM",
        "CAP_SYS_ADMIN is missing here",
    ),
    ("unshare-rs --hold --uts | cat", "create the uts namespaces", "clone3(", "EPERM", "CAP_SYS_ADMIN is missing here"),
    (
        "netns-rs exec --new -- true",
        "make a network namespace",
        "unshare(CLONE_NEWNET)",
        "EPERM",
        "this process lacks CAP_SYS_ADMIN",
    ),
    ("netns-rs add fault", "prepare /run/netns", "mount(", "EPERM", "this process lacks CAP_SYS_ADMIN"),
    ("chroot-rs / true", "change the root to /", "chroot(\"/\")", "EPERM", "CAP_SYS_CHROOT is missing here"),
    (
        "chroot-rs --std $ROOT true",
        "create a mount namespace",
        "unshare(CLONE_NEWNS)",
        "EPERM",
        "CAP_SYS_ADMIN is missing here",
    ),
];

/// What takes a map of several ids.
const ROOT: &[Provoked] = &[(
    "unshare-rs --map-users 0:0:10 --map-groups 0:0:10 -- chroot-rs --groups 5,77 / true",
    "change to the supplementary groups 5, 77",
    "setgroups(2, [5, 77])",
    "EINVAL",
    "77 is not mapped",
)];

/// Where the machine's groups are root's.
const USER_ON_HOST: &[Provoked] = &[(
    "cgexec-rs --pids 10 true",
    "make the cgroup /sys/fs/cgroup",
    "mkdirat(",
    "EACCES",
    "belongs to uid 0, and we are uid",
)];

/// Failures in which no call was refused: a sentence, and nothing about the kernel.
const SENTENCES: &[(&str, &str)] = &[
    ("nsenter-rs --pipe true </dev/null", "no container record came in on stdin"),
    ("echo | nsenter-rs --pipe true", "the line is empty"),
    ("nsenter-rs --find no-such-one --json", "no running container has this name or id"),
    ("unshare-rs --hold --user --uts >/dev/null", "no process could read it"),
    ("chroot-rs --userspec no-such-user / true", "no user \"no-such-user\""),
    ("cgexec-rs -g no-such-controller:/ true", "no-such-controller"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("an error about an exhausted limit of namespaces names the limit", &[Need::UserNamespaces], |world| {
        provoke(world, EXHAUSTED);
    }),
    Row::new(
        "an error names operation, object, call and errno, and a remedy only where it is known",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            provoke(world, ANYONE);
        },
    ),
    Row::new("an error about a missing right names the right", &[BUSYBOX], |world| provoke(world, USER)).user_only(),
    Row::new("of several groups the error names the one that is not mapped", &[Need::UserNamespaces], |world| {
        provoke(world, ROOT)
    })
    .root_only(),
    Row::new("a user who may not use the cgroups learns who owns them", &[], |world| provoke(world, USER_ON_HOST))
        .user_only()
        .host_only(),
    Row::new("what no call refused is reported in a sentence", &[], |world| {
        for (line, text) in SENTENCES {
            let outcome = world.sh(line).fails_with(125).stdout_is("").stderr_has(text);
            let lines: Vec<_> = outcome.stderr.lines().collect();
            assert!(TOOLS.iter().any(|tool| lines[0].starts_with(&format!("{tool}: "))), "{outcome}");
            let is_remedy = |line: &&str| line.contains(": remedy: ");
            assert!(lines.len() == 1 || lines.len() == 2 && is_remedy(&lines[1]), "{outcome}");
        }
    }),
    Row::new("an error is one line whatever the object is called", &[], |world| {
        for line in [
            "chroot-rs $'/no\\nsuch\\nroot' true",
            "unshare-rs $'no\\nsuch\\ncommand'",
            "netns-rs exec $'no\\nsuch' true",
        ] {
            let outcome = world.sh(line);
            let lines = outcome.stderr.lines().filter(|line| !line.contains(": remedy: ")).count();
            assert!(lines == 1, "{outcome}");
        }
    }),
];

/// `limited KIND COMMAND`: in a user namespace where no more namespaces of that kind can be made.
const LIMITED: &str = "limited() { unshare-rs --map-root-user -- sh -c '
    echo 0 >/proc/sys/user/max_${0}_namespaces || exit 99
    \"$@\"' \"$@\" | cat; }\n";

fn provoke(world: &World, all: &[Provoked]) {
    let mut wrong = Vec::new();
    for (line, goal, call, errno, remedy) in all {
        let outcome = script(world, &format!("{LIMITED}{line}"), Path::new("unused")).run();
        let lines: Vec<_> = outcome.stderr.lines().collect();
        let is_said = match &lines[..] {
            [error] => remedy.is_empty() && is_complete(error, goal, call, errno),
            [error, second] => {
                let tool = error.split(':').next().unwrap_or_default();
                let is_remedy = second.starts_with(&format!("{tool}: remedy: ")) && second.contains(remedy);
                !remedy.is_empty() && is_remedy && is_complete(error, goal, call, errno)
            }
            _ => false,
        };
        if !(is_said && outcome.status == 125) {
            wrong.push(format!("expected {goal}: {call}: {errno}, remedy {remedy:?}\n{outcome}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// `TOOL: cannot GOAL: CALL: ERRNO (text)`.
fn is_complete(line: &str, goal: &str, call: &str, errno: &str) -> bool {
    let Some((tool, rest)) = line.split_once(": cannot ") else { return false };
    let Some((before, text)) = rest.rsplit_once(&format!(": {errno} (")) else { return false };
    let Some(place) = before.find(&format!(": {call}")) else { return false };
    TOOLS.contains(&tool) && text.ends_with(')') && before[..place].contains(goal) && before.ends_with(')')
}
