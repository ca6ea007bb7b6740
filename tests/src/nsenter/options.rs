//! Entering with nsenter-rs: options that Debian 12's `nsenter` does not have, signals, the terminal, and owners.

use crate::harness::need::{Need, PERL, SCRIPT, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `contain OPTIONS` makes a container whose first process is `$P`, without root in a user namespace, for which `$U` is
/// the option; `state PID` prints the letter of a process's state; `type_in` runs a line in a new terminal, without
/// input.
pub const PREAMBLE: &str = r#"
[ "$(id -u)" = 0 ] && OWN= U= || OWN='-U -r' U=-U
contain() {
    unshare $OWN "$@" --fork --kill-child sleep 86430 >/dev/null & OUTER=$!
    trap 'kill -KILL $OUTER' EXIT
    P=$(child $OUTER); asleep $P
    export P
}
state() { sed 's/.*) \(.\) .*/\1/' /proc/$1/stat; }
until_state() { for i in $(seq 300); do [ "$(state $1)" = $2 ] && return; sleep 0.01; done; echo "not $2 but $(state $1)"; }
type_in() { sleep 2 | SHELL=$(command -v bash) script --quiet --return --command "$1" /dev/null | tr -d '\r'; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--env reads, after entering, an environment that only root of the user namespace may read", &[UNSHARE, SETPRIV], |world| {
        let line = "AS='setpriv --reuid 54321 --regid 54321 --clear-groups'; \
            LANG=yes $AS unshare -U --keep-caps bash -c 'until grep -q . /proc/self/uid_map; do sleep 0.01; done; exec setpriv --reuid 0 --regid 0 --clear-groups sleep 86443' & P=$!; \
            trap 'kill -KILL $P' EXIT; until [ $(readlink /proc/$P/ns/user) != $(readlink /proc/self/ns/user) ]; do sleep 0.01; done; \
            for map in gid_map uid_map; do printf '0 100000 10\\n10 54321 1\\n' >/proc/$P/$map; done; until grep -qs ^sleep /proc/$P/comm; do sleep 0.01; done; \
            $AS cat /proc/$P/environ 2>/dev/null; $AS nsenter-rs --user --setuid=0 --setgid=0 --target=$P --env -- sh -c 'echo $LANG; id -u'";
        run(world, line).stdout_is("yes\n0\n");
    })
    .root_only(),
    Row::new("--join-cgroup joins the target's cgroups, keeps stdin and passes no descriptor", &[UNSHARE], |world| {
        let line = "contain -m -p --mount-proc; echo kept | nsenter-rs -t $P -a -c sh -c 'cat; ls /proc/self/fd | wc -l; cat /proc/self/cgroup'";
        let outcome = run(world, &format!("cgexec-rs --pids 40 --name ent-join -- true; {line}"));
        assert!(outcome.stdout.starts_with("kept\n4\n"), "{outcome}");
        let joined = run(
            world,
            "cgexec-rs --pids 40 -- sleep 86431 & asleep $!; \
             nsenter-rs -t $! -u --join-cgroup cat /proc/self/cgroup >joined; cmp joined /proc/$!/cgroup && ! cmp -s joined /proc/self/cgroup; s=$?; kill $!; exit $s",
        );
        assert!(joined.status == 0, "{joined}");
    })
    .root_only(),
    Row::new("--net-socket enters the network namespace of a socket", &[UNSHARE, PERL], |world| {
        let socket = "unshare -n perl -e 'use Socket; socket(S, AF_INET, SOCK_STREAM, 0) or die; sleep 60' & S=$!; \
            for i in $(seq 300); do [ -S /proc/$S/fd/3 ] && break; sleep 0.01; done; \
            nsenter-rs -t $S --net-socket 3 readlink /proc/self/ns/net >a; readlink /proc/$S/ns/net >b; kill $S; cmp a b";
        run(world, socket).succeeds();
    })
    .root_only()
    .host_only(),
    Row::new("--user-parent, --setuid follow and --keep-caps use the target's owner, ids and capabilities", &[UNSHARE, Need::UserNamespaces], |world| {
        run(
            world,
            "OWN='-U -r'; contain -n; nsenter-rs -t $P -n --user-parent sh -c 'readlink /proc/self/ns/user /proc/self/ns/net; id -u' >a; \
             (readlink /proc/$P/ns/user /proc/$P/ns/net; echo 0) >b; cmp a b",
        )
        .succeeds();
        run(world, "OWN='-U -r'; contain -n; nsenter-rs -t $P -U -S follow -G follow sh -c 'id -u; id -g'").stdout_is("0\n0\n");
        let ambient = "OWN='-U -r'; contain; nsenter-rs -t $P -U --keep-caps grep CapAmb /proc/self/status >a; sed -n s/CapBnd/CapAmb/p /proc/$P/status >b; cmp a b";
        run(world, ambient).succeeds();
    }),
    Row::new("signals to nsenter-rs reach its command, and both stop and continue together", &[UNSHARE], |world| {
        for (signal, number) in [("TERM", 15), ("HUP", 1), ("USR2", 12), ("USR1", 10)] {
            let line = format!(
                "contain -p -m; nsenter-rs -t $P -a sleep 86432 & N=$!; C=$(child $N); kill -{signal} $N; wait $N; echo $(($? - 128)); ls -d /proc/$C 2>/dev/null"
            );
            run(world, &line).stdout_is(&format!("{number}\n"));
        }
        run(
            world,
            "contain -p -m; nsenter-rs -t $P -a sleep 86433 & N=$!; for i in $(seq 300); do C=$(child $N); grep -qs ^sleep /proc/$C/comm && break; sleep 0.01; done
             kill -STOP $C; until_state $N T; kill -CONT $N; until_state $N S; until_state $C S
             kill -TSTP $N; until_state $C T; until_state $N T; kill -CONT $N; until_state $C S; kill $N; wait $N; echo $?",
        )
        .stdout_is("143\n");
    }),
    Row::new("the command controls a terminal of the caller's size, and the caller's is restored", &[UNSHARE, SCRIPT, PERL], |world| {
        let session = "stty cols 123 rows 45; before=$(stty -g); \
            nsenter-rs -t $P -a sh -c \"stty size; perl -MPOSIX -e \\\"print tcgetpgrp(0) == getpgrp() ? 1 : 0, qq(\\n)\\\"\"; \
            [ \"$before\" = \"$(stty -g)\" ] && echo restored; \
            (sleep 0.4; stty cols 99 rows 33 </dev/tty) & \
            nsenter-rs -t $P -a sh -c \"trap \\\"stty size; exit 3\\\" WINCH; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done\"; echo $?";
        std::fs::write(world.directory("sized").join("session"), session).expect("a file");
        let outcome = run(world, "contain -m -p --mount-proc; type_in 'bash sized/session'");
        assert!(outcome.stdout.contains("45 123\n1\nrestored\n33 99\n3\n"), "{outcome}");
    })
    .host_only(),
    Row::new("a namespace can be entered by its id", &[UNSHARE, PERL, Need::UserNamespaces], |world| {
        // The codes of NS_GET_ID and NS_GET_MNTNS_ID.
        let id = r#"id() { perl -e 'open(F, "<", $ARGV[0]); my $b = "\0" x 8; ioctl(F, hex $ARGV[1], $b) or die $!; print unpack("Q", $b)' /proc/$P/ns/$1 $2; }"#;
        let line = "contain -u -m; nsenter-rs --uts=:$(id uts 8008b70d) -m:$(id mnt 8008b705) ${U:+--user=/proc/$P/ns/user} -- \
            readlink /proc/self/ns/uts /proc/self/ns/mnt >a; readlink /proc/$P/ns/uts /proc/$P/ns/mnt >b; cmp a b";
        run(world, &format!("{id}\n{line}")).succeeds();
        run(world, "nsenter-rs --uts=:99999999999 -- echo unreachable").fails_with(125).stdout_is("").stderr_has("no process that we may examine");
    })
    .host_only(),
    Row::new("--sealed-copy makes nsenter-rs enter from a copy in memory", &[UNSHARE, Need::UserNamespaces], |world| {
        let line = "contain -m; nsenter-rs --explain --sealed-copy -t $P -a -- true 2>&1 | grep -o 'exe_fd=memfd\\|execveat(memfd'";
        // A start of the copy takes longer than all else, so it is made our executable while we run, if that is permitted.
        run(world, line).stdout_is(if world.is_root { "exe_fd=memfd\n" } else { "execveat(memfd\n" });
    }),
    Row::new("a name that is almost right, and one that is taken for a command, get a remedy", &[Need::UserNamespaces], |world| {
        let script = format!(
            "PATH=$TOOLS:/bin:/usr/bin; unshare-rs {} --hold --name near-web --uts --ttl 60 >record; \
             for line in '--target near-wbe --all true' '--find web --json' 'near-web' '--target zqzqzq --all true' 'no-such-zqzqzq'; do \
             nsenter-rs $line 2>&1; echo $?; done; nsenter-rs --pipe --rm -- true <record",
            world.as_root()
        );
        let outcome = world.sh(&format!("cd {}; {script}", world.directory("near-names").display())).succeeds();
        let lines = outcome.lines();
        let names = |line: &&&str| line.contains("remedy: ") && !line.contains("in no directory of PATH");
        let remedies: Vec<_> = lines.iter().filter(names).collect();
        // The last two lines are the control: nothing is similar to those names.
        assert_eq!(lines.iter().filter(|line| line.len() == 3).copied().collect::<Vec<_>>(), ["125", "125", "127", "125", "127"]);
        assert!(remedies.len() == 3, "{outcome}");
        for similar in &remedies[..2] {
            assert!(similar.starts_with("nsenter-rs: remedy: similar names: near-web (hold, pid "), "{outcome}");
        }
        let enter = "nsenter-rs: remedy: near-web is the name of a container; to enter it, use --target near-web --all";
        assert_eq!(*remedies[2], enter);
    }),
    Row::new("without a command, the caller's shell is run, or one that the root has", &[Need::UserNamespaces], |world| {
        let d = world.directory("shells");
        let chroot = format!("unshare-rs {} -- nsenter-rs --root={}/empty", world.as_root(), d.display());
        let script = format!(
            "cd {}; mkdir empty; own() {{ echo \"echo \\$0\" | nsenter-rs --wd=/ \"$@\"; }}; \
             SHELL=$BASH own; SHELL=/no/shell own; SHELL= own; SHELL=/no/shell own /no/shell; echo $?; \
             SHELL=/no/shell {chroot}; echo $?",
            d.display()
        );
        let outcome = world.sh(&script);
        // An explicit command is the control: nothing takes its place.
        let bash = world.sh("echo $BASH").stdout;
        let outcome = outcome.stdout_is(&format!("{bash}/bin/sh\n/bin/sh\n127\n127\n"));
        outcome.stderr_has("cannot run /no/shell: execve(\"/no/shell\"): ENOENT").stderr_has(
            "remedy: it is the caller's $SHELL, and this root has none of /bin/sh, /bin/bash, /bin/ash, /bin/dash either",
        );
    }),
    Row::new("an interrupt reaches the command", &[UNSHARE, PERL], |world| {
        let line = "contain -p -m; env --default-signal=INT nsenter-rs -t $P -a sleep 86434 & N=$!; C=$(child $N); kill -INT $N; wait $N; echo $?; ls -d /proc/$C 2>/dev/null";
        run(world, line).stdout_is("130\n");
    })
    .host_only(),
    Row::new("an unprivileged user enters all namespaces of a target in a user namespace of the same user", &[UNSHARE, Need::UserNamespaces], |world| {
        let line = "OWN='-U -r'; contain -m -p --mount-proc; nsenter-rs -t $P -a sh -c 'for kind in user mnt pid uts net; do readlink /proc/self/ns/$kind; done' >a; \
            (for kind in user mnt pid uts net; do readlink /proc/$P/ns/$kind; done) >b; cmp a b";
        run(world, line).succeeds();
    }),
    Row::new("namespaces owned by an intermediate user namespace are joined with the rights in it", &[UNSHARE, Need::UserNamespaces], |world| {
        // Three nested user namespaces; the first owns the network and UTS namespaces, the second the IPC namespace.
        let nest = "unshare -U -r -n -u unshare -U -r -i unshare -U -r sleep 86435 & P=$!; trap 'kill -KILL $P' EXIT; \
            asleep $P; ";
        let line = "f=/proc/$P/ns; nsenter-rs --explain --user=$f/user --net=$f/net --uts=$f/uts --ipc=$f/ipc -- \
            sh -c 'for kind in user net uts ipc; do readlink /proc/self/ns/$kind; done' >a 2>err; \
            (for kind in user net uts ipc; do readlink $f/$kind; done) >b; cmp a b && grep -c 'setns(the owner of' err";
        let outcome = run(world, &format!("{nest}{line}"));
        // Root has these rights from the start.
        let owners = if world.is_root { "0\n" } else { "2\n" };
        assert_eq!(outcome.stdout, owners, "{outcome}");
    }),
];

pub fn run(world: &World, line: &str) -> Outcome {
    world.script(&format!("{WAITING}{PREAMBLE}{line}")).run()
}
