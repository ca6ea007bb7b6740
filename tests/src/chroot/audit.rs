//! `chroot-rs --audit`: the README's recipes pass it, a naive chroot does not, Docker is not tighter, and every probe can
//! be made to report an open way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::need::{BUSYBOX, Need, SCRIPT};
use crate::harness::row::Row;
use crate::harness::script::{Outcome, Script};
use crate::harness::world::World;
use crate::nsenter::docker::{self, Docker};
use crate::project::readme;

const DOCUMENT: &str = include_str!("../../../docs/audit.md");

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the recipes of the README pass the audit", &[BUSYBOX, Need::UserNamespaces], |world| {
        let place = place(world);
        let recipes = readme::recipes("-- /bin/chroot-rs --audit --json");
        assert_eq!(recipes.len(), 3, "{recipes:#?}");
        for recipe in recipes.iter().filter(|recipe| world.is_root || recipe.contains("--user")) {
            // State that a caller may have, and that must not be passed on.
            let leaky = format!("exec 7</ 8</dev/null; export GITHUB_TOKEN=t SSH_AUTH_SOCK=/s; {recipe}");
            let audit = Audit::of(script(world, &place, &leaky).run());
            let without_limits = ["memory-limit", "process-limit"];
            let excused: &[&str] = if recipe.contains("--memory") { &[] } else { &without_limits };
            let bad: Vec<_> =
                audit.with("open").chain(audit.with("unknown")).filter(|name| !excused.contains(name)).collect();
            assert!(bad.is_empty(), "{bad:?} in\n{recipe}\n{:#?}", audit.0);
            assert!(audit.with("held").count() > 45, "{:#?}", audit.0);
        }
    }),
    Row::new("a naive unshare and chroot fails most of the audit", &[BUSYBOX], |world| {
        let audit = Audit::of(script(world, &place(world), NAIVE).run().fails_with(1));
        let open: BTreeSet<&str> = audit.with("open").collect();
        let more = if world.in_vm { OPEN_IN_VM } else { &[] };
        let missing: Vec<_> = OPEN_IN_NAIVE.iter().chain(more).filter(|name| !open.contains(*name)).collect();
        assert!(missing.is_empty(), "{missing:?} held\n{:#?}", audit.0);
        assert!(open.len() * 2 > audit.0.len(), "{open:?}");
    })
    .root_only(),
    Row::new("Docker passes no probe of the audit that the README's recipe does not", docker::NEEDS, |world| {
        let place = place(world);
        let recipe = readme::recipes("-- /bin/chroot-rs --audit --json").into_iter().next().expect("a recipe");
        let ours = Audit::of(script(world, &place, &recipe).run().succeeds());
        let docker = Docker::start(world, "docker-audit");
        let run = format!(
            "run --rm -v {}/chroot-rs:/chroot-rs:ro suite:busybox /chroot-rs --audit --json",
            world.tools.display()
        );
        let theirs = Audit::of(docker.client(&run).fails_with(1));
        for (name, (outcome, found)) in &theirs.0 {
            let (our_outcome, our_found) = &ours.0[name];
            let is_as_tight = outcome != "held" || our_outcome != "open" && our_outcome != "unknown";
            assert!(is_as_tight, "{name}: Docker held ({found}), ours was {our_outcome} ({our_found})");
        }
        let documented = documented();
        // The document describes a newer Docker than that of Debian 12.
        let older = ["proc-masked", "io-uring"];
        let open = theirs.with("open").filter(|name| !older.contains(name));
        let better: Vec<_> = open.filter(|name| documented[*name][1] != "open").collect();
        assert!(better.is_empty(), "docs/audit.md says that Docker holds {better:?}");
        // The comparison is meaningful: Docker's default is neither all open nor all held.
        for name in ["no-new-privs", "memory-limit"] {
            assert_eq!(theirs.0[name].0, "open", "{:#?}", theirs.0);
        }
        for name in ["capabilities", "seccomp", "mount", "proc-sys", "chroot-escape", "mknod"] {
            assert_eq!(theirs.0[name].0, "held", "{:#?}", theirs.0);
        }
    })
    .root_only()
    .host_only(),
    Row::new("every probe of the audit can find something open", &[BUSYBOX, SCRIPT], |world| {
        let place = place(world);
        let _listening = craft(&place);
        let mut open = BTreeSet::new();
        let mut all = BTreeSet::new();
        for (line, names) in PROVOCATIONS {
            let outcome = script(world, &place, line).run();
            let audit = Audit::of(outcome);
            for name in *names {
                assert_eq!(audit.0[*name].0, "open", "{name}: {}\n{line}", audit.0[*name].1);
                open.insert((*name).to_owned());
            }
            all.extend(audit.0.into_keys());
        }
        open.extend(OPEN_IN_NAIVE.iter().map(|name| (*name).to_owned()));
        open.extend(OPEN_IN_VM.iter().map(|name| (*name).to_owned()));
        let tame: Vec<_> = all.difference(&open).collect();
        assert!(tame.is_empty(), "nothing made these open: {tame:?}");
    })
    .root_only()
    .host_only(),
    Row::new("the audit works in a root that contains only chroot-rs", &[BUSYBOX, Need::UserNamespaces], |world| {
        let place = place(world);
        fs::create_dir_all(place.join("bare")).expect("a root");
        fs::copy(world.tools.join("chroot-rs"), place.join("bare/chroot-rs")).expect("a copy");
        let bare = Audit::of(
            script(world, &place, "unshare-rs $OWN --mount -- chroot-rs --read-only bare /chroot-rs --audit --json")
                .run(),
        );
        assert_eq!(bare.0["proc-kcore"].0, "not here");
        assert_eq!(bare.0["pid-namespace"].0, "unknown");
        assert_eq!(bare.0["seccomp"].0, "unknown");
        assert_eq!(bare.0["mount-api"].0, "open");
    }),
    Row::new("the audit accepts a filter that kills as an answer", &[], |world| {
        let place = place(world);
        let names = ["mount", "bpf", "unshare", "keyctl", "reboot", "clone3", "getgroups", "chroot"];
        let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": names, "action": "SCMP_ACT_KILL_PROCESS"}]});
        fs::write(place.join("kill.json"), profile.to_string()).expect("a profile");
        let line =
            "unshare-rs $OWN -- chroot-rs --no-new-privs --seccomp kill.json --skip-chdir / chroot-rs --audit --json";
        let line = if world.is_root { line.to_owned() } else { line.replace("$OWN", "--user --map-root-user") };
        let audit = Audit::of(script(world, &place, &line).run());
        for name in ["bpf", "new-user-namespace", "groups", "chroot-escape"] {
            assert_eq!(audit.0[name], ("held".to_owned(), audit.0[name].1.clone()), "{:?}", audit.0[name]);
            assert!(audit.0[name].1.contains("killed by SIGSYS"), "{name}: {:?}", audit.0[name]);
        }
    }),
    Row::new("the audit prints the same as text and as JSON", &[BUSYBOX, Need::UserNamespaces], |world| {
        let place = place(world);
        let line = "unshare-rs $OWN --mount --pid --ipc --uts --net --cgroup --fork -- chroot-rs --std root -- chroot-rs --audit";
        let text = script(world, &place, line).run();
        let audit = Audit::of(script(world, &place, &format!("{line} --json")).run());
        for (name, (outcome, _)) in &audit.0 {
            let row = text
                .lines()
                .into_iter()
                .find(|row| row.get(13..).is_some_and(|row| row.starts_with(&format!("{name} "))));
            let outcome = if outcome == "open" { "OPEN" } else { outcome };
            assert!(row.is_some_and(|row| row.contains(outcome)), "{name} is {outcome}\n{text}");
        }
        assert!(
            text.lines().last().is_some_and(|last| last.starts_with(&format!("{} probes: ", audit.0.len()))),
            "{text}"
        );
    }),
    Row::new("docs/audit.md lists for each probe what these rows demand", &[], |world| {
        let audit = Audit::of(world.sh("chroot-rs --audit --json"));
        let documented = documented();
        let (there, here): (Vec<_>, Vec<_>) = (documented.keys().collect(), audit.0.keys().collect());
        assert_eq!(there, here);
        for (name, [naive, _, ours]) in &documented {
            assert_ne!(ours, "open", "{name}");
            assert!(naive == "open" || !OPEN_IN_NAIVE.contains(&name.as_str()), "{name}");
        }
    }),
    Row::new("the audit takes no root and no command", &[], |world| {
        for line in [
            "--audit /",
            "--audit --std /",
            "--json /",
            "--audit --bind /a:/b",
            "--audit --umask 022",
            "--audit --keep-env",
            "--audit --preserve-fds 3",
        ] {
            world.sh(&format!("chroot-rs {line}")).fails_with(125).stdout_is("");
        }
        world.sh("chroot-rs --audit >/dev/full").fails_with(125).stderr_has("ENOSPC");
    }),
];

