//! Bundles as engines write them, made on the spot by docker, containerd and podman: the runtime that they call here runs
//! each bundle with the five tools and with another runtime, and what a process sees inside is the same.
//!
//! `engines/runtime.sh` is that runtime, and `engines/look.sh` is what runs inside. No container is started for the engine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::chroot::oci::{RUNTIME, RUNTIME_QUERIES};
use crate::harness::need::{BASH, BUSYBOX, CRUN, JQ, Need, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::world::World;

const DOCKERD: Need = Need::Program("dockerd", "docker.io");
const CTR: Need = Need::Program("ctr", "containerd");
const PODMAN: Need = Need::Program("podman", "podman");
const RUNC: Need = Need::Program("runc", "runc");
const NEWUIDMAP: Need = Need::Program("newuidmap", "uidmap");

/// A command line of an engine: its name in the report, its options, and what must be seen inside because of them.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("bundles of docker give the same containers as under crun", &[DOCKERD, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        let engine = r#"
            dockerd --data-root $D/data --exec-root $D/exec --pidfile $D/pid --host unix://$D/sock --bridge none --iptables=false \
                --ip6tables=false --ip-forward=false --ip-masq=false --storage-driver vfs --cgroup-parent /suite_docker --add-runtime look=$D/runtime >$D/log 2>&1 &
            trap 'kill $!; wait; remove_groups' EXIT
            E="docker -H unix://$D/sock"
            until_ok $E version || cat $D/log
            tar -C $D/root -c . | $E import - look >/dev/null
            engine() { $E run --runtime look --oom-score-adj 300 "$@" look /bin/look; }
        "#;
        compare(world, "docker", engine, DOCKER);
    })
    .root_only()
    .host_only(),
    Row::new("bundles of containerd give the same containers as under crun", &[CTR, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        let engine = r#"
            containerd --root $D/data --state $D/exec --address $D/sock -l error >$D/log 2>&1 &
            trap 'kill $!; wait; remove_groups' EXIT
            E="ctr -a $D/sock -n suite_ctr"
            until_ok $E version || cat $D/log
            engine() { $E run --runc-binary $D/runtime --rm --rootfs "$@" $D/root look /bin/look; }
        "#;
        compare(world, "containerd", engine, CONTAINERD);
    })
    .root_only()
    .host_only(),
    Row::new("bundles of podman give the same containers as under crun", &[PODMAN, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        let shared = "mount -t tmpfs none $D/vol; mount --make-shared $D/vol; echo hi >$D/vol/file\n";
        compare(world, "podman", &format!("{PODMAN_ENGINE}trap remove_groups EXIT\n{shared}"), PODMAN_CASES);
    })
    .root_only()
    .host_only(),
    Row::new(
        "bundles of podman give the same containers as under runc to a user who is not root",
        &[PODMAN, RUNC, NEWUIDMAP, SETPRIV, UNSHARE, BUSYBOX, JQ, BASH],
        |world| {
            let engine = format!(
                r#"
                for file in passwd group subuid subgid; do cp /etc/$file $D/$file; done
                echo engine:x:54377:54377::$D/home:/bin/sh >>$D/passwd; echo engine:x:54377: >>$D/group
                for file in subuid subgid; do echo engine:7000000:65536 >>$D/$file; done
                for file in passwd group subuid subgid; do mount --bind $D/$file /etc/$file; done
                mkdir -m 700 $D/home $D/home/run; chown -R 54377:54377 $D
                export HOME=$D/home TMPDIR=$D/home XDG_RUNTIME_DIR=$D/home/run AS="setpriv --reuid 54377 --regid 54377 --clear-groups"
                cd $D/home
                {PODMAN_ENGINE}trap '$E system migrate' EXIT
                "#
            );
            compare(world, "user", &engine, ROOTLESS);
        },
    )
    .root_only()
    .host_only(),
    Row::new("bundles of runc spec and crun spec give the same containers as under crun", &[CRUN, RUNC, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        compare(world, "spec", SPEC_ENGINE, SPECS);
    })
    .root_only()
    .host_only(),
    Row::new("bundles of runc spec --rootless give a user the same containers as under runc", &[RUNC, SETPRIV, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        let engine = format!("{SPEC_ENGINE}chown -R 54378:54378 $D; AS='setpriv --reuid 54378 --regid 54378 --clear-groups'; cd $D\n");
        compare(world, "userspec", &engine, &[("rootless", "runc spec --rootless", &["         0      54378          1", "ns user private", "ns net host"])]);
    })
    .root_only()
    .host_only(),
    Row::new("bundles of podman build give the same containers as under crun", &[PODMAN, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        let engine = r#"
            mkdir -p /var/lib/containers /var/lib/cni $D/context; mount -t tmpfs none /var/lib/containers; mount -t tmpfs none /var/lib/cni
            E="podman --root $D/data --runroot $D/run --tmpdir $D/tmp --storage-driver vfs --events-backend none --cgroup-manager cgroupfs"
            tar --owner=0 --group=0 -C $D/root -c . | $E import - look >$D/log 2>&1 || cat $D/log
            trap remove_groups EXIT
            engine() { printf 'FROM look\nUSER 1000:77\nWORKDIR /srv/new\nENV A=b\nRUN ["/bin/look"]\n' >$D/context/Containerfile; $E build --isolation oci --runtime $D/runtime "$@" $D/context; }
        "#;
        compare(world, "build", engine, BUILDS);
    })
    .root_only()
    .host_only(),
];

