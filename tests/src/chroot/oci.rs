//! OCI bundles: chroot-rs makes the same container from a config.json as crun, and a shell script with the five tools is a
//! runtime.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::need::{BUSYBOX, CRUN, JQ, Need};
use crate::harness::row::Row;
use crate::harness::script::{Outcome, Script};
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];
/// The needs of a row that runs it.
pub const SCRIPT: &[Need] = &[BUSYBOX, JQ, Need::NetworkNamespaces];

/// examples/oci-runtime.sh.
pub const RUNTIME: &str = include_str!("../../../examples/oci-runtime.sh");
/// examples/oci-runtime.jq, which it looks for in its own directory.
pub const RUNTIME_QUERIES: &str = include_str!("../../../examples/oci-runtime.jq");

/// Writes the runtime to `directory`, as `runtime`.
pub fn write_runtime(directory: &Path) {
    fs::write(directory.join("runtime"), RUNTIME).expect("the script");
    fs::write(directory.join("oci-runtime.jq"), RUNTIME_QUERIES).expect("the queries");
}

/// Prints everything that a process can see of itself and of its mounts.
const LOOK: &str = "cat /proc/self/mountinfo; echo ==; grep -E '^(Cap|NoNew|Seccomp:|Groups|Uid|Gid)' /proc/self/status; \
                    cat /proc/self/limits /proc/self/oom_score_adj; env | sort; pwd; umask; id; ls -l /dev | cut -c1-10; \
                    mkdir /tmp/x; ls -ld /tmp/x | cut -c1-10; rmdir /tmp/x; cat /data/file; touch /data/x; echo x >/proc/sys/kernel/domainname";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("chroot-rs makes the same container from a bundle as crun", &[BUSYBOX, CRUN], |world| {
        for (number, change) in CHANGES.iter().enumerate() {
            let bundle = bundle(world, &format!("oci-crun-{number}"), json!(["/bin/sh", "-c", LOOK]), *change);
            // crun refuses a machine that has cgroup v2 mounted next to v1: it gets a mount namespace without v2.
            let theirs = format!(
                "unshare-rs --mount -- sh -c 'for at in $(findmnt -rno TARGET -t cgroup2); do umount $at; done; \
                     exec crun --cgroup-manager=disabled run --bundle $B suite-oci-{}-{number}' 2>&1",
                std::process::id()
            );
            let ours = "unshare-rs --mount --pid --ipc --uts --net --hostname h --fork -- chroot-rs --oci $B 2>&1";
            let theirs = within(world, &theirs, &bundle).run();
            let ours = within(world, ours, &bundle).run();
            assert!(theirs.lines().len() > 40, "{theirs}");
            let (one, other) = (normal(&theirs), normal(&ours));
            let differences: Vec<_> = one
                .iter()
                .filter(|line| !other.contains(line))
                .map(|line| format!("crun: {line}"))
                .chain(other.iter().filter(|line| !one.contains(line)).map(|line| format!("ours: {line}")))
                .collect();
            assert!(differences.is_empty(), "bundle {number}\n{}\n{theirs}\n{ours}", differences.join("\n"));
            assert_eq!(theirs.status, ours.status, "{theirs}\n{ours}");
        }
    })
    .root_only()
    .host_only(),
    Row::new("a bundle gives the same container in the chain and in the pipe", NEEDS, |world| {
        let own = world.as_root();
        let look =
            "grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status; pwd; umask; echo $A $TERM; ulimit -n; cat /data/file";
        let bundle = bundle(world, "oci-pipe", json!(["/bin/sh", "-c", look]), |config| {
            config["process"]["cwd"] = json!("/tmp");
            config["process"]["oomScoreAdj"] = json!(400);
        });
        let expected = "CapBnd:\t0000000000000421\nNoNewPrivs:\t1\n/tmp\n0027\nb\n128\nhi\n";
        let chain = format!("unshare-rs {own} --mount --pid --net --ipc --fork -- chroot-rs --oci $B");
        within(world, &chain, &bundle).run().succeeds().stdout_is(expected);
        let pipe = format!(
            "unshare-rs --hold --ttl 60 {own} --mount --pid --net --ipc | chroot-rs --pipe --oci $B | \
             nsenter-rs --pipe --rm -- /bin/sh -c \"{}; cat /proc/self/oom_score_adj\"",
            look.replace('$', "\\$")
        );
        within(world, &pipe, &bundle).run().succeeds().stdout_is(&format!("{expected}400\n"));
    }),
    Row::new("links of a bundle's root are followed inside it, but /proc must not be a link", NEEDS, |world| {
        let own = world.as_root();
        let bundle = bundle(world, "oci-links", json!(["/bin/cat", "/run/new/file"]), |config| {
            config["mounts"][5]["destination"] = json!("/var/run/new");
        });
        let root = bundle.join("rootfs");
        let line = format!("unshare-rs {own} --mount --pid --net --ipc --fork -- chroot-rs --oci $B");
        fs::create_dir_all(root.join("var")).expect("a directory");
        std::os::unix::fs::symlink("/../run", root.join("var/run")).expect("a link");
        within(world, &line, &bundle).run().succeeds().stdout_is("hi\n");
        fs::remove_dir(root.join("proc")).expect("rmdir");
        std::os::unix::fs::symlink("/run", root.join("proc")).expect("a link");
        let refused = within(world, &line, &bundle).run().fails_with(125);
        refused.stderr_has("/proc is a symbolic link in this root");
    }),
    Row::new("an unsupported member of a bundle is named, and nothing is done", NEEDS, |world| {
        type Wrong = (fn(&mut Value), &'static str);
        let wrongs: [Wrong; 4] = [
            (|config| config["linux"]["mountLabel"] = json!("tight"), "linux.mountLabel is not supported"),
            (|config| config["mounts"][0]["options"] = json!(["remount"]), "its mount on \"/proc\": \"remount\""),
            (|config| config["ociVersion"] = json!("2.0.0"), "ociVersion is \"2.0.0\""),
            (|config| config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_FLY"}), "SCMP_ACT_FLY"),
        ];
        for (number, (change, named)) in wrongs.into_iter().enumerate() {
            let bundle = bundle(world, &format!("oci-wrong-{number}"), json!(["/bin/true"]), change);
            within(world, "chroot-rs --oci $B", &bundle).run().fails_with(125).stderr_has(named);
        }
        world
            .sh("chroot-rs --oci /no/such")
            .fails_with(125)
            .stderr_has("openat(AT_FDCWD, \"/no/such/config.json\", O_RDONLY|O_NONBLOCK)");
        world.sh("chroot-rs --oci . --std").fails_with(125).stderr_has("cannot be used with");
    }),
    Row::new("a command waits for a FIFO or a descriptor after everything is set up", NEEDS, |world| {
        let own = world.as_root();
        let at = world.directory("oci-start");
        let line = format!(
            "cd $B; mkfifo fifo ready; unshare-rs {own} --mount --pid --fork -- chroot-rs --std --ready-fd 3 --exec-fifo fifo \
             $ROOT -- /bin/sh -c 'echo started; ls /proc/self/fd | wc -l' 3>ready & \
             read -r line <ready; sleep 0.2; echo ready $line; echo >fifo; wait $!"
        );
        // 0 to 2, and the one through which they are listed.
        within(world, &line, &at).run().succeeds().stdout_is("ready\nstarted\n4\n");
        let line = format!(
            "cd $B; {{ sleep 0.3; echo go; }} | unshare-rs {own} -- chroot-rs --block-fd 0 --skip-chdir / sh -c 'echo began' & \
             echo first; wait $!"
        );
        within(world, &line, &at).run().succeeds().stdout_is("first\nbegan\n");
        world.sh("chroot-rs --block-fd 77 / true").fails_with(125).stderr_has("descriptor 77 is not open");
        let refused = within(world, "touch $B/file; chroot-rs --exec-fifo $B/file / true", &at).run();
        refused.fails_with(125).stderr_has("it is not a FIFO");
    }),
    Row::new(
        "a shell script with the five tools creates, starts, kills and deletes like an OCI runtime",
        SCRIPT,
        |world| {
            let own = if world.is_root { json!([]) } else { json!([{"type": "user"}]) };
            let run = "echo began >/tmp/log; id -u >>/tmp/log; hostname >>/tmp/log; trap 'exit 7' TERM; while :; do sleep 0.1; done";
            let bundle = bundle(world, "oci-runtime", json!(["/bin/sh", "-c", run]), |_| {});
            let path = bundle.join("config.json");
            let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
            if let (Some(kinds), Some(more)) = (config["linux"]["namespaces"].as_array_mut(), own.as_array()) {
                kinds.extend(more.iter().cloned());
            }
            if !world.is_root {
                let map = |id: String| json!([{"containerID": 0, "hostID": id.trim().parse::<u32>().expect("an id"), "size": 1}]);
                config["linux"]["uidMappings"] = map(world.sh("id -u").stdout);
                config["linux"]["gidMappings"] = map(world.sh("id -g").stdout);
            }
            fs::write(&path, config.to_string()).expect("a configuration");
            write_runtime(&bundle);
            let line = "cd $B; rt() { sh ./runtime --root $B/state \"$@\"; }; status() { rt state c | jq -r .status; }; \
                    rt create --bundle $B c && status; ls rootfs/tmp; rt start c; rt start c 2>/dev/null || echo once; \
                    while [ $(cat rootfs/tmp/log 2>/dev/null | wc -l) != 3 ]; do sleep 0.05; done; status; cat rootfs/tmp/log; \
                    rt exec c /bin/cat /data/file; \
                    for p in 1 self; do rt exec c /bin/grep -E '^(Cap...|NoNewPrivs|Seccomp):' /proc/$p/status >$p; done; cmp 1 self && echo alike; \
                    grep -c 'CapBnd:.0*1f*$' self; rt create --bundle $B c 2>/dev/null || echo taken; \
                    rt delete c 2>/dev/null || echo runs; rt kill c TERM; \
                    until [ $(status) = stopped ]; do sleep 0.05; done; status; rt delete c; ls state; \
                    rt create --bundle $B d; rt delete --force d; ls state; rt create --bundle /none e 2>/dev/null; ls state; \
                    jq '.process.args[2] = \"exit 7\"' config.json >new && mv new config.json; rt run --bundle $B r; echo $?; ls state";
            let expected = "created\nonce\nrunning\nbegan\n0\nh\nhi\nalike\n0\ntaken\nruns\nstopped\n7\n";
            within(world, line, &bundle).run().succeeds().stdout_is(expected);
        },
    ),
    Row::new("a user namespace that maps every id to itself is treated as a user namespace", &[BUSYBOX], |world| {
        let look = "/bin/ls -l /dev/null /dev/tty | cut -c1-10; grep -c /dev/null /proc/mounts; grep -c userxattr /proc/mounts; true";
        let bundle = bundle(world, "oci-all-ids", json!(["/bin/sh", "-c", look]), |_| {});
        let root = world.busybox_root().display().to_string();
        for (own, binds, layers) in [("--user --map-users=all --map-groups=all --setuid=0 --setgid=0", 1, 1), ("", 0, 0)] {
            let own = format!("unshare-rs {own} --mount --pid --ipc --net --fork -- chroot-rs");
            within(world, &format!("{own} --oci $B"), &bundle).run().succeeds().stdout_is(&format!("crw-rw-rw-\ncrw-rw-rw-\n{binds}\n0\n"));
            let overlay = format!("{own} --overlay {root} --std -- sh -c '{look}'");
            within(world, &overlay, &bundle).run().succeeds().stdout_is(&format!("crw-rw-rw-\ncrw-rw-rw-\n1\n{layers}\n"));
        }
    })
    .root_only()
    .host_only(),
    Row::new("the runtime in shell runs the hooks of a bundle where the specification puts them, as crun does", &[BUSYBOX, JQ, CRUN], |world| {
        let bundle = bundle(world, "oci-hooks", json!(["/bin/sh", "-c", "echo process >>/tmp/log"]), |config| {
            config["annotations"] = json!({"note": "it's $(here)\nhere"});
        });
        let path = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        let log = bundle.join("rootfs/tmp/log");
        // Whether it is in the container's mount namespace, whether it sees the host's root, and what it was given.
        let script = |kind: &str, log: &str| {
            format!(
                "read -r state; [ $(readlink /proc/self/ns/mnt) = $HOST ] && ns=host || ns=own; [ -e {} ] && root=host || root=own; \
                 echo {kind} $ns $root \"$1\" $# >>{log}; printf '%s\\n' \"$state\" >>{log}.states",
                path.display()
            )
        };
        let host = fs::read_link("/proc/self/ns/mnt").expect("a link").display().to_string();
        for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
            let log = if kind == "startContainer" { "/tmp/log".to_owned() } else { log.display().to_string() };
            let args = json!(["sh", "-c", script(kind, &log), "sh", "a'b $HOME \"c\""]);
            config["hooks"][kind] = json!([{"path": "/bin/sh", "args": args, "env": [format!("HOST={host}"), "PATH=/bin:/usr/bin"], "timeout": 20}]);
        }
        fs::write(&path, config.to_string()).expect("a configuration");
        write_runtime(&bundle);
        let ours = "cd $B; rt() { sh ./runtime --root $B/state \"$@\"; }; rt create --bundle $B h; rt start h; \
                    until [ $(rt state h | jq -r .status) = stopped ]; do sleep 0.05; done; rt delete h; cat rootfs/tmp/log; \
                    jq -r '[.id, .status, .pid > 1, .bundle == env.B, .annotations.note] | @tsv' rootfs/tmp/log.states; rm rootfs/tmp/log*";
        let named = |kind: &str, place: &str| format!("{kind} {place} a'b $HOME \"c\" 1\n");
        let before = named("prestart", "host host") + &named("createRuntime", "host host") + &named("createContainer", "own host");
        let expected = before + &named("startContainer", "own own") + "process\n" + &named("poststart", "host host") + &named("poststop", "host host");
        let state = |status: &str, has_pid: bool| format!("h\t{status}\t{has_pid}\ttrue\tit's $(here)\\nhere\n");
        let states = state("creating", true).repeat(3) + &state("created", true) + &state("running", true) + &state("stopped", false);
        let outcome = within(world, ours, &bundle).run().succeeds();
        // Neither poststart nor the process waits for the other; under crun, poststart may also come before startContainer.
        let in_order = |text: &str| {
            let (waiting, others): (Vec<_>, Vec<_>) =
                text.lines().partition(|line| !line.starts_with("process") && !line.starts_with("poststart"));
            (waiting.join("\n"), others.len())
        };
        assert_eq!(in_order(&outcome.stdout), in_order(&(expected.clone() + &states)), "{outcome}");
        let theirs = format!(
            "unshare-rs --mount -- sh -c 'for at in $(findmnt -rno TARGET -t cgroup2); do umount $at; done; HOST=$(readlink /proc/self/ns/mnt); \
             sed \"s/HOST=mnt:.[0-9]*./HOST=$HOST/g\" $B/config.json >$B/new; mv $B/new $B/config.json; \
             crun --cgroup-manager=disabled run --bundle $B suite-hooks-{}'; cat $B/rootfs/tmp/log; rm $B/rootfs/tmp/log*",
            std::process::id()
        );
        let theirs = within(world, &theirs, &bundle).run();
        assert_eq!(in_order(&theirs.stdout), in_order(&expected), "{theirs}");
        // A hook that fails ends the container; one that comes after the start does not.
        for (kind, at_create, at_start, ran) in [
            ("createRuntime", 1, 1, 0), ("createContainer", 1, 1, 0), ("startContainer", 0, 1, 0), ("poststart", 0, 0, 1),
        ] {
            let mut failing = config.clone();
            failing["hooks"] = json!({kind: [{"path": "/bin/false"}, {"path": "/bin/no-such"}]});
            fs::write(&path, failing.to_string()).expect("a configuration");
            let line = "cd $B; rt() { sh ./runtime --root $B/state \"$@\" 2>>$B/err; }; rt create --bundle $B f; echo $?; rt start f; echo $?; \
                        while [ -e state/f ] && [ $(rt state f | jq -r .status) != stopped ]; do sleep 0.05; done; cat rootfs/tmp/log 2>/dev/null | wc -l; \
                        rm -f rootfs/tmp/log; rt delete f; ls state; grep -c 'a hook failed' err; rm err";
            let failed = within(world, line, &bundle).run();
            let (lines, count) = (format!("{at_create}\n{at_start}\n{ran}\n"), if kind == "poststart" { 2 } else { 1 });
            // createContainer fails inside the chain, which reports it by its end.
            assert!(failed.stdout.starts_with(&lines) && (kind == "createContainer" || failed.stdout == format!("{lines}{count}\n")), "{kind}\n{failed}");
        }
    })
    .root_only()
    .host_only(),
];

