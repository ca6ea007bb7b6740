//! `nsenter-rs --list` prints the same as `lsns`, invocation by invocation. Where docs/differences.md names a
//! difference, it is removed from both outputs, here and nowhere else.

use crate::harness::need::{IP, Need};
use crate::harness::row::Row;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

const LSNS: Need = Need::Program("lsns", "util-linux");

/// Invocations for which both print the same. `$P` is a process in eight new namespaces, `$U` one in a new user
/// namespace and five others, `$D` the child of `$C` in a user namespace of another user; `$userns`, `$pidns` and
/// `$netns` are inode numbers of their namespaces; two of the network namespaces are mounted, one of these twice.
/// Namespaces without a process are not compared: `lsns` of Debian 12 does not find them.
const SAME: &[&str] = &[
    "",
    "-l",
    "--list",
    "-n",
    "--noheadings -l",
    "-u",
    "-t net",
    "-t net -W",
    "--type=net --nowrap -r",
    "-t user -t pid",
    "-t mnt -t uts -t ipc -t cgroup -t time -l",
    "-T",
    "--tree",
    "--tree=owner",
    "-Tparent",
    "--tree=parent -t user",
    "--tree=process",
    "-T -t user",
    "-T -l",
    "-p $P",
    "--task $U -o NS,TYPE",
    "-p $D -l -n",
    "-p $C -T -o ns,type,pid",
    "-p 4000000",
    "$userns",
    "$userns -l",
    "-l $userns -o NS,PID,PPID,PNS,ONS,NPROCS",
    "$pidns -n",
    "$netns -o PID,USER,NETNSID,NSFS -W",
    "-o NS,TYPE,NPROCS",
    "-o +PATH",
    "--output +UID,ppid,Path -t uts",
    "-o NS,PNS,ONS -t user -t pid",
    "-o NS,NS,PID -l",
    "-t net -o NS,NETNSID,NSFS,NPROCS",
    "-t net -o NS,USER,UID,ONS -r",
    "-r -l",
    "-rn -o NS,COMMAND -l",
    "-r -o NS,PATH,TYPE,NSFS,USER -t net",
    "-J -p $U",
    "-J -l -t uts",
    "-J -T -t user -t pid",
    "-J -p 4000000",
    "-J -t net -W -o NS,NETNSID,NSFS,PID,UID",
    "-J $userns",
];

/// Invocations for which both print the same to an unprivileged user, among the processes of others. The process counts
/// and first processes there may change at any time, so only kinds and numbers are compared.
const UNPRIVILEGED: &[&str] = &[
    "-p $$ -o NS,TYPE",
    "-p 1 -o NS,TYPE",
    "-p $P -o NS,TYPE -r",
    "-p $P -T -o NS,TYPE",
    "-p $U -Tparent -o NS,TYPE -t user -t pid",
    "-p $U -J -o NS,TYPE -l",
    "-p $D -o NS,PNS,ONS -l",
    "-p $D -t net -o NS,NSFS,NETNSID -W",
    "$userns -o PID,PPID,USER,COMMAND",
    "$pidns -l -o PID,UID,PATH",
];

/// Invocations of nsenter-rs by the name lsns: its meaning of `--json`, its abbreviations, and its exit status.
const BY_NAME: &[&str] = &[
    "-p $P",
    "--json -p $P",
    "--js -t uts -p $P",
    "--noh --notrunc -p $P -l",
    "--tas $P --outp NS,TYPE --raw",
    "--list $pidns",
    "-p x",
    "--no",
    "--list --json --raw",
    "1",
];

/// The first word that calls nsenter-rs by the name lsns, in a script.
const LINK: &str = "link/lsns";

/// Invocations that both refuse; ours with 125.
const REFUSED: &[&str] =
    &["-t foo", "-J -r", "-p 1 $userns", "1", "-o FOO", "-p x", "x", "-Tupwards", "--no-such-option", "-o NS,,PID"];

/// The beginning of every script. `each` runs a script in a new pid namespace, where no other processes come and go.
const CONTAINERS: &str = r#"
inode() { stat -Lc %i "$1"; }
"#;