const PODMAN_ENGINE: &str = r#"
    mkdir -p /var/lib/containers /var/lib/cni; mount -t tmpfs none /var/lib/containers; mount -t tmpfs none /var/lib/cni
    E="${AS-} podman --root $D/data --runroot $D/run --tmpdir $D/tmp --storage-driver vfs --events-backend none --cgroup-manager cgroupfs --runtime $D/runtime"
    tar --owner=0 --group=0 -C $D/root -c . | $E import - look >$D/log 2>&1 || cat $D/log
    # This machine may lack the right to raise limits.
    engine() { $E run --ulimit nproc=1000:1000 --ulimit nofile=128:256 "$@" look /bin/look; }
"#;

/// Makes the bundle itself: `engine COMMAND...`, where the command writes config.json.
const SPEC_ENGINE: &str = r#"
    engine() {
        rm -rf $D/b; ${AS-} mkdir $D/b; cp -a $D/root $D/b/rootfs; chmod 755 $D/b
        (cd $D/b; ${AS-} "$@"; jq '.process.args = ["/bin/look"] | .process.terminal = false' config.json >../new; cp ../new config.json)
        ${AS-} $D/runtime run --bundle $D/b x
    }
"#;

const SPECS: &[Case] = &[
    ("runc", "runc spec", &["CapBnd:\t0000000020000420", "NoNewPrivs:\t1", "ns net private", "ns user host"]),
    ("runc-rootless", "runc spec --rootless", &["ns user private", "ns net host"]),
    ("crun", "crun spec", &["NoNewPrivs:\t1", "ns net private"]),
    ("crun-rootless", "crun spec --rootless", &["ns user private", "ns net private"]),
];

const BUILDS: &[Case] = &[(
    "options",
    "--network none -v $D/vol:/v:ro --cap-add NET_ADMIN --ulimit core=0 --shm-size 1m",
    &["uid=1000(user) gid=77(extra)", "env A=b", "pwd /srv/new", "mount /v "],
)];

const DOCKER: &[Case] = &[
    ("default", "--network none", &["umask 0022", "CapBnd:\t00000000a80425fb", "Seccomp:\t2", "ns net private"]),
    (
        "privileged",
        "--network none --cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined \
         --security-opt systempaths=unconfined --security-opt apparmor=unconfined --device /dev/fuse:/dev/other",
        &["Seccomp:\t0", "dev crw------- 0 0 10, 229 other"],
    ),
    (
        "user",
        "--network none --user 1000:77 --group-add 5 --read-only --tmpfs /t:size=1m,exec --cap-drop ALL --cap-add NET_ADMIN \
         --security-opt no-new-privileges --ulimit core=0 -w /srv/new -h web --domainname example.org -e A=b --shm-size 1m",
        &["uid=1000(user) gid=77(extra) groups=5,77(extra)", "NoNewPrivs:\t1", "env A=b", "out\n", "web example.org"],
    ),
    (
        "mounts",
        "--network none -v $D/vol:/v:ro -v named:/w -v $D/vol:/srv/a/b --mount type=tmpfs,dst=/tt,tmpfs-size=10000000,tmpfs-mode=1770 \
         --sysctl net.ipv4.ip_unprivileged_port_start=99 --sysctl kernel.msgmax=65536 --cgroupns private",
        &["mount /srv/a/b ", "sysctl kernel/msgmax 65536", "ns cgroup private"],
    ),
    ("host", "--network host --pid host --uts host --ipc host", &["ns net host", "ns pid host", "leads its session"]),
];

const CONTAINERD: &[Case] = &[
    ("default", "", &["CapBnd:\t00000000a80425fb", "NoNewPrivs:\t1", "ns net private"]),
    (
        "options",
        "--read-only --mount type=bind,src=$D/vol,dst=/v,options=rbind:ro --cwd /srv/new --env A=b --allow-new-privs --cap-drop CAP_CHOWN",
        &["NoNewPrivs:\t0", "env A=b", "mount /v ", "pwd /srv/new"],
    ),
    ("host", "--net-host --device /dev/fuse --seccomp", &["ns net host", "10, 229 fuse", "Seccomp:\t2"]),
];

