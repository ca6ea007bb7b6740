//! chroot-rs compared with GNU chroot: the same command lines end with the same status, print the same, and complain in the
//! same cases.

use std::fs;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[Need::Program("chroot", "coreutils"), BUSYBOX];
const USER_NEEDS: &[Need] = &[Need::Program("chroot", "coreutils"), BUSYBOX, Need::UserNamespaces];

/// `$R` is a root with the users root, user (1000, in groups 1000 and 77) and a.b (1001).
const CASES: &[&str] = &[
    "",
    "--",
    "--nope",
    "--help >/dev/full",
    "--help >&-",
    "--version >/dev/full",
    "--version >&-",
    "--userspec",
    "$R",
    "$R /bin/true",
    "-- $R /bin/true",
    "$R /bin/sh -c 'exit 7'",
    "$R /bin/sh -c 'kill -9 $$'",
    "$R /bin/sh -c 'echo out; echo err >&2'",
    "$R /bin/sh -c 'echo $0 $*' a --userspec b --",
    "$R sh -c pwd",
    "$R sh -c 'env | grep -v ^_='",
    "$R /none",
    "$R none",
    "$R ''",
    "$R /etc",
    "$R .",
    "$R /etc/passwd",
    "$R pwd -P",
    "$R id",
    "$R/tmp",
    "$R /no/such",
    "$R /odd",
    "$R/none /bin/sh",
    "$R/etc/passwd /bin/sh",
    "'' /bin/sh",
    "$(printf %256s | tr ' ' a) /bin/sh",
    "/ pwd",
    "/ ''",
    "/. sh -c 'cd /tmp; pwd'",
    "/../ pwd",
    "$R/../slash pwd",
    "--skip-chdir / pwd",
    "--skip-chdir /. pwd",
    "--skip-chdir $R/../slash pwd",
    "--skip-chdir $R /bin/pwd",
    "--skip-chdir $R/none /bin/pwd",
    "/ --skip-chdir",
    "--userspec=user $R id",
    "--userspec user $R id",
    "--user=user $R id",
    "--userspec=user: $R id",
    "--userspec=user:root $R id",
    "--userspec=user.root $R id",
    "--userspec=a.b $R id",
    "--userspec=.root $R id",
    "--userspec=user. $R id",
    "--userspec=1000. $R id",
    "--userspec=no-such.root $R id",
    "--userspec=user.no-such $R id",
    "--userspec=no-such $R id",
    "--userspec=no-such: $R id",
    "--userspec=:no-such $R id",
    "--user=user:+65535 $R pwd",
    "$R --user no-such --groups no,such --userspec=user:root",
    "--userspec=no-such:root $R id",
    "--userspec=user:no-such $R id",
    "--userspec=:user $R id",
    "--userspec=: $R id",
    "--userspec= $R id",
    "--userspec=1000 $R id",
    "--userspec=1000: $R id",
    "--userspec=1000:1 $R id",
    "--userspec=+1000:+5 $R id",
    "--userspec=+user $R id",
    "--userspec=5555 $R id",
    "--userspec=5555:6 $R id",
    "--userspec=5555 --groups=root $R id",
    "--userspec=5555:6 --groups= $R id",
    "--userspec=4294967295:0 $R id",
    "--userspec=4294967296:0 $R id",
    "--userspec=-1:0 $R id",
    "--userspec=user --userspec=5:6 $R id",
    "--userspec=daemon / id",
    "--userspec=sync / id -g",
    "--userspec=no-such:no-such /",
    "--groups='no such' --groups=1 / id -G",
    "--userspec=nobody $R id",
    "--groups=1,2 $R id",
    "--groups=user,more $R id",
    "--groups=1,,2, $R id",
    "--groups= $R id",
    "--groups=, $R id",
    "'--groups= ' $R id",
    "--groups=0trail $R id",
    "--groups=' +8765, 21' $R id",
    "--groups='more, user' $R id",
    "--groups=1,no-such $R id",
    "--groups=4294967296 $R id",
    "--groups=1 --groups=2 $R id",
    "--userspec=user --groups=7 $R id",
    "--userspec=user:more --groups=+7,more $R id",
];

/// A case that GNU chroot refuses in a user namespace, and chroot-rs does not: there are no groups to drop.
const NOTHING_TO_DO: &str = "--groups= $R id";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("chroot-rs does what GNU chroot does", NEEDS, |world| compare_all(world, "plain", "")).host_only(),
    Row::new("chroot-rs does what GNU chroot does in a user namespace", USER_NEEDS, |world| {
        compare_all(world, "mapped", "unshare-rs --user --map-root-user --");
    })
    .host_only(),
];

fn compare_all(world: &World, name: &str, prefix: &str) {
    let root = root(world, name);
    let mut differences = Vec::new();
    let applies = |case: &&&str| prefix.is_empty() || **case != NOTHING_TO_DO;
    for case in CASES.iter().filter(applies).filter(|case| world.chooses(case)) {
        let run = |tool: &str| {
            let script = world.script(&format!("exec 3>&-; {prefix} {tool} {case}"));
            script.variable("R", &root).variable("SHELL", "/bin/sh").run()
        };
        let (theirs, ours) = (run("chroot"), run("chroot-rs"));
        if seen(&theirs) != seen(&ours) {
            differences.push(format!("{theirs}\n{ours}"));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n\n"));
}

/// Returns status, stdout, whether stderr is empty, and whether it contains a warning.
fn seen(outcome: &Outcome) -> (i32, &str, bool, bool) {
    let stderr = &outcome.stderr;
    (outcome.status, &outcome.stdout, stderr.is_empty(), stderr.contains("warning"))
}

fn root(world: &World, name: &str) -> String {
    let at = world.directory(&format!("chroot-peer-{name}"));
    let root = at.join("root");
    let made = world.sh(&format!("cp -r {} {}", world.busybox_root().display(), root.display()));
    made.succeeds();
    std::os::unix::fs::symlink("/", at.join("slash")).expect("a link");
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\na.b:x:1001:77::/:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).expect("passwd");
    fs::write(root.join("odd"), "#!/bin/sh\necho not executable\n").expect("a script");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\nmore:x:77:user\n").expect("group");
    root.display().to_string()
}