/// The containers that root makes.
const OF_ROOT: &str = r#"
unshare -m -u -i -n -p -C -T --fork --kill-child sleep 86440 >/dev/null & A=$!
unshare -U -r -m -u -i -n -p --fork --kill-child sleep 86441 >/dev/null & B=$!
setpriv --reuid 1000 --regid 1000 --clear-groups unshare -U -r -n --fork --kill-child sleep 86442 >/dev/null & C=$!
P=$(child $A) U=$(child $B) D=$(child $C); asleep $P $U $D
userns=$(inode /proc/$U/ns/user) pidns=$(inode /proc/$P/ns/pid) netns=$(inode /proc/$P/ns/net)
mount -t tmpfs none /run; ip netns attach lsns-one $P; ip netns set lsns-one 77; ip netns attach lsns-two $U
touch twice; mount --bind /run/netns/lsns-one twice
"#;

/// The containers that an unprivileged user can make.
const OF_USER: &str = r#"
unshare -U -r -m -u -i -n -p -C -T --fork --kill-child sleep 86440 >/dev/null & A=$!
unshare -U -r -m -u -i -n -p --fork --kill-child sleep 86441 >/dev/null & B=$!
unshare -U -r -n --fork --kill-child sleep 86442 >/dev/null & C=$!
P=$(child $A) U=$(child $B) D=$(child $C); asleep $P $U $D
userns=$(inode /proc/$U/ns/user) pidns=$(inode /proc/$P/ns/pid) netns=$(inode /proc/$P/ns/net)
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("nsenter-rs --list lists the same as lsns for root", &[LSNS, IP], |world| agree(world, OF_ROOT))
        .root_only()
        .host_only(),
    Row::new(
        "nsenter-rs --list lists the same as lsns for an unprivileged user",
        &[LSNS, Need::UserNamespaces],
        |world| {
            agree(world, OF_USER);
        },
    )
    .user_only()
    .host_only(),
    Row::new(
        "nsenter-rs --list shows a user exactly as much of the machine as lsns does",
        &[LSNS, Need::UserNamespaces],
        |world| {
            let cases = world.chosen(UNPRIVILEGED);
            let script = each_of(LIST, OF_USER, &cases);
            let (_, outputs) = outcome(world, &script, "bash ./script", cases.len());
            for (words, [theirs, ours]) in cases.iter().zip(&outputs) {
                assert!(theirs.contains("status 0"), "lsns failed: {words}\n{theirs}");
                assert_eq!(comparable(theirs, words, &[]), comparable(ours, words, &[]), "{words}");
            }
        },
    )
    .user_only()
    .host_only(),
    Row::new(
        "nsenter-rs called by the name lsns is lsns, up to the exit status",
        &[LSNS, Need::UserNamespaces],
        |world| {
            let link = format!("{OF_USER}\nmkdir -p link; ln -sf \"$(command -v nsenter-rs)\" {LINK}");
            let cases = world.chosen(BY_NAME);
            for (words, [theirs, ours]) in cases.iter().zip(&by(LINK, world, &link, &cases).1) {
                // Both print JSON for some of these.
                let json = if theirs.starts_with('{') { "-J" } else { words };
                assert_eq!(comparable(theirs, json, &[]), comparable(ours, json, &[]), "{words}");
                assert!(theirs.contains("status"), "{words}: {theirs}");
            }
        },
    )
    .host_only(),
    Row::new("nsenter-rs --list refuses what lsns refuses, with 125", &[LSNS], |world| {
        let cases = world.chosen(REFUSED);
        for (words, [theirs, ours]) in cases.iter().zip(&each(world, "userns=4026531837", &cases).1) {
            assert_eq!(theirs.trim(), "status 1", "{words}: lsns");
            assert_eq!(ours.trim(), "status 125", "{words}");
        }
    })
    .host_only(),
];

