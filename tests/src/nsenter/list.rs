//! `nsenter-rs --list`: what keeps namespaces alive, their relations, and how hostile names, vanishing processes and
//! missing rights affect a list. This includes what util-linux's own tests of `lsns` check.

use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};

use crate::harness::need::{BASH, IP, JQ, Need, PERL, SETPRIV};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `contain OPTIONS` leaves a process in new namespaces, `$P`; `has FILE` prints the inode number of a namespace;
/// `list` prints a list as words.
const PREAMBLE: &str = r#"
contain() {
    unshare-rs "$@" --fork --kill-child sleep 86450 >/dev/null & OUTER=$!
    trap 'kill -KILL $OUTER' EXIT
    P=$(child $OUTER); asleep $P
}
has() { stat -Lc %i $1; }
list() { nsenter-rs --list --raw --noheadings "$@"; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a namespace is listed with its parent and its owner", &[Need::UserNamespaces], |world| {
        let outcome = run(
            world,
            "contain --user --map-root-user --pid; U=$(has /proc/$P/ns/user) N=$(has /proc/$P/ns/pid); \
             own=$(has /proc/self/ns/user) pid=$(has /proc/self/ns/pid); \
             echo $U $own $own; echo $N $pid $U; \
             list --type user -o NS,PNS,ONS $U | uniq; list -t pid -o NS,PNS,ONS $N | uniq",
        );
        let lines: Vec<_> = outcome.stdout.lines().collect();
        assert!(lines.len() == 4 && lines[..2] == lines[2..], "{outcome}");
    }),
    Row::new("a namespace that only a mount keeps alive is listed, with its id and its paths", &[IP], |world| {
        let outcome = run(
            world,
            "N=lsns-$$; trap 'umount twice; nsenter-rs --net=/proc/self/ns/net true; netns-rs delete $N' EXIT; \
             netns-rs add $N; ip netns set $N $$; touch twice; mount --bind /run/netns/$N twice; \
             list -Q \"NETNSID == '$$'\" -o TYPE,NPROCS,PID,USER,NETNSID | sed s/$$/OURS/; \
             list -Q \"NETNSID == $$\" -o NSFS | tr , '\\n' | sed 's/.*\\///' | sort | sed s/$$/OURS/; \
             list -P -t net -o NSFS,HOLDER | grep -c \"/$N.*mount\"; \
             nsenter-rs --list -n -t net -o NSFS -Q \"NETNSID == '$$'\" | wc -l",
        );
        outcome.stdout_is("net 0  root OURS\nlsns-OURS\ntwice\n1\n2\n");
    })
    .root_only(),
    Row::new("a namespace that only a descriptor keeps alive is listed, together with its owner", &[Need::UserNamespaces], |world| {
        let outcome = run(
            world,
            "contain --user --map-root-user --uts --net; N=$(has /proc/$P/ns/uts) U=$(has /proc/$P/ns/user); \
             exec 7</proc/$P/ns/uts; kill -KILL $P; wait $OUTER; trap - EXIT; \
             list -Q \"NS == $N\" -o TYPE,NPROCS,PID,HOLDER,ONS | sed \"s/$$/PID/; s/$U/OWNER/\"; \
             list -Q \"NS == $U\" -o TYPE,NPROCS,HOLDER,UID | sed \"s/$N/OWNED/; s/$(id -u)$/OURS/\"; \
             list -t uts -T -Q \"NS == $N\" -o NPROCS",
        );
        outcome.stdout_is("uts 0  descriptor\\x207\\x20of\\x20process\\x20PID OWNER\nuser 0 namespace\\x20OWNED OURS\n0\n");
    }),
    Row::new("a user namespace that only another namespace keeps alive is never listed as held by nobody", &[], |world| {
        // Where the kernel can list namespaces, each command prints one line; elsewhere the first and the third print nothing.
        let outcome = run(
            world,
            "contain --user --map-root-user --net; N=$(has /proc/$P/ns/net) U=$(has /proc/$P/ns/user); \
             nsenter-rs --net=/proc/$P/ns/net -F -- sleep 86454 & S=$!; trap 'kill -KILL $S' EXIT; asleep $S; \
             kill -KILL $P; wait $OUTER; \
             kept() { list -Q \"NS == $U\" -o HOLDER,NPROCS \"$@\" | sed s/$N/OWNED/ >kept; uniq -c kept; }; \
             kept; kept -Towner; kept -t user; kept -t user -t net -Towner",
        );
        let held = |count: u32| format!("{count} namespace\\x20OWNED 0");
        let lines: Vec<_> = outcome.stdout.lines().map(str::trim).collect();
        let (listed, only_trees) = ([held(1), held(1), held(1), held(1)], [held(1), held(1)]);
        assert!(lines == listed || lines == only_trees, "{outcome}");
    })
    .root_only(),
    Row::new("a namespace that only a socket keeps alive is listed", &[PERL], |world| {
        let outcome = run(
            world,
            "OUT=$$ netns-rs exec --new -- perl -e 'use Socket; $^F = 9; socket(S, AF_INET, SOCK_DGRAM, 0) or die; \
                print +(stat \"/proc/self/ns/net\")[1], \"\\n\"; $| = 1; print \"\"; \
                exec \"nsenter-rs\", \"--net=/proc/$ENV{OUT}/ns/net\", \"--preserve-fds\", 1, \"-F\", \"sleep\", 86451;' >inode & S=$!; \
             trap 'kill -KILL $S' EXIT; \
             asleep $S; \
             list -Q \"NS == $(cat inode)\" -o TYPE,NPROCS,PID,USER,COMMAND,HOLDER | sed s/$S/PID/; list -P -t uts -Q \"NS == $(cat inode)\"",
        );
        outcome.stdout_is("net 0  root  socket\\x203\\x20of\\x20process\\x20PID\n");
    })
    .root_only()
    .host_only(),
    Row::new("a namespace that is mounted only in another mount namespace is listed", &[], |world| {
        let outcome = run(
            world,
            "unshare-rs --mount --uts sh -c 'touch held; mount --bind /proc/self/ns/uts held; stat -Lc %i held >number; \
                exec nsenter-rs --uts=/proc/'$$'/ns/uts -F -- sleep 86452' & S=$!; \
             trap 'kill -KILL $S' EXIT; \
             asleep $S; \
             list -Q \"NS == $(cat number)\" -o TYPE,NPROCS,USER,HOLDER,ONS | sed \"s/$S/PID/; s/mount.*held/mount held/; s/$(has /proc/self/ns/user)/OWNER/\"",
        );
        outcome.stdout_is("uts 0 root mount held\\x20of\\x20process\\x20PID OWNER\n");
    })
    .root_only(),
    Row::new("a namespace that only a thread is in is listed", &[], |world| {
        let outcome = run(
            world,
            "mkfifo gate; $SUITE --apart <gate >number & S=$!; exec 9>gate; \
             for i in $(seq 500); do [ -s number ] && break; sleep 0.01; done; \
             read -r tid inode <number; list -Q \"NS == $inode\" -o TYPE,NPROCS,HOLDER | sed \"s/$tid/TID/; s/$S/PID/\"; exec 9>&-; wait $S",
        );
        outcome.stdout_is("uts 0 thread\\x20TID\\x20of\\x20process\\x20PID\n");
    })
    .root_only(),
    Row::new("the name of a process cannot end a line of the list or control the terminal", &[BASH, JQ], |world| {
        let outcome = run(
            world,
            "contain --user --map-root-user --uts; exec -a $'evil\\e[2J\\nname \\xff' sleep 86453 & S=$!; trap 'kill -KILL $S $OUTER' EXIT; \
             asleep $S; \
             N=$(has /proc/self/ns/uts); LC_ALL=C.UTF-8 nsenter-rs --list $N -l -n -o COMMAND -Q \"PID == $S\"; \
             list $N -o COMMAND -Q \"PID == $S\"; nsenter-rs --list $N --json -Q \"PID == $S\" -o COMMAND | jq -c .command; \
             nsenter-rs --list $N -J -Q \"PID == $S\" -o COMMAND | jq -c '.namespaces[0].command'",
        );
        outcome.stdout_is(
            "evil\\x1b[2J\\x0aname \\xff 86453\nevil\\x1b[2J\\x0aname\\x20\\xff\\x2086453\n\
             {\"bytes\":\"ZXZpbBtbMkoKbmFtZSD/IDg2NDUz\"}\n\"evil\\\\x1b[2J\\\\x0aname \\\\xff 86453\"\n",
        );
    })
    .host_only(),
    Row::new("a process whose command line is mapped from a file without an answering server makes no list wait", &[PERL], |world| {
        let file = world.directory("unserved").join("unserved.pl");
        std::fs::write(&file, UNSERVED).expect("a file");
        let outcome = run(
            world,
            &format!(
                "unshare-rs --mount --uts perl {} $PWD/words & S=$!; \
                 for i in $(seq 500); do [ -e asleep ] && break; sleep 0.01; done; \
                 timeout --signal KILL 1 head -c 1 /proc/$S/root$PWD/words; echo $?; \
                 list $(has /proc/$S/ns/uts) -o COMMAND -Q \"PID == $S\"; \
                 nsenter-rs --find no-such-name 2>/dev/null; echo $?; nsenter-rs --inspect $S >/dev/null && echo inspected; \
                 kill -KILL $S $(cat asleep)",
                file.display()
            ),
        );
        outcome.stdout_is("137\nperl\n125\ninspected\n");
    })
    .root_only()
    .host_only(),
    Row::new("processes that start and end meanwhile cause no error in a list", &[], |world| {
        let outcome = run(
            world,
            "(for i in $(seq 400); do true & (true; true); wait; done) & \
             for i in $(seq 30); do nsenter-rs --list --output-all >/dev/null || echo failed; done; wait",
        );
        outcome.stderr_is("").stdout_is("");
    }),
    Row::new("a list shows only what the user may see: no other user's processes, and no hidden processes", &[SETPRIV], |world| {
        let outcome = run(
            world,
            "contain --uts; N=$(has /proc/$P/ns/uts); \
             as_user=\"$(command -v setpriv) --reuid 54399 --regid 54399 --clear-groups\"; \
             cp $TOOLS/nsenter-rs .; $as_user ./nsenter-rs --list -o NS,USER -rn | grep -c $N; \
             $as_user ./nsenter-rs --list -o USER -rn | grep -c root; \
             unshare-rs --mount sh -c \"mount -t proc -o hidepid=2 proc /proc; $as_user ./nsenter-rs --list -n -o USER,NPROCS -t uts\" 2>&1 | \
             sed 's,^nsenter-rs: /proc is mounted with hidepid=.*,hidden,'",
        );
        assert_eq!(outcome.stdout, "0\n0\nhidden\n54399 1\n", "{outcome}");
        assert!(outcome.stderr.is_empty(), "{outcome}");
    })
    .root_only(),
    Row::new("--json prints one object per line, and -J one object with an array", &[JQ], |world| {
        let outcome = run(
            world,
            "nsenter-rs --list --json -p $$ -o TYPE,NS,NSFS,PID | jq -cs 'map(.type) | sort'; \
             nsenter-rs --list -J -p $$ -o TYPE | jq -c '.namespaces | map(.type) | sort'; \
             nsenter-rs --list --json -p $$ --output-all | jq -cs '.[0] | keys_unsorted'; \
             nsenter-rs --list --json -p 4000000 | wc -c; nsenter-rs --list -J -p 4000000 | jq -c .",
        );
        let types = "[\"cgroup\",\"ipc\",\"mnt\",\"net\",\"pid\",\"time\",\"user\",\"uts\"]\n";
        let keys = "[\"ns\",\"type\",\"path\",\"nprocs\",\"pid\",\"ppid\",\"command\",\"uid\",\"user\",\"netnsid\",\
                    \"nsfs\",\"pns\",\"ons\",\"holder\",\"container\"]\n";
        outcome.stdout_is(&format!("{types}{types}{keys}0\n{{\"namespaces\":[]}}\n"));
    }),
    Row::new("a list shows which container a process belongs to", &[], |world| {
        let outcome = run(
            world,
            "record=$(unshare-rs --hold --name lsns-box --uts --pid --mount); pid=$(echo \"$record\" | sed 's/.*\"init\":{\"pid\":\\([0-9]*\\).*/\\1/'); \
             list -t uts -p $pid -o CONTAINER; list -t uts -p $pid -o PID,CONTAINER -Q 'CONTAINER == \"lsns-box\"' | wc -l; \
             kill -KILL $pid",
        );
        outcome.stdout_is("lsns-box\n1\n");
    })
    .root_only(),
    Row::new("--list must be the first option, and has its own help", &[], |world| {
        let outcome = run(world, "nsenter-rs --list --help | grep -c -- '-T, --tree'; nsenter-rs --help | grep -q -- ' --list ' && echo listed");
        outcome.stdout_is("1\nlisted\n");
        for line in ["nsenter-rs -n --list", "nsenter-rs --explain --list true"] {
            let outcome = world.sh(line);
            assert!(outcome.status == 125 && outcome.stderr.contains("must be the first option"), "{outcome}");
        }
    }),
];

