//! Typed limits: each one is in the file that the kernel has for it, and what cannot be set is refused.

use std::path::Path;
use std::time::Duration;

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::world::World;

use super::SHELL;

const PATIENCE: Duration = Duration::from_secs(10);

/// A limit: its options, and its controller, file and value on v2 and on v1.
struct Case {
    options: &'static str,
    v2: (&'static str, &'static str, &'static str),
    /// `None`: there is no counterpart.
    v1: Option<(&'static str, &'static str, &'static str)>,
}

const fn case(
    options: &'static str,
    v2: (&'static str, &'static str, &'static str),
    v1: Option<(&'static str, &'static str, &'static str)>,
) -> Case {
    Case { options, v2, v1 }
}

const CASES: &[Case] = &[
    case("--memory 64M", ("memory", "memory.max", "67108864"), Some(("memory", "memory.limit_in_bytes", "67108864"))),
    case(
        "--memory 67109209",
        ("memory", "memory.max", "67108864"),
        Some(("memory", "memory.limit_in_bytes", "67108864")),
    ),
    case(
        "--memory 64M --swap 1M",
        ("memory", "memory.swap.max", "1048576"),
        Some(("memory", "memory.memsw.limit_in_bytes", "68157440")),
    ),
    case("--memory-high 64M", ("memory", "memory.high", "67108864"), None),
    case(
        "--memory-low 3M",
        ("memory", "memory.low", "3145728"),
        Some(("memory", "memory.soft_limit_in_bytes", "3145728")),
    ),
    case("--memory-min 3M", ("memory", "memory.min", "3145728"), None),
    case("--memory-zswap-max 3M", ("memory", "memory.zswap.max", "3145728"), None),
    case("--memory-oom-group", ("memory", "memory.oom.group", "1"), None),
    case("--pids 77", ("pids", "pids.max", "77"), Some(("pids", "pids.max", "77"))),
    case("--cpus 1.5", ("cpu", "cpu.max", "150000 100000"), Some(("cpu", "cpu.cfs_quota_us", "150000"))),
    case(
        "--cpus 50% --cpu-max-burst 10ms",
        ("cpu", "cpu.max.burst", "10000"),
        Some(("cpu", "cpu.cfs_burst_us", "10000")),
    ),
    case("--cpu-weight 300", ("cpu", "cpu.weight", "300"), Some(("cpu", "cpu.shares", "3072"))),
    case("--cpu-weight-nice -5", ("cpu", "cpu.weight.nice", "-5"), None),
    case("--cpu-idle", ("cpu", "cpu.idle", "1"), Some(("cpu", "cpu.idle", "1"))),
    case("--cpuset-cpus 0", ("cpuset", "cpuset.cpus", "0"), Some(("cpuset", "cpuset.cpus", "0"))),
    case("--cpuset-mems 0", ("cpuset", "cpuset.mems", "0"), Some(("cpuset", "cpuset.mems", "0"))),
    case("--cpuset-cpus-partition member", ("cpuset", "cpuset.cpus.partition", "member"), None),
    case("--set pids.max=7", ("pids", "pids.max", "7"), Some(("pids", "pids.max", "7"))),
    case("--set cgroup.max.depth=3", ("cgroup2", "cgroup.max.depth", "3"), Some(("cgroup2", "cgroup.max.depth", "3"))),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("each limit of cgexec-rs is in the file that the kernel has for it", &[], |world| {
        for case in CASES.iter().filter(|case| world.chooses(case.options)) {
            let (controller, file, value) = if is_v1(world, case.v2.0) {
                match case.v1 {
                    Some(v1) => v1,
                    None => {
                        let refused = world.sh(&format!("cgexec-rs {} -- true", case.options)).fails_with(125);
                        refused.stderr_has("cgroup v1 hierarchy, which has no such limit");
                        continue;
                    }
                }
            } else {
                case.v2
            };
            let read = format!("{SHELL} cat \"$(own {controller})/{file}\"");
            let set = world.script(&format!("cgexec-rs {} -- bash -c \"$READ\"", case.options)).variable("READ", read.clone()).run();
            set.succeeds().stdout_is(&format!("{value}\n"));
            // The control: the current group has another value. The default of a partition is the same.
            if value != "member" && controller != "cpuset" {
                let without = world.script("bash -c \"$READ\" || true").variable("READ", read.clone()).run();
                assert!(without.stdout.trim_end() != value, "{}: it is the same without\n{without}", case.options);
            }
        }
    })
    .root_only(),
    Row::new("a limit that is wrong or cannot be set is refused with the valid forms, and leaves no group", &[], |world| {
        let before = Scan::take();
        for (options, text) in [
            ("--memory 12Q", "1.5G"),
            ("--pids=-1", "100"),
            ("--cpu-weight 0", "from 1 to 10000"),
            ("--cpu-idle --cpu-weight 3", "--cpu-weight"),
            ("--cpu-max-burst 20", "20ms"),
            ("--cpuset-cpus 3-1", "0-3,8"),
            ("--cpuset-cpus 60000", "ERANGE"),
            ("--io-max /dev/sda:speed=3", "rbps=10M"),
            ("--io-max /proc:rbps=3M", "it is on proc, which has no disk of its own"),
            ("--io-max /no/such/disk:rbps=3M", "/no/such/disk"),
            ("--hugetlb-max 2M", "2M=64M"),
            ("--set cgroup.procs=1", "moves processes"),
            ("--set ../memory.max=1", "memory.max"),
            ("--pids 9 --set pids.none=1", "has no pids.none"),
        ] {
            let refused = world.sh(&format!("cgexec-rs {options} -- true"));
            refused.fails_with(125).stderr_has(text);
        }
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("a limit that the kernel accepts and does not keep is an error", &[Need::CgroupV2("cpuset")], |world| {
        let before = Scan::take();
        // Without CPUs of its own, a partition is invalid; only reading the file shows it.
        world.sh("cgexec-rs --cpuset-cpus-partition root -- true").fails_with(125).stderr_has("root invalid");
        before.wait_until_same(PATIENCE);
        // The control: the same partition with a CPU.
        world.sh("cgexec-rs --cpuset-cpus 0 --cpuset-cpus-partition root -- true").succeeds();
    })
    .root_only()
    .vm_only(),
    Row::new("a command in a v1 hierarchy that has cpuset among others gets the CPUs of its parent", &[], |world| {
        let script = r#"
            mkdir "$D/cg"; mount -t cgroup -o cpuset,pids none "$D/cg" || exit 1
            cgexec-rs --pids 9 -- cat /proc/self/cgroup; echo "status $?"
            # The control: a group without CPUs accepts no process.
            mkdir "$D/cg/bare"; (echo 0 >"$D/cg/bare/cgroup.procs") 2>&1; rmdir "$D/cg/bare"
            for i in $(seq 100); do rmdir "$D"/cg/cgexec-rs-* 2>/dev/null; ls "$D/cg" | grep -q cgexec || break; sleep 0.1; done
            umount "$D/cg"
            for i in $(seq 100); do grep -q pids /sys/fs/cgroup/cgroup.controllers && break; sleep 0.1; done
        "#;
        let outcome = world.apart("cgroups-cpuset-v1", script).run().succeeds();
        outcome.stdout_has("/cgexec-rs-").stdout_has("status 0\n").stdout_has("No space left on device");
    })
    .root_only()
    .vm_only(),
    Row::new("a cgroup mount under another mount is not used, and does not end the search", &[], |world| {
        let script = r#"
            mkdir -p /sys/fs/cgroup/pids/hidden-part/inner
            trap 'rmdir /sys/fs/cgroup/pids/hidden-part/inner /sys/fs/cgroup/pids/hidden-part' EXIT
            unshare --mount bash -c '
                mount --bind /sys/fs/cgroup/pids/hidden-part/inner /sys/fs/cgroup/pids
                cgexec-rs --pids 9 -- true; echo "status $?"
                cgexec-rs -g pids:/no-such-group -- true; echo "status $?"'
            # A second mount of v2, under a tmpfs.
            unshare --mount bash -c '
                mkdir "$0/over"; mount -t tmpfs none "$0/over"; mkdir "$0/over/v2"; mount -t cgroup2 none "$0/over/v2"
                cgexec-rs -g :/ -- true; echo "control $?"
                mount -t tmpfs none "$0/over"
                cgexec-rs -g :/ -- true; echo "second $?"
                cgexec-rs --pids 9 -- true; echo "second $?"' "$D"
            # The only mount of a controller, under a tmpfs.
            unshare --mount bash -c 'mount -t tmpfs none /sys/fs/cgroup/pids; cgexec-rs --pids 9 -- true; echo "only $?"'
        "#;
        let outcome = world.apart("cgroups-hidden", script).run().succeeds();
        let outcome = outcome.stdout_is("status 125\nstatus 125\ncontrol 0\nsecond 0\nsecond 0\nonly 125\n");
        outcome
            .stderr_has("it is not below any mount: /sys/fs/cgroup/pids shows /hidden-part/inner")
            .stderr_has("its cgroup v1 hierarchy is mounted on /sys/fs/cgroup/pids, but another mount hides it");
    })
    .root_only()
    .host_only(),
    Row::new("a group outside of what was delegated is refused with the file that has to be writable", &[], |world| {
        let v2 = if world.in_vm { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/unified" };
        let script = format!(
            "mkdir {v2}/delegated-test {v2}/delegated-test/from {v2}/delegated-test/to; trap 'rmdir {v2}/delegated-test/* {v2}/delegated-test' EXIT
             chown 54321 {v2}/delegated-test/to/cgroup.procs
             as_user() {{ setpriv --reuid 54321 --clear-groups cgexec-rs -g :/delegated-test/to -- true; }}
             (echo $BASHPID >{v2}/delegated-test/from/cgroup.procs; as_user); echo $?
             # The control: with the common ancestor it works.
             chown 54321 {v2}/delegated-test/cgroup.procs; (echo $BASHPID >{v2}/delegated-test/from/cgroup.procs; as_user); echo $?"
        );
        let outcome = world.sh(&script).succeeds().stdout_is("125\n0\n");
        outcome.stderr_has(&format!("also requires write permission for {v2}/delegated-test/cgroup.procs"));
    })
    .root_only(),
    Row::new("a controller that a boot parameter disabled is named with that parameter", &[], |world| {
        // No controller of this name is in any hierarchy of the host.
        let script = r#"
            sed 's/^rdma.*//' /proc/cgroups >"$D/table"; printf 'rdma\t0\t1\t0\n' >>"$D/table"
            cgexec-rs --rdma-max x:hca_handle=1 -- true; echo $?
            mount --bind "$D/table" /proc/cgroups; cgexec-rs --rdma-max x:hca_handle=1 -- true; echo $?
        "#;
        let outcome = world.apart("cgroups-disabled", script).run().succeeds().stdout_is("125\n125\n");
        let outcome = outcome.stderr_has("cgroup_disable=rdma");
        assert_eq!(outcome.stderr.matches("cgroup_disable").count(), 1, "{outcome}");
    })
    .root_only()
    .host_only(),
];

/// Returns whether the controller is in a v1 hierarchy.
fn is_v1(world: &World, controller: &str) -> bool {
    controller != "cgroup2" && !world.in_vm && Path::new("/sys/fs/cgroup").join(controller).is_dir()
}
