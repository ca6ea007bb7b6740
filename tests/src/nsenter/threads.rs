//! Threads as targets: one thread by its id, in namespaces of its own, and a process whose first thread has ended.

use crate::harness::need::{Need, PERL, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::options::run;

/// perl(1) with threads, which perl-base does not have.
const THREADS: Need = Need::Program("perl", "perl");

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a thread is entered by its id, into its own namespaces", &[], |world| {
        let suite = std::env::current_exe().expect("this program");
        // The control: the process of the thread is in our uts namespace.
        let line = format!(
            "d=$(mktemp -d -p .); cd $d; mkfifo gate; {} --apart <gate >number & S=$!; exec 9>gate; \
             for i in $(seq 500); do [ -s number ] && break; sleep 0.01; done; read -r tid inode <number; \
             seen() {{ nsenter-rs \"$@\" -- readlink /proc/self/ns/uts | tr -dc 0-9 | sed \"s/$inode/thread/; s/$ours/ours/\"; echo; }}; \
             ours=$(readlink /proc/self/ns/uts | tr -dc 0-9); seen -t $S --uts --ipc; \
             for how in '--uts' '--all' '--uts --wd' '--uts --ipc --root'; do seen -t $tid $how; done; \
             nsenter-rs -t 999999 --uts -- true 2>&1 | grep -o 'pidfd_open(999999): ESRCH'; exec 9>&-; wait $S",
            suite.display()
        );
        run(world, &line).succeeds().stdout_is(&format!("ours\n{}pidfd_open(999999): ESRCH\n", "thread\n".repeat(4)));
    })
    .root_only()
    .host_only(),
    Row::new("a process whose first thread has ended is entered by a thread that runs", &[PERL, THREADS, Need::UserNamespaces], |world| {
        let own = world.as_root();
        let line = format!(
            "threads() {{ unshare-rs {own} --uts --hostname inside -- perl -e 'use threads; threads->create(sub {{ sleep 60 }}); '\"$1\" & pid=$!; \
                for i in $(seq 500); do [ \"$(ls /proc/$pid/task 2>/dev/null | wc -l)\" -gt 1 ] && break; sleep 0.02; done; }}; \
             look() {{ nsenter-rs -t $1 $2 --uts -- hostname; nsenter-rs -t $1 $2 --uts --wd --root -- pwd | sed \"s|$PWD|PWD|\"; }}; \
             user={user}; threads 'sleep 60'; look $pid $user; tid=$(ls /proc/$pid/task | tail -1); look $tid $user; {like} {thread} kill -9 $pid; wait 2>/dev/null; \
             threads 'syscall(60, 0)'; until grep -q '^State:.Z' /proc/$pid/status; do sleep 0.02; done; \
             [ -e /proc/$pid/ns/uts ] || echo gone; look $pid $user; {like} kill -9 $pid; wait 2>/dev/null",
            user = if world.is_root { "" } else { "--user" },
            thread = if world.is_root { "nsenter-rs -t $tid --uts --like-target -- hostname;" } else { "" },
            like = if world.is_root { "nsenter-rs -t $pid --uts --like-target -- hostname; " } else { "" },
        );
        let like = if world.is_root { "inside\n" } else { "" };
        let seen = "inside\nPWD\n";
        run(world, &line).stdout_is(&format!("{seen}{seen}{like}{like}gone\n{seen}{like}"));
    })
    .host_only(),
    Row::new(
        "a number that belonged to a thread of the target is not taken for it after another process got it",
        &[PERL, THREADS, STRACE, UNSHARE],
        |world| {
            // strace stops nsenter-rs when it has listed the threads and opened the first one; meanwhile the target ends, and a process of the host
            // gets the number of its second thread. The first two lines are the controls.
            let line = r#"
                threads() { unshare -u perl -e 'use threads; threads->create(sub { sleep 60 }); system "hostname", "inside"; syscall(60, 0)' & L=$!
                    until grep -q '^State:.Z' /proc/$L/status; do sleep 0.02; done; T=$(ls /proc/$L/task | tail -1); }
                threads; nsenter-rs -t $L --uts -- hostname
                strace -qq -o trace -e trace=pidfd_open -e inject=pidfd_open:signal=STOP:when=2 nsenter-rs -t $L --uts -- true 2>errors & S=$!
                until N=$(cat /proc/$S/task/$S/children) && grep -qs '^State:.[Tt]' /proc/${N% }/status && grep -q STOP trace; do sleep 0.02; done; N=${N% }
                kill -9 $L; wait $L 2>/dev/null; for i in $(seq 500); do echo $((T - 1)) >/proc/sys/kernel/ns_last_pid; sleep 60 &
                    [ $! = $T ] && echo reused && break; kill $!; wait $! 2>/dev/null; sleep 0.02; done
                kill -CONT $N; wait $S; echo $?; sed "s/process $L:/process L:/" errors; kill $T; wait $T 2>/dev/null; true"#;
            world
                .apart("threads-reused", &format!("cd $D; cat >script2 <<'END'\n{line}\nEND\nexec unshare -p -f --mount-proc bash script2"))
                .run()
                .succeeds()
                .stdout_is("inside\nreused\n125\nnsenter-rs: cannot open process L: poll(pidfd): ESRCH (No such process)\n");
        },
    )
    .root_only()
    .host_only(),
];
