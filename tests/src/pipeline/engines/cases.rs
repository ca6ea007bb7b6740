//! The cases: shell lines that are run with each runtime as `$R`, and a text that both must show.

/// A case.
pub struct Case {
    pub name: &'static str,
    pub lines: &'static str,
    pub shows: &'static str,
    /// Whether the tests run it, and not only `cargo xtask engines`.
    pub in_every_run: bool,
}

const fn case(name: &'static str, lines: &'static str, shows: &'static str) -> Case {
    Case { name, lines, shows, in_every_run: false }
}

const fn always(name: &'static str, lines: &'static str, shows: &'static str) -> Case {
    Case { name, lines, shows, in_every_run: true }
}

pub const DOCKER: &[Case] = &[
    always("exit status", "run box sh -c 'echo out; echo err >&2; exit 5'", "status 5"),
    always("no such command", "run box nosuch 2>/dev/null", "status 127"),
    case("not executable", "run box /text 2>/dev/null", "status 126"),
    case(
        "environment, user, groups, directory",
        "run -e A=b -w /srv/new --user 1000:77 --group-add 5 box sh -c 'env | sort | grep -v HOSTNAME; id; pwd'",
        "gid=77",
    ),
    case(
        "host name",
        "run -h web --domainname example.org --add-host other:10.1.2.3 box sh -c 'hostname; cat /proc/sys/kernel/domainname; grep other /etc/hosts'",
        "web",
    ),
    case("capabilities", "run --cap-add NET_ADMIN --cap-drop CHOWN box grep Cap /proc/self/status", "CapEff"),
    case(
        "no capability",
        "run --cap-drop ALL --security-opt no-new-privileges box grep -E 'Cap|NoNew' /proc/self/status",
        "NoNewPrivs:\t1",
    ),
    case(
        "read-only",
        "run --read-only --tmpfs /t:size=1m box sh -c 'echo >/x; echo >/t/x && echo written; grep \" /t \" /proc/mounts'",
        "written",
    ),
    case(
        "volumes",
        "run -v $D/vol:/v:ro -v named:/w box sh -c 'cat /v/file; echo >/v/x; echo >/w/x && echo written'",
        "written",
    ),
    case(
        "mount",
        "run --mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=1770 --shm-size 2m box sh -c 'grep -E \" (/m|/dev/shm) \" /proc/mounts'",
        "size=2048k",
    ),
    case(
        "resource limits",
        "run --ulimit nofile=100:200 --ulimit core=0 box sh -c 'ulimit -n; ulimit -Hn; ulimit -c'",
        "200",
    ),
    case("init", "run --init box sh -c 'cat /proc/1/comm; exit 4'", "docker-init"),
    case(
        "device",
        "run --device /dev/fuse box sh -c 'ls -l /dev/fuse | cut -c1-10; : </dev/fuse && echo opened'",
        "opened",
    ),
    case("devices", "run box sh -c 'ls /dev | grep -v core; mknod /tmp/x c 10 229; : </tmp/x '", "can't open /tmp/x"),
    case("host network", "$E run --rm --network host --runtime $R box readlink /proc/self/ns/net", "net:"),
    case(
        "bridge",
        "$E run --rm --runtime $R box sh -c 'ip -o -4 address show eth0 | sed s/.*inet.//; ip route | head -1'",
        "10.213.7.2/24",
    ),
    case(
        "host pid",
        "run --pid host box sh -c 'readlink /proc/1/ns/pid; readlink /proc/self/ns/pid; exit 2'",
        "status 2",
    ),
    case("host ipc and uts", "run --ipc host --uts host box sh -c 'readlink /proc/self/ns/ipc; hostname'", "ipc:"),
    case(
        "user and network of another container",
        "daemon --ipc shareable box sleep 100; $E run --rm --network container:cc --pid container:cc --ipc container:cc --runtime $R box sh -c 'ps | grep -c \"[s]leep 100\"'; gone",
        "1\n",
    ),
    always(
        "limits",
        "run -m 64m --memory-swap 64m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 40 box sh -c 'cat /proc/self/cgroup | sort -t: -k2; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.shares; nproc' | grep -v -e name=systemd -e '^0::'",
        "67108864\n40\n50000\n512\n1\n",
    ),
    case(
        "sysctl",
        "run --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shm_rmid_forced=1 box cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
        "1\n0\n1\n",
    ),
    always(
        "terminal",
        "timeout 60 script -qec \"$E run --rm -t --network none --runtime $R box sh -c 'tty; ls -l /dev/console | cut -c1-10; readlink /proc/self/fd/2; exit 6'\" /dev/null",
        "/dev/pts/0",
    ),
    case(
        "input",
        "echo words | $E run --rm -i --network none --runtime $R box sh -c 'read a; echo \"<$a>\"'",
        "<words>",
    ),
    case("log", "daemon box sh -c 'echo one; echo two >&2'; $E wait cc; $E logs cc; gone", "two"),
    case(
        "no filter",
        "run --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status; run box grep Seccomp: /proc/self/status",
        "Seccomp:\t2",
    ),
    case("own cgroup namespace", "run --cgroupns private box sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u'", "/\n"),
    case(
        "masked and read-only paths",
        "run box sh -c 'cat /proc/kcore /proc/timer_list | wc -c; echo 1 >/proc/sys/kernel/panic; ls /sys/firmware'",
        "0\n",
    ),
    case(
        "umask and personality",
        "run box sh -c 'umask; cat /proc/self/personality; cat /proc/self/oom_score_adj'",
        "0022",
    ),
    always(
        "exec",
        "daemon box sleep 100; $E exec -e A=5 -w /bin -u 1000:5 cc sh -c 'echo $A; pwd; id; grep -E \"Cap|Seccomp:|NoNew\" /proc/self/status; exit 9'; echo $?; $E exec cc nosuch >/dev/null 2>&1; echo $?; gone",
        "\n9\n126\n",
    ),
    case(
        "exec with a terminal and input",
        "daemon box sleep 100; timeout 60 script -qec \"$E exec -t cc tty\" /dev/null; echo words | $E exec -i cc cat; $E exec -d cc sh -c 'echo done >/done'; until $E exec cc cat /done 2>/dev/null; do sleep 0.05; done; gone",
        "/dev/pts/0",
    ),
    case(
        "exec with privileges",
        "daemon --cap-drop ALL box sleep 100; $E exec cc grep CapEff /proc/self/status; $E exec -u 1000 cc grep CapEff /proc/self/status; gone",
        "CapEff:\t0000000000000000",
    ),
    always(
        "top, pause, update, stats",
        "daemon box sleep 100; $E top cc -o args; $E pause cc; $E inspect -f '{{.State.Status}}' cc; $E unpause cc; $E update -m 50m --memory-swap 50m --pids-limit 30 cc 2>/dev/null; $E exec cc cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max; $E stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' cc | sed 's/ .* / /'; gone",
        "paused",
    ),
    always(
        "stop, start, restart, kill",
        "daemon box sh -c 'trap \"exit 3\" TERM; while :; do sleep 0.1; done'; $E stop -t 20 cc; $E inspect -f '{{.State.ExitCode}}' cc; $E start cc; $E restart -t 20 cc; $E kill -s KILL cc; $E wait cc; $E inspect -f '{{.State.Status}} {{.State.OOMKilled}}' cc; gone",
        "exited false",
    ),
    case(
        "signals",
        "daemon box sh -c 'trap \"echo USR1\" USR1; trap \"exit 8\" INT; while :; do sleep 0.1; done'; $E kill -s USR1 cc; until $E logs cc | grep -q USR1; do sleep 0.05; done; $E kill -s 2 cc; $E wait cc; gone",
        "8\n",
    ),
    case(
        "out of memory",
        "daemon -m 20m --memory-swap 20m box sh -c 'x=a; while :; do x=$x$x; done'; $E wait cc; $E inspect -f '{{.State.OOMKilled}}' cc; gone",
        "137\ntrue",
    ),
    case(
        "health check",
        "daemon --health-cmd 'test -e /ok' --health-interval 200ms box sh -c ': >/ok; sleep 100'; until [ $($E inspect -f '{{.State.Health.Status}}' cc) = healthy ]; do sleep 0.1; done; echo healthy; gone",
        "healthy",
    ),
    case(
        "restart policy",
        "daemon --restart on-failure:2 box sh -c 'exit 1'; until [ $($E inspect -f '{{.State.Status}} {{.RestartCount}}' cc | tr -d ' ') = exited2 ]; do sleep 0.1; done; echo restarted; gone",
        "restarted",
    ),
    case(
        "two containers on one network",
        "$E network create net$R >/dev/null; $E run -d --name srv --network net$R --runtime $R box sh -c 'echo hello | nc -l -p 80' >/dev/null; until $E run --rm --network net$R --runtime $R box sh -c 'nc srv 80 </dev/null | grep hello'; do sleep 0.1; done; $E rm -f srv; $E network rm net$R >/dev/null",
        "hello",
    ),
    case(
        "rename, copy, diff",
        "daemon box sh -c 'echo 1 >/made; sleep 100'; until $E exec cc test -e /made; do sleep 0.05; done; $E diff cc | grep made; $E cp cc:/made - | tar -xO; gone",
        "A /made",
    ),
];