type Change = fn(&mut Value);

/// The differences between the bundles that are compared with crun's.
const CHANGES: &[Change] = &[
    |_| {},
    |config| {
        config["root"]["readonly"] = json!(true);
        config["process"]["user"] = json!({"uid": 1000, "gid": 1001, "umask": 0o77, "additionalGids": [5, 77]});
        config["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_KILL", "CAP_NET_RAW"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        });
        config["process"]["env"] = json!(["PATH=/bin", "X=y z", "HOME=/h"]);
        config["process"]["noNewPrivileges"] = json!(false);
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["cwd"] = json!("/bin");
    },
    |config| {
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        ]});
        config["linux"]["devices"] = json!([
            {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
        ]);
        config["mounts"][5]["options"] = json!(["bind", "ro", "nosuid", "noatime"]);
        config["process"]["capabilities"] = json!({});
        config["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    },
];

/// Makes a bundle with its own root, and a directory of the host next to it.
pub fn bundle(world: &World, name: &str, args: Value, change: Change) -> PathBuf {
    let at = world.directory(name);
    let make = "mkdir $B/data && echo hi >$B/data/file && cp -r $ROOT $B/rootfs && rm -rf $B/rootfs/dev && mkdir -p $B/rootfs/dev \
                $B/rootfs/run $B/rootfs/tmp && chmod 1777 $B/rootfs/tmp";
    within(world, make, &at).run().succeeds();
    let kept_in = ["nosuid", "noexec", "nodev"];
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let few = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": "h",
        "root": {"path": "rootfs"},
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0, "umask": 0o27},
            "cwd": "/",
            "args": args,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "A=b"],
            "capabilities": {"bounding": few, "permitted": few, "effective": few},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 128, "hard": 256}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            "noNewPrivileges": true,
        },
        "mounts": [
            mount("/proc", "proc", &kept_in),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            {"destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "rprivate"]},
            mount("/dev/mqueue", "mqueue", &kept_in),
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "rootfsPropagation": "private",
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware", "/no/such"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    change(&mut config);
    fs::write(at.join("config.json"), config.to_string()).expect("a configuration");
    at
}

/// Makes a script with the bundle in `$B` and a root in `$ROOT`.
pub fn within<'a>(world: &'a World, line: &str, bundle: &Path) -> Script<'a> {
    let script = world.script(line).variable("B", bundle.display().to_string());
    script.variable("ROOT", world.busybox_root().display().to_string())
}

/// Returns the output without numbers that differ from run to run; of a mount, its place, its flags and its type. Of a mask
/// only the place, and of a read-only path only that it is read-only: crun loses flags of the mount below, chroot-rs keeps them.
fn normal(outcome: &Outcome) -> Vec<String> {
    let (mounts, rest) = outcome.stdout.split_once("==\n").unwrap_or_default();
    let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"];
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let words: Vec<_> = before.split(' ').collect();
        let (at, flags, kind) = (words.get(4)?, words.get(5)?, after.split(' ').next()?);
        let is_restricted = at.starts_with("/proc/") && flags.starts_with("ro");
        Some(match (masked.contains(at), is_restricted) {
            (true, _) => (*at).to_owned(),
            (_, true) => format!("{at} ro {kind}"),
            _ => format!("{at} {flags} {kind}"),
        })
    };
    let rest = rest.lines().filter(|line| !line.starts_with("total")).map(str::to_owned);
    mounts.lines().filter_map(mount).chain(rest).collect()
}
