//! `--explain` is true: for every process of a run, strace saw exactly the state-changing calls that were told, in the
//! order in which they were told, with the arguments that were told.

use std::path::Path;

use crate::narration::{Verdict, compare, told_call};
use crate::need::Need;
use crate::notation::scan;
use crate::row::Row;
use crate::script::Script;
use crate::trace::{self, Process, place, strace};
use crate::world::World;

const STRACE: Need = Need::Program("strace", "strace");
const BUSYBOX: Need = Need::Program("busybox", "busybox-static");

/// A run: its name, its command line, how it ends, and calls that must be among those told.
struct Run {
    line: &'static str,
    status: i32,
    calls: &'static [&'static str],
}

const fn run(line: &'static str, status: i32, calls: &'static [&'static str]) -> Run {
    Run { line, status, calls }
}

/// `$TRACE` is strace with its options, `$ROOT` a root file system, `$OWN` what an unprivileged user needs beside. Between
/// `hold` and `finish`, `$pid` is the init of a held container. What is not traced sets the stage.
const PREAMBLE: &str = r#"
hold() {
    record=$(unshare-rs --hold --ttl 60 $OWN "$@") && pid=$(echo "$record" | sed 's/.*"init":{"pid":\([0-9]*\).*/\1/')
}
finish() {
    status=$?
    echo "$record" | nsenter-rs --pipe --rm -- true
    exit $status
}
"#;

const UNSHARE: &[Run] = &[
    run("$TRACE unshare-rs --explain -- /bin/true", 0, &["execve"]),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --uts --hostname 'a \"b' -- true",
        0,
        &["unshare", "mount", "sethostname"],
    ),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --uts --ipc --net --pid --cgroup --time --fork --kill-child \
         --mount-proc --hostname box -- /bin/true",
        0,
        &["unshare", "clone3", "prctl", "mount", "sethostname", "mount", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain -c --propagation slave --mount true",
        0,
        &["unshare", "write", "write", "write", "mount"],
    ),
    run("$TRACE unshare-rs --explain $OWN --mount --propagation unchanged false", 1, &["unshare", "execve"]),
    run("$TRACE unshare-rs --explain --fork /no/such/command", 127, &["clone3"]),
    run("$TRACE unshare-rs --explain /", 126, &["execve"]),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --pid --uts --init --kill-child --mount-proc --domainname dom --name x -- true",
        0,
        &["execveat", "unshare", "clone3", "prctl", "mount", "setdomainname", "mount", "clone3", "prctl", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain $OWN --time --boottime 5 --monotonic -1 --uts -f --pid-file $PLACE/pid -w / true",
        0,
        &["clone3", "unshare", "write", "write", "clone3", "openat", "rename", "execve"],
    ),
    run(
        "touch $PLACE/f; unshare-rs $OWN --mount -- $TRACE unshare-rs --explain --uts=$PLACE/f --ipc=$PLACE/no-such-file true",
        125,
        &["clone3", "unshare", "mount", "mount", "umount2"],
    ),
    run(
        "$TRACE unshare-rs --explain -r --setgroups deny -G 0 -S 0 --keep-caps -R / true",
        0,
        &[
            "unshare",
            "write",
            "write",
            "write",
            "chroot",
            "setresgid",
            "prctl",
            "setresuid",
            "capset",
            "prctl",
            "execve",
        ],
    ),
    run(
        "$TRACE unshare-rs --explain --forward-signals -- sh -c 'kill -TERM $PPID; while :; do :; done'",
        143,
        &["clone3", "kill"],
    ),
    run(
        "unshare-rs -r -- sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; $TRACE unshare-rs --explain -u -n true'",
        125,
        &["unshare", "clone3", "unshare"],
    ),
    run(
        "$TRACE unshare-rs --explain --hold --name x --ttl 60 $OWN --mount --pid --uts --hostname x | \
         nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "mount", "sethostname", "execveat"],
    ),
];

