//! Typed limits: each one is in the file that the kernel has for it, and what cannot be set is refused.

use std::time::Duration;

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::scan::Scan;

use super::SHELL;

const PATIENCE: Duration = Duration::from_secs(10);

/// A file of a controller, and its value.
type Set = (&'static str, &'static str, &'static str);

/// Options that set several limits, and the files that then have them on v2 and on v1.
const SETS: &[(&str, &[Set], &[Set])] = &[
    (
        "--memory 64M --swap 1M --memory-low 3M --pids 77 --cpus 1.5 --cpu-weight 300 --cpuset-cpus 0 \
         --set cgroup.max.depth=3",
        &[
            ("memory", "memory.max", "67108864"),
            ("memory", "memory.swap.max", "1048576"),
            ("memory", "memory.low", "3145728"),
            ("pids", "pids.max", "77"),
            ("cpu", "cpu.max", "150000 100000"),
            ("cpu", "cpu.weight", "300"),
            ("cpuset", "cpuset.cpus", "0"),
            ("v2", "cgroup.max.depth", "3"),
        ],
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.memsw.limit_in_bytes", "68157440"),
            ("memory", "memory.soft_limit_in_bytes", "3145728"),
            ("pids", "pids.max", "77"),
            ("cpu", "cpu.cfs_quota_us", "150000"),
            ("cpu", "cpu.shares", "3072"),
            ("cpuset", "cpuset.cpus", "0"),
            ("v2", "cgroup.max.depth", "3"),
        ],
    ),
    // The kernel rounds memory down. On v1 the CPUs are copied from the parent: without them, the group accepts no process.
    (
        "--memory 67109209 --cpus 50% --cpu-max-burst 10ms --cpuset-mems 0 --set pids.max=7",
        &[
            ("memory", "memory.max", "67108864"),
            ("cpu", "cpu.max.burst", "10000"),
            ("cpuset", "cpuset.mems", "0"),
            ("pids", "pids.max", "7"),
        ],
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("cpu", "cpu.cfs_burst_us", "10000"),
            ("cpuset", "cpuset.mems", "0"),
            ("pids", "pids.max", "7"),
        ],
    ),
];

/// Limits that only v2 has.
const ONLY_V2: &[(&str, Set)] = &[
    ("--memory-high 64M", ("memory", "memory.high", "67108864")),
    ("--memory-min 3M", ("memory", "memory.min", "3145728")),
    ("--memory-zswap-max 3M", ("memory", "memory.zswap.max", "3145728")),
    ("--memory-oom-group", ("memory", "memory.oom.group", "1")),
    ("--cpu-weight-nice -5", ("cpu", "cpu.weight.nice", "-5")),
    ("--cpuset-cpus-partition member", ("cpuset", "cpuset.cpus.partition", "member")),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("each limit of cgexec-rs is in the file that the kernel has for it", &[], |world| {
        let set = |options: &str, sets: &[Set]| {
            let reads: Vec<_> =
                sets.iter().map(|(controller, file, _)| format!("cat \"$(own {controller})/{file}\"")).collect();
            let read = format!("{SHELL}\n{}", reads.join("\n"));
            let values: Vec<_> = sets.iter().map(|(.., value)| *value).collect();
            let inside = world.script(&format!("cgexec-rs {options} -- bash -c \"$READ\"")).variable("READ", read.clone());
            assert_eq!(inside.run().succeeds().lines(), values, "{options}");
            // The control: the current group has none of these values, except for CPUs and their partition.
            let outside = world.script("bash -c \"$READ\" 2>/dev/null || true").variable("READ", read).run();
            let unlimited: Vec<_> = sets.iter().filter(|set| set.0 != "cpuset").map(|set| set.2).collect();
            assert!(outside.lines().iter().all(|line| !unlimited.contains(line)), "{options}\n{outside}");
        };
        for (options, v2, v1) in SETS {
            set(options, if world.in_vm { v2 } else { v1 });
        }
        // In such a group even this command would take seconds on a busy machine.
        let idle = world.sh("cgexec-rs --explain --cpu-idle -- true").succeeds();
        idle.stderr_has("/cpu.idle\", \"1\")");
        if world.in_vm {
            let options: Vec<_> = ONLY_V2.iter().map(|(options, _)| *options).collect();
            return set(&options.join(" "), &ONLY_V2.iter().map(|(_, set)| *set).collect::<Vec<_>>());
        }
        for (options, _) in ONLY_V2 {
            let refused = world.sh(&format!("cgexec-rs {options} -- true")).fails_with(125);
            refused.stderr_has("cgroup v1 hierarchy, which has no such limit");
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
            ("--cpu-uclamp-max 101%", "0% to 100%"),
            ("--rdma-max mlx5_0:handles=2", "mlx5_0:hca_handle=2,hca_object=max"),
            ("--misc-max sev", "sev=4"),
            ("--dmem-max drm/0000:03:00.0/vram0=12Q", "vram0=1G"),
            ("--net-rate 10mbit,burst=0", "from 1500 bytes to 8 seconds"),
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
    Row::new("a limit that this kernel does not have is refused with the name of the controller or of the file", &[], |world| {
        let before = Scan::take();
        for (options, text) in [
            ("--rdma-max mlx5_0:hca_handle=2", "cannot limit with the rdma controller"),
            ("--misc-max sev=4", "cannot limit with the misc controller"),
            ("--dmem-max drm/0000:03:00.0/vram0=1G", "cannot limit with the dmem controller"),
            ("--cpu-uclamp-min 20%", "the cpu controller of this kernel has no cpu.uclamp.min"),
            ("--cpu-uclamp-max max", "the cpu controller of this kernel has no cpu.uclamp.max"),
        ] {
            world.sh(&format!("cgexec-rs {options} -- true")).fails_with(125).stderr_has(text);
        }
        before.wait_until_same(PATIENCE);
        // The control: the cpu controller is there.
        world.sh("cgexec-rs --cpus 50% -- true").succeeds();
    })
    .root_only()
    .host_only(),
    Row::new("a part of the memory is a part of what the groups above allow", &[], |world| {
        let read = format!("{SHELL}\nf=memory.max; ! has_v1 memory || f=memory.limit_in_bytes; cat $(own memory)/$f");
        let script = "cgexec-rs --memory 25% -- bash -c \"$READ\"
             awk '$1 == \"MemTotal:\" { print $2 }' /proc/meminfo
             cgexec-rs --memory 64M -- cgexec-rs --memory 25% -- bash -c \"$READ\"";
        let outcome = world.script(script).variable("READ", read).run().succeeds();
        let numbers: Vec<u64> = outcome.lines().iter().map(|line| line.parse().expect("a number")).collect();
        let [part, all, inner] = numbers[..] else { panic!("{outcome}") };
        // A group above may have less than the machine.
        assert!(part <= all * 1024 / 4 && part > 16 << 20 && inner == 16 << 20, "{outcome}");
        world.sh("cgexec-rs --memory 101% -- true").fails_with(125).stderr_has("from 0.1% to 100%");
    })
    .root_only(),
    Row::new("a limit that the kernel accepts and does not keep is an error", &[Need::CgroupV2("cpuset")], |world| {
        let before = Scan::take();
        // Without CPUs of its own, a partition is invalid; only reading the file shows it.
        world.sh("cgexec-rs --cpuset-cpus-partition root -- true").fails_with(125).stderr_has("root invalid");
        before.wait_until_same(PATIENCE);
        // The control: the type that needs no CPU of its own. The machine may have one only.
        world.sh("cgexec-rs --cpuset-cpus 0 --cpuset-cpus-partition member -- true").succeeds();
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
