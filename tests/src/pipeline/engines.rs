//! `examples/oci-runtime.sh` under engines: what a user of docker, containerd and podman sees is the same as with runc.
//!
//! `cargo xtask engines` runs all cases; the tests above run a few of them. Each engine has its own directories, and network
//! and mount namespaces.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::chroot::oci::{RUNTIME, RUNTIME_QUERIES};
use crate::harness::need::{BASH, BUSYBOX, IP, JQ, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

mod cases;

use cases::{CONTAINERD, Case, DOCKER, PODMAN};

const NEEDS: &[Need] = &[
    Need::Program("runc", "runc"),
    Need::Program("dockerd", "docker.io"),
    Need::Program("podman", "podman"),
    BUSYBOX,
    JQ,
    BASH,
    IP,
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("docker shows the same of a container by the runtime in shell as by runc", NEEDS, |world| {
        compare(world, "docker", DOCKER_ENGINE, &few(DOCKER));
    })
    .root_only()
    .host_only(),
    Row::new("containerd shows the same of a container by the runtime in shell as by runc", NEEDS, |world| {
        compare(world, "ctr", CONTAINERD_ENGINE, &few(CONTAINERD));
    })
    .root_only()
    .host_only(),
    Row::new("engine docker: every case is the same by the runtime in shell as by runc", NEEDS, |world| {
        compare(world, "docker", DOCKER_ENGINE, &all(world, DOCKER));
    })
    .root_only()
    .host_only()
    .asked_for(),
    Row::new("engine containerd: every case is the same by the runtime in shell as by runc", NEEDS, |world| {
        compare(world, "ctr", CONTAINERD_ENGINE, &all(world, CONTAINERD));
    })
    .root_only()
    .host_only()
    .asked_for(),
    Row::new("engine podman: every case is the same by the runtime in shell as by runc", NEEDS, |world| {
        compare(world, "podman", PODMAN_ENGINE, &all(world, PODMAN));
    })
    .root_only()
    .host_only()
    .asked_for(),
];

const DOCKER_ENGINE: &str = r#"
    dockerd --data-root $D/data --exec-root $D/exec --pidfile $D/pid --host unix://$D/sock --bip 10.213.7.1/24 --iptables=false \
        --ip6tables=false --ip-forward=false --ip-masq=false --storage-driver vfs --cgroup-parent /suite_docker \
        --add-runtime five=$D/oci-runtime.sh >$D/log 2>&1 &
    E="docker -H unix://$D/sock"
    end() { $E rm -f $($E ps -aq) >/dev/null 2>&1; kill %1; wait; }
    until_ok $E version || cat $D/log
    tar --owner=0 --group=0 -C $D/root -c . | $E import - box >/dev/null
    run() { $E run --rm --network none --runtime $R "$@"; }
    daemon() { $E run -d --name cc --network none --runtime $R "$@" >/dev/null; }
    gone() { $E rm -f cc >/dev/null; }
"#;

const CONTAINERD_ENGINE: &str = r#"
    containerd --root $D/data --state $D/exec --address $D/sock -l error >$D/log 2>&1 &
    E="ctr -a $D/sock -n suite_ctr"
    end() { kill %1; wait; }
    until_ok $E version || cat $D/log
    path() { [ $R = runc ] && command -v runc || echo $D/oci-runtime.sh; }
    run() { $E run --runc-binary $(path) --rm --rootfs "$@"; }
    daemon() { $E run --runc-binary $(path) -d --rootfs "$@"; }
    gone() { $E task kill -s 9 c; until $E task ls | grep -q STOPPED; do sleep 0.05; done; $E task delete c; $E container delete c; } >/dev/null 2>&1
"#;

const PODMAN_ENGINE: &str = r#"
    mkdir -p /var/lib/containers /var/lib/cni; mount -t tmpfs none /var/lib/containers; mount -t tmpfs none /var/lib/cni
    E="podman --root $D/data --runroot $D/run --tmpdir $D/tmp --storage-driver vfs --events-backend none --cgroup-manager cgroupfs"
    tar --owner=0 --group=0 -C $D/root -c . | $E import - box >$D/log 2>&1 || cat $D/log
    path() { [ $R = runc ] && command -v runc || echo $D/oci-runtime.sh; }
    P() { $E --runtime $(path) "$@"; }
    L="--ulimit nproc=1000:1000 --ulimit nofile=128:256 --network none"
    run() { P run --rm $L "$@"; }
    daemon() { P run -d --name cc $L "$@" >/dev/null; }
    gone() { P rm -f -t 0 cc >/dev/null; }
    end() { :; }
"#;

/// A /run and a root of its own, and `both NAME LINES`, which runs a case with both runtimes.
const PREAMBLE: &str = r#"
    [ "${APART-}" ] || { export APART=1; exec unshare --net bash "$0"; }
    set -u; L=''
    ip link set lo up; mount -t tmpfs -o mode=755 none /run; mkdir -p /run/lock /run/netns
    until_ok() { for i in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "in vain: $*"; return 1; }
    groups() { find /sys/fs/cgroup -type d \( -name libpod_parent -o -name suite_docker -o -name suite_ctr \) 2>/dev/null; }
    HAD=$(groups)
    remove_once() { for group in $(groups); do find $group -depth -type d -exec rmdir {} + 2>/dev/null; done; [ ! "$(groups)" ]; }
    trap 'end; [ "$HAD" ] || until_ok remove_once' EXIT
    for tool in $TOOLS/*; do ln -s $tool $D/; done
    mkdir -p $D/vol $D/seen; echo hi >$D/vol/file; cp -a $ROOT $D/root; chmod 755 $D $D/root; : >$D/root/text
    both() {
        for R in runc five; do
            export R D E L
            timeout -k 1 60 bash -c "$(declare -f); $2" >$D/seen/$1 2>$D/seen/$1.err </dev/null
            echo "status $?" >>$D/seen/$1; cat $D/seen/$1.err >>$D/seen/$1
            sed -E 's/[0-9a-f]{64}/ID/g; s/\b[0-9a-f]{12}\b/ID/g' $D/seen/$1 | tr -d '\r' >$D/seen/$1.$R
        done
    }
"#;

fn few(cases: &'static [Case]) -> Vec<&'static Case> {
    cases.iter().filter(|case| case.in_every_run).collect()
}

fn all(world: &World, cases: &'static [Case]) -> Vec<&'static Case> {
    cases.iter().filter(|case| world.chooses(case.name)).collect()
}

/// Runs each case with both runtimes in one engine, and compares what was printed.
fn compare(world: &World, name: &str, engine: &str, cases: &[&Case]) {
    // Short: podman refuses a runroot of more than 50 characters, and a socket's path has 107 at most.
    let directory = format!("u-{name}");
    let lines: String = cases
        .iter()
        .enumerate()
        .map(|(number, case)| format!("both {number} '{}'\n", case.lines.replace('\'', "'\\''")))
        .collect();
    let root = world.busybox_root().display();
    let at = world.shared_directory(&directory);
    let path = format!("TOOLS={}; export PATH=/usr/sbin:/usr/bin:/sbin:/bin", world.tools.display());
    let text = format!("D={}\nROOT={root}\n{path}\n{PREAMBLE}{engine}{lines}", at.display());
    write(&at.join("script"), &text);
    write(&at.join("oci-runtime.sh"), RUNTIME);
    write(&at.join("oci-runtime.jq"), RUNTIME_QUERIES);
    let script = format!("exec unshare --mount --propagation private bash {}", at.join("script").display());
    let outcome = world.script(&script).within(Duration::from_secs(600)).run();
    let mut different = String::new();
    for (number, case) in cases.iter().enumerate() {
        let read = |who| fs::read_to_string(at.join(format!("seen/{number}.{who}"))).unwrap_or_default();
        let (theirs, ours) = (read("runc"), read("five"));
        if ours != theirs || !theirs.contains(case.shows) {
            different +=
                &format!("=== {name} {}: expected {:?}\n--- runc\n{theirs}--- ours\n{ours}", case.name, case.shows);
        }
    }
    fs::remove_dir_all(&at).ok();
    assert!(different.is_empty(), "{different}\n{outcome}");
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}
