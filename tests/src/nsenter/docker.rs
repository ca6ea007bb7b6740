//! Examining a container that another program started: a real dockerd, with a container from an image made here.
//!
//! The daemon has directories, a socket and a bridge of its own, so that it meets no other daemon, and is ended with
//! the row.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::Running;
use crate::harness::world::World;
use crate::nsenter::inspect::{dangers, ids};

/// The programs and rights that starting the daemon needs.
pub const NEEDS: &[Need] =
    &[Need::Program("dockerd", "docker.io"), Need::Program("docker", "docker.io"), BUSYBOX, Need::NetworkNamespaces];

/// The number of the capability; capabilities(7).
const CAP_SYS_RESOURCE: u32 = 24;

/// The options that `--privileged` means if that capability is missing.
const ALL_BUT_RESOURCE: &str = "--cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined \
                                --security-opt systempaths=unconfined --device $(find /dev -type b | head -n 1)";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a pipeline adds to the record of a docker container that it did not start", NEEDS, |world| {
        let docker = Docker::start(world, "docker");
        let (pid, id) = docker.run("web", "--memory 64m --pids-limit 33 --hostname inside");
        let inspect = "nsenter-rs --find web --json | cgexec-rs --pipe --show | netns-rs show --pipe";
        let outcome = world.sh(inspect).succeeds();
        assert_eq!(outcome.lines().len(), 1, "{outcome}");
        let record: Value = serde_json::from_str(&outcome.stdout).expect("a record");
        assert_eq!(record["name"], "web", "{outcome}");
        assert_eq!(record["init"]["pid"], pid, "{outcome}");
        assert_eq!(record["container"]["runtime"], "docker", "{outcome}");
        assert_eq!(record["container"]["id"], id.as_str(), "{outcome}");
        assert_eq!(record["namespaces"]["mnt"]["private"], true, "{outcome}");
        assert_eq!(record["namespaces"]["user"]["private"], false, "{outcome}");
        assert_eq!(record["cgroup"]["limits"]["memory.max"], 64 << 20, "{outcome}");
        assert_eq!(record["cgroup"]["limits"]["pids.max"], 33, "{outcome}");
        assert!(record["cgroup"]["memory"]["current"].as_u64().is_some_and(|bytes| bytes > 0), "{outcome}");
        let interfaces = record["net"]["interfaces"].as_array().expect("interfaces");
        let eth0 = interfaces.iter().find(|link| link["name"] == "eth0").expect("eth0");
        assert!(eth0["addresses"][0].as_str().is_some_and(|address| address.starts_with("10.94.0.")), "{outcome}");
        assert!(eth0["peer"].as_str().is_some_and(|peer| peer.starts_with("veth")), "{outcome}");
        assert_eq!(eth0["bridge"], "suitebr0", "{outcome}");

        let by_id = world.sh(&format!("nsenter-rs --find {} --json", &id[..12])).succeeds();
        assert!(by_id.stdout.contains(&format!("\"pid\":{pid},")), "{by_id}");
        names_lead_to_it(world, pid, &id);
        an_ended_one_is_found(world, &docker);
        world.sh(CONNECTED).succeeds().stdout_is(CONNECTED_OUTPUT);
        world.sh("nsenter-rs --find no-such-name --json").fails_with(125).stdout_is("").stderr_has("no-such-name");
        world
            .script("nsenter-rs --pipe -- hostname")
            .stdin(outcome.stdout.clone())
            .run()
            .succeeds()
            .stdout_is("inside\n");

        forged_records_do_no_harm(world, &outcome.stdout, pid);
        let running = docker.client("inspect --format '{{.State.Running}} {{.State.Pid}}' web").succeeds();
        assert_eq!(running.stdout, format!("true {pid}\n"));
    })
    .root_only()
    .host_only(),
    Row::new("the inspection finds what docker's options open, and no danger in a default container", NEEDS, |world| {
        let docker = Docker::start(world, "docker-open");
        let inspect = |name: &str| -> Value {
            let record = world.sh(&format!("nsenter-rs --inspect {name} --json")).succeeds();
            serde_json::from_str::<Value>(&record.stdout).expect("a record")["isolation"].take()
        };
        docker.run("web", "");
        let closed = inspect("web");
        assert_eq!(dangers(&closed), [""; 0], "{closed}");
        let found = ids(&closed);
        for id in ["root-is-root", "no-new-privs-off", "no-memory-limit"] {
            assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
        }
        assert!(!found.contains(&"no-seccomp".to_owned()), "{found:?}");
        assert_eq!(closed["capabilities"]["bounding"]["more_than_docker"], serde_json::json!([]), "{closed}");
        docker.client("rm --force web").succeeds();

        let socket = docker.directory.join("socket");
        // `--privileged` needs every capability that exists; a sandbox around us may lack one.
        let status = std::fs::read_to_string("/proc/self/status").expect("our status");
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("a bounding set");
        let bounding = u64::from_str_radix(bounding, 16).expect("a number");
        let most = if bounding & 1 << CAP_SYS_RESOURCE == 0 { ALL_BUT_RESOURCE } else { "--privileged" };
        let binds = format!("-v /:/host -v {}:/var/run/docker.sock", socket.display());
        let open = format!("{most} --network host --pid host {binds}");
        docker.run("web", &open);
        let open = inspect("web");
        let found = dangers(&open);
        for id in [
            "privileged",
            "capability",
            "host-net-namespace",
            "host-pid-namespace",
            "host-root",
            "engine-socket",
            "writable-kernel-file",
            "host-device",
        ] {
            assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
        }
        world.sh("nsenter-rs --inspect web").succeeds().stdout_has("DANGER    privileged");
        world.sh("nsenter-rs --diff web host").succeeds().stdout_has("namespaces.mnt");
    })
    .root_only()
    .host_only(),
];

