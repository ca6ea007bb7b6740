//! The first rows: is there anything to test at all? Each tool starts, the machine can be scanned, the shared root
//! file system runs.

use std::time::Duration;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::world::World;

const TOOLS: [&str; 5] = ["unshare-rs", "cgexec-rs", "chroot-rs", "netns-rs", "nsenter-rs"];

const SCRIPT: &[Need] = &[Need::Program("script", "bsdutils")];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("every tool says its name and version", &[], |world| {
        for tool in TOOLS {
            world.sh(&format!("{tool} --version")).succeeds().stdout_has(&format!("{tool} "));
        }
    }),
    Row::new("every tool explains itself when asked for help", &[], |world| {
        for tool in TOOLS {
            world.sh(&format!("{tool} --help")).succeeds().stdout_has("Usage: ").stdout_has("xamples");
        }
    }),
    Row::new("every example of --help is understood, and a pipeline of them leaves nothing", &[], |world| {
        let mut seen = 0;
        for help in TOOLS.iter().copied().chain(["nsenter-rs --list", "nsenter-rs --list --containers"]) {
            let text = world.sh(&format!("{help} --help")).succeeds().stdout;
            let examples = text.lines().skip_while(|line| !line.starts_with("Examples:")).skip(1);
            // The text next to one, or below it, explains it.
            let commands = examples.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
            for command in commands.filter(|line| !line.starts_with(' ')) {
                let command = command.split("  ").next().unwrap_or_default().trim_matches(['…', '|', ' ']);
                assert!(!command.contains("--hold") || command.contains("--rm"), "{command}");
                // In a chain, each tool reads its own part.
                let is_ours = |part: &&str| TOOLS.iter().any(|tool| part.starts_with(tool));
                for part in command.split(" -- ").filter(is_ours) {
                    let outcome = world.sh(&format!("{DRY}; {part}"));
                    assert!(!outcome.stderr.contains("see --help") || is_cut(part, &outcome), "{command}\n{outcome}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 40, "{seen}");
        world.sh(&format!("{DRY}; cgexec-rs --show 4242 --json")).fails_with(125).stderr_has("see --help");
    }),
    Row::new("help is folded to fit a terminal, and has whole lines for anybody else", SCRIPT, |world| {
        for tool in TOOLS {
            let explained = |columns: u32| {
                let script = format!("script -qec 'stty cols {columns}; {tool} --help' /dev/null </dev/null");
                world.sh(&script).succeeds().stdout.replace('\r', "")
            };
            let whole = world.sh(&format!("{tool} --help")).succeeds().stdout;
            assert_eq!(explained(500), whole, "{tool}");
            let folded = explained(70);
            assert_ne!(folded, whole, "{tool}");
            // Commands can be copied whole; nothing else is too wide.
            let options = folded.lines().filter(|line| line.trim_start().starts_with('-'));
            let wide: Vec<_> = options.filter(|line| line.chars().count() > 70).collect();
            assert!(wide.is_empty(), "{tool}: {wide:#?}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&folded), words(&whole), "{tool}");
        }
    })
    .host_only(),
    Row::new("a pipeline fails when any of its stages fails", &[], |world| {
        world.sh("exit 3 | cat").fails_with(3);
    }),
    Row::new("a scan finds a process that a script left, and misses it once it has ended", &[], |world| {
        let before = Scan::take();
        world.sh("sleep 0.3 >/dev/null 2>&1 &").succeeds();
        let left = before.difference(&Scan::take());
        assert!(left.iter().any(|line| line.starts_with("new: process ")), "{left:?}");
        before.wait_until_same(Duration::from_secs(10));
    }),
    Row::new("the root file system of busybox runs", &[BUSYBOX], the_root_file_system_runs).root_only(),
    Row::new("the virtual machine has the controllers of cgroup v2", ALL_OF_CGROUP_V2, |world| {
        world.sh("cat /sys/fs/cgroup/cgroup.subtree_control").succeeds().stdout_has("memory").stdout_has("pids");
    })
    .vm_only(),
    Row::new("the virtual machine's user may divide the cgroup that was given to it", ALL_OF_CGROUP_V2, |world| {
        world.sh(DIVIDE).succeeds().stdout_is("100\n");
    })
    .user_only()
    .vm_only(),
    Row::new("the virtual machine has interfaces and packet filters", &[], |world| {
        world.sh(&format!("unshare --net bash -ec '{NETWORK}'")).succeeds().stdout_has("masquerade");
    })
    .root_only()
    .vm_only(),
];

const DIVIDE: &str = "
    group=/sys/fs/cgroup/delegated
    mkdir $group/part && echo $$ >$group/part/cgroup.procs && echo 100 >$group/part/pids.max
    cat $group/part/pids.max
    echo $$ >$group/suite/cgroup.procs && rmdir $group/part";

const NETWORK: &str = "
    ip link add bridge0 type bridge
    ip link add veth0 type veth peer name veth1
    ip link set veth0 master bridge0
    tc qdisc add dev veth1 root tbf rate 10mbit burst 10kb latency 50ms
    nft add table inet t
    nft add chain inet t nat { type nat hook postrouting priority srcnat \\; }
    nft add rule inet t nat masquerade
    nft list ruleset";

/// Has every tool print what it would do; a listing is one of those that do nothing else.
const DRY: &str = "for tool in unshare-rs cgexec-rs chroot-rs netns-rs nsenter-rs; do \
    eval \"$tool() { case \\$1 in --list) command $tool \\\"\\$@\\\";; *) command $tool --dry-run \\\"\\$@\\\";; esac; }\"; done";

/// Whether the command is all that is missing: it follows the `--`.
fn is_cut(part: &str, outcome: &crate::harness::script::Outcome) -> bool {
    !part.contains('|') && outcome.stderr.contains("a command is missing")
}

const ALL_OF_CGROUP_V2: &[Need] =
    &[Need::CgroupV2("cpu"), Need::CgroupV2("memory"), Need::CgroupV2("pids"), Need::CgroupV2("io")];

fn the_root_file_system_runs(world: &World) {
    let root = world.busybox_root().display();
    world.sh(&format!("busybox chroot {root} /bin/busybox true")).succeeds();
}
