//! The system call filter: the same profile gives the same answers under crun and under chroot-rs, number by number, and
//! the default one applies in the chain and in the pipe.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::need::{BUSYBOX, CRUN, Need, PERL};
use crate::harness::row::Row;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a profile gives the same answers under chroot-rs as under crun, number by number",
        &[BUSYBOX, CRUN, Need::Program("cc", "gcc")],
        |world| {
            let place = world.directory("seccomp-crun");
            let root = place.join("root");
            for directory in ["proc", "dev"] {
                fs::create_dir_all(root.join(directory)).expect("a root");
            }
            let probe = format!("cc -O1 -static -o {0}/probe -x c - && chmod 755 {0}/probe", root.display());
            world.script(&probe).stdin(PROBE).run().succeeds();
            for (number, profile) in profiles().iter().enumerate() {
                let bundle = place.join(format!("bundle-{number}"));
                let file = place.join(format!("profile-{number}.json"));
                fs::create_dir(&bundle).expect("a bundle");
                fs::write(&file, profile.to_string()).expect("a profile");
                fs::write(bundle.join("config.json"), config(&root, profile).to_string()).expect("a configuration");
                // crun refuses a machine that has both cgroup v2 and v1 mounted: unmount v2 for it.
                let theirs = format!(
                    "unshare-rs --mount -- sh -c 'for at in $(findmnt -rno TARGET -t cgroup2); do umount $at; done; \
                     exec crun --cgroup-manager=disabled run --bundle {} suite-seccomp-{}-{number}'",
                    bundle.display(),
                    std::process::id()
                );
                let ours = format!(
                    "unshare-rs --mount --pid --ipc --uts --net --fork -- chroot-rs --no-new-privs --capabilities none --seccomp {} {} /probe",
                    file.display(),
                    root.display()
                );
                let theirs = world.sh(&theirs).succeeds();
                let ours = world.sh(&ours).succeeds();
                assert!(theirs.lines().len() > 1400, "the probe did not run to its end\n{theirs}");
                let differences: Vec<_> =
                    theirs.lines().into_iter().zip(ours.lines()).filter(|(theirs, ours)| theirs != ours).collect();
                assert!(differences.is_empty(), "profile {number}, crun and ours: {differences:#?}\n{profile:#}");
                assert_eq!(theirs.lines().len(), ours.lines().len());
            }
        },
    )
    .root_only()
    .host_only(),
    Row::new("where a filter refuses close_range(2), descriptors are closed one by one", &[BUSYBOX], |world| {
        let (root, place) = (world.busybox_root().display(), world.directory("no-close-range"));
        let filter = |name: &str, calls: &[&str], errno: u32| {
            let file = place.join(name);
            let rule = json!({"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
            fs::write(&file, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).to_string()).expect("a profile");
            file.display().to_string()
        };
        let open = "exec 7</etc 9</etc/passwd 200</dev/zero";
        let list = "-- /bin/busybox sh -c 'for fd in /proc/self/fd/*; do [ -e $fd ] && echo -n \"${fd##*/} \"; done; :'";
        let chain = |options: &str| world.sh(&format!("{open}; unshare-rs --mount --pid --fork -- chroot-rs --std {options} {root} {list}"));
        // The shell itself opens the directory as 3.
        for errno in [1, 38] {
            let refusing = filter(&format!("refused-{errno}"), &["close_range"], errno);
            chain(&format!("--allow-new-privs --seccomp {refusing}")).succeeds().stdout_is("0 1 2 ");
            // The control: they are open without being closed.
            chain(&format!("--allow-new-privs --preserve-fds 200 --seccomp {refusing}")).succeeds().stdout_has("200 7 9 ");
            // A filter around all tools.
            let around = format!("chroot-rs --skip-chdir --no-new-privs --seccomp {refusing} / sh -c");
            let pipe = format!("unshare-rs --hold --mount --pid | chroot-rs --pipe --std {root} | nsenter-rs --pipe --rm {list}");
            world.script(&format!("{open}; {around} \"$PIPE\"")).variable("PIPE", &pipe).run().succeeds().stdout_is("0 1 2 ");
        }
        // What cannot be closed is not passed on.
        let refusing = filter("also-close", &["close_range", "close"], 1);
        chain(&format!("--allow-new-privs --seccomp {refusing}")).fails_with(125).stderr_has("close_range(").stdout_is("");
    })
    .root_only(),
    Row::new("the default filter applies in the chain and in the pipe", &[BUSYBOX, Need::UserNamespaces], |world| {
        let look = "grep ^Seccomp: /proc/self/status; unshare -U true 2>&1; mount -t tmpfs x /mnt 2>&1; true";
        for script in both(world, "", look) {
            world.sh(&script).succeeds().stdout_has("Seccomp:\t2").stdout_has("unshare(0x10000000)");
        }
    }),
    Row::new("a profile from a file applies in the chain and in the pipe", &[BUSYBOX, Need::UserNamespaces], |world| {
        let file = world.directory("seccomp-file").join("profile.json");
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        ]});
        fs::write(&file, profile.to_string()).expect("a profile");
        for script in both(world, &format!("--seccomp {}", file.display()), "mkdir /tmp/x 2>&1; id -u") {
            world.sh(&script).succeeds().stdout_is("mkdir: can't create directory '/tmp/x': No space left on device\n0\n");
        }
    }),
    Row::new("the default filter answers x32 calls as a kernel without x32 does", &[PERL, Need::UserNamespaces], |world| {
        // getpid(2) of x32, and a number that no call has.
        let script = r#"perl -e 'for (39, 599) { my $r = syscall(0x40000000 | $_); print "$r ", $! + 0, "\n" }'"#;
        let run = |filter: &str| {
            let user = world.as_root();
            world.sh(&format!("unshare-rs {user} --mount --pid --fork -- chroot-rs --std {filter} --host-root -- {script}"))
        };
        run("").succeeds().stdout_is("-1 38\n-1 38\n");
        // A profile that does not name x32 kills the process, as it does under crun.
        let file = world.directory("seccomp-x32").join("profile.json");
        fs::write(&file, r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}"#).expect("a profile");
        run(&format!("--seccomp {}", file.display())).fails_with(128 + 31).stdout_is("");
    })
    .host_only(),
    Row::new("with --seccomp-log the kernel logs what the filter refuses, and without it nothing", &[Need::UserNamespaces], |world| {
        let run = |options: &str| world.sh(&format!("chroot-rs --keep-root --seccomp default {options} --explain true")).succeeds();
        run("--seccomp-log").stderr_has("seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, ");
        run("").stderr_has("seccomp(SECCOMP_SET_MODE_FILTER, 0, ");
        world.sh("chroot-rs --keep-root --seccomp-log true").fails_with(125).stderr_has("--seccomp-log needs --seccomp");
        let as_root = if world.is_root { "" } else { "--map-root-user" };
        let pipe = format!("unshare-rs --hold {as_root} --mount --pid | chroot-rs --pipe --std --seccomp-log --host-root | tee r | nsenter-rs --pipe --rm -- true; grep -o '\"seccomp_log\":true' r; rm r");
        world.sh(&format!("cd {}; {pipe}", world.directory("seccomp-log-pipe").display())).stdout_is("\"seccomp_log\":true\n");
        if world.is_root {
            // What the kernel keeps of the filter. Its log is limited in rate, so nothing there can be relied on.
            let script = "flags() {
                    chroot-rs --keep-root --seccomp default $1 -- sleep 86483 & P=$!
                    until grep -qs '^sleep' /proc/$P/comm; do sleep 0.01; done
                    nsenter-rs -t $P --like-target --explain -m -- true 2>&1 | grep -o 'MODE_FILTER, [A-Z_0-9]*,'; kill $P; }
                flags --seccomp-log; flags";
            world.sh(script).stdout_is("MODE_FILTER, SECCOMP_FILTER_FLAG_LOG,\nMODE_FILTER, 0,\n");
        }
    })
    .host_only(),
    Row::new("--seccomp none sets no filter", &[BUSYBOX, Need::UserNamespaces], |world| {
        for script in both(world, "--seccomp none", "grep ^Seccomp: /proc/self/status") {
            world.sh(&script).succeeds().stdout_is("Seccomp:\t0\n");
        }
    }),
    Row::new("a profile that is not understood changes nothing", &[BUSYBOX], |world| {
        let place = world.directory("seccomp-wrong");
        for (text, named) in [
            (r#"{"defaultAction":"SCMP_ACT_FLY"}"#, "SCMP_ACT_FLY"),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_LIKE"}]}]}"#, "SCMP_CMP_LIKE"),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","later":1}"#, "later"),
            ("no json", "line 1"),
        ] {
            let file = place.join("profile.json");
            fs::write(&file, text).expect("a profile");
            let line = format!("chroot-rs --seccomp {} / true", file.display());
            world.sh(&line).fails_with(125).stderr_has("chroot-rs: cannot use the seccomp profile").stderr_has(named);
        }
        world.sh("chroot-rs --seccomp /no/such/file / true").fails_with(125).stderr_has("openat(AT_FDCWD, \"/no/such/file\", O_RDONLY|O_NONBLOCK): ENOENT");
    }),
];