const PODMAN_CASES: &[Case] = &[
    ("default", "--network none", &["CapBnd:\t00000000800405fb", "ns net private"]),
    (
        "user",
        "--network none --read-only --tmpfs /t:size=1m,exec --systemd always --security-opt mask=/proc/meminfo --security-opt \
         unmask=/proc/kcore --user 1000 --cap-add net_bind_service --group-add 5 -h web -e A=b --oom-score-adj 300 --shm-size 1m \
         --umask 077 --security-opt no-new-privileges --security-opt seccomp=unconfined --ulimit stack=1000000:2000000",
        &["mount /proc/meminfo", "mount /run ", "umask 0077", "CapAmb:\t0000000000000400", "oom 300", "out\n"],
    ),
    (
        "userns",
        "--network none --uidmap 0:100000:65536 -v $D/vol:/v:ro,noexec",
        &["ns user private", "lo: <LOOPBACK,UP"],
    ),
    (
        "mounts",
        "--network none --cgroupns private -v $D/vol:/v:ro -v named:/w -v $D/vol:/s:rslave,noexec -v $D/vol:/srv/a/b \
         --device /dev/full:/dev/a/b --sysctl net.ipv4.ip_unprivileged_port_start=99 --sysctl kernel.msgmax=65536",
        &["ns cgroup private", "mount /srv/a/b ", "sysctl kernel/msgmax 65536"],
    ),
    // The bind is of a mount with peers, which D/vol is in this row.
    (
        "shared",
        "--network none --privileged -v $D/vol:/s:shared --personality LINUX32",
        &["mount /s [/] rw,relatime shared", "personality 00000008", "Seccomp:\t0"],
    ),
    ("host", "--network host --pid host --uts host", &["ns net host", "ns pid host", "leads its session"]),
];

const ROOTLESS: &[Case] = &[
    ("default", "--network none", &["         0      54377          1", "Seccomp:\t2"]),
    ("privileged", "--network none --privileged --userns keep-id", &["     54377", "Seccomp:\t0"]),
    (
        "user",
        "--network none --user 1000:77 --read-only --tmpfs /t -v $D/vol:/v:ro -v named:/w",
        &["uid=1000(user)", "mount /v "],
    ),
    ("host", "--network host --pid host", &["ns net host", "ns pid host"]),
];

/// Starts an engine with `engine`, which defines a function of this name, and compares the containers of all cases.
fn compare(world: &World, name: &str, engine: &str, cases: &[Case]) {
    // Short: podman refuses a runroot of more than 50 characters.
    let directory = format!("e-{name}");
    let runs: String = cases
        .iter()
        .map(|(case, options, _)| format!("echo {case} >$D/case; engine {options} >$D/seen/{case}.engine 2>&1\n"))
        .collect();
    let lines = format!("R={}\n{PREAMBLE}{engine}{runs}chmod -R a+rX $D/seen", world.busybox_root().display());
    let script = world.apart(&directory, &lines);
    let at = world.shared_directory(&directory);
    let fixed =
        format!("#!/bin/sh\nD={}\nexport PATH={}:/usr/sbin:/usr/bin:/sbin:/bin\n", at.display(), world.tools.display());
    write(&at.join("runtime"), &format!("{fixed}{}", include_str!("engines/runtime.sh")));
    write(&at.join("oci-runtime.sh"), RUNTIME);
    write(&at.join("oci-runtime.jq"), RUNTIME_QUERIES);
    write(&at.join("look.sh"), include_str!("engines/look.sh"));
    let outcome = script.within(Duration::from_secs(300)).run();
    for (case, _, expected) in cases {
        let read = |who: &str| {
            let bytes = fs::read(at.join(format!("seen/{case}.{who}"))).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (ours, theirs) = (read("ours"), read("theirs"));
        let report = || {
            format!("{name} {case}\n--- ours\n{ours}\n--- theirs\n{theirs}\n--- engine\n{}\n{outcome}", read("engine"))
        };
        for text in *expected {
            assert!(theirs.contains(text), "expected to see {text:?}\n{}", report());
        }
        let missing = |one: &str, other: &str, who: &str| -> Vec<String> {
            let lines = one.lines().filter(|line| !other.lines().any(|known| known == *line));
            lines.map(|line| format!("{who}: {line}")).collect()
        };
        let differences = [missing(&ours, &theirs, "ours"), missing(&theirs, &ours, "theirs")].concat();
        assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), report());
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// Makes the root with `/bin/look`, a directory to mount, and a /run of its own.
const PREAMBLE: &str = r#"
set -u
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/lock /run/netns /run/user
until_ok() { for i in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "in vain: $*"; return 1; }
mkdir -p $D/vol $D/seen; echo hi >$D/vol/file
cp -a $R $D/root; cp $D/look.sh $D/root/bin/look; chmod 755 $D $D/root/bin/look; echo extra:x:77: >>$D/root/etc/group
groups() { find /sys/fs/cgroup -type d \( -name libpod_parent -o -name suite_docker -o -name suite_ctr \) 2>/dev/null; }
HAD=$(groups)
remove_once() { for group in $(groups); do find $group -depth -type d -exec rmdir {} + 2>/dev/null; done; [ ! "$(groups)" ]; }
remove_groups() { [ "$HAD" ] || until_ok remove_once; }
"#;
