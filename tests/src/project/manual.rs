//! The manual pages are true: their examples print what they show, and the kernel calls that they list are those
//! that the tool narrates, in that order.

use std::os::unix::fs::symlink;

use lessons::likeness::is_like;
use plumbing::command_line::manual::{Example, Manual, Who};

use crate::harness::narration::narrated_call;
use crate::harness::need::{BUSYBOX, JQ, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::unshare::explained;

/// A tool, its page, and command lines that narrate what no example of the page does.
struct Page {
    tool: &'static str,
    manual: &'static Manual,
    more: &'static [&'static str],
}

const PAGES: &[Page] = &[
    Page {
        tool: "unshare-rs",
        manual: &unshare_rs::manual::MANUAL,
        more: &[
            "touch f; unshare-rs --mount -- unshare-rs --uts=f --ipc=missing true",
            "cp -r rootfs/. own; cp $(command -v unshare-rs) own/bin; chroot own /bin/env PATH=/bin unshare-rs --mount true",
            "setpriv --groups 5,6 unshare-rs -G 4 true",
            "setpriv --groups 5,6 unshare-rs --owner 1:2 true",
            "setpriv --reuid 54321 --regid 54321 --clear-groups unshare-rs --map-users 0:1:1 true",
        ],
    },
    Page {
        tool: "cgexec-rs",
        manual: &cgexec_rs::manual::MANUAL,
        more: &[
            "cgexec-rs --report=r --max-time 100ms --grace 100ms -- sh -c \"trap '' TERM; sleep 9; sleep 9\"",
            "v2=$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/mounts); mkdir $v2/manual-rate; \
             for rate in 1mbit 2mbit; do cgexec-rs --cgroup /manual-rate --net-rate $rate; done; rmdir $v2/manual-rate",
        ],
    },
    Page {
        tool: "chroot-rs",
        manual: &chroot_rs::manual::MANUAL,
        more: &[
            "chroot-rs --securebits noroot --umask 022 --rlimit core=0 --landlock-ro / / true",
            "chroot-rs --std --host-root -- true",
            "cp -r rootfs/. own; chroot-rs --bind /etc/passwd:/new --mask /no-such own true",
            "unshare-rs --hold --ttl 60 --mount --pid | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/true",
            "mkdir b; echo '{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"../own\"},\"linux\":{\"personality\":{\"domain\":\"LINUX32\"}},\
             \"process\":{\"cwd\":\"/\",\"scheduler\":{\"policy\":\"SCHED_BATCH\"},\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}}}' >b/config.json; cp -r rootfs/. own; \
             unshare-rs --mount --pid --fork -- chroot-rs --oci b -- /bin/true",
        ],
    },
    Page {
        tool: "netns-rs",
        manual: &netns_rs::manual::MANUAL,
        more: &[
            "netns-rs show . >/dev/null",
            "netns-rs exec --new --dns 192.0.2.1 -- true",
            "cp -r rootfs/. own; cp $(command -v netns-rs) own/bin; mkdir -p own/proc own/etc; touch own/etc/resolv.conf; \
             unshare --mount sh -c 'mount --rbind /proc own/proc; \
             chroot own /bin/env PATH=/bin netns-rs exec --new --dns 192.0.2.1 -- true'",
            "netns-rs add page; netns-rs exec --etc page true; netns-rs -all exec true >/dev/null; netns-rs delete page",
        ],
    },
    Page {
        tool: "nsenter-rs",
        manual: &nsenter_rs::manual::MANUAL,
        more: &[
            "mkdir b; echo '{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"../own\"},\"linux\":{\"personality\":{\"domain\":\"LINUX32\"}},\
             \"process\":{\"cwd\":\"/\",\"scheduler\":{\"policy\":\"SCHED_BATCH\"},\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}}}' >b/config.json; cp -r rootfs/. own; \
             unshare-rs --hold --ttl 60 --mount --pid | chroot-rs --pipe --oci b | nsenter-rs --pipe --rm -- /bin/true",
            "unshare-rs --hold --ttl 60 --mount --pid | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/true",
            "unshare-rs --user --map-users 0:0:10 --map-groups 0:0:10 sleep 5 & sleep 0.2; \
             setpriv --groups 5,6 nsenter-rs --target $! --user --keep-caps -S 1 -G 1 --root -- true; kill $!",
            "unshare-rs --mount sleep 5 & sleep 0.2; nsenter-rs --target $! --mount --sealed-copy -- true; \
             setpriv --bounding-set -sys_admin nsenter-rs --dry-run --target $! --mount --sealed-copy -- true; kill $!",
            "unshare-rs --mount sleep 5 & sleep 0.2; nsenter-rs --target $! --mount --tools -- true; kill $!",
            "unshare-rs --map-root-user --mount sleep 5 & sleep 0.2; mkdir -p t/d; echo >t/f; ln -s f t/l; nsenter-rs --copy t $!:$PWD/u; \
             nsenter-rs --archive --copy $!:$PWD/u w; mkdir -p t/$(printf 'd/%.0s' $(seq 210)); nsenter-rs --copy $!:$PWD/t x; kill $!",
            "setpriv --groups 5 chroot-rs --no-new-privs --seccomp default --umask 027 --securebits noroot --rlimit nofile=64:128 / \
             sleep 5 & sleep 0.2; echo 300 >/proc/$!/oom_score_adj; taskset -p 1 $! >/dev/null; \
             nsenter-rs --target $! --like-target -- true; kill $!",
        ],
    },
    Page { tool: "nsenter-rs", manual: &nsenter_rs::list::manual::MANUAL, more: &[] },
];