pub const CONTAINERD: &[Case] = &[
    always("run", "run --env A=b $D/root c /bin/sh -c 'echo $A; exit 3'", "status 3"),
    case(
        "user, directory, read-only",
        "run --cwd /bin --read-only $D/root c /bin/sh -c '/bin/id -u; pwd; echo >/x'",
        "/bin\n",
    ),
    case("host network", "run --net-host $D/root c /bin/readlink /proc/self/ns/net", "net:"),
    case(
        "limits",
        "run --memory-limit 50000000 --cpus 0.5 $D/root c /bin/sh -c '/bin/grep memory: /proc/self/cgroup'",
        "/suite_ctr/c",
    ),
    always(
        "exec, pause, kill",
        "daemon $D/root c /bin/sleep 100; $E task exec --exec-id e c /bin/sh -c '/bin/id -u; exit 4'; echo $?; $E task exec --exec-id f --user 7 c /bin/id -u; $E task pause c; $E task ls | grep -o PAUSED; $E task resume c; $E task ps c | tail -n +2 | wc -l; $E task metrics c | grep -c memory; gone",
        "PAUSED",
    ),
    case(
        "a terminal",
        "timeout 60 script -qec \"$E run --runc-binary $(path) --rm -t --rootfs $D/root c /bin/tty\" /dev/null",
        "/dev/pts/0",
    ),
    case("no such command", "run $D/root c /bin/nosuch >/dev/null 2>&1", "status 1"),
];

