//! `--dry-run` prints the plan that `--explain` prints while it is done, and does none of it: strace sees no call that
//! changes anything, and the machine is as before.

use std::time::Duration;

use crate::harness::narration::{changes, narrated_calls};
use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::trace::{self, place};
use crate::harness::world::World;
use crate::project::explain::script;

/// `$MODE` is `--explain` or `--dry-run`; the rest is as in `explain`. What a tool does when the kernel has refused its
/// first choice cannot be foreseen, and so a user's sysfs and cgroups cannot: see [`UNFORESEEN`].
const ANYONE: &[&str] = &[
    "$TRACE unshare-rs $MODE -- true",
    "$TRACE unshare-rs $MODE -r --mount --uts --ipc --net --pid --cgroup --time --fork --kill-child --mount-proc \
     --hostname box -- /bin/true",
    "$TRACE unshare-rs $MODE -c --mount --propagation slave true",
    "$TRACE unshare-rs $MODE -r --setgroups deny -T --boottime 1 -p --init --kill-child --mount-proc -R / -w / -S 0 -- true",
    "$TRACE unshare-rs $MODE --hold --name dry --ttl 60 $OWN --mount --uts --pid --hostname dry | { nsenter-rs --pipe --rm -- true || true; }",
    "$TRACE unshare-rs $MODE --hold --ttl 60 -r --time --boottime 5 --pid | { nsenter-rs --pipe --rm -- true || true; }",
    "$TRACE unshare-rs $MODE --init --name web -w / --ready-fd 2 --block-fd 0 --whitelist-env PATH -- true",
    "$TRACE nsenter-rs $MODE -- true",
    "hold --mount --pid --uts --net; $TRACE nsenter-rs $MODE --target $pid --all -- true; finish",
    "hold --mount --pid --uts --net; echo \"$record\" | $TRACE nsenter-rs $MODE --pipe -- true; finish",
    "hold --mount --pid --uts; echo \"$record\" | $TRACE nsenter-rs $MODE --pipe --rm -- true; finish",
    "$TRACE cgexec-rs $MODE -- true",
];

/// It prints what it would try, and tries nothing: what it would find it cannot know.
const AUDIT: &[(&str, &str)] = &[("$TRACE chroot-rs --dry-run --audit", "pivot_root(NULL, NULL)")];

const ROOT: &[&str] = &[
    "unshare-rs $OWN --mount --pid --net --cgroup --fork -- $TRACE chroot-rs $MODE --std $ROOT -- /bin/true",
    "unshare-rs $OWN --mount --pid --uts --net --cgroup --fork -- $TRACE chroot-rs $MODE --std --host-root -- /bin/true",
    // A dry run of chroot-rs cannot see whether the container has a cgroup of its own, and supposes so.
    "unshare-rs --hold --ttl 60 $OWN --mount --pid --net --cgroup | cgexec-rs --pipe --pids 20 | $TRACE chroot-rs $MODE --pipe --std $ROOT | nsenter-rs --pipe --rm -- true",
    "$TRACE cgexec-rs $MODE --memory 64M --swap 0 --pids 50 --cpus 1.5 -- /bin/true",
    "unshare-rs --hold --ttl 60 --mount --pid --cgroup | $TRACE cgexec-rs $MODE --pipe --memory 64M | nsenter-rs --pipe --rm -- true",
    "$TRACE netns-rs exec $MODE --new -- true",
    "$TRACE netns-rs exec $MODE --new --reach 127.0.0.1:1 --publish 127.0.0.1:8475:1 -- true",
    "$TRACE netns-rs exec $MODE --new --bridge dry0 --address 10.95.0.2/24 --gateway 10.95.0.1 --nat -- /bin/true",
    "unshare-rs --hold --ttl 60 --mount --pid --net | $TRACE netns-rs connect $MODE --pipe --bridge dry0 --address 10.95.0.2/24 | \
     nsenter-rs --pipe --rm -- true",
    "netns-rs add first && netns-rs delete first; $TRACE netns-rs add $MODE dry; s=$?; [ $MODE = --dry-run ] || netns-rs delete dry; exit $s",
    "netns-rs add dry && $TRACE netns-rs exec $MODE dry true; netns-rs delete dry",
    "netns-rs add dry && $TRACE netns-rs delete $MODE dry; s=$?; [ $MODE = --explain ] || netns-rs delete dry; exit $s",
    "$TRACE chroot-rs $MODE --skip-chdir / true",
    "$TRACE chroot-rs $MODE --userspec 1000:1000 --groups 5,6 $ROOT /bin/true",
    "$TRACE chroot-rs $MODE --user 1000 --group 5 $ROOT /bin/true",
    "$TRACE chroot-rs $MODE --capabilities chown,kill / true",
];

