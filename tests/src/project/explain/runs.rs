//! What is run with `--explain`, a table for each tool. `$TRACE` is strace with its options, `$ROOT` a root file
//! system, `$OWN` what an unprivileged user needs in addition, `$PLACE` a directory of the run.

/// A run of a tool.
pub struct Run {
    /// Its shell command line.
    pub line: &'static str,
    /// How it ends.
    pub status: i32,
    /// Calls that must be among those that are printed.
    pub calls: &'static [&'static str],
}

pub const fn run(line: &'static str, status: i32, calls: &'static [&'static str]) -> Run {
    Run { line, status, calls }
}

pub const UNSHARE: &[Run] = &[
    run("$TRACE unshare-rs --explain -- /bin/true", 0, &["execve"]),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --uts --hostname 'a \"b' -- true",
        0,
        &["unshare", "mount", "sethostname"],
    ),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --uts --ipc --net --pid --cgroup --time --fork --kill-child \
         --mount-proc --hostname box -- /bin/true",
        0,
        &["unshare", "clone3", "prctl", "mount", "sethostname", "mount", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain -c --propagation slave --mount true",
        0,
        &["unshare", "write", "write", "write", "mount"],
    ),
    run("$TRACE unshare-rs --explain $OWN --mount --propagation unchanged false", 1, &["unshare", "execve"]),
    run("$TRACE unshare-rs --explain --fork /no/such/command", 127, &["clone3"]),
    run("$TRACE unshare-rs --explain /", 126, &["execve"]),
    run(
        "$TRACE unshare-rs --explain $OWN --mount --pid --uts --init --kill-child --mount-proc --domainname dom --name x -- true",
        0,
        &["unshare", "clone3", "prctl", "mount", "setdomainname", "mount", "clone3", "prctl", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain $OWN --time --boottime 5 --monotonic -1 --uts -f --pid-file $PLACE/pid -w / true",
        0,
        &["clone3", "unshare", "write", "write", "clone3", "openat", "renameat", "execve"],
    ),
    run(
        "touch $PLACE/f; unshare-rs $OWN --mount -- $TRACE unshare-rs --explain --uts=$PLACE/f --ipc=$PLACE/no-such-file true",
        125,
        &["clone3", "unshare", "mount", "mount", "umount2"],
    ),
    run(
        "$TRACE unshare-rs --explain -r --setgroups deny -G 0 -S 0 --keep-caps -R / true",
        0,
        &[
            "unshare",
            "write",
            "write",
            "write",
            "chroot",
            "setresgid",
            "prctl",
            "setresuid",
            "capset",
            "prctl",
            "execve",
        ],
    ),
    run(
        "$TRACE unshare-rs --explain --forward-signals -- sh -c 'kill -TERM $PPID; while :; do :; done'",
        143,
        &["clone3", "kill"],
    ),
    run(
        "unshare-rs -r -- sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; $TRACE unshare-rs --explain -u -n true'",
        125,
        &["unshare", "clone3", "unshare"],
    ),
    run(
        "$TRACE unshare-rs --explain --hold --name x --ttl 60 -r --time --boottime 5 --pid | nsenter-rs --pipe --rm -- true",
        0,
        &["unshare", "write", "write", "write", "write", "clone3", "execveat"],
    ),
    run(
        "exec 8>/dev/null 9</dev/null; $TRACE unshare-rs --explain --init --name web -w / --ready-fd 8 --block-fd 9 --clear-env /bin/true",
        0,
        &["chdir", "prctl", "prctl", "clone3", "write", "read", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain --hold --name x --ttl 60 $OWN --mount --pid --uts --hostname x | \
         nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "mount", "sethostname", "execveat"],
    ),
];

/// What takes root's right to any id.
pub const RANGES: &[Run] = &[
    run(
        "$TRACE unshare-rs --explain -r --map-users 0:100000:5 --map-groups 0:100000:5 -- true",
        0,
        &["clone3", "unshare", "write", "write", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain --owner 54321:54321 --setgroups deny -r -n -- true",
        0,
        &["clone3", "setresgid", "setresuid", "unshare", "write", "write", "write", "execve"],
    ),
    run(
        "$TRACE unshare-rs --explain --hold --ttl 60 -r --map-users 0:100000:5 --setgroups deny | nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "write", "write", "write", "execveat"],
    ),
];

pub const NSENTER: &[Run] = &[
    run("$TRACE nsenter-rs --explain -- true", 0, &["execve"]),
    run("$TRACE nsenter-rs --list --explain --output-all", 0, &[]),
    run(
        "hold --mount --pid --uts --net; $TRACE nsenter-rs --explain --target $pid --all -- true; finish",
        0,
        &["clone3", "prctl", "setns", "execve"],
    ),
    run(
        "hold --uts; $TRACE nsenter-rs --explain --target $pid --uts $OWN_USER -- false; finish",
        1,
        &["setns", "execve"],
    ),
    run(
        "hold --mount; $TRACE nsenter-rs --explain -t $pid -m $OWN_USER --tools -- true; finish",
        0,
        &["fsopen", "fsconfig", "fsmount", "openat", "symlinkat", "mount_setattr", "unshare", "mount", "move_mount"],
    ),
    run(
        "hold --mount; mkdir $PLACE/t; echo f >$PLACE/t/f; ln -s f $PLACE/t/l; $TRACE nsenter-rs --explain --copy $PLACE/t $pid:$PLACE/u; finish",
        0,
        &["clone3", "clone3", "prctl", "mkdirat", "openat", "fchmod", "symlinkat", "fchmod", "renameat"],
    ),
    run(
        "hold --mount; mkdir $PLACE/v; echo f >$PLACE/v/f; $TRACE nsenter-rs --explain --copy $pid:$PLACE/v $PLACE/w; finish",
        0,
        &["clone3", "clone3", "prctl", "mkdirat", "openat", "fchmod", "renameat"],
    ),
    run(
        "hold --uts --mount; $TRACE nsenter-rs --explain -t $pid -m -u $OWN_USER --wd --env -F -- true; finish",
        0,
        &["prctl", "setns", "execve"],
    ),
    run(
        "hold --uts --mount; $TRACE nsenter-rs --explain --sealed-copy -t $pid -m -u $OWN_USER -F -- true; finish",
        0,
        &["prctl", "setns", "execve"],
    ),
    run(
        "OWN=; hold --user --map-root-user --uts; $TRACE nsenter-rs --explain -t $pid --user --uts --keep-caps -- true; finish",
        0,
        &["prctl", "setns", "setresgid", "setresuid", "capset", "prctl", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid --uts --ipc --net --cgroup | $TRACE nsenter-rs --explain --pipe --rm -- true",
        0,
        &["clone3", "prctl", "setns", "execve"],
    ),
    run(
        "OWN=; hold --user --map-root-user --uts; \
         $TRACE nsenter-rs --explain -r/ -W/tmp -u/proc/$pid/ns/uts --user=/proc/$pid/ns/user -- true; finish",
        0,
        &["setns", "setns", "chroot", "setresgid", "setresuid", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --uts --net | $TRACE nsenter-rs --explain --pipe --rm -- /no/such/command",
        127,
        &["clone3", "prctl", "setns"],
    ),
];

/// What only root is shown of another process, and may do.
pub const LIKE: &[Run] = &[
    run(
        "chroot-rs --skip-chdir --no-new-privs --seccomp default --capabilities chown,kill --userspec 1234:4321 --groups 5 \
         --rlimit nofile=64:128 --umask 027 --securebits no_setuid_fixup / sleep 60 & P=$!; for i in $(seq 300); do grep -q ^sleep /proc/$P/comm && break; sleep 0.01; done; \
         echo 300 >/proc/$P/oom_score_adj; $TRACE nsenter-rs --explain -t $P --like-target -- true; s=$?; kill $P; exit $s",
        0,
        &[
            "bpf",
            "bpf",
            "bpf",
            "ptrace",
            "ptrace",
            "ptrace",
            "write",
            "setgroups",
            "capset",
            "prctl",
            "setresgid",
            "setresuid",
            "prctl",
            "umask",
            "prlimit64",
            "seccomp",
            "execve",
        ],
    ),
    run(
        "unshare -U -r unshare -U -r -u sleep 60 & P=$!; for i in $(seq 300); do grep -q ^sleep /proc/$P/comm && break; sleep 0.01; done; \
         $TRACE nsenter-rs --explain -t $P -a -- true; s=$?; kill $P; exit $s",
        0,
        &["setns", "execve"],
    ),
];

/// What only root may do.
pub const CGEXEC: &[Run] = &[
    run("$TRACE cgexec-rs --explain -- true", 0, &["execve"]),
    run(
        "$TRACE cgexec-rs --explain --memory 64M --swap 0 --pids 50 --cpus 1.5 -- /bin/true",
        0,
        &["clone3", "clone3", "mkdirat", "write", "write", "write", "execve", "unlinkat"],
    ),
    run(
        "$TRACE cgexec-rs --explain --name ex-plain --pids 50 -- /no/such/command",
        127,
        &["clone3", "clone3", "mkdirat", "write", "write", "unlinkat"],
    ),
    run(
        "unshare-rs --hold --ttl 60 --mount --pid --cgroup | $TRACE cgexec-rs --explain --pipe --memory 64M --pids 50 | \
               nsenter-rs --pipe --rm -- true",
        0,
        &["clone3", "clone3", "mkdirat", "write", "unlinkat"],
    ),
    run(
        "$TRACE cgexec-rs --explain --report=$PLACE/report --max-time 1h -- true",
        0,
        &["openat", "clone3", "clone3", "mkdirat", "clone3", "write", "prctl", "execve", "unlinkat"],
    ),
    run(
        "$TRACE cgexec-rs --explain --device-allow c:1:3 --net-rate 10mbit -- true",
        0,
        &["clone3", "clone3", "mkdirat", "bpf", "bpf", "bpf", "write", "execve", "unlinkat"],
    ),
    run(
        "v2=$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/mounts); mkdir $v2/explain-rate; \
         cgexec-rs --cgroup /explain-rate --net-rate 1mbit; \
         $TRACE cgexec-rs --explain --cgroup /explain-rate --net-rate 2mbit; s=$?; rmdir $v2/explain-rate; exit $s",
        0,
        &["bpf", "bpf", "bpf", "bpf"],
    ),
    run("hold --uts; echo \"$record\" | $TRACE cgexec-rs --explain --pipe --show >/dev/null; finish", 0, &[]),
];

/// On a host all of it is open: whatever can be printed is printed.
pub const AUDIT: &[Run] = &[run(
    "cd $PLACE && $TRACE chroot-rs --explain --audit >/dev/null",
    1,
    &[
        "clone",
        "chroot",
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "open_tree",
        "mount_setattr",
        "unshare",
        "setns",
        "sethostname",
        "reboot",
        "keyctl",
        "bpf",
        "socket",
    ],
)];

pub const CHROOT: &[Run] = &[
    run("$TRACE chroot-rs --explain --skip-chdir / true", 0, &["chroot", "execve"]),
    // Without a port: strace 6.1 does not know such a rule.
    run(
        "$TRACE chroot-rs --explain --keep-root --landlock-ro / --landlock read_dir:/ true",
        0,
        &[
            "prctl",
            "landlock_create_ruleset",
            "landlock_add_rule",
            "landlock_add_rule",
            "landlock_restrict_self",
            "execve",
        ],
    ),
    run(
        "$TRACE chroot-rs --explain --userspec 1000:1000 --groups 5,6 $ROOT /bin/true",
        0,
        &["chroot", "setgroups", "execve"],
    ),
    run(
        "$TRACE chroot-rs --explain --no-new-privs --seccomp default --rlimit nofile=64:128 --umask 027 --securebits noroot \
         --landlock-ro / --landlock-rw /tmp --setenv A=b / true",
        0,
        &[
            "chroot",
            "prlimit64",
            "prctl",
            "prctl",
            "umask",
            "landlock_create_ruleset",
            "landlock_add_rule",
            "landlock_add_rule",
            "landlock_restrict_self",
            "seccomp",
            "execve",
        ],
    ),
    run(
        "mkdir $PLACE/r; unshare-rs $OWN --mount -- $TRACE chroot-rs --explain --bind /etc/passwd:/new --mask /no-such $PLACE/r true",
        125,
        &["mkdirat", "renameat2", "unlinkat"],
    ),
    run("$TRACE chroot-rs --explain --capabilities chown,kill / true", 0, &["chroot", "prctl", "capset", "execve"]),
];

/// What takes binfmt_misc, which Debian's kernels have as a module.
pub const INTERPRETERS: &[Run] = &[run(
    "$TRACE unshare-rs --explain -r -pf -l :explain:E::explain::/bin/true: true",
    0,
    &["unshare", "clone3", "mount", "mount", "mount", "write"],
)];

/// What the owner of a user namespace may do as well.
pub const ROOTS: &[Run] = &[
    run(
        "unshare-rs $OWN --mount --pid --fork -- $TRACE chroot-rs --explain --std $ROOT -- /bin/true",
        0,
        &["fsopen", "move_mount", "pivot_root", "umount2", "prctl", "execve"],
    ),
    run(
        "unshare-rs $OWN --mount --pid --uts --fork -- $TRACE chroot-rs --explain --std --host-root -- /bin/true",
        0,
        &["fsopen", "move_mount", "pivot_root", "umount2", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid | $TRACE chroot-rs --explain --pipe --std $ROOT | nsenter-rs --pipe --rm -- /bin/true",
        0,
        &["clone3", "setns", "move_mount", "pivot_root", "umount2"],
    ),
    run(
        "mkdir $PLACE/b; echo '{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"'$ROOT'\"},\"linux\":{\"personality\":{\"domain\":\"LINUX32\"}},\
         \"mounts\":[{\"destination\":\"/srv\",\"source\":\"/etc\",\"options\":[\"rbind\",\"rslave\"]}],\
         \"process\":{\"cwd\":\"/\",\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":5,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},\
         \"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":4}}}' >$PLACE/b/config.json; \
         unshare-rs $OWN --mount --pid --fork -- $TRACE chroot-rs --explain --oci $PLACE/b -- /bin/true",
        0,
        &["open_tree", "mount_setattr", "sched_setattr", "ioprio_set", "personality", "execve"],
    ),
    run(
        "unshare-rs --hold --ttl 60 $OWN --mount --pid --uts --net --ipc | chroot-rs --pipe --std --host-root | \
         $TRACE nsenter-rs --explain --pipe --rm -- /bin/true",
        0,
        &["clone3", "setns", "capset", "execve"],
    ),
];