/// The usual chroot by hand: bind the file systems, then chroot.
const NAIVE: &str = "unshare --fork --pid --mount sh -c '
    mount -t proc proc root/proc; mount --rbind /sys root/sys; mount --rbind /dev root/dev
    exec chroot root /bin/chroot-rs --audit --json'";

/// The probes that are open there, on any machine.
const OPEN_IN_NAIVE: &[&str] = &[
    "chroot-escape",
    "root-mount",
    "proc-sys",
    "proc-read-only",
    "proc-keys",
    "proc-masked",
    "sys-writable",
    "kernel-log",
    "cgroup-namespace",
    "memory-limit",
    "process-limit",
    "device-nodes",
    "device-inodes",
    "mknod",
    "shared-memory",
    "mount",
    "mount-api",
    "net-namespace",
    "ipc-namespace",
    "host-name",
    "clock",
    "setns",
    "root-of-the-host",
    "capabilities",
    "seccomp",
    "open-by-handle",
    "machine-control",
    "bpf",
    "perf-event-open",
    "userfaultfd",
    "keyrings",
    "personality",
    "sockets",
];

/// The probes that are open in addition with a distribution's kernel.
const OPEN_IN_VM: &[&str] = &["kernel-modules", "kexec", "proc-kcore", "proc-sysrq-trigger", "oom-score"];