/// A guardian has let go of the terminal by the time that it removes something. What it prints, strace sees: `explain`.
const BY_GUARDIANS: &str = "unlinkat";

const NEEDS: &[Need] = &[Need::UserNamespaces, Need::NetworkNamespaces, BUSYBOX, JQ];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the examples of the manual pages print what the pages show", NEEDS, |world| {
        for page in PAGES {
            for example in page.manual.examples.iter().filter(|example| world.is_root || example.who == Who::Anyone) {
                let outcome = run(world, &format!("exec 2>&1\n{}", example.typed()));
                // The pages show a root in a private directory; the suite's own can be reached by everybody.
                let is_about_the_place =
                    |line: &&str| line.contains(": warning: every user of this machine can reach ");
                let printed: Vec<&str> = outcome.stdout.lines().filter(|line| !is_about_the_place(line)).collect();
                let shown = example.printed();
                assert!(is_like(&shown, &printed), "{}: the page shows\n{}\n{outcome}", page.tool, shown.join("\n"));
            }
        }
    })
    .host_only(),
    Row::new("the manual pages list the kernel calls that the tools narrate, and no others", NEEDS, |world| {
        let mut complaints = Vec::new();
        for page in PAGES {
            let mut is_told = vec![false; page.manual.calls.len()];
            for call in lines(page, world).iter().flat_map(|line| narrated(page.tool, &line.stderr)) {
                let rows = page.manual.calls.iter().enumerate().filter(|(_, row)| row.is_told_by(&call));
                let count = rows.map(|(number, _)| is_told[number] = true).count();
                if count == 0 {
                    complaints.push(format!("the page of {} does not have {call}", page.tool));
                }
            }
            let unprinted = page.manual.calls.iter().zip(is_told).filter(|(_, is_told)| !is_told);
            let unprinted = unprinted.filter(|(row, _)| row.name != BY_GUARDIANS);
            complaints
                .extend(unprinted.map(|(row, _)| format!("{} never prints {} {}", page.tool, row.name, row.about)));
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    })
    .root_only()
    .host_only(),
    Row::new(
        "the manual page of unshare-rs has its kernel calls in the order in which they are made",
        NEEDS,
        |world| {
            let page = &PAGES[0];
            let examples = page.manual.examples.iter().map(Example::typed).filter(|typed| !typed.contains(['&', '|']));
            let dry = examples.map(|typed| with_option(&typed, page.tool, "--dry-run"));
            for line in dry.chain(explained::CASES.iter().map(explained::Case::line)) {
                let outcome = explained::run(world, &line);
                let mut rest = page.manual.calls;
                for call in narrated(page.tool, &outcome.stderr) {
                    let place = rest.iter().position(|row| row.is_told_by(&call));
                    // The same row may be printed more than once: two mounts of one kind, two clocks.
                    rest = &rest[place.unwrap_or_else(|| panic!("{call} comes too late for the page\n{outcome}"))..];
                }
            }
        },
    )
    .root_only()
    .host_only(),
];

/// What the examples and the further lines of a page narrate.
fn lines(page: &Page, world: &World) -> Vec<Outcome> {
    let examples = page.manual.examples.iter().map(Example::typed);
    let all = examples.chain(page.more.iter().map(|line| (*line).to_owned()));
    let mut printed: Vec<Outcome> = all.map(|typed| run(world, &with_option(&typed, page.tool, "--explain"))).collect();
    if page.tool == "unshare-rs" {
        printed.extend(explained::CASES.iter().map(|case| explained::run(world, &case.line())));
    }
    printed
}

/// In a directory of its own, with a root file system in it.
fn run(world: &World, script: &str) -> Outcome {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let directory = world.directory(&format!("manual-{number}"));
    symlink(world.busybox_root(), directory.join("rootfs")).expect("symlink(rootfs)");
    world.sh(&format!("cd {}\n{script}", directory.display()))
}

/// The option behind the tool's name, wherever that begins a command.
fn with_option(typed: &str, tool: &str, option: &str) -> String {
    let typed = typed.replace(" --explain", "");
    typed.replace(&format!("{tool} "), &format!("{tool} {option} "))
}

/// The calls that this tool prints.
fn narrated(tool: &str, stderr: &str) -> Vec<String> {
    let own = stderr.lines().filter(|line| line.split_once(": ").is_some_and(|(name, _)| name == tool));
    own.filter_map(narrated_call).map(str::to_owned).collect()
}
