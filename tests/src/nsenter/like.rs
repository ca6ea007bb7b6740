//! `--like-target`: the command runs like the target, compared line by line by what the kernel shows of both; and what
//! is forbidden to one is forbidden to the other.

use crate::harness::need::{Need, PERL, SETPRIV, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;

/// `target OPTIONS` makes a target whose first process is `$P` inside `chroot-rs OPTIONS`; `same` compares.
const PREAMBLE: &str = r#"
target() {
    $AROUND chroot-rs "$@" / sleep 86440 >/dev/null & OUTER=$!
    trap 'kill -KILL $P $OUTER' EXIT
    P=$OUTER
    case $AROUND in unshare*) for i in $(seq 500); do P=$(child $OUTER); grep -qs '^sleep' /proc/$P/comm && break; sleep 0.01; done;; esac
    for i in $(seq 500); do grep -qs '^sleep' /proc/$P/comm && break; sleep 0.01; done
    for i in $(seq 500); do [ "$(state $P)" = S ] && break; sleep 0.01; done
}
FIELDS='^(Umask|Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|Cpus_allowed|Cpus_allowed_list):'
picture() { grep -E "$FIELDS" /proc/$1/status; cat /proc/$1/limits /proc/$1/oom_score_adj /proc/$1/cgroup; }
same() {
    picture $P >theirs
    export FIELDS
    nsenter-rs -t $P "$@" --like-target -- bash -c "$(declare -f picture); picture self" >ours 2>err; echo $?
    diff theirs ours && echo same; cat err
}
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a command like the target equals it in every line of /proc", &[UNSHARE], |world| {
        for options in [
            "--skip-chdir",
            "--skip-chdir --umask 027 --rlimit nofile=77:99 --rlimit core=0 --rlimit nproc=100:200 --rlimit fsize=1M:2M --rlimit stack=1M:4M",
            "--skip-chdir --userspec 1234:4321 --groups 5,6,7 --capabilities none",
            "--skip-chdir --userspec 1234:4321 --capabilities chown,kill,net_raw --no-new-privs",
            "--skip-chdir --capabilities chown,kill,setuid",
            "--skip-chdir --no-new-privs --seccomp default --capabilities none",
            "--skip-chdir --userspec 7:7 --seccomp default --capabilities none",
        ] {
            like(world, "", options, "").stdout_is("0\nsame\n");
            let around = "unshare -m -p -u -i -n --fork --kill-child --mount-proc";
            like(world, around, options, "-a").stdout_is("0\nsame\n");
        }
        let odd = "echo 321 >/proc/$P/oom_score_adj; taskset -p 1 $P >/dev/null;";
        odd_like(world, "", "--skip-chdir", odd, "", "").stdout_is("0\nsame\n");
        let group = "cgexec-rs --pids 33 --";
        like(world, group, "--skip-chdir --no-new-privs", "").stdout_is("0\nsame\n");
    })
    .root_only(),
    Row::new("a command like a target in a user namespace equals it there", &[UNSHARE, Need::UserNamespaces], |world| {
        let around = "unshare -U -r -m -p --fork --kill-child --mount-proc";
        like(world, around, "--skip-chdir --capabilities chown,kill --no-new-privs --seccomp default", "-a").stdout_is("0\nsame\n");
        like(world, around, "--skip-chdir --umask 077 --rlimit nofile=50", "-a").stdout_is("0\nsame\n");
    })
    .root_only(),
    Row::new("a command like the target has its secure bits, and the capabilities that result from them", &[SETPRIV, UNSHARE], |world| {
        let most = "noroot,noroot_locked,no_setuid_fixup,no_setuid_fixup_locked,keep_caps_locked";
        let all = format!("{most},no_cap_ambient_raise,no_cap_ambient_raise_locked");
        // setpriv(1) has no name for the bits about the ambient set.
        let all_shown = format!("{most},0xc0");
        for (options, bits) in [
            ("", "[none]"),
            ("--securebits noroot", "noroot"),
            (&format!("--securebits {all}"), &all_shown),
            (&format!("--capabilities none --securebits {all} --no-new-privs --seccomp default"), &all_shown),
            (
                "--userspec 7:7 --capabilities chown,kill --securebits no_setuid_fixup,keep_caps_locked",
                "no_setuid_fixup,keep_caps_locked",
            ),
            ("--userspec 1234:4321 --capabilities kill --securebits no_cap_ambient_raise", "0x40"),
        ] {
            let expected = format!("0\nsame\nSecurebits: {bits}\n");
            let seen = |enter: &str| format!("nsenter-rs -t $P {enter} --like-target -- setpriv -d | grep ^Secure");
            let options = format!("--skip-chdir {options}");
            odd_like(world, "", &options, "", "", &seen("")).stdout_is(&expected);
            for around in ["unshare -m -p -u --fork --kill-child --mount-proc", "unshare -U -r -m -p --fork --kill-child --mount-proc"] {
                // A map of one ID has no other users.
                if !(around.contains("-U") && options.contains("userspec")) {
                    odd_like(world, around, &options, "", "-a", &seen("-a")).stdout_is(&expected);
                }
            }
        }
        // The secure bits about scripts, if the kernel has them.
        let scripts = "SECBIT_EXEC_RESTRICT_FILE|SECBIT_EXEC_DENY_INTERACTIVE_LOCKED";
        let line = "AROUND=; chroot-rs --securebits exec_restrict_file / true || exit 38; \
            target --skip-chdir --securebits exec_restrict_file,exec_deny_interactive_locked; \
            nsenter-rs --explain -t $P --like-target -- setpriv -d | grep ^Secure";
        let outcome = run(world, &format!("{PREAMBLE}{line}"));
        match outcome.status {
            38 => outcome.stderr_has("remedy: this kernel does not know SECBIT_EXEC_RESTRICT_FILE, which came with Linux 6.14"),
            _ => outcome.stdout_is("Securebits: 0x900\n").stderr_has(&format!("prctl(PR_SET_SECUREBITS, {scripts})")),
        };
    })
    .root_only(),
    Row::new("reading the secure bits neither stops the target nor makes a system call in it", &[STRACE], |world| {
        let place = world.directory("like-killed");
        let profile = place.join("killed.json");
        // PR_GET_SECUREBITS alone.
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["prctl"],"action":"SCMP_ACT_KILL_PROCESS",
            "args":[{"index":0,"value":27,"op":"SCMP_CMP_EQ"}]}]}"#;
        std::fs::write(&profile, text).expect("a file");
        let line = format!(
            "AROUND=; target --skip-chdir --securebits noroot --no-new-privs --seccomp {}; \
             nsenter-rs --explain -t $P --like-target -- true; echo $?; state $P; \
             kill -KILL $P; AROUND=; target --skip-chdir --securebits noroot; \
             strace -qq -f -o calls -e trace=ptrace,kill,tgkill,pidfd_send_signal nsenter-rs -t $P --like-target -- true; echo $?; grep -c ptrace calls",
            profile.display()
        );
        run(world, &format!("{PREAMBLE}{line}")).stdout_is("0\nS\n0\n0\n").stderr_has("prctl(PR_SET_SECUREBITS, SECBIT_NOROOT)");
    })
    .root_only(),
    Row::new("before Linux 6.1, the secure bits of a process are found among those of all processes", &[STRACE, SETPRIV], |world| {
        // E2BIG for the second call simulates such a kernel.
        let line = "AROUND=; target --skip-chdir --securebits noroot,no_setuid_fixup; \
            strace -qq -o calls -e trace=bpf -e inject=bpf:error=E2BIG:when=2 nsenter-rs -t $P --like-target -- setpriv -d | grep ^Secure; \
            grep -c INJECTED calls; \
            unshare -p --fork --mount-proc strace -qq -o calls -e trace=bpf -e inject=bpf:error=E2BIG:when=2 \
                nsenter-rs -t 1 --like-target -- echo unreachable";
        let outcome = run(world, &format!("{PREAMBLE}{line}")).fails_with(125);
        outcome
            .stdout_is("Securebits: noroot,no_setuid_fixup\n1\n")
            .stderr_has("iter_info={task={pid_fd}}}}): E2BIG (Argument list too long)")
            .stderr_has("remedy: before Linux 6.1, this works only in the first pid namespace");
    })
    .root_only(),
    Row::new("without a way to read secure bits, only --like-target-try runs the command", &[SETPRIV, UNSHARE], |world| {
        let hidden = |types: &str, option: &str| {
            let line = format!(
                "AROUND=; target --skip-chdir --securebits no_setuid_fixup --umask 027; \
                 unshare -m sh -c \"mount -t tmpfs none {types} && exec nsenter-rs -t $P {option} -- bash -c 'umask; setpriv -d | grep ^Secure'\""
            );
            run(world, &format!("{PREAMBLE}{line}"))
        };
        let failed = hidden("/sys/kernel/btf", "--like-target").fails_with(125);
        failed.stdout_is("").stderr_has("ENOENT").stderr_has("remedy: this kernel was built without CONFIG_DEBUG_INFO_BTF");
        hidden("/sys", "--like-target").fails_with(125).stdout_is("").stderr_has("remedy: no sysfs is mounted on /sys here");
        let gone_on = hidden("/sys/kernel/btf", "--like-target-try").succeeds();
        gone_on
            .stdout_is("0027\nSecurebits: [none]\n")
            .stderr_has("cannot read the secure bits of process")
            .stderr_has("the command does not get this property of the target");
    })
    .root_only(),
    Row::new("an error names our locked secure bits if the target has others", &[SETPRIV], |world| {
        let line = "AROUND=; target --skip-chdir; setpriv --securebits=+no_setuid_fixup,+no_setuid_fixup_locked \
            nsenter-rs -t $P --like-target -- echo unreachable";
        run(world, &format!("{PREAMBLE}{line}"))
            .fails_with(125)
            .stdout_is("")
            .stderr_has("cannot set the secure bits: prctl(PR_SET_SECUREBITS, 0): EPERM (Operation not permitted)")
            .stderr_has("remedy: SECBIT_NO_SETUID_FIXUP_LOCKED is final for us and every program that we execute");
    })
    .root_only(),
    Row::new("a warning says what execve(2) cannot reproduce, and the effective set is used", &[PERL], |world| {
        // Root with fewer capabilities than its bounding set, because it dropped them after its execve(2).
        let line = "perl -e 'my ($capset, $prctl) = `uname -m` =~ /x86_64/ ? (126, 157) : (91, 167); syscall($prctl, 8, 1) == 0 or die $!; \
                my ($header, $sets) = (pack(\"LL\", 0x20080522, 0), pack(\"L6\", 32, 32, 0, 0, 0, 0)); \
                syscall($capset, $header, $sets) == 0 or die $!; \
                open(F, \">ready\"); close F; sleep 600' & P=$!; trap 'kill $P' EXIT; \
            until [ -e ready ]; do sleep 0.01; done; \
            nsenter-rs -t $P --like-target -- grep -E '^Cap(Eff|Bnd)' /proc/self/status >ours; grep -E '^Cap(Eff|Bnd)' /proc/$P/status | cmp - ours && echo same";
        let outcome = run(world, line).stdout_is("same\n").stderr_has("the target has SECBIT_KEEP_CAPS, which execve(2) clears");
        outcome.stderr_has("the target's capabilities are not those of a program just executed").stderr_has(", by SECBIT_NOROOT, ");
    })
    .root_only()
    .host_only(),
    Row::new("a command like the target has the target's system call filters", &[UNSHARE], |world| {
        let place = world.directory("like-filter");
        let (first, second) = (place.join("first.json"), place.join("second.json"));
        let refuse = |name: &str, number: u32| {
            format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{name}","{name}at"],"action":"SCMP_ACT_ERRNO","errnoRet":{number}}}]}}"#)
        };
        std::fs::write(&first, refuse("mkdir", 28)).expect("a file");
        std::fs::write(&second, refuse("symlink", 1)).expect("a file");
        let around = format!("chroot-rs --skip-chdir --seccomp {} / chroot-rs", first.display());
        let line = format!(
            "{PREAMBLE} {around} --skip-chdir --seccomp {} / sleep 86442 & P=$!; trap 'kill $P' EXIT; \
             until grep -qs ^sleep /proc/$P/comm; do sleep 0.01; done; \
             nsenter-rs -t $P --like-target -- sh -c 'mkdir new; ln -s a b; touch c && echo touched' 2>&1; \
             nsenter-rs -t $P -u -- mkdir new && echo else; grep -E '^(State|TracerPid)' /proc/$P/status",
            second.display()
        );
        let outcome = run(world, &line);
        let refused = outcome.stdout.contains("No space left on device") && outcome.stdout.contains("Operation not permitted");
        assert!(refused && outcome.stdout.ends_with("touched\nelse\nState:\tS (sleeping)\nTracerPid:\t0\n"), "{outcome}");
    })
    .root_only(),
    Row::new("a target that is stopped stays as it was", &[UNSHARE], |world| {
        let line = "AROUND=; target --skip-chdir --no-new-privs --seccomp default; kill -STOP $P; until_state $P T; \
            nsenter-rs -t $P --like-target -- grep Seccomp: /proc/self/status; state $P; kill -CONT $P; until_state $P S; \
            grep TracerPid /proc/$P/status";
        run(world, &format!("{PREAMBLE}{line}")).stdout_is("Seccomp:\t2\nT\nTracerPid:\t0\n");
    })
    .root_only(),
    Row::new("without the right to read the target, the command is not run", &[Need::UserNamespaces], |world| {
        let line = "OWN='-U -r'; contain -u; nsenter-rs -t $P -u --like-target -- echo unreachable";
        run(world, line).fails_with(125).stdout_is("").stderr_has("enter that with --user or --all");
        if !world.is_root {
            let at = |option: &str| {
                let line = format!(
                    "unshare -U -r chroot-rs --skip-chdir --no-new-privs --seccomp default --capabilities none --umask 027 / sleep 60 & P=$!; \
                     until grep -qs ^sleep /proc/$P/comm; do sleep 0.01; done; nsenter-rs -t $P -a {option} -- \
                     sh -c 'umask; grep -E ^NoNewPrivs /proc/self/status'; s=$?; grep TracerPid /proc/$P/status; kill $P; exit $s"
                );
                run(world, &line)
            };
            let refused = at("--like-target").fails_with(125);
            refused.stdout_is("TracerPid:\t0\n").stderr_has("the kernel shows secure bits only to root of the first user namespace");
            let tried = at("--like-target-try").succeeds().stdout_is("0027\nNoNewPrivs:\t1\nTracerPid:\t0\n");
            tried.stderr_has("cannot read the secure bits").stderr_has("cannot read the system call filters");
        }
    }),
];

fn like(world: &World, around: &str, options: &str, enter: &str) -> Outcome {
    odd_like(world, around, options, "", enter, "")
}

/// Compares after doing something `odd` to the target, and runs `seen` afterwards.
fn odd_like(world: &World, around: &str, options: &str, odd: &str, enter: &str, seen: &str) -> Outcome {
    run(world, &format!("{PREAMBLE}AROUND='{around}'; target {options}; {odd} same {enter}; {seen}"))
}