/// Returns the chain and the pipe.
fn both(world: &World, options: &str, script: &str) -> [String; 2] {
    let root = world.busybox_root().display();
    let user = world.as_root();
    [
        format!("unshare-rs {user} --mount --pid --fork -- chroot-rs --std {options} {root} -- /bin/sh -c '{script}'"),
        format!(
            "unshare-rs --hold --ttl 60 {user} --mount --pid | chroot-rs --pipe --std {options} {root} | \
             nsenter-rs --pipe --rm -- /bin/sh -c '{script}'"
        ),
    ]
}

/// Makes the call with each number on each of the three architectures, in a child for each, with harmless arguments, and
/// with those that the profiles compare; prints errno, or the signal.
const PROBE: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static long call64(long n, long a, long b, long c) {
    long r;
    register long r10 __asm__("r10") = -1, r8 __asm__("r8") = -1, r9 __asm__("r9") = -1;
    __asm__ volatile("syscall" : "=a"(r) : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}
static long call32(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c), "S"(-1), "D"(-1) : "memory");
    return r;
}
static int is_left_out(int kind, long n) {
    /* They never return, or leave something behind. */
    static const short of64[] = {15, 34, 56, 57, 58, 60, 61, 112, 219, 231, 247, 435}, of32[] = {1, 2, 7, 29, 119, 120, 173, 190, 252, 284, 435, 66, 0, 114, 72, 179, 176};
    const short *all = kind == 1 ? of32 : of64;
    int count = kind == 1 ? sizeof of32 / sizeof *of32 : sizeof of64 / sizeof *of64;
    for (int i = 0; i < count; i++)
        if (all[i] == n) return 1;
    return 0;
}
int main(void) {
    static const long arguments[][3] = {{-1, -1, -1}, {-1, 0x5412, -1}, {-1, 0x100005412, -1}, {40, -1, -1}, {8, 8, 8}, {0x100000028, -1, -1}};
    for (int kind = 0; kind < 3; kind++)
        for (long n = 0; n <= 470; n++)
            for (int set = 0; set < ((kind == 1 ? n == 54 || n == 136 || n == 359 : n == 16 || n == 41 || n == 135) ? 6 : 1); set++) {
                if (is_left_out(kind, n)) continue;
                int ends[2], status;
                if (pipe(ends)) return 1;
                pid_t child = fork();
                if (child < 0) return 1;
                if (child == 0) {
                    alarm(2);
                    const long *a = arguments[set];
                    long r = kind == 1 ? call32(n, a[0], a[1], a[2]) : call64(kind == 2 ? n | 0x40000000 : n, a[0], a[1], a[2]);
                    if (write(ends[1], &r, sizeof r) != sizeof r) _exit(9);
                    _exit(0);
                }
                close(ends[1]);
                long r = 0;
                int answered = read(ends[0], &r, sizeof r) == sizeof r;
                close(ends[0]);
                waitpid(child, &status, 0);
                int errno_of = r < 0 && r > -4096 ? (int)-r : 0;
                if (kind == 1 && (int)r < 0 && (int)r > -4096) errno_of = -(int)r;
                printf("%d %ld %d: %s %d\n", kind, n, set, answered ? "errno" : "signal", answered ? errno_of : WTERMSIG(status));
                fflush(stdout);
            }
    return 0;
}
"#;