/// Command lines that make the other probes open. `root` has nothing mounted, `crafted` has plain files in place of those that a machine may lack.
const PROVOCATIONS: &[(&str, &[&str])] = &[
    (
        "unshare --mount sh -c 'mount -t proc proc root/proc; exec chroot root /bin/chroot-rs --audit --json'",
        &["pid-namespace", "process-list", "signals", "process-memory", "other-roots", "foreign-programs"],
    ),
    (
        "unshare --mount sh -c 'mount -t proc proc root/proc; exec chroot root /bin/chroot-rs --audit --json' & A=$!; \
         while kill -0 $A 2>/dev/null; do sleep 0.1 & sleep 0.02; done; wait $A",
        &["launchers"],
    ),
    (
        "unshare --mount sh -c 'mount -t proc proc crafted/proc; mount --bind / crafted/mnt; exec chroot crafted /bin/chroot-rs --audit --json'",
        &["host-directories", "engine-sockets", "abstract-sockets"],
    ),
    (
        "chroot crafted /bin/chroot-rs --audit --json",
        &["proc-sysrq-trigger", "proc-kcore", "sys-power", "sys-firmware"],
    ),
    ("nsenter -r$PWD/root /bin/chroot-rs --audit --json", &["working-directory"]),
    (
        "unshare -m sh -c 'mount --bind root root; mount -o remount,bind,suid,dev root; exec chroot root /bin/chroot-rs --audit --json'",
        &["root-nodev", "no-new-privs"],
    ),
    ("exec 9</etc; chroot root /bin/chroot-rs --audit --json", &["descriptors"]),
    ("GITHUB_TOKEN=x chroot root /bin/chroot-rs --audit --json", &["environment"]),
    (
        "setpriv --inh-caps +chown --groups 54329 chroot-rs --audit --json",
        &["inherited-capabilities", "groups", "new-user-namespace", "io-uring"],
    ),
    (
        "unshare -m sh -c 'mount -t tracefs t crafted/tmp 2>/dev/null || mount -t debugfs d crafted/tmp; mount -t proc p crafted/proc; exec chroot crafted /bin/chroot-rs --audit --json'",
        &["kernel-file-systems"],
    ),
    (
        "unshare -m sh -c 'mount -t proc p crafted/proc; mkdir -p crafted/tmp/c; mount -t cgroup -o none,name=suiteaudit c crafted/tmp/c && \
         chroot crafted /bin/chroot-rs --audit --json; s=$?; umount crafted/tmp/c; exit $s'",
        &["cgroup-writable", "cgroup-release-agent"],
    ),
    ("script -qec 'chroot-rs --audit --json' /dev/null", &["terminal"]),
    ("script -qec 'chroot-rs --audit --json </dev/null >out 2>&1; s=$?; cat out; exit $s' /dev/null", &["terminal"]),
    ("unshare --pid --fork chroot root /bin/chroot-rs --audit --json", &["signals"]),
    (
        "unshare --mount sh -c 'mount -t proc proc root/proc; exec chroot root /bin/chroot-rs --audit --json' </dev/null",
        &["device-inodes"],
    ),
];

