//! `--like-target`: the command runs as the target runs, line by line of what the kernel tells of both, and what is
//! refused to one is refused to the other.

use crate::need::{Need, SETPRIV, UNSHARE};
use crate::nsenter::run;
use crate::row::Row;
use crate::script::Outcome;
use crate::world::World;

/// `like OPTIONS -- COMMAND` makes a target whose first process is `$P` inside `chroot-rs OPTIONS`; `same` compares.
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
    nsenter-rs -t $P "$@" --like-target -- bash -c "$(declare -f picture); picture self" >ours 2>told; echo $?
    diff theirs ours && echo same; cat told
}
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a command like the target is like it in every line", &[UNSHARE], |world| {
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
        odd_like(world, "", "--skip-chdir", odd, "").stdout_is("0\nsame\n");
        let group = "cgexec-rs --pids 33 --";
        like(world, group, "--skip-chdir --no-new-privs", "").stdout_is("0\nsame\n");
    })
    .root_only(),
    Row::new("a command like a target in a user namespace is like it there", &[UNSHARE, Need::UserNamespaces], |world| {
        let around = "unshare -U -r -m -p --fork --kill-child --mount-proc";
        like(world, around, "--skip-chdir --capabilities chown,kill --no-new-privs --seccomp default", "-a").stdout_is("0\nsame\n");
        like(world, around, "--skip-chdir --umask 077 --rlimit nofile=50", "-a").stdout_is("0\nsame\n");
    })
    .root_only(),
    Row::new("what execve(2) cannot yield is said, and the effective set counts", &[SETPRIV], |world| {
        // Root with fewer capabilities than its bounding set: by secure bits, which nobody can read from outside.
        let line = "setpriv --securebits=+noroot --ambient-caps -all --inh-caps -all sleep 86441 & P=$!; trap 'kill $P' EXIT; \
            until grep -qs ^sleep /proc/$P/comm; do sleep 0.01; done; \
            nsenter-rs -t $P --like-target -- grep -E '^Cap(Eff|Bnd)' /proc/self/status >ours; grep -E '^Cap(Eff|Bnd)' /proc/$P/status | cmp - ours && echo same";
        run(world, line).stdout_is("same\n").stderr_has("the target's capabilities are not those of a program just executed");
    })
    .root_only(),
    Row::new("what a target's filter refuses is refused to a command like it", &[UNSHARE], |world| {
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
        let told = run(world, &line);
        let refused = told.stdout.contains("No space left on device") && told.stdout.contains("Operation not permitted");
        assert!(refused && told.stdout.ends_with("touched\nelse\nState:\tS (sleeping)\nTracerPid:\t0\n"), "{told}");
    })
    .root_only(),
    Row::new("a target that stopped, or was signalled just now, is as before", &[UNSHARE], |world| {
        let line = "AROUND=; target --skip-chdir --no-new-privs --seccomp default; kill -STOP $P; until_state $P T; \
            nsenter-rs -t $P --like-target -- grep Seccomp: /proc/self/status; state $P; kill -CONT $P; until_state $P S; \
            grep TracerPid /proc/$P/status";
        run(world, &format!("{PREAMBLE}{line}")).stdout_is("Seccomp:\t2\nT\nTracerPid:\t0\n");
    })
    .root_only(),
    Row::new("without the right to be like the target, nothing is run", &[Need::UserNamespaces], |world| {
        let line = "OWN='-U -r'; contain -u; nsenter-rs -t $P -u --like-target -- echo unreachable";
        run(world, line).fails_with(125).stdout_is("").stderr_has("enter that by --user or --all");
        if !world.is_root {
            let line = "unshare -U -r chroot-rs --skip-chdir --no-new-privs --seccomp default --capabilities none / sleep 60 & P=$!; \
                until grep -qs ^sleep /proc/$P/comm; do sleep 0.01; done; nsenter-rs -t $P -a --like-target -- echo unreachable; s=$?; \
                grep TracerPid /proc/$P/status; kill $P; exit $s";
            run(world, line).fails_with(125).stdout_is("TracerPid:\t0\n").stderr_has("root of the first user namespace only");
        }
    }),
];

fn like(world: &World, around: &str, options: &str, enter: &str) -> Outcome {
    odd_like(world, around, options, "", enter)
}

fn odd_like(world: &World, around: &str, options: &str, odd: &str, enter: &str) -> Outcome {
    run(world, &format!("{PREAMBLE}AROUND='{around}'; target {options}; {odd} same {enter}"))
}