fn agree(world: &World, containers: &str) {
    let mut wrong = Vec::new();
    let cases = world.chosen(SAME);
    let (others, outputs) = each(world, containers, &cases);
    for (words, [theirs, ours]) in cases.iter().zip(&outputs) {
        let [theirs, ours] = [comparable(theirs, words, &others), comparable(ours, words, &others)];
        if theirs != ours {
            wrong.push(format!("{words}\n--- lsns\n{theirs}\n--- nsenter-rs --list\n{ours}"));
        }
        assert!(theirs.contains("status 0"), "lsns failed: {words}\n{theirs}");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The parts of a tree in raw output.
const BRANCHES: [&str; 3] =
    ["\\xe2\\x94\\x9c\\xe2\\x94\\x80", "\\xe2\\x94\\x94\\xe2\\x94\\x80", "\\xe2\\x94\\x82\\x20"];

/// Returns an output without the differences that docs/differences.md names (widths, trees among words for scripts,
/// white space of JSON), and without `others`: namespaces without a process that someone else on this machine has
/// mounted.
fn comparable(output: &str, words: &str, others: &[String]) -> String {
    if words.contains("-J") {
        let (document, status) = output.rsplit_once("status").unwrap_or((output, ""));
        let mut value: serde_json::Value =
            serde_json::from_str(document).unwrap_or_else(|error| panic!("{words}: {error}"));
        if let Some(array) = value["namespaces"].as_array_mut() {
            array.retain(|object| !others.contains(&object["ns"].to_string()));
        }
        return format!("{value:#}\nstatus{status}");
    }
    let is_raw = words.contains("-r") && !words.contains("--tree");
    let line = |line: &str| {
        if is_raw {
            // lsns draws the tree of processes here too, with its bytes escaped.
            BRANCHES.iter().fold(line.to_owned(), |line, branch| line.replace(branch, ""))
        } else {
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    };
    let is_ours = |line: &&str| !others.iter().any(|other| line.contains(other.as_str()));
    output.lines().filter(is_ours).map(line).collect::<Vec<_>>().join("\n")
}

const MARK: &str = "=====";

/// Runs each invocation with both tools, in a new pid namespace; returns the namespaces without a process, and what
/// each tool printed to stdout, with its exit status.
fn each(world: &World, containers: &str, invocations: &[&str]) -> (Vec<String>, Vec<[String; 2]>) {
    by(LIST, world, containers, invocations)
}

/// The first words that call our tool as lsns(8) is called.
const LIST: &str = "nsenter-rs --list";

/// Does what [`each`] does, with these words in place of `nsenter-rs --list`.
fn by(ours: &str, world: &World, containers: &str, invocations: &[&str]) -> (Vec<String>, Vec<[String; 2]>) {
    let user = world.as_root();
    let runner = format!("timeout 50 unshare {user} --mount --pid --mount-proc --fork --kill-child bash ./script");
    outcome(world, &each_of(ours, containers, invocations), &runner, invocations.len())
}

fn each_of(ours: &str, containers: &str, invocations: &[&str]) -> String {
    let mut script = format!("{WAITING}{CONTAINERS}{containers}\nnsenter-rs --list -P -rn -o NS; echo {MARK}\n");
    for words in invocations {
        for tool in ["lsns", ours] {
            script.push_str(&format!("( exec {tool} {words} ) 2>/dev/null </dev/null; echo status $?; echo {MARK}\n"));
        }
    }
    script.push_str("for pid in $A $B $C; do kill -KILL $pid; done\n");
    script
}

/// Returns what a script with this many invocations printed when `runner` ran it.
fn outcome(world: &World, script: &str, runner: &str, count: usize) -> (Vec<String>, Vec<[String; 2]>) {
    let directory = world.shared_directory("lsns-agreement");
    std::fs::write(directory.join("script"), script).expect("a file");
    let outer = format!("cd {}; export LC_ALL=C.UTF-8; {runner}", directory.display());
    let outcome = world.script(&outer).within(std::time::Duration::from_secs(60)).run();
    let parts: Vec<_> = outcome.stdout.split(&format!("{MARK}\n")).map(str::to_owned).collect();
    assert_eq!(parts.len(), 2 * count + 2, "{outcome:?}");
    let others = parts[0].lines().map(str::to_owned).collect();
    (others, parts[1..].chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect())
}