/// Makes a directory with a root of busybox that contains chroot-rs.
fn place(world: &World) -> PathBuf {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let place = world.directory(&format!("audit-{number}"));
    world.sh(&format!("cp -r {} {}/root", world.busybox_root().display(), place.display())).succeeds();
    fs::copy(world.tools.join("chroot-rs"), place.join("root/bin/chroot-rs")).expect("a copy");
    std::os::unix::fs::symlink("root", place.join("rootfs")).expect("a link");
    place
}

/// Makes a second root with files of /proc and /sys that this machine may lack and a socket of an engine; and an abstract
/// socket.
fn craft(place: &Path) -> [UnixListener; 2] {
    let root = place.join("crafted");
    for directory in ["bin", "proc", "mnt", "tmp", "run", "sys/devices/virtual/powercap/x", "sys/firmware/x"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    fs::copy(place.join("root/bin/chroot-rs"), root.join("bin/chroot-rs")).expect("a copy");
    fs::write(root.join("proc/kcore"), "x").expect("a file");
    fs::write(root.join("proc/sysrq-trigger"), "").expect("a file");
    let name = SocketAddr::from_abstract_name("suite-audit").expect("a name");
    [UnixListener::bind(root.join("run/docker.sock")).expect("bind"), UnixListener::bind_addr(&name).expect("bind")]
}

/// Returns the columns of docs/audit.md: naive, docker, ours.
fn documented() -> BTreeMap<String, [String; 3]> {
    let rows = DOCUMENT.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let probes = rows.filter(|row| row.len() == 8 && !row[2].starts_with('-') && row[2] != "probe");
    probes.map(|row| (row[2].to_owned(), [row[4], row[5], row[6]].map(str::to_owned))).collect()
}

fn script<'a>(world: &'a World, place: &Path, line: &str) -> Script<'a> {
    let own = world.as_root();
    world.script(&format!("cd {}; {line}", place.display())).variable("OWN", own)
}

/// The outcome of each probe, with its details.
struct Audit(BTreeMap<String, (String, String)>);

impl Audit {
    #[track_caller]
    fn of(outcome: Outcome) -> Self {
        let line = outcome.lines().into_iter().find(|line| line.starts_with("{\"audit\":1,"));
        let line = line.unwrap_or_else(|| panic!("no report\n{outcome}"));
        let report: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let probes = report["probes"].as_array().expect("probes").iter();
        let all: BTreeMap<_, _> =
            probes.map(|probe| (text(&probe["name"]), (text(&probe["outcome"]), text(&probe["found"])))).collect();
        let audit = Self(all);
        let open = audit.with("open").count();
        assert_eq!(report["open"], open, "{outcome}");
        assert_eq!(outcome.status, i32::from(open != 0), "{outcome}");
        audit
    }

    fn with(&self, outcome: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, (found, _))| found == outcome).map(|(name, _)| name.as_str())
    }
}
