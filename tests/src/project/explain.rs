//! `--explain` is true: for every process of a run, strace saw exactly the state-changing calls that were printed, in
//! the order in which they were printed, with the arguments that were printed.

mod netns_runs;
mod runs;

use std::path::Path;

use crate::harness::narration::{Verdict, compare, narrated_call};
use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::notation::scan;
use crate::harness::row::Row;
use crate::harness::script::Script;
use crate::harness::trace::{self, Process, place, strace};
use crate::harness::world::World;
use netns_runs::NETNS;
use runs::{AUDIT, CGEXEC, CHROOT, INTERPRETERS, LIKE, NSENTER, RANGES, ROOTS, Run, UNSHARE};

/// `$TRACE` is strace with its options, `$ROOT` a root file system, `$OWN` what an unprivileged user needs in addition. Between
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

/// An unprivileged strace cannot look into a process that enters a container, so it would not see what is printed. So
/// strace has the rights of a user namespace, and what it traces gives them up again.
const IN_OWN_USER_NAMESPACE: &str =
    "exec unshare-rs --user --map-current-user --keep-caps -- bash -o pipefail -c \"$LINE\"";
const WITHOUT_PRIVILEGE: &str = "setpriv --ambient-caps -all --inh-caps -all";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("unshare-rs makes the calls that it prints, and no others", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-unshare", UNSHARE);
    }),
    Row::new("unshare-rs prints how it registers an interpreter", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-interpreters", INTERPRETERS);
    })
    .host_only(),
    Row::new(
        "unshare-rs prints the calls of the process that it leaves outside",
        &[STRACE, Need::UserNamespaces],
        |world| {
            try_all(world, "explain-ranges", RANGES);
        },
    )
    .root_only(),
    Row::new("nsenter-rs makes the calls that it prints, and no others", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-nsenter", NSENTER);
    }),
    Row::new("nsenter-rs prints the calls by which a command becomes like the target", &[STRACE], |world| {
        try_all(world, "explain-like", LIKE);
    })
    .root_only(),
    Row::new("cgexec-rs makes the calls that it prints, and no others", &[STRACE], |world| {
        try_all(world, "explain-cgexec", CGEXEC);
    })
    .root_only(),
    Row::new("netns-rs makes the calls that it prints, and no others", &[STRACE, Need::NetworkNamespaces], |world| {
        try_all(world, "explain-netns", NETNS);
    })
    .root_only(),
    Row::new("chroot-rs makes the calls that it prints, and no others", &[STRACE, BUSYBOX], |world| {
        try_all(world, "explain-chroot", CHROOT);
    })
    .root_only(),
    Row::new("the audit makes the calls that it prints, and no others", &[STRACE, Need::UserNamespaces], |world| {
        try_all(world, "explain-audit", AUDIT);
    }),
    Row::new(
        "a container's root is made by the calls that are printed, and no others",
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
            assert!(found >= wanted, "{call} was printed {found} times, not {wanted}: {agreed:?}\n{outcome}");
        }
    }
}

/// Returns the script of a line: see [`PREAMBLE`].
pub fn script<'a>(world: &'a World, line: &str, prefix: &Path) -> Script<'a> {
    let root = if line.contains("$ROOT") { world.busybox_root().display().to_string() } else { String::new() };
    let (own, own_user) = if world.is_root { ("", "") } else { ("--user --map-root-user", "--user") };
    let script = if world.is_root || !line.contains("$TRACE") {
        world.script(&format!("{PREAMBLE}{line}"))
    } else {
        world.script(IN_OWN_USER_NAMESPACE).variable("LINE", format!("{PREAMBLE}{line}"))
    };
    let place = prefix.parent().unwrap_or(prefix).display().to_string();
    let script = script.variable("PLACE", place);
    let trace = if world.is_root { strace(prefix) } else { format!("{} {WITHOUT_PRIVILEGE}", strace(prefix)) };
    script.variable("TRACE", trace).variable("ROOT", root).variable("OWN", own).variable("OWN_USER", own_user)
}

/// Every way to leave one thing out, to do one thing twice, to swap two neighbours, or to print another word.
fn forgeries(processes: &[Process]) -> Vec<(String, Vec<Process>)> {
    let mut forgeries = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        let calls = &process.calls;
        let places: Vec<usize> =
            (0..calls.len()).filter(|at| calls[*at].changes_state() || calls[*at].printed().is_some()).collect();
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
            for (old, new) in calls[at].printed().and_then(narrated_call).map(other_words).unwrap_or_default() {
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

/// Each word of a printed call, and something else in its place: another string, another flag, no flag.
fn other_words(printed: &str) -> Vec<(String, String)> {
    let (name, arguments) = printed.split_once('(').expect("a call");
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