/// A container that has ended, with the change that it made to its files.
fn an_ended_one_is_found(world: &World, docker: &Docker<'_>) {
    let ended = docker.client("run --init=false --name dead suite:busybox /bin/sh -c 'echo kept >/note; exit 7'");
    assert_eq!(ended.status, 7, "{ended}");
    world
        .sh("unshare-rs --mount --fork -- $(nsenter-rs --find dead --stopped) -- /bin/sh -c 'read -r note </note; echo $note'; \
             nsenter-rs --why dead | grep -c '^end  *exit status 7$'; \
             nsenter-rs --find web --stopped 2>/dev/null; echo $?; nsenter-rs --why web | grep -c 'sleep runs: S'")
        .stdout_is("kept\n1\n125\n1\n");
}

/// Checks that each form of its name leads to the container, and that the runtime distinguishes it from a held
/// container of the same name.
fn names_lead_to_it(world: &World, pid: i64, id: &str) {
    for how in ["web", "docker:web", "name:web", "web --type docker", id, &id[..12], &format!("docker:{}", &id[..4])] {
        world.sh(&format!("nsenter-rs --target {how} --uts -- hostname")).succeeds().stdout_is("inside\n");
    }
    let shown = world
        .sh("nsenter-rs --list --containers --json | cgexec-rs --pipe --show | jq -r '[.name,.container.image,.container.uid_map[0][2],.cgroup.limits[\"pids.max\"],(.cgroup.memory.current>0)]|@tsv'")
        .succeeds();
    assert!(shown.lines().contains(&"web\tsuite:busybox\t4294967295\t33\ttrue"), "{shown}");
    let table = world.sh("nsenter-rs --list --containers").succeeds();
    let row = table.lines().into_iter().find(|line| line.starts_with("web ")).unwrap_or_default();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells[1..6],
        ["docker", &pid.to_string(), "suite:busybox", "mnt,uts,ipc,net,pid", "user,cgroup,time"],
        "{table}"
    );
    let two = "unshare-rs --hold --ttl 20 --name web --uts >record; nsenter-rs --target web --uts true; echo $?; \
        nsenter-rs --target docker:web --uts hostname; nsenter-rs --pipe --rm -- true <record";
    let outcome = world.sh(two).stdout_is("125\ninside\n").stderr_has("cannot decide which container \"web\" means: ");
    let candidates = [format!("web (docker {}, pid {pid})", &id[..12]), "web (hold, pid ".to_owned()];
    assert!(candidates.iter().all(|candidate| outcome.stderr.contains(candidate)), "{outcome}");
}

/// Checks that every stage, made to fail with the container's own whole record, leaves the container as it was.
fn forged_records_do_no_harm(world: &World, record: &str, pid: i64) {
    let root = world.busybox_root().display();
    let group =
        "cat /proc/PID/cgroup /proc/PID/mountinfo /proc/PID/net/dev | cut -d: -f1; cut -d' ' -f22 /proc/PID/stat";
    let picture = || world.sh(&group.replace("PID", &pid.to_string())).succeeds().stdout;
    let before = picture();
    for stage in [
        "cgexec-rs --pipe --memory 32M".to_owned(),
        "cgexec-rs --pipe --show >/dev/full".to_owned(),
        "netns-rs connect --pipe --bridge suitebr1 --address 10.95.0.2/24".to_owned(),
        "netns-rs show --pipe >/dev/full".to_owned(),
        "chroot-rs --pipe --std /no/such/root".to_owned(),
        format!("chroot-rs --pipe --std {root}"),
        "nsenter-rs --pipe -- /no/such/command".to_owned(),
        "nsenter-rs --pipe --rm -- /no/such/command".to_owned(),
        "nsenter-rs --pipe --rm -- /bin/true".to_owned(),
    ] {
        let outcome = world.script(&stage).stdin(record.to_owned()).run();
        assert!(outcome.status != 0, "{stage} should have failed\n{outcome}");
        assert_eq!(picture(), before, "{stage} changed a container of docker's\n{outcome}");
    }
}

