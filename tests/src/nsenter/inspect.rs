//! What `--inspect` finds in containers that have one known fault each, in one that has none, and in hostile ones; and
//! what `--diff` prints about two containers.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::held::Held;
use crate::harness::need::{BUSYBOX, Need, SCRIPT};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::{Outcome, Running};
use crate::harness::world::World;

pub const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces, Need::NetworkNamespaces];

const TERMINAL: &[Need] = &[SCRIPT];

/// All namespaces, as in the README.
pub const ALL: &str = "--mount --pid --ipc --uts --net --cgroup";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a container of the README is shown as it is, without a danger", NEEDS, |world| {
        let container = Container::new(world, "inspect-plain", ALL, "chroot-rs --std $R --");
        let isolation = container.isolation();
        for kind in ["mnt", "pid", "ipc", "uts", "net", "cgroup"] {
            assert_eq!(isolation["namespaces"][kind]["host"], false, "{kind}: {isolation}");
        }
        assert_eq!(isolation["namespaces"]["user"]["host"], world.is_root, "{isolation}");
        assert_eq!(isolation["confinement"]["seccomp"], "filter", "{isolation}");
        assert_eq!(isolation["confinement"]["seccomp_filters"], 1, "{isolation}");
        assert_eq!(isolation["confinement"]["no_new_privs"], true, "{isolation}");
        assert_eq!(isolation["capabilities"]["bounding"]["more_than_docker"], Value::Array(Vec::new()), "{isolation}");
        assert_eq!(isolation["leaks"]["total"], 0, "{isolation}");
        assert_eq!(isolation["devices"]["total"], 0, "{isolation}");
        let outside = if world.is_root { 0 } else { nix::unistd::getuid().as_raw() };
        assert_eq!(isolation["ids"]["root_outside"], outside, "{isolation}");
        let dangers = dangers(&isolation);
        assert!(dangers.is_empty(), "{dangers:?}");
        let page = container.page();
        for text in ["pid namespace", "Docker's default", "no_new_privs              on", "filter, 1 installed"] {
            assert!(page.stdout.contains(text), "{text}\n{page}");
        }
        assert!(!page.stdout.contains('\x1b'), "{page}");
    }),
    Row::new("every namespace that is the host's is found", NEEDS, |world| {
        let container = Container::new(world, "inspect-shared", "--mount --pid", "chroot-rs --std $R --");
        let found = ids(&container.isolation());
        for id in ["host-net-namespace", "host-ipc-namespace", "host-uts-namespace", "host-cgroup-namespace"] {
            assert!(found.contains(&id.to_owned()), "{id} is not in {found:?}");
        }
        assert!(!found.contains(&"host-pid-namespace".to_owned()), "{found:?}");
        let process = Container::new(world, "inspect-process", "", "");
        let found = ids(&process.isolation());
        assert!(found.contains(&"host-mount-namespace".to_owned()), "{found:?}");
        assert!(found.contains(&"host-pid-namespace".to_owned()), "{found:?}");
    }),
    Row::new("a page names the processes that share a namespace", NEEDS, |world| {
        let one = Container::new(world, "inspect-one", ALL, "");
        let user = if world.is_root { "" } else { "--user" };
        let join = format!("nsenter-rs --target {} {user} --net -- unshare-rs --pid-file $D/pid", one.pid);
        let other = Container::of(world, "inspect-other", &format!("{join} --mount --pid --fork --kill-child --"));
        let isolation = one.isolation();
        let with = isolation["namespaces"]["net"]["with"]["shown"].as_array().expect("a list");
        assert!(with.iter().any(|sharer| sharer["pid"] == other.pid), "{isolation}");
    }),
    Row::new("a socket of an engine in a container is a danger, whatever its name is there", NEEDS, |world| {
        let host = world.directory("inspect-engine");
        fs::write(host.join("docker.sock"), "").expect("a file");
        fs::write(host.join("plain"), "").expect("a file");
        let host = host.display();
        let binds = format!("--bind {host}/docker.sock:/srv/harmless --bind {host}/plain:/run/containerd.sock:ro");
        let container = Container::new(world, "inspect-socket", ALL, &format!("chroot-rs --std {binds} $R --"));
        let isolation = container.isolation();
        let finding = finding(&isolation, "engine-socket");
        assert_eq!(finding["severity"], "danger", "{isolation}");
        assert_eq!(finding["about"], serde_json::json!(["/srv/harmless", "/run/containerd.sock"]), "{isolation}");
        assert_eq!(finding["count"], 2, "{isolation}");
        let bind = format!("/srv/harmless <- {host}/docker.sock");
        assert!(container.page().stdout.contains(&bind), "{}", container.page());
    }),
    Row::new("a directory that gives control of the host is found, and its severity is higher if it is writable", NEEDS, |world| {
        let binds = "--bind /:/srv:ro --bind /etc:/etc:ro --bind /home:/root";
        let container = Container::new(world, "inspect-host", ALL, &format!("chroot-rs --std {binds} $R --"));
        let isolation = container.isolation();
        assert_eq!(finding(&isolation, "host-root")["severity"], "weakness", "{isolation}");
        let all = isolation["findings"].as_array().expect("findings").iter();
        // Other mounts of the host are below /srv, too.
        let came_along = |finding: &&Value| finding["about"][0].as_str().is_some_and(|path| path.starts_with("/srv/"));
        let directories: Vec<_> =
            all.filter(|finding| finding["id"] == "host-directory").filter(|finding| !came_along(finding)).collect();
        assert_eq!(directories.len(), 2, "{isolation}");
        let home = directories.iter().find(|finding| finding["about"][0] == "/root").expect("/root");
        assert_eq!(home["severity"] == "danger", world.is_root, "{isolation}");
    }),
    Row::new("a writable file of the kernel is a danger only if root inside is root outside", NEEDS, |world| {
        let container = Container::new(world, "inspect-proc", ALL, "chroot-rs --pivot --proc /proc --mount type=sysfs,target=/sys $R --");
        let isolation = container.isolation();
        let found = isolation["findings"].as_array().expect("findings").iter();
        let paths: Vec<_> = found
            .filter(|finding| finding["id"] == "writable-kernel-file")
            .flat_map(|finding| finding["about"].as_array().cloned().unwrap_or_default())
            .collect();
        let pattern = Value::from("/proc/sys/kernel/core_pattern");
        assert_eq!(paths.contains(&pattern), world.is_root, "{isolation}");
        assert_eq!(paths.contains(&"/sys/kernel".into()), world.is_root, "{isolation}");
        let states = isolation["mounts"]["kernel_files"]["shown"].as_array().expect("files");
        assert!(states.iter().any(|file| file["path"] == pattern && file["state"] == "writable"), "{isolation}");
    }),
    Row::new("capabilities, a missing filter and no_new_privs are found", NEEDS, |world| {
        let open = "chroot-rs --std --capabilities all --seccomp none --allow-new-privs $R --";
        let container = Container::new(world, "inspect-open", ALL, open);
        let isolation = container.isolation();
        let found = ids(&isolation);
        assert!(found.contains(&"no-seccomp".to_owned()) && found.contains(&"no-new-privs-off".to_owned()), "{found:?}");
        let more = isolation["capabilities"]["effective"]["more_than_docker"].as_array().expect("a list");
        assert!(more.contains(&"CAP_SYS_ADMIN".into()), "{isolation}");
        // In another user namespace they give no power over the host.
        for id in ["capability", "privileged", "capability-beyond-docker"] {
            assert_eq!(found.contains(&id.to_owned()), world.is_root, "{id}: {found:?}");
        }
    }),
    Row::new("a single capability beyond Docker's default is shown with what it allows", NEEDS, |world| {
        let container =
            Container::new(world, "inspect-module", ALL, "chroot-rs --std --capabilities CHOWN,SYS_MODULE,SYS_TIME $R --");
        let isolation = container.isolation();
        let capability = finding(&isolation, "capability");
        assert_eq!(capability["about"], serde_json::json!(["CAP_SYS_MODULE"]), "{isolation}");
        assert!(capability["reason"].as_str().is_some_and(|reason| reason.contains("kernel")), "{isolation}");
        assert_eq!(finding(&isolation, "capability-beyond-docker")["about"][0], "CAP_SYS_TIME", "{isolation}");
        assert!(container.page().stdout.contains("CHOWN SYS_MODULE SYS_TIME"), "{}", container.page());
    })
    .root_only(),
    Row::new("CAP_NET_ADMIN is shown as a danger for the host's links, the default capabilities are not", NEEDS, |world| {
        let found = |name, capabilities| {
            let make = format!("chroot-rs --std --capabilities {capabilities} $R --");
            Container::new(world, name, ALL, &make).isolation()["findings"].to_string()
        };
        let more = found("inspect-links", "default,NET_ADMIN");
        assert!(more.contains("CAP_NET_ADMIN allows changing the host's network links"), "{more}");
        let default = found("inspect-default", "default");
        assert!(!default.contains("NET_ADMIN"), "{default}");
    })
    .root_only(),
    Row::new("a device of the host in a container is found", NEEDS, |world| {
        let make = "chroot-rs --std --capabilities docker --tmpfs /dev:dev $R -- /bin/sh -c 'mknod /dev/disk b 7 77; mknod /dev/mem c 1 1; mknod /dev/odd c 10 1; exec sleep 86416' --";
        let container = Container::new(world, "inspect-device", ALL, make);
        let isolation = container.isolation();
        assert_eq!(isolation["devices"]["total"], 3, "{isolation}");
        let found = isolation["findings"].as_array().expect("findings").iter();
        let mut severities: Vec<_> = found
            .filter(|finding| finding["id"] == "host-device")
            .map(|finding| format!("{} {}", finding["about"][0], finding["severity"]).replace('"', ""))
            .collect();
        severities.sort();
        assert_eq!(severities, ["disk danger", "mem danger", "odd weakness"], "{isolation}");
    })
    .root_only(),
    Row::new("a descriptor that is a directory of the host is found", NEEDS, |world| {
        let leaky = "chroot-rs --std --preserve-fds 7 $R --";
        let container = Container::new(world, "inspect-leak", &format!("{ALL} 9</etc"), leaky);
        let isolation = container.isolation();
        assert_eq!(isolation["leaks"]["shown"], serde_json::json!([{"descriptor": "9", "path": "/etc"}]), "{isolation}");
        assert_eq!(finding(&isolation, "leaked-directory")["severity"], "danger", "{isolation}");
    }),
    Row::new("limits are shown with usage, and their absence is found", NEEDS, |world| {
        let limited = Container::new(world, "inspect-limit", ALL, "chroot-rs --std $R --");
        let found = ids(&limited.isolation());
        let script = format!("cgexec-rs --memory 64M --pids 50 -- unshare-rs --pid-file $D/pid {ALL} --fork --kill-child -- chroot-rs --std $R --");
        let limited = Container::of(world, "inspect-limits", &script);
        let isolation = limited.isolation();
        assert_eq!(isolation["cgroup"]["effective"]["memory.max"], 64 << 20, "{isolation}");
        assert_eq!(isolation["cgroup"]["effective"]["pids.max"], 50, "{isolation}");
        assert!(isolation["cgroup"]["memory"]["current"].as_u64().is_some_and(|bytes| bytes > 0), "{isolation}");
        let limited = ids(&isolation);
        assert!(!limited.iter().any(|id| id.ends_with("-limit")), "{limited:?}");
        // The machine around us may have limits of its own.
        assert!(found.iter().all(|id| !limited.contains(id) || !id.ends_with("-limit")), "{found:?}");
        assert!(Container::page(&Container::new(world, "inspect-limit-page", ALL, "")).stdout.contains("processes "));
    })
    .root_only(),
    Row::new("listening sockets are shown with their addresses", NEEDS, |world| {
        let listen = "/bin/sh -c 'nc -l -p 8080 >/dev/null 2>&1 & exec busybox sleep 86416' --";
        let container = Container::new(world, "inspect-listen", ALL, &format!("chroot-rs --std $R -- {listen}"));
        let deadline = Instant::now() + world.limit();
        loop {
            let isolation = container.isolation();
            let sockets = isolation["listening"]["shown"].as_array().expect("sockets").clone();
            if sockets.iter().any(|socket| socket["local"].as_str().is_some_and(|local| local.ends_with(":8080"))) {
                return;
            }
            assert!(Instant::now() < deadline, "{isolation}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }),
    Row::new("no name inside a container can control the terminal or forge a line", NEEDS, |world| {
        let evil = "evil\u{1b}[2J\nDANGER  \\134";
        let host = world.directory("inspect-evil");
        fs::create_dir_all(host.join(evil)).expect("a directory");
        fs::create_dir_all(host.join("docker.sock")).expect("a directory");
        fs::write(host.join("make"), format!("#!/bin/sh\nmkdir -p \"/tmp/{evil}\"\nmount --bind /srv \"/tmp/{evil}\"\nprintf '\\033[31m\\nx' >/proc/$$/comm\nexec sleep 86416\n")).expect("a script");
        let bind = format!("--bind {}:/srv:exec --tmpfs /tmp --capabilities all --seccomp none", host.join("docker.sock").display());
        let make = format!("chroot-rs --std {bind} --bind {}:/run/make $R -- /bin/sh /run/make --", host.join("make").display());
        let container = Container::new(world, "inspect-names", ALL, &make);
        let isolation = container.isolation();
        let point = format!("/tmp/{evil}");
        assert!(finding(&isolation, "engine-socket")["about"].as_array().expect("a list").contains(&point.as_str().into()), "{isolation}");
        let page = container.page();
        assert!(page.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{page}");
        assert!(page.stdout.contains("evil\\u{1b}[2J\\nDANGER"), "{page}");
        assert!(page.stdout.lines().all(|line| !line.starts_with("DANGER  \\")), "{page}");
        let diff = world.sh(&format!("nsenter-rs --diff {} host", container.pid)).succeeds();
        assert!(diff.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{diff}");
    }),
    Row::new("thousands of mounts do not make a long page, and hide nothing", NEEDS, |world| {
        let host = world.directory("inspect-many");
        fs::write(host.join("podman.sock"), "").expect("a file");
        let script = "#!/bin/sh\nmkdir /tmp/a /tmp/b\nfor i in 1 2 3 4 5 6 7 8 9 10 11; do mkdir /tmp/a/$i; mount --rbind /tmp/a /tmp/a/$i; done\n\
                      touch /tmp/b/last; mount --bind /srv /tmp/b/last\nexec sleep 86416\n";
        fs::write(host.join("make"), script).expect("a script");
        let host = host.display();
        let make = format!("chroot-rs --std --tmpfs /tmp --bind {host}/podman.sock:/srv/s --bind {host}/make:/run/make --capabilities all --seccomp none $R -- /bin/sh /run/make --");
        let container = Container::new(world, "inspect-thousands", ALL, &make);
        let isolation = container.isolation();
        assert!(isolation["mounts"]["total"].as_u64().is_some_and(|total| total > 1000), "{}", isolation["mounts"]["total"]);
        finding(&isolation, "engine-socket");
        assert!(isolation.to_string().len() < 200_000 && container.page().stdout.len() < 20_000);
    }),
    Row::new("a file system over /dev whose server does not answer does not make an inspection wait", NEEDS, |world| {
        // Nobody reads the descriptor, so a request to the file system waits without end.
        let make = "sh -c 'exec 9<>/dev/fuse; \
                    mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none /dev || exit 1; \
                    exec busybox sleep 86416' --";
        let container = Container::new(world, "inspect-fuse", ALL, make);
        let isolation = container.isolation();
        let devices = isolation["devices"]["unreadable"].as_str();
        assert!(devices.is_some_and(|text| text.contains("fuse")), "{isolation}");
        container.page();
    })
    .root_only()
    .host_only(),
    Row::new("a terminal gets colors unless NO_COLOR is set, and a pipe gets none", TERMINAL, |world| {
        let on_terminal = |variable: &str| {
            let script = format!("{variable} TERM=xterm script -qec 'nsenter-rs --inspect self-pid' /dev/null </dev/null");
            world.sh(&script.replace("self-pid", "$$")).succeeds().stdout
        };
        assert!(on_terminal("").contains("\x1b[1m"));
        assert!(!on_terminal("NO_COLOR=1").contains('\x1b'));
        assert!(!world.sh("TERM=xterm nsenter-rs --inspect $$").succeeds().stdout.contains('\x1b'));
    })
    .host_only(),
    Row::new("members that we may not read are shown as unreadable, and the others are shown", &[], |world| {
        let isolation = world.sh("nsenter-rs --inspect 1 --json").succeeds();
        let isolation: Value = serde_json::from_str(&isolation.stdout).expect("a record");
        let unreadable = isolation["isolation"]["namespaces"]["mnt"]["unreadable"].as_str();
        assert!(unreadable.is_some_and(|text| text.starts_with("EACCES")), "{isolation}");
        assert!(isolation["isolation"]["capabilities"]["effective"]["names"].is_array(), "{isolation}");
        world.sh("nsenter-rs --inspect 1").succeeds().stdout_has("mount namespace           not readable: EACCES");
    })
    .user_only(),
    Row::new("a container is inspected by its name or by its record in a pipe", NEEDS, |world| {
        let held = Held::new(world, "inspected");
        let before = Scan::take();
        let outcome = world.sh("nsenter-rs --inspect inspected").succeeds();
        assert!(outcome.stdout.contains(&format!("{} (inspected), inspected\n", held.pid)), "{outcome}");
        let piped = world.script("nsenter-rs --pipe --inspect").stdin(held.record.clone()).run().succeeds();
        let record: Value = serde_json::from_str(&piped.stdout).expect("a record");
        assert_eq!(record["init"]["pid"], held.pid, "{piped}");
        assert_eq!(record["isolation"]["namespaces"]["uts"]["host"], false, "{piped}");
        let again = world.script("nsenter-rs --pipe -- /bin/cat /proc/sys/kernel/hostname").stdin(piped.stdout.clone());
        again.run().succeeds().stdout_is("inspected\n");
        before.wait_until_same(Duration::from_secs(5));
        assert!(held.is_alive());
        world.sh("nsenter-rs --inspect no-such-name").fails_with(125).stdout_is("").stderr_has("no-such-name");
        world.sh("nsenter-rs --inspect 2147483647").fails_with(125).stdout_is("").stderr_has("ESRCH");
        world.sh(&format!("nsenter-rs --inspect {}:1", held.pid)).fails_with(125).stdout_is("");
    }),
    Row::new("a comparison shows what differs, and nothing else", NEEDS, |world| {
        let one = Container::new(world, "inspect-left", ALL, "chroot-rs --std $R --");
        let twin = Container::new(world, "inspect-right", ALL, "chroot-rs --std $R --");
        let diff = |one: &dyn std::fmt::Display, other: &dyn std::fmt::Display, how: &str| {
            world.sh(&format!("nsenter-rs --diff {one} {other} {how}")).succeeds()
        };
        diff(&one.pid, &twin.pid, "").stdout_is("nothing differs\n");
        let other = Container::new(world, "inspect-weak", "--mount --pid --net --ipc --cgroup", "chroot-rs --std --seccomp none --bind /etc:/srv:ro $R --");
        let comparison: Value = serde_json::from_str(&diff(&one.pid, &other.pid, "--json").stdout).expect("JSON");
        let differences = comparison["differences"].as_array().expect("a list");
        let what: Vec<_> = differences.iter().filter_map(|difference| difference["what"].as_str()).collect();
        assert_eq!(
            what,
            ["namespaces.uts.host", "confinement.seccomp", "confinement.seccomp_filters", "mounts.of_host", "findings"],
            "{comparison}"
        );
        assert_eq!(differences[0]["a"], false, "{comparison}");
        assert_eq!(differences[3]["b"][0]["host"], "/etc", "{comparison}");
        assert_eq!(comparison["a"]["init"]["pid"], one.pid, "{comparison}");
        let table = diff(&one.pid, &"host", "");
        for row in ["namespaces.net ", "confinement.seccomp "] {
            assert!(table.stdout.lines().any(|line| line.starts_with(row)), "{row}\n{table}");
        }
    }),
];

/// A sleeping container, which is ended with the row.
pub struct Container<'a> {
    world: &'a World,
    pid: i32,
    running: Option<Running>,
}

impl<'a> Container<'a> {
    /// Starts a container in new namespaces, and in a new user namespace if we are not root; `inner` comes before its
    /// command.
    pub fn new(world: &'a World, name: &str, namespaces: &str, inner: &str) -> Self {
        let user = if world.is_root || namespaces.is_empty() { "" } else { "--user --map-root-user" };
        let how = "--fork --kill-child";
        Self::of(world, name, &format!("unshare-rs --pid-file $D/pid {user} {how} {namespaces} -- {inner}"))
    }

    /// Starts a container: `chain` writes its pid to `$D/pid` and executes the rest of the line; `$R` is a root
    /// directory.
    pub fn of(world: &'a World, name: &str, chain: &str) -> Self {
        let directory = world.directory(name);
        let root = world.busybox_root().display().to_string();
        let script = world.script(&format!("{chain} busybox sleep 86416"));
        let script = script.variable("R", root).variable("D", directory.display().to_string());
        let running = script.within(Duration::from_secs(600)).start();
        let deadline = Instant::now() + world.limit();
        loop {
            let pid = fs::read_to_string(directory.join("pid")).unwrap_or_default().trim().parse().unwrap_or(0);
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if pid != 0 && command.ends_with("sleep\x0086416\0") && !command.contains("--") {
                return Self { world, pid, running: Some(running) };
            }
            if Instant::now() > deadline {
                nix::sys::signal::killpg(running.pid, nix::sys::signal::Signal::SIGKILL).ok();
                panic!("the container does not sleep: {command:?}\n{}", running.wait());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn page(&self) -> Outcome {
        self.world.sh(&format!("nsenter-rs --inspect {}", self.pid)).succeeds()
    }

    /// Returns the record's member `isolation`.
    pub fn isolation(&self) -> Value {
        let outcome = self.world.sh(&format!("nsenter-rs --inspect {} --json", self.pid)).succeeds();
        assert_eq!(outcome.lines().len(), 1, "{outcome}");
        let mut record: Value = serde_json::from_str(&outcome.stdout).expect("a record");
        assert_eq!(record["init"]["pid"], self.pid, "{outcome}");
        record["isolation"].take()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.world.sh(&format!("kill -KILL {}", self.pid));
            drop(running);
        }
    }
}

/// Returns the ids of the findings, each once.
pub fn ids(isolation: &Value) -> Vec<String> {
    let findings = isolation["findings"].as_array().expect("findings");
    let mut ids: Vec<_> = findings.iter().filter_map(|finding| finding["id"].as_str().map(str::to_owned)).collect();
    ids.dedup();
    ids
}

/// Returns the ids of the dangers.
pub fn dangers(isolation: &Value) -> Vec<String> {
    let findings = isolation["findings"].as_array().expect("findings").iter();
    let dangers = findings.filter(|finding| finding["severity"] == "danger");
    dangers.filter_map(|finding| finding["id"].as_str().map(str::to_owned)).collect()
}

/// Returns the finding with this id.
#[track_caller]
pub fn finding<'v>(isolation: &'v Value, id: &str) -> &'v Value {
    let findings = isolation["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {findings:#?}"))
}