/// A plan that may turn out otherwise, since an unprivileged user's file systems may be refused; it changes nothing all
/// the same.
const UNFORESEEN: &[(&str, &str)] = &[
    (
        "unshare-rs $OWN --mount --pid --fork -- $TRACE chroot-rs --dry-run --std $ROOT -- /bin/true",
        "pivot_root(\".\", \".\")",
    ),
    (
        "unshare-rs $OWN --mount --pid --fork -- $TRACE chroot-rs --dry-run --std --host-root -- /bin/true",
        "pivot_root(",
    ),
    (
        "unshare-rs --hold --ttl 60 $OWN --mount --pid | $TRACE chroot-rs --dry-run --pipe --std $ROOT | nsenter-rs --pipe --rm -- true",
        "pivot_root(",
    ),
];

/// What needs a right that nobody has here is printed all the same.
const WITHOUT_RIGHTS: &[(&str, &str)] = &[
    ("$TRACE unshare-rs --dry-run --mount --net true", "unshare(CLONE_NEWNS|CLONE_NEWNET)"),
    ("$TRACE unshare-rs --dry-run --uts --hostname x true", "sethostname(\"x\", 1)"),
    ("$TRACE netns-rs exec --dry-run --new -- true", "unshare(CLONE_NEWNET)"),
    ("$TRACE netns-rs add --dry-run dry", "mount("),
    ("$TRACE chroot-rs --dry-run / true", "chroot(\"/\")"),
    ("$TRACE chroot-rs --dry-run --userspec 7:7 / true", "setresuid(7, 7, 7)"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--dry-run prints what --explain prints, and changes nothing",
        &[STRACE, BUSYBOX, Need::UserNamespaces],
        |world| {
            compare_all(world, "dry-run", ANYONE);
        },
    ),
    Row::new(
        "--dry-run prints what --explain prints for root, and changes nothing",
        &[STRACE, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            compare_all(world, "dry-run-root", ROOT);
        },
    )
    .root_only(),
    Row::new("--dry-run shows an unprivileged user what only root may do", &[STRACE], |world| {
        change_nothing(world, "dry-run-without-rights", WITHOUT_RIGHTS);
    })
    .user_only(),
    Row::new("--dry-run of the audit tries nothing", &[STRACE], |world| {
        change_nothing(world, "dry-run-audit", AUDIT);
    }),
    Row::new(
        "--dry-run of a container's root changes nothing, whatever would be refused",
        &[STRACE, BUSYBOX, Need::UserNamespaces],
        |world| {
            change_nothing(world, "dry-run-unforeseen", UNFORESEEN);
        },
    ),
];

fn change_nothing(world: &World, name: &str, lines: &[(&str, &str)]) {
    let prefix = place(world, name);
    for (line, narrated) in lines {
        let outcome = script(world, line, &prefix).run().succeeds().stdout_is("").stderr_has(narrated);
        let made = changes(&trace::read(&prefix));
        assert!(made.is_empty(), "made in a dry run: {made:#?}\n{outcome}");
    }
}

fn compare_all(world: &World, name: &str, lines: &[&str]) {
    let prefix = place(world, name);
    for line in lines {
        let real = script(world, line, &prefix).variable("MODE", "--explain").run().succeeds();
        drop(trace::read(&prefix));
        let before = Scan::take();
        let dry = script(world, line, &prefix).variable("MODE", "--dry-run").run();
        let made = changes(&trace::read(&prefix));
        assert!(made.is_empty(), "made in a dry run:\n{}\n{dry}", made.join("\n"));
        let is_first_stage = line.contains("$MODE --hold");
        let dry = if is_first_stage { dry } else { dry.succeeds() };
        before.wait_until_same(Duration::from_secs(10));
        let narrated =
            |stderr: &str| narrated_calls(stderr).iter().map(|call| without_numbers(call)).collect::<Vec<_>>();
        let (real_plan, dry_plan) = (narrated(&real.stderr), narrated(&dry.stderr));
        assert!(!real_plan.is_empty(), "nothing was printed\n{real}");
        let differs = real_plan.iter().zip(&dry_plan).find(|(real, dry)| real != dry);
        assert!(differs.is_none(), "printed differently (real, dry): {differs:#?}\n{real}\n{dry}");
        assert!(
            real_plan.len() == dry_plan.len(),
            "printed {} and {} calls\n{real}\n{dry}",
            real_plan.len(),
            dry_plan.len()
        );
    }
}

/// Pids, descriptors and made-up names are different every time: the numbers in a call, and the digits of a `veth`.
fn without_numbers(call: &str) -> String {
    let mut plain = String::new();
    let mut rest = call;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(tail) = rest.strip_prefix("veth") {
            plain.push_str("veth");
            4 + tail.bytes().take_while(u8::is_ascii_hexdigit).count()
        } else if first.is_ascii_digit() {
            plain.push('N');
            rest.bytes().take_while(u8::is_ascii_digit).count()
        } else {
            plain.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    plain
}
