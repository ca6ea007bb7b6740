//! `nsenter-rs` does what `nsenter` does, invocation by invocation: what the command sees of namespaces, users, groups,
//! capabilities, root, directory and environment, and how both exit. Intended differences are in docs/differences.md.

use std::path::Path;

use crate::harness::need::{NSENTER, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

const NEEDS: &[Need] = &[NSENTER, Need::UserNamespaces];

/// A command that prints where and as which user it runs. It is a program of the host, which all these containers have.
const PICTURE: &str = r#"
for kind in cgroup ipc mnt net pid pid_for_children time user uts; do readlink /proc/self/ns/$kind; done
pwd; stat -L -c %i / .
grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|NSpid)' /proc/self/status | sed 's/NSpid:.*\t/NSpid /; s/NSpid .*/NSpid/'
echo "args $# $*"
"#;

/// Invocations for which the command sees the same and exits the same. `$P` is a process in eight namespaces of its
/// own, made by root; `$U` is one in a user namespace and five others; `$D` is one whose user namespace denies
/// setgroups; `$Q` shares everything with us except the host name, and is in another directory.
const SAME: &[&str] = &[
    "-t $P -m",
    "-t $P -u",
    "-t $P -i",
    "-t $P -n",
    "-t $P -p",
    "-t $P -C",
    "-t $P -T",
    "-t $P --mount",
    "-t $P --uts",
    "-t $P --ipc",
    "-t $P --net",
    "-t $P --pid",
    "-t $P --cgroup",
    "-t $P --time",
    "--target $P --all",
    "--target=$P -a",
    "-t$P -a",
    "-t $P -m -u -i -n -p",
    "-t $P -m -u -i -n -p -C -T",
    "-t $P -a -F",
    "-t $P -p --no-fork",
    "-t $P -p -F -m",
    "--uts=/proc/$P/ns/uts",
    "-u/proc/$P/ns/uts",
    "-n/proc/$P/ns/net -i/proc/$P/ns/ipc",
    "--mount=/proc/$P/ns/mnt --pid=/proc/$P/ns/pid",
    "--cgroup=/proc/$P/ns/cgroup --time=/proc/$P/ns/time",
    "-t $P -a -m/proc/self/ns/mnt",
    "-t $P -a --uts=/proc/self/ns/uts",
    "-t $Q -u",
    "-t $Q -a -w",
    "-t $Q -a -w -n/proc/$P/ns/net",
    "-t $Q -u -w",
    "-t $Q -u --wd",
    "-t $Q -u -r",
    "-t $Q -u --root --wd",
    "-t $P -m -r",
    "-t $P -m -w",
    "-t $P -a -r -w",
    "-t $P -m -w/usr",
    "-t $P -m --wd=/usr/share",
    "-t $P -m -W/usr",
    "-t $P -m --wdns=/usr/share",
    "-t $P -u -w/tmp",
    "-w/usr",
    "-W/usr",
    "-r/ -W/usr",
    "--root=/ --wd=/usr",
    "-t $U -a",
    "-t $U -U",
    "-t $U --user",
    "-t $U -U -m",
    "-t $U -U -p -u",
    "-t $U -m",
    "-t $U -n -u",
    "--user=/proc/$U/ns/user",
    "-U/proc/$U/ns/user -m/proc/$U/ns/mnt",
    "-t $U -U -S 5 -G 7",
    "-t $U -a --setuid 5",
    "-t $U -a --setgid=7",
    "-t $U -a --preserve-credentials",
    "-t $U -U --preserve-credentials",
    "-t $D -a -w",
    "-t $D -U -n",
    "-t $D -U --preserve-credentials",
    "-t $P -u -S 1000",
    "-t $P -u -G 1000",
    "-t $P -a -S 1000 -G 1000",
    "-S 1000 -G 1000",
    "-G 5",
    "-S 12",
    "-t $P -u -- ",
    "-t $P -a -u -m",
];