/// A container named `web` of an engine is limited, connected once more, shown and disconnected, all by its name.
const CONNECTED: &str = r#"
    in_web() { nsenter-rs --target web --net -- "$@" 2>&1; }
    netns-rs connect --change web --rate 10mbit; in_web tc qdisc show dev eth0 | grep -o 'rate [^ ]*'; netns-rs connect --change web --rate none
    netns-rs connect web --interface net1 --bridge suitebr1 --address 10.95.1.2/24; in_web ip -4 -o address show net1 | grep -o '10.95.1.2/24'
    netns-rs who 10.95.1.2 2>/dev/null | head -1 | sed 's/net:[^,]*/INODE/; s/[0-9a-f]\{12\}/ID/; s/pid [0-9]*/pid N/'; netns-rs map 2>/dev/null | grep -c '^web: '
    netns-rs disconnect web --interface net1; in_web ip -o link show net1; until ! ip -o link show suitebr1 2>/dev/null >&2; do sleep 0.02; done"#;

/// What that prints.
const CONNECTED_OUTPUT: &str =
    "rate 10Mbit\n10.95.1.2/24\nweb: INODE, 1 process, docker web (pid N)\n1\nDevice \"net1\" does not exist.\n";

/// A docker daemon of our own.
pub struct Docker<'a> {
    world: &'a World,
    directory: PathBuf,
    before: Scan,
    daemon: Option<Running>,
}

impl<'a> Docker<'a> {
    /// Starts the daemon, and imports the shared root as `suite:busybox`.
    pub fn start(world: &'a World, name: &str) -> Self {
        let directory = world.directory(name);
        let before = Scan::take();
        world
            .sh("ip link add suitebr0 type bridge && ip addr add 10.94.0.1/24 dev suitebr0 && ip link set suitebr0 up")
            .succeeds();
        let place = directory.display().to_string();
        let script = format!(
            "exec dockerd --data-root {place}/data --exec-root {place}/run --pidfile {place}/pid --host unix://{place}/socket \
             --bridge suitebr0 --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --storage-driver vfs \
             >{place}/log 2>&1"
        );
        let daemon = world.script(&script).within(std::time::Duration::from_secs(600)).start();
        let docker = Self { world, directory, before, daemon: Some(daemon) };
        let ready = docker.client("version >/dev/null 2>&1 && exit; for i in $(seq 150); do sleep 0.2; docker -H $DOCKER version >/dev/null 2>&1 && exit; done; exit 1");
        let log = std::fs::read_to_string(docker.directory.join("log")).unwrap_or_default();
        assert!(ready.status == 0, "dockerd did not start:\n{log}");
        let root = world.busybox_root().display();
        world.sh(&format!("tar -C {root} -c . | docker -H unix://{place}/socket import - suite:busybox")).succeeds();
        docker
    }

    /// Runs docker's client with this daemon.
    pub fn client(&self, arguments: &str) -> crate::harness::script::Outcome {
        let socket = format!("unix://{}/socket", self.directory.display());
        let limit = std::time::Duration::from_secs(60);
        self.world.script(&format!("docker -H $DOCKER {arguments}")).variable("DOCKER", socket).within(limit).run()
    }

    /// Starts a container that does nothing, and returns its pid and id.
    fn run(&self, name: &str, options: &str) -> (i64, String) {
        let id = self
            .client(&format!("run --detach --init=false --name {name} {options} suite:busybox /bin/sleep 86414"))
            .succeeds()
            .stdout;
        let pid = self.client(&format!("inspect --format '{{{{.State.Pid}}}}' {name}")).succeeds().stdout;
        (pid.trim().parse().expect("a pid"), id.trim().to_owned())
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        self.client("rm --force web dead");
        if let Some(daemon) = self.daemon.take() {
            // With SIGTERM, because it has to unmount and to end its containerd.
            self.world.sh(&format!("kill {}", daemon.pid));
            daemon.wait();
        }
        // The daemon keeps the host's network namespace bound once a container has used it.
        self.world.sh(&format!("umount {}/run/netns/default", self.directory.display()));
        self.world.sh("ip link del suitebr0");
        // dockerd leaves groups named docker behind in every hierarchy; they are ours only if they were not there before.
        let left = self.before.difference(&Scan::take());
        for group in left.iter().filter_map(|line| line.strip_prefix("new: cgroup ")) {
            if group.ends_with("/docker") {
                self.world.sh(&format!("rmdir {group}"));
            }
        }
    }
}
