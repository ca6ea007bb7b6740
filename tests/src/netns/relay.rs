//! Relays: a port inside leads to one address outside, a port outside to one inside, without a bridge and for every user.

use super::attacks::apart;
use crate::harness::need::{IP, Need, PERL, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[UNSHARE, PERL, Need::NetworkNamespaces];

/// `serve NAME` starts a server on a free port of 127.0.0.1, and writes the port into the file NAME. The first line of a
/// connection says what it does: `echo` its lines, `count` its bytes, end `first` and then count, `reset`, or be `deaf`.
/// `$AS_USER` starts a tool with what a user needs in addition. `talk PORT MODE` is a client.
const PEERS: &str = r#"
cat >server.pl <<'E'
use IO::Select; use IO::Socket::INET; use Socket;
my $server = IO::Socket::INET->new(Listen => 1024, LocalAddr => $ENV{ADDRESS} || "127.0.0.1:0") or die "listen: $!";
open my $port, ">", "$ARGV[0].new"; print $port $server->sockport; close $port; rename "$ARGV[0].new", $ARGV[0];
my ($all, %mode, %bytes, %start, @deaf) = IO::Select->new($server);
while (1) {
    for my $peer ($all->can_read) {
        if ($peer == $server) { my $new = $server->accept; $all->add($new) if $new; next }
        my $length = sysread $peer, my $text, 65536;
        if (!$length) {
            my $count = $bytes{$peer} // 0;
            if ($mode{$peer} eq 'count') { syswrite $peer, "$count bytes\n" }
            if ($mode{$peer} eq 'first') { open my $got, ">", "$ARGV[0].got.new"; print $got $count; close $got; rename "$ARGV[0].got.new", "$ARGV[0].got" }
            $all->remove($peer); delete $mode{$peer}; delete $start{$peer}; delete $bytes{$peer}; close $peer; next;
        }
        if (!$mode{$peer}) {
            $start{$peer} .= $text;
            $start{$peer} =~ s/^(\w+)\n//s or next;
            ($mode{$peer}, $text) = ($1, $start{$peer});
            if ($1 eq 'reset') { setsockopt $peer, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0; $all->remove($peer); delete $mode{$peer}; delete $start{$peer}; close $peer; next }
            if ($1 eq 'first') { syswrite $peer, "bye\n"; shutdown $peer, 1 }
            if ($1 eq 'deaf') { $all->remove($peer); push @deaf, $peer; syswrite $peer, "deaf\n" }
        }
        $bytes{$peer} += length $text;
        syswrite $peer, $text if $mode{$peer} eq 'echo' and length $text;
    }
}
E
cat >talk.pl <<'E'
use IO::Socket::INET;
$| = 1;
my ($port, $mode) = @ARGV;
my $peer = IO::Socket::INET->new($port =~ /:/ ? $port : "127.0.0.1:$port") or print "$!\n" and exit 1;
syswrite $peer, $mode eq 'urgent' ? "count\n" : "$mode\n" or print "$!\n" and exit 1;
if ($mode eq 'echo') { syswrite $peer, "hello\n"; print scalar <$peer> }
if ($mode eq 'count') { print $peer 'x' x 10007 for 1 .. 200; $peer->flush; shutdown $peer, 1; print <$peer> }
if ($mode eq 'urgent') { send $peer, 'xx', 0; send $peer, 'y', 1; send $peer, 'z' x 20000, 0; shutdown $peer, 1; print <$peer> }
if ($mode eq 'first') { print <$peer>; syswrite $peer, 'x' x 70000; shutdown $peer, 1 }
if ($mode eq 'reset') { defined sysread($peer, my $text, 1) ? print "end\n" : print "$!\n" }
E
serve() { rm -f $1; perl server.pl $1 2>$1.err & SERVERS="$SERVERS $!"; until [ -s $1 ]; do sleep 0.02; done; }
talk() { perl talk.pl $@; }
export -f talk; trap 'kill $SERVERS 2>/dev/null; wait' EXIT
perl -e 'socket S, 2, 2, 0; my $r = pack "a16sx14", "lo", 1; ioctl S, 0x8914, $r or die "lo: $!"'
AS_USER="unshare-rs --user --map-root-user --"
"#;

fn relayed(world: &World, lines: &str) -> Outcome {
    apart(world, &format!("{PEERS}\n{lines}"))
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a port inside is relayed to one address outside and to no other, in a chain of any user", NEEDS, |world| {
        let outcome = relayed(
            world,
            "serve a; serve b; export A=$(cat a) B=$(cat b); talk $B echo
            for chain in '' \"$AS_USER\"; do
                $chain netns-rs exec --new -- bash -c 'talk $A echo'
                $chain netns-rs exec --new --reach 127.0.0.1:$A --reach localhost:$A=80 -- bash -c 'talk $A echo; talk 80 echo; talk $B echo'
            done
            netns-rs exec --new --reach nowhere.example:80 -- echo started",
        );
        let of_one = "Connection refused\nhello\nhello\nConnection refused\n";
        outcome
            .stdout_is(&format!("hello\n{of_one}{of_one}"))
            .stderr_has("cannot look up nowhere.example: it is not in /etc/hosts");
    })
    .host_only(),
    Row::new("a relayed connection ends in each direction as it was ended", NEEDS, |world| {
        let outcome = relayed(
            world,
            "serve a; export A=$(cat a)
            talk 1 reset
            $AS_USER netns-rs exec --new --reach 127.0.0.1:$A --reach 127.0.0.1:1=81 -- bash -c 'talk $A count; talk $A urgent; talk $A first; talk $A reset; talk 81 reset'
            until [ -s a.got ]; do sleep 0.02; done; cat a.got",
        );
        let reset = "Connection reset by peer\n";
        let counted = "2001400 bytes\n20003 bytes\nbye\n";
        outcome.succeeds().stdout_is(&format!("Connection refused\n{counted}{reset}{reset}70000"));
    })
    .host_only(),
    Row::new(
        "a relay lets the kernel keep little for each connection beyond the first eight",
        &[UNSHARE, PERL, IP, Need::NetworkNamespaces],
        |world| {
            // The control: the first eight, whose buffers the kernel chooses.
            let outcome = relayed(
                world,
                r#"serve a; export A=$(cat a)
            cat >twenty.pl <<'E'
use IO::Socket::INET;
for (1 .. 20) { my $peer = IO::Socket::INET->new("127.0.0.1:$ENV{A}") or die "$_: $!"; syswrite $peer, "echo\nhello\n"; <$peer> eq "hello\n" or die; push @peers, $peer }
system 'bash', '-c', 'small sport'; open my $ready, ">", "ready"; select undef, undef, undef, 0.02 until -e "seen";
E
            small() { ss -tmnH state established $1 = :$A >$1; echo $(grep -c skmem $1) $(grep -c 'rb131072,.*tb131072,' $1); }; export -f small
            netns-rs exec --new --reach 127.0.0.1:$A -- perl twenty.pl & until [ -e ready ]; do sleep 0.02; done; small dport; touch seen; wait $!"#,
            );
            outcome.stdout_is("20 12\n20 12\n");
        },
    )
    .host_only(),
    Row::new(
        "a thousand relayed connections exist at once, and what exceeds the limit of open files waits",
        NEEDS,
        |world| {
            let outcome = relayed(
                world,
                r#"ulimit -Sn 2200; serve a; export A=$(cat a); ulimit -Sn 200
            cat >many.pl <<'E'
use IO::Socket::INET; use IO::Select;
my ($count, $served) = @ARGV;
my @peers = map { IO::Socket::INET->new("127.0.0.1:$ENV{A}") or die "$_: $!" } 1 .. $count;
syswrite $peers[$_], "echo\n$_\n" for keys @peers;
my %at = map { ($peers[$_] => $_) } keys @peers;
my $answered = 0;
while ($answered < $count) {
    my @ready = IO::Select->new(values %{{ map { ($_ => $_) } grep { defined $at{$_} } @peers }})->can_read;
    for my $peer (@ready) { $answered++ if <$peer> eq "$at{$peer}\n"; delete $at{$peer} }
    # Only now there is room for others.
    if ($answered == $served) { print "$answered at once\n"; close $_ for grep { !defined $at{$_} } @peers }
    if ($answered > $served) { close $_ for grep { !defined $at{$_} } @peers }
}
print "$answered in all\n";
E
            $AS_USER netns-rs exec --new --reach 127.0.0.1:$A -- bash -c 'ulimit -Sn 2200; perl many.pl 1000 1000'
            (ulimit -n 155; $AS_USER netns-rs exec --new --reach 127.0.0.1:$A -- perl many.pl 20 15)
            ulimit -n 60; $AS_USER netns-rs exec --new --reach 127.0.0.1:$A -- echo started"#,
            );
            outcome
                .fails_with(125)
                .stdout_is("1000 at once\n1000 in all\n15 at once\n20 in all\n")
                .stderr_has("cannot relay connections: the limit of open files is 60");
        },
    )
    .host_only(),
    Row::new("a peer that never reads stops only its own relayed connection, and the sender waits", NEEDS, |world| {
        let outcome = relayed(
            world,
            r#"serve a; export A=$(cat a)
            cat >flood.pl <<'E'
use IO::Socket::INET;
my @deaf = map { IO::Socket::INET->new("127.0.0.1:$ENV{A}") or die } 1 .. 10;
for (@deaf) { syswrite $_, "deaf\n"; <$_> }
my ($sent, $piece, $quiet) = (0, 'x' x 65536, 0);
$_->blocking(0) for @deaf;
while ($quiet < 20) {
    $quiet++;
    for my $peer (@deaf) { while (my $n = syswrite $peer, $piece) { $sent += $n; $quiet = 0; die "unbounded" if $sent > 10 * (64 << 20) } }
    select undef, undef, undef, 0.01;
}
print $sent > 10 * 65536 ? "the senders wait\n" : "refused at once: $sent\n";
system "bash", "-c", "talk $ENV{A} echo";
E
            $AS_USER netns-rs exec --new --reach 127.0.0.1:$A -- perl flood.pl"#,
        );
        outcome.succeeds().stdout_is("the senders wait\nhello\n");
    })
    .host_only(),
    Row::new("a relay ends with its command, and has no right that the command could use", NEEDS, |world| {
        let outcome = relayed(
            world,
            r#"serve a; export A=$(cat a)
            cat >look.pl <<'E'
sub of { open my $file, "<", $_[0]; local $/; <$file> // '' }
my ($relay) = grep { $_ != $$ && of("/proc/$_/cmdline") =~ /--reach\x00127.0.0.1:$ENV{A}\x00/ && of("/proc/$_/status") =~ /^Seccomp:\t2$/m } map { /(\d+)/ } glob "/proc/[0-9]*";
$relay or die "no relay";
print grep { /^(CapInh|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ } map { "$_\n" } split /\n/, of("/proc/$relay/status");
my $other = fork || exec "sleep", "1000";
select undef, undef, undef, 0.01 until of("/proc/$other/comm") eq "sleep\n";
for my $pid ($other, $relay) {
    # ptrace(PTRACE_SEIZE)
    print syscall(`uname -m` =~ /x86_64/ ? 101 : 117, 0x4206, int $pid, 0, 0) == 0 ? "traced" : "not traced", ", ";
    print readlink "/proc/$pid/fd/0" ? "descriptors" : "no descriptors", ", ";
    print open(my $memory, "+<", "/proc/$pid/mem") ? "memory\n" : "no memory\n";
}
kill 9, $other;
open my $file, ">", "relay"; print $file $relay;
E
            $AS_USER netns-rs exec --new --reach 127.0.0.1:$A -- chroot-rs --capabilities none / perl $PWD/look.pl
            until [ ! -e /proc/$(cat relay || echo none) ]; do sleep 0.02; done; echo ended"#,
        );
        let none = ["CapInh", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t0000000000000000\n")).concat();
        let tried = "traced, descriptors, memory\nnot traced, no descriptors, no memory\n";
        outcome.succeeds().stdout_is(&format!("{none}NoNewPrivs:\t1\nSeccomp:\t2\n{tried}ended\n"));
    })
    .host_only(),
    Row::new("a port of the host is relayed into a network of any user, until the command ends", NEEDS, |world| {
        let outcome = relayed(
            world,
            "cat >inside.sh <<'E'
ADDRESS=127.0.0.1:80 perl server.pl in 2>in.err & until [ -e done ]; do sleep 0.02; done; kill $!; wait
E
            talk 8471 echo
            $AS_USER netns-rs exec --new --publish 8471:80 --publish 127.0.0.1:8472:80 -- bash inside.sh & until [ -s in ]; do sleep 0.02; done
            talk 8471 echo; talk 127.0.0.2:8471 count; talk 8472 echo; talk 127.0.0.2:8472 echo
            netns-rs exec --new --publish 8471:80 -- echo started; touch done; wait $!
            until ! (exec 9<>/dev/tcp/127.0.0.1/8471) 2>/dev/null; do sleep 0.02; done; echo ended
            netns-rs exec --new --publish 8471:80 -- echo free again",
        );
        let refused = "Connection refused\n";
        outcome
            .succeeds()
            .stdout_is(&format!("{refused}hello\n2001400 bytes\nhello\n{refused}ended\nfree again\n"))
            .stderr_has("cannot publish TCP port 8471: bind(0.0.0.0:8471): EADDRINUSE");
    })
    .host_only(),
    Row::new("connect relays for a process and for a hold of any user, until it ends", NEEDS, |world| {
        let outcome = relayed(
            world,
            "serve a; export A=$(cat a); OWN='--user --map-root-user'
            record=$(unshare-rs --hold $OWN --net --pid --mount --ttl 60 | netns-rs connect --pipe --reach 127.0.0.1:$A=70 --publish 127.0.0.1:8473:80)
            echo \"$record\" | grep -o '\"net\":{\"reached[^}]*}' | sed \"s/:$A=/:PORT=/\"
            echo 'cd ${0%/*}; perl talk.pl 70 echo; ADDRESS=127.0.0.1:80 perl server.pl in 2>in.err & until [ -e done ]; do sleep 0.02; done; kill %1; wait' >inside.sh
            echo \"$record\" | nsenter-rs --pipe --rm -- bash $PWD/inside.sh &
            until [ -s in ]; do sleep 0.02; done; talk 8473 echo; touch done; wait $!
            until ! (exec 9<>/dev/tcp/127.0.0.1/8473) 2>/dev/null; do sleep 0.02; done; echo ended
            unshare-rs $OWN --net sleep 1000 & P=$!; until [ $(cat /proc/$P/comm) = sleep ]; do sleep 0.02; done
            netns-rs connect $P --reach 127.0.0.1:$A=71; nsenter --target $P --user --net --preserve-credentials bash -c 'talk 71 echo'; kill $P
            netns-rs connect /proc/self/ns/uts --reach 127.0.0.1:$A",
        );
        let record = r#""net":{"reached":["127.0.0.1:PORT=70"],"published":["127.0.0.1:8473:80"]}"#;
        outcome
            .fails_with(125)
            .stdout_is(&format!("{record}\nhello\nhello\nended\nhello\n"))
            .stderr_has("it would not end with any process");
    })
    .host_only(),
];