/// The same for a user without privilege. `$P` is in eight namespaces of its own, made by that user and mapped to root;
/// `$Q` only in a user and a UTS namespace, in another directory; `$D` is mapped to that user instead of root. If
/// setgroups is denied, nsenter fails without `--preserve-credentials`; docs/differences.md.
const SAME_AS_USER: &[&str] = &[
    "-t $P -a --preserve-credentials",
    "--target=$P --all --preserve-credentials",
    "-t$P -U --preserve-credentials",
    "-t $P --user --preserve-credentials",
    "-t $P -U -m --preserve-credentials",
    "-t $P -U -u --preserve-credentials",
    "-t $P -U -i -n --preserve-credentials",
    "-t $P -U -p --preserve-credentials",
    "-t $P -U -p -F --preserve-credentials",
    "-t $P -U -C --preserve-credentials",
    "-t $P -U -T --preserve-credentials",
    "-t $P -m -u -i -n -p -U --preserve-credentials",
    "-t $P -U -m -r --preserve-credentials",
    "-t $P -U -m -w --preserve-credentials",
    "-t $P -U -m -w/usr --preserve-credentials",
    "-t $P -U -m -W/usr --preserve-credentials",
    "-t $P -a -r -w --preserve-credentials",
    "-t $P -a -u -m --preserve-credentials",
    "-t $P -U --preserve-credentials",
    "-U/proc/$P/ns/user --preserve-credentials",
    "--user=/proc/$P/ns/user --net=/proc/$P/ns/net --preserve-credentials",
    "-U/proc/$P/ns/user -m/proc/$P/ns/mnt --preserve-credentials",
    "-t $Q -U -u --preserve-credentials",
    "-t $Q -U -u -w --preserve-credentials",
    "-t $Q -U -r --preserve-credentials",
    "-t $D -U --preserve-credentials",
    "-t $D -U -n --preserve-credentials",
    "-w/usr",
    "-W/usr",
];

/// Invocations that are refused to that user.
const REFUSED_TO_USER: &[&str] = &[
    "-t $P -m",
    "-t $P -u",
    "-t $P -n",
    "-t $P -p",
    "--uts=/proc/$P/ns/uts",
    "-t 1 -a",
    "-t 1 -m",
    "-t $P -U -S 5",
    "-t $P -U -G 5",
    "-t $P -a -S 70000",
    "-t $D -U -S 0 -G 0",
    "-S 0",
    "-G 0",
    "-r/",
];

/// Invocations that both tools refuse, ours with 125.
const REFUSED: &[&str] = &[
    "-t 2147483647 -a",
    "-t x -a",
    "-t $P -U",
    "-t $U -a -S 70000",
    "-t $U -a -G 70000",
    "-m",
    "--uts",
    "-U",
    "--mount=/no/such/file",
    "-n/etc/passwd",
    "-u/proc/$P/ns/net",
    "-t $P -u -r/no/such/directory",
    "-t $P -u -w/no/such/directory",
    "-t $P -u -W/no/such/directory",
    "-w",
    "-r",
    "-t $P -w/ -W/ -u",
    "-t $P -u -S x",
    "--no-such-option",
];

/// Commands and their exit status.
const ENDS: &[(&str, i32)] = &[
    ("-t $P -a sh -c 'exit 7'", 7),
    ("-t $P -u sh -c 'exit 7'", 7),
    ("-t $P -a -F sh -c 'exit 255'", 255),
    ("-t $U -a false", 1),
    ("-t $P -a sh -c 'kill -TERM $$'", 143),
    ("-t $P -u sh -c 'kill -KILL $$'", 137),
    ("-t $P -a /no/such/command", 127),
    ("-t $P -a /etc", 126),
    ("-t $P -u no-such-command", 127),
    ("-S 1000 true", 0),
];