pub const PODMAN: &[Case] = &[
    always("exit status", "run -e A=b --user 1000:77 -w /srv box sh -c 'echo $A; id; pwd; exit 5'", "status 5"),
    case("no such command", "run box nosuch 2>/dev/null", "status 127"),
    case("read-only", "run --read-only --tmpfs /t box sh -c 'echo >/x; echo >/t/x && echo written'", "written"),
    case(
        "limits",
        "run -m 64m --pids-limit 40 --cpu-shares 512 box sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.shares'",
        "67108864\n40\n512\n",
    ),
    case("user namespace", "run --uidmap 0:100000:1000 box sh -c 'cat /proc/self/uid_map; id -u'", "100000"),
    case(
        "namespaces of another container",
        "daemon box sleep 100; P run --rm --ulimit nproc=1000:1000 --ulimit nofile=128:256 --network container:cc --pid container:cc box sh -c 'ps | grep -c \"[s]leep 100\"'; gone",
        "1\n",
    ),
    case(
        "pod",
        "P pod create --name p --infra=false --share \"\" >/dev/null; P run --rm --pod p --ulimit nproc=1000:1000 --ulimit nofile=128:256 --network none box echo in a pod; P pod rm -f p >/dev/null",
        "in a pod",
    ),
    case(
        "a terminal",
        "timeout 60 script -qec \"$E --runtime $(path) run --rm -t $L box tty\" /dev/null",
        "/dev/pts/0",
    ),
    always(
        "exec, top, pause, kill",
        "daemon box sh -c 'trap \"exit 3\" TERM; while :; do sleep 0.1; done'; P exec -e A=5 cc sh -c 'echo $A; exit 9'; echo $?; P top cc user | sort -u; P pause cc >/dev/null; P inspect -f '{{.State.Status}}' cc; P unpause cc >/dev/null; P stop -t 20 cc >/dev/null; P inspect -f '{{.State.ExitCode}}' cc; gone",
        "paused",
    ),
    case(
        "exec with a terminal",
        "daemon box sleep 100; timeout 60 script -qec \"$E --runtime $(path) exec -t cc tty\" /dev/null; echo words | P exec -i cc cat; gone",
        "words",
    ),
    case(
        "out of memory",
        "daemon -m 20m --memory-swap 20m box sh -c 'x=a; while :; do x=$x$x; done'; P wait cc; P inspect -f '{{.State.OOMKilled}}' cc; gone",
        "137\n",
    ),
    case(
        "log and restart",
        "daemon box sh -c 'echo one; sleep 100'; P restart -t 0 cc >/dev/null; until [ $(P logs cc | grep -c one) = 2 ]; do sleep 0.1; done; echo twice; gone",
        "twice",
    ),
];