/// Mounts a file system whose root is a file, `$0`, answers all requests except reads, and maps the file over its own
/// command line.
const UNSERVED: &str = r#"
use strict;
my ($path) = @ARGV;
open(my $point, ">", $path);
sysopen(my $server, "/dev/fuse", 2) or die;
my $options = sprintf "fd=%d,rootmode=100644,user_id=0,group_id=0\0", fileno $server;
my ($none, $type, $at) = ("none\0", "fuse\0", "$path\0");
syscall(165, $none, $at, $type, 0, $options) == 0 or die "mount: $!";
if (my $served = fork()) {
    close($server);
    sysopen(my $words, $path, 0) or die "open: $!";
    open(my $stat, "<", "/proc/self/stat");
    my $start = (split " ", (split /\) /, <$stat>)[1])[45];
    # mmap(2): a page, PROT_READ, MAP_PRIVATE|MAP_FIXED.
    my $mapped = syscall(9, $start & ~4095, 4096, 1, 0x12, fileno $words, 0);
    open(my $note, ">", "asleep");
    syswrite($note, "$served\n");
    sleep 600;
}
# struct fuse_in_header; then INIT, OPEN, GETATTR, READ.
while (sysread($server, my $request, 1 << 20)) {
    my ($length, $call, $number) = unpack("LLQ", $request);
    next if $call == 15;
    my $answer = $call == 26 ? pack("LLLLSSLLSSLx28", 7, 31, 0, 0, 10, 5, 131072, 1, 0, 0, 0)
        : $call == 14 ? pack("QLL", 1, 0, 0)
        : $call == 3 ? pack("QLL", 3600, 0, 0) . pack("Q6L10", 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0100644, 1, 0, 0, 0, 4096, 0)
        : undef;
    syswrite($server, pack("LlQ", 16 + length($answer // ""), defined $answer ? 0 : -38, $number) . ($answer // ""));
}
"#;

fn run(world: &World, line: &str) -> Outcome {
    let suite = std::env::current_exe().expect("this program");
    let outcome = world.sh(&format!(
        "SUITE={}; d=$(mktemp -d -p .); chmod 755 $d; cd $d; {WAITING}{PREAMBLE}\n{line}",
        suite.display()
    ));
    assert!(!outcome.stderr.contains("nsenter-rs:"), "{outcome}");
    outcome
}

/// Moves a thread of this process into a new uts namespace, and prints its tid and the inode number of the namespace.
pub fn live_apart() -> ExitCode {
    let apart = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWUTS).expect("a uts namespace");
        let link = std::fs::read_link("/proc/thread-self/ns/uts").expect("a link");
        let inode: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        println!("{} {inode}", nix::unistd::gettid());
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("stdin");
    });
    if apart.join().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