/// What takes root's right to any id.
const RANGES: &[Run] = &[
    run(
        "$TRACE unshare-rs --explain -r --map-users 0:100000:5 --map-groups 0:100000:5 -- true",
        0,
        &["clone3", "unshare", "write", "write", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain --owner 54321:54321 --setgroups deny -r -n -- true",
        0,
        &["clone3", "setresgid", "setresuid", "unshare", "write", "write", "write", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain --hold --ttl 60 -r --map-users 0:100000:5 --setgroups deny | nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "write", "write", "write", "execveat"],
    ),
];

const NSENTER: &[Run] = &[
    run("$TRACE nsenter-rs --explain -- true", 0, &["execve"]),
    run(
        "hold --mount --pid --uts --net; $TRACE nsenter-rs --explain --target $pid --all -- true; finish",
        0,
        &["execveat", "clone3", "prctl", "setns", "clone3", "execve"],
    ),
    run(
        "hold --uts; $TRACE nsenter-rs --explain --target $pid --uts $OWN_USER -- false; finish",
        1,
        &["clone3", "prctl", "setns", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid --uts --ipc --net --cgroup | $TRACE nsenter-rs --explain --pipe --rm -- true",
        0,
        &["execveat", "clone3", "prctl", "setns", "clone3", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --uts --net | $TRACE nsenter-rs --explain --pipe --rm -- /no/such/command",
        127,
        &["clone3", "prctl", "setns"],
    ),
];

/// What only root may do.
const CGEXEC: &[Run] = &[
    run("$TRACE cgexec-rs --explain -- true", 0, &["execve"]),
    run(
        "$TRACE cgexec-rs --explain --memory 64M --swap 0 --pids 50 --cpus 1.5 -- /bin/true",
        0,
        &["clone3", "clone3", "mkdirat", "write", "write", "write", "execve", "unlinkat"],
    ),
    run(
        "$TRACE cgexec-rs --explain --name ex-plain --pids 50 -- /no/such/command",
        127,
        &["clone3", "clone3", "mkdirat", "write", "write", "unlinkat"],
    ),
    run(
        "unshare-rs --hold --ttl 60 --mount --pid --cgroup | $TRACE cgexec-rs --explain --pipe --memory 64M --pids 50 | \
               nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "clone3", "mkdirat", "write", "unlinkat"],
    ),
    run("hold --uts; echo \"$record\" | $TRACE cgexec-rs --explain --pipe --show >/dev/null; finish", 0, &[]),
];

const NETNS: &[Run] = &[
    run("$TRACE netns-rs exec --explain --new -- true", 0, &["unshare", "sendto", "execve"]),
    run(
        "$TRACE netns-rs exec --explain --new --bridge explain0 --address 10.94.0.2/24 --gateway 10.94.0.1 --nat -- /bin/true",
        0,
        &["unshare", "sendto", "clone3", "clone3", "setns", "sendto", "sendto", "sendto", "sendto", "execve", "sendto"],
    ),
    run(
        "unshare-rs --hold --ttl 60 --mount --pid --net | \
               $TRACE netns-rs connect --explain --pipe --bridge explain0 --address 10.94.0.2/24 --gateway 10.94.0.1 | \
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
    run("netns-rs add explain && $TRACE netns-rs --explain delete explain", 0, &["umount2", "unlink"]),
    run("$TRACE netns-rs --explain show >/dev/null", 0, &[]),
    run("$TRACE netns-rs --explain list >/dev/null", 0, &[]),
];

const CHROOT: &[Run] = &[
    run("$TRACE chroot-rs --explain --skip-chdir / true", 0, &["chroot", "execve"]),
    run(
        "$TRACE chroot-rs --explain --userspec 1000:1000 --groups 5,6 $ROOT /bin/true",
        0,
        &["chroot", "setgroups", "execve"],
    ),
    run("$TRACE chroot-rs --explain --capabilities chown,kill / true", 0, &["chroot", "prctl", "capset", "execve"]),
];

/// What takes binfmt_misc, which Debian's kernels have as a module.
const INTERPRETERS: &[Run] = &[run(
    "$TRACE unshare-rs --explain -r -pf -l :explain:E::explain::/bin/true: true",
    0,
    &["unshare", "clone3", "mount", "mount", "mount", "write"],
)];

/// What the owner of a user namespace may do as well.
const ROOTS: &[Run] = &[
    run(
        "unshare-rs $OWN --mount --pid --fork -- $TRACE chroot-rs --explain --std $ROOT -- /bin/true",
        0,
        &["fsopen", "move_mount", "pivot_root", "umount2", "prctl", "execve"],
    ),
    run(
        "unshare-rs $OWN --mount --pid --uts --fork -- $TRACE chroot-rs --explain --std --host-root -- /bin/true",
        0,
        &["fsopen", "move_mount", "pivot_root", "umount2", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid | $TRACE chroot-rs --explain --pipe --std $ROOT | nsenter-rs --pipe --rm -- /bin/true",
        0,
        &["clone3", "setns", "move_mount", "pivot_root", "umount2"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid --uts --net --ipc | chroot-rs --pipe --std --host-root | \
         $TRACE nsenter-rs --explain --pipe --rm -- /bin/true",
        0,
        &["execveat", "clone3", "setns", "clone3", "capset", "execve"],
    ),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("unshare-rs makes the calls that it tells, and no others", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-unshare", UNSHARE);
    }),
    Row::new("unshare-rs tells how it registers an interpreter", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-interpreters", INTERPRETERS);
    })
    .host_only(),
    Row::new(
        "unshare-rs tells the calls of the process that it leaves outside",
        &[STRACE, Need::UserNamespaces],
        |world| {
            try_all(world, "explain-ranges", RANGES);
        },
    )
    .root_only(),
    Row::new("nsenter-rs makes the calls that it tells, and no others", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-nsenter", NSENTER);
    }),
    Row::new("cgexec-rs makes the calls that it tells, and no others", &[STRACE], |world| {
        try_all(world, "explain-cgexec", CGEXEC);
    })
    .root_only(),
    Row::new("netns-rs makes the calls that it tells, and no others", &[STRACE, Need::NetworkNamespaces], |world| {
        try_all(world, "explain-netns", NETNS);
    })
    .root_only(),
    Row::new("chroot-rs makes the calls that it tells, and no others", &[STRACE, BUSYBOX], |world| {
        try_all(world, "explain-chroot", CHROOT);
    })
    .root_only(),
    Row::new(
        "a container's root is made by the calls that are told, and no others",
        &[STRACE, BUSYBOX, Need::UserNamespaces],
        |world| {
            try_all(world, "explain-roots", ROOTS);
        },
    ),
    Row::new(
        "a narration that leaves out, adds or changes anything is found out",
        &[STRACE, Need::UserNamespaces],
        |world| {
            let prefix = place(world, "explain-doctored");
            let line = "$TRACE unshare-rs --explain $OWN --mount --uts --fork --hostname x --kill-child -- true";
            script(world, line, &prefix).run().succeeds();
            let processes = trace::read(&prefix);
            let honest = compare(&processes);
            assert!(honest.complaints.is_empty(), "{:?}", honest.complaints);
            let forgeries = forgeries(&processes);
            assert!(forgeries.len() > 3 * honest.agreed.len(), "only {} forgeries", forgeries.len());
            for (what, forgery) in forgeries {
                assert!(!compare(&forgery).complaints.is_empty(), "nobody noticed: {what}");
            }
        },
    ),
];

#[track_caller]
fn try_all(world: &World, name: &str, runs: &[Run]) {
    let prefix = place(world, name);
    for run in runs {
        let outcome = script(world, run.line, &prefix).run().fails_with(run.status);
        let processes = trace::read(&prefix);
        let Verdict { complaints, agreed } = compare(&processes);
        assert!(complaints.is_empty(), "{}\n{outcome}", complaints.join("\n"));
        for call in run.calls {
            let wanted = run.calls.iter().filter(|other| *other == call).count();
            let found = agreed.iter().filter(|agreed| agreed == call).count();
            assert!(found >= wanted, "{call} was told {found} times, not {wanted}: {agreed:?}\n{outcome}");
        }
    }
}

/// What the lines are told in: see [`PREAMBLE`].
pub fn script<'a>(world: &'a World, line: &str, prefix: &Path) -> Script<'a> {
    let root = if line.contains("$ROOT") { world.busybox_root().display().to_string() } else { String::new() };
    let (own, own_user) = if world.is_root { ("", "") } else { ("--user --map-root-user", "--user") };
    let script = world.script(&format!("{PREAMBLE}{line}"));
    let place = prefix.parent().unwrap_or(prefix).display().to_string();
    let script = script.variable("PLACE", place);
    script.variable("TRACE", strace(prefix)).variable("ROOT", root).variable("OWN", own).variable("OWN_USER", own_user)
}

/// Every way to leave one thing out, to do one thing twice, to swap two neighbours, or to tell one word otherwise.
fn forgeries(processes: &[Process]) -> Vec<(String, Vec<Process>)> {
    let mut forgeries = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        let calls = &process.calls;
        let places: Vec<usize> =
            (0..calls.len()).filter(|at| calls[*at].changes_state() || calls[*at].told().is_some()).collect();
        let mut forge = |what: String, change: &dyn Fn(&mut Process)| {
            let mut forged = processes.to_vec();
            change(&mut forged[number]);
            forgeries.push((what, forged));
        };
        for at in places.iter().copied() {
            forge(format!("without {}", calls[at]), &|process| drop(process.calls.remove(at)));
            if at != 0 && calls[at].name != "execve" {
                forge(format!("twice {}", calls[at]), &|process| process.calls.insert(at, process.calls[at].clone()));
            }
            for (old, new) in calls[at].told().and_then(told_call).map(other_words).unwrap_or_default() {
                forge(format!("{new} instead of {old} in {}", calls[at]), &|process| {
                    process.calls[at].strings[0] = process.calls[at].strings[0].replacen(&old, &new, 1);
                });
            }
        }
        for pair in places.windows(2) {
            forge(format!("after what follows it: {}", calls[pair[0]]), &|process| {
                process.calls.swap(pair[0], pair[1])
            });
        }
    }
    forgeries
}

/// Each word of a told call, and something else in its place: another string, another flag, no flag.
fn other_words(told: &str) -> Vec<(String, String)> {
    let (name, arguments) = told.split_once('(').expect("a call");
    let words = scan(arguments);
    let another = |word: String| (word.clone(), format!("{word}X"));
    let flags = words.constants.iter().filter(|word| word.starts_with("CLONE_NEW") || word.starts_with("MS_"));
    let dropped = flags.map(|flag| (flag.clone(), "0".to_owned()));
    let strings = words.strings.iter().map(|text| (format!("{text:?}"), format!("{:?}", format!("{text}X"))));
    strings
        .chain(words.constants.iter().cloned().map(another))
        .chain(dropped)
        .chain([(name.to_owned(), format!("{name}2"))])
        .collect()
}