/// Makes the processes, and kills them when the script exits.
const CONTAINERS: &str = r#"
unshare -m -u -i -n -p -C -T --fork --kill-child --mount-proc sleep 86420 >/dev/null & OUTER1=$!
unshare -U -m -u -i -n -p --fork --kill-child sleep 86421 >/dev/null & OUTER2=$!
setpriv --reuid 1000 --regid 1000 --clear-groups unshare -U -r -n --fork --kill-child sleep 86422 >/dev/null & OUTER3=$!
(cd /usr/bin; exec unshare -u sleep 86423 >/dev/null) & Q=$!
trap 'kill -KILL $OUTER1 $OUTER2 $OUTER3 $Q' EXIT
P=$(child $OUTER1) U=$(child $OUTER2) D=$(child $OUTER3)
asleep $P $U $D $Q
echo 0 100000 1000 >/proc/$U/uid_map; echo 0 100000 1000 >/proc/$U/gid_map
export P U D Q
"#;

const CONTAINERS_OF_USER: &str = r#"
unshare -U -r -m -u -i -n -p -C -T --fork --kill-child --mount-proc sleep 86424 >/dev/null & OUTER1=$!
(cd /usr/bin; exec unshare -U -r -u sleep 86425 >/dev/null) & Q=$!
unshare -U -c -n sleep 86426 >/dev/null & D=$!
trap 'kill -KILL $OUTER1 $Q $D' EXIT
P=$(child $OUTER1)
asleep $P $Q $D
export P Q D
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a command sees the same under nsenter-rs as under nsenter", NEEDS, |world| {
        let same = world.chosen(if world.is_root { SAME } else { SAME_AS_USER });
        let picture = world.directory("nsenter-agreement").join("picture");
        std::fs::write(&picture, PICTURE).expect("a file");
        let outcomes = each(world, same.iter().map(|words| format!("{words} sh {} 'a b' c", picture.display())));
        let mut wrong = Vec::new();
        for (words, [theirs, ours]) in same.iter().zip(&outcomes) {
            if theirs != ours {
                wrong.push(format!("{words}\n--- nsenter\n{theirs}\n--- nsenter-rs\n{ours}"));
            }
            assert!(theirs.contains("args 2 a b c"), "the invocation should have succeeded: {words}\n{theirs}");
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), same.len(), wrong.join("\n"));
    })
    .host_only(),
    Row::new("nsenter-rs refuses what nsenter refuses, with 125", NEEDS, |world| {
        let refused = world.chosen(if world.is_root { REFUSED } else { REFUSED_TO_USER });
        let outcomes = each(world, refused.iter().map(|words| format!("{words} echo unreachable")));
        for (words, [theirs, ours]) in refused.iter().zip(&outcomes) {
            assert!(theirs.trim() != "status 0" && !theirs.contains("unreachable"), "{words}: nsenter: {theirs}");
            assert_eq!(ours.trim(), "status 125", "{words}");
        }
    })
    .host_only(),
    Row::new("nsenter-rs exits with the same status as nsenter", &[NSENTER], |world| {
        let ends: Vec<_> = ENDS.iter().filter(|(words, _)| world.chooses(words)).collect();
        let outcomes = each(world, ends.iter().map(|(words, _)| (*words).to_owned()));
        for ((words, status), [theirs, ours]) in ends.iter().zip(&outcomes) {
            assert_eq!(theirs.trim(), format!("status {status}"), "{words}: nsenter");
            assert_eq!(ours.trim(), format!("status {status}"), "{words}: nsenter-rs");
        }
    })
    .root_only()
    .host_only(),
];

/// Runs each invocation with both tools; returns what they wrote to stdout, and their status.
fn each(world: &World, invocations: impl Iterator<Item = String>) -> Vec<[String; 2]> {
    const MARK: &str = "=====";
    let containers = if world.is_root { CONTAINERS } else { CONTAINERS_OF_USER };
    let mut script = format!("ulimit -c 0; cd {}\n{WAITING}{containers}", Path::new("/var").display());
    for words in invocations {
        for tool in ["nsenter", "nsenter-rs"] {
            // The inner shell reports a signal that kills nsenter itself in the same way.
            script.push_str(&format!("( {tool} {words} ) 2>/dev/null </dev/null; echo status $?; echo {MARK}\n"));
        }
    }
    let outcome: Outcome = world.script(&script).within(std::time::Duration::from_secs(60)).run();
    let parts: Vec<_> = outcome.stdout.split(&format!("{MARK}\n")).map(str::to_owned).collect();
    parts.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
}