/// The calls that end a program, and those that it needs to print the answer.
const NEEDED: &str = "read write close fork clone clone3 wait4 pipe pipe2 exit exit_group execve fstat newfstatat brk mmap \
    munmap mprotect alarm set_tid_address set_robust_list rseq arch_prctl prlimit64 readlink readlinkat \
    getrandom rt_sigprocmask gettid ioctl statx getcwd chdir prctl capset capget setresuid setresgid \
    setgroups setuid setgid fcntl openat open close_range dup dup2 dup3 lseek seccomp rt_sigaction \
    getdents64 futex fstatfs umask";

/// Returns profiles with several actions, errnos, operators and architectures, which allow [`NEEDED`].
fn profiles() -> Vec<Value> {
    let needed: Vec<_> = NEEDED.split(' ').collect();
    let arg =
        |index: u32, value: u64, two: u64, op: &str| json!({"index": index, "value": value, "valueTwo": two, "op": op});
    let rule = |names: &[&str], action: &str, errno: Option<u32>, args: Vec<Value>| {
        let mut rule = json!({"names": names, "action": action, "args": args});
        if let Some(errno) = errno {
            rule["errnoRet"] = errno.into();
        }
        rule
    };
    let all = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    vec![
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95, "architectures": all, "syscalls": [
            rule(&needed, "SCMP_ACT_ALLOW", None, vec![]),
            rule(&["getpid", "getppid", "getuid"], "SCMP_ACT_ERRNO", Some(61), vec![]),
            rule(&["socket"], "SCMP_ACT_ALLOW", None, vec![arg(0, 40, 0, "SCMP_CMP_NE")]),
            rule(&["personality"], "SCMP_ACT_ALLOW", None, vec![arg(0, 8, 0, "SCMP_CMP_EQ")]),
            rule(&["no_such_call"], "SCMP_ACT_ALLOW", None, vec![]),
        ]}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": all, "syscalls": [
            rule(&["mount", "umount2", "keyctl", "bpf", "unshare", "setns", "mkdir", "mkdirat", "statfs"], "SCMP_ACT_ERRNO", Some(38), vec![]),
            rule(&["kexec_load", "reboot"], "SCMP_ACT_KILL_PROCESS", None, vec![]),
            rule(&["swapon", "acct"], "SCMP_ACT_TRAP", None, vec![]),
            rule(&["personality"], "SCMP_ACT_ERRNO", Some(7), vec![arg(0, 40, 0, "SCMP_CMP_GE")]),
            rule(&["socket"], "SCMP_ACT_ERRNO", Some(97), vec![arg(0, 0xffff_ffff, 40, "SCMP_CMP_MASKED_EQ")]),
        ]}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            rule(&["personality"], "SCMP_ACT_ERRNO", Some(7), vec![arg(0, 8, 0, "SCMP_CMP_LE"), arg(1, 8, 0, "SCMP_CMP_LT")]),
            rule(&["socket"], "SCMP_ACT_ERRNO", Some(9), vec![arg(0, 40, 0, "SCMP_CMP_GT"), arg(1, 7, 0, "SCMP_CMP_GT")]),
            rule(&["sysfs", "ustat"], "SCMP_ACT_TRACE", None, vec![]),
            rule(&["getpriority"], "SCMP_ACT_KILL", None, vec![]),
        ]}),
    ]
}

/// Returns a configuration for crun with only the profile, no capability, and a mount namespace of its own.
fn config(root: &Path, profile: &Value) -> Value {
    json!({
        "ociVersion": "1.0.0",
        "root": {"path": root, "readonly": true},
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/probe"], "env": [],
            "noNewPrivileges": true, "capabilities": {"bounding": [], "effective": [], "permitted": []},
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}], "seccomp": profile},
    })
}
