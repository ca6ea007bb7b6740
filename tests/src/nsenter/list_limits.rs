//! What `nsenter-rs --list` and `--inspect` read of the mount tables of others, in bytes as strace(1) counts them, and
//! that a file server which does not answer makes neither of them wait.

use std::time::Duration;

use crate::harness::need::{BASH, Need, PERL, SETPRIV, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `long COMMAND` makes COMMAND create a mount table of some 12 MB in its own mount namespace, and then a namespace
/// that only a mount at the end of the table keeps alive; `$P` is the process. `cost COMMAND` counts what COMMAND reads
/// of that table.
const PREAMBLE: &str = r#"
cat >long.pl <<'END'
my ($root) = @ARGV; my ($empty, $blank) = ("\0", " " x 250);
mkdir $root; chdir $root; for (1 .. 13) { mkdir $blank or die; chdir $blank or die }
for (1 .. 500) { my $here = "."; syscall(165, $here, $here, $empty, 0x1000, 0) == 0 or die "mount: $!" }
open my $file, ">", "$root/uts";
system("unshare", "-u", "mount", "--bind", "/proc/self/ns/uts", "$root/uts") == 0 or die;
open my $ready, ">", "$root/ready"; exec "sleep", "86466";
END
cost() { strace -qq -y -e trace=read -o trace "$@" >out 2>errors; echo "$? $(awk -v table="/$P/mountinfo>" 'index($0, table) { sum += $NF } END { printf "%d", sum / 65536 }' trace)"; }
long() { chmod 755 .; T=$PWD/tree; [ "$1" = unshare ] || { mkdir -m 777 open; T=$PWD/open/tree; }
    "$@" perl $PWD/long.pl $T & OUTER=$!; trap 'kill -KILL $OUTER $P' EXIT
    for i in $(seq 500); do [ -e $T/ready ] && break; sleep 0.02; done; P=$OUTER; asleep $P; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a user with very many descriptors costs --list and map little, and does not hide those of others", &[SETPRIV, UNSHARE, PERL], |world| {
        // Ten processes share 12000 descriptors: some are in our user namespace, some in one that the user has made.
        let script = format!(
            r#"cd {} || exit 1
            cat >many.pl <<'END'
$uid = $<; for (1 .. 12000) {{ open my $file, "<", "/dev/null" or die $!; push @all, $file }}
for (1 .. 9) {{ next if fork; syscall(272, 0x10000000) == 0 or die if $_ > 5; open my $ready, ">", "ready$_"; sleep 60; exit }} sleep 60
END
            chmod 777 .; setsid setpriv --reuid 54329 --regid 54329 --clear-groups prlimit --nofile=12100 perl many.pl & M=$!
            unshare -n sleep 86468 & N=$!; for i in $(seq 500); do [ "$(cat /proc/$N/comm)" = sleep ] && break; sleep 0.02; done
            exec 8</proc/$N/ns/net; net=$(readlink /proc/$N/ns/net); kill $N
            bash -c 'exec sleep 86469' 8<&8 & K=$!; exec 8<&-
            for i in $(seq 500); do [ -e ready9 ] && [ -e ready5 ] && break; sleep 0.02; done
            nsenter-rs --list -t net -P -n -o NS,HOLDER 2>errors | tr -s ' ' | grep -c "$(echo $net | tr -dc 0-9) descriptor"
            sed 's/[0-9]\{{5,\}} open/N open/' errors; netns-rs map 2>&1 >/dev/null | grep -o 'open descriptors of user 54329: the limit is 20000'
            kill -KILL -- -$M $K; wait 2>/dev/null; true"#,
            world.directory("many-descriptors").display()
        );
        let outcome = world.sh(&script).succeeds();
        let remark = "did not examine N open descriptors of user 54329: the limit is 20000, so a namespace that only one of the others keeps is missing";
        let lines = outcome.lines();
        assert_eq!((lines[0], lines.len()), ("1", 3), "{outcome}");
        assert!(lines[1].ends_with(remark), "{outcome}");
        assert_eq!(lines[2], "open descriptors of user 54329: the limit is 20000", "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("a process whose command line or environment cannot be read now keeps no tool waiting", &[STRACE, UNSHARE], |world| {
        // What a file server would do by not answering, strace does to the reader alone, so that ps(1) is not affected.
        let line = r#"
            unshare -n sleep 86467 & P=$!; asleep $P; unshare-rs --hold --ttl 60 --name lim-held --mount >saved
            trap 'kill -KILL $P; nsenter-rs --pipe --rm -- true <saved' EXIT
            slow() { timeout -s KILL $1 strace -D -f -qq -o /dev/null -P /proc/$P/$2 -e trace=read -e inject=read:delay_enter=3000000 "${@:3}" 2>err; echo $?; sed "/^strace/d; s/process $P/P/g" err; }
            slow 1 cmdline cat /proc/$P/cmdline; slow 1 environ cat /proc/$P/environ
            slow 20 cmdline nsenter-rs --find lim-held --json | grep -o '"name":"lim-held"\|^0\|.*command line of P\b'
            slow 20 cmdline nsenter-rs --list -t net -o PID,COMMAND | sed "s/\b$P\b/P/" | sed 's/^ *//' | grep -o '^P  *sleep$\|^0\|.*; it is shown by its name' | tr -s ' '
            slow 20 environ nsenter-rs -t $P --net --env -- true | sed "s,/$P/,/P/,"
        "#;
        let warning = "nsenter-rs: warning: cannot read the command line of P";
        run(world, "list-silent", line).stdout_is(&format!(
            "137\n137\n\"name\":\"lim-held\"\n0\n{warning}\nP sleep\n0\n{warning}: the process keeps the reader waiting; it is shown by its name\n\
             125\nnsenter-rs: cannot read /proc/P/environ: the process keeps the reader waiting\n"
        ));
    })
    .root_only()
    .host_only(),
    Row::new("the list of containers looks at a process of the host as often for six held containers as for two", &[STRACE], |world| {
        let line = r#"
            sleep 86468 & P=$!; asleep $P; trap 'kill -KILL $P; for saved in saved-*; do nsenter-rs --pipe --rm -- true <$saved; done' EXIT
            hold() { for i; do unshare-rs --hold --ttl 60 --name often-$i --pid --uts >saved-$i; nsenter-rs --pipe -- sleep 60 <saved-$i >/dev/null 2>&1 & done; }
            looks() { until [ "$(nsenter-rs --list --containers | grep -c "^often-")" = $1 ]; do sleep 0.02; done
                strace -f -qq -e trace=%file -o trace nsenter-rs --list --containers $2 >/dev/null; grep -c "\"/proc/$P/ns/pid\"" trace; }
            hold 1 2; looks 2 >few; looks 2 --json >few-json; hold 3 4 5 6; looks 6 >many; looks 6 --json >many-json
            cat few; cmp few many && cmp few-json many-json && echo as often
        "#;
        run(world, "list-often", line).stdout_is("1\nas often\n");
    })
    .root_only()
    .host_only(),
    Row::new("a long mount table of another user is not read to its end, and stderr says so", &[BASH, PERL, SETPRIV, STRACE, UNSHARE, Need::UserNamespaces], |world| {
        let line = "long setpriv --reuid 54321 --regid 54321 --clear-groups unshare -U -r -m; \
            [ $(head -c 8388608 /proc/$P/mountinfo | wc -c) = 8388608 ] && echo long; \
            cost nsenter-rs --list -t mnt -t uts; grep -o 'did not read.*' errors; cost nsenter-rs --inspect $P --json; grep -o not-all-read out; \
            cost nsenter-rs --diff $P $$ --json";
        run(world, "list-long", line).stdout_is(
            "long\n0 4\ndid not read 1 mount tables of user 54321 to their end: the limits are 256 KiB for each table and 4 MiB for all\n\
             0 256\nnot-all-read\n0 256\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("a long mount table of our own user namespace is read to its end", &[BASH, PERL, STRACE, UNSHARE], |world| {
        let line = "long unshare -m; cost nsenter-rs --list -t uts -o HOLDER | { read code units; [ $units -gt 128 ] && echo $code; }; \
            cat errors; grep -c \"^mount .*/tree/uts of process $P\" out";
        run(world, "list-own", line).stdout_is("0\n1\n");
    })
    .root_only()
    .host_only(),
    Row::new("a namespace that is mounted in a file system whose server does not answer is listed without waiting", &[BASH, PERL, UNSHARE], |world| {
        let line = "cat >dead.pl <<'END'\n".to_owned() + DEAD + "END\n\
            mkdir dead; unshare -m --propagation private perl dead.pl $PWD/dead & S=$!; trap 'kill -KILL $(cat server) $S' EXIT; \
            for i in $(seq 500); do [ -s server ] && break; sleep 0.02; done; P=$S; kill -STOP $(cat server); \
            timeout --signal KILL 2 stat /proc/$P/root$PWD/dead/ns >/dev/null; echo $?; \
            for command in '--list --output-all' '--list -t net -o NS,PNS,ONS,NETNSID,HOLDER' \"--inspect $P\" \"--diff $P $$\" '--list --containers' '--find no-such-one --json'; do \
                timeout --signal KILL 15 nsenter-rs $command >out 2>errors; echo $?; grep -c \"dead/ns of process $P\" out; done";
        run(world, "list-dead", &line).stdout_is("137\n0\n1\n0\n1\n0\n0\n0\n0\n0\n0\n125\n0\n");
    })
    .root_only()
    .host_only(),
];

/// Mounts a file system with one file, `ns`, at `$0`, and on that file a network namespace that nothing else keeps
/// alive. The kernel forgets each answer at once, and has to ask again; `server` has the pid of the process that
/// answers.
const DEAD: &str = r#"
use strict;
my ($path) = @ARGV;
sysopen(my $server, "/dev/fuse", 2) or die;
my $options = sprintf "fd=%d,rootmode=40755,user_id=0,group_id=0\0", fileno $server;
my ($none, $type, $at) = ("none\0", "fuse\0", "$path\0");
syscall(165, $none, $at, $type, 0, $options) == 0 or die "mount: $!";
if (my $served = fork()) {
    close($server);
    system("unshare", "-n", "mount", "--bind", "/proc/self/ns/net", "$path/ns") == 0 or die;
    open(my $note, ">", "server");
    syswrite($note, $served);
    sleep 600;
}
sub attributes { pack("Q6L10", $_[0], 0, 0, 0, 0, 0, 0, 0, 0, $_[1], 1, 0, 0, 0, 4096, 0) }
# struct fuse_in_header; then INIT, LOOKUP, GETATTR.
while (sysread($server, my $request, 1 << 20)) {
    my ($length, $call, $number, $node) = unpack("LLQQ", $request);
    next if $call == 2 || $call == 15;
    my $file = $node == 1 ? 040755 : 0100644;
    my $answer = $call == 26 ? pack("LLLLSSLLSSLx28", 7, 31, 0, 0, 10, 5, 131072, 1, 0, 0, 0)
        : $call == 1 ? pack("QQQQLL", 2, 0, 0, 0, 0, 0) . attributes(2, 0100644)
        : $call == 3 ? pack("QLL", 0, 0, 0) . attributes($node, $file)
        : undef;
    syswrite($server, pack("LlQ", 16 + length($answer // ""), defined $answer ? 0 : -38, $number) . ($answer // ""));
}
"#;

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    world.apart(name, &format!("cd $D\n{WAITING}{PREAMBLE}{lines}")).within(Duration::from_secs(120)).run()
}
