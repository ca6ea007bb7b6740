//! Programs that others have attached to a group of v2, when a command leaves that group.

use crate::harness::need::{BASH, Need, PERL};
use crate::harness::row::Row;

use super::SHELL;

const NEEDS: &[Need] = &[BASH, PERL];

/// The number of the attach type, its type of program, and what the program returns: 1 allows, 0 refuses. Programs that
/// only change an address cannot refuse.
const HOOKS: &[(u32, u32, u32)] = &[
    (6, 15, 1),
    (10, 18, 1),
    (29, 18, 1),
    (30, 18, 1),
    (31, 18, 1),
    (32, 18, 1),
    (34, 9, 1),
    (49, 18, 0),
    (50, 18, 0),
    (51, 18, 1),
    (52, 18, 1),
    (53, 18, 1),
];

/// `attach GROUP HOOK TYPE RETURN…` attaches a program to each hook; `count GROUP HOOK…` prints how many programs each has.
const BPF: &str = r#"
my ($verb, $group, @numbers) = @ARGV;
my $nr = { x86_64 => 321, aarch64 => 280 }->{`uname -m` =~ s/\n//r} or die "bpf(2)";
sub bpf { my ($command, $attr) = @_; my $got = syscall($nr, $command, $attr, length $attr); die "$command: $!" if $got < 0; ($got, $attr) }
sub address { unpack "Q", pack "p", $_[0] }
sysopen my $dir, $group, 0 or die "$group: $!";
while (my $hook = shift @numbers) {
    my ($ids, $license) = ("\0" x 256, "GPL\0");
    if ($verb eq "count") {
        my (undef, $query) = bpf(16, pack "LLLLQLL", fileno $dir, $hook, 0, 0, address($ids), 64, 0);
        print "$hook:", (unpack "LLLLQL", $query)[5], "\n";
        next;
    }
    my ($type, $return) = splice @numbers, 0, 2;
    my $program = pack "CCslCCsl", 0xb7, 0, 0, $return, 0x95, 0, 0, 0;
    my ($fd) = bpf(5, pack "LLQQLLQLLa16LL", $type, 2, address($program), address($license), 0, 0, 0, 0, 0, "of_others", 0, $hook);
    bpf(8, pack "LLLLL", fileno $dir, $fd, $hook, 2, 0);
}"#;

/// What a process can do with Unix sockets.
const PROBE: &str = r#"
use Socket; my $to = pack_sockaddr_un("/no/such/socket");
socket my $stream, AF_UNIX, SOCK_STREAM, 0; connect $stream, $to; print "connect: $!\n";
socket my $datagram, AF_UNIX, SOCK_DGRAM, 0; send $datagram, "x", 0, $to; print "send: $!\n";"#;

/// The rows of this topic.
pub const ROWS: &[Row] =
    &[Row::new("every program of others still decides in a group that is made next to theirs", NEEDS, |world| {
        let attach: Vec<_> = HOOKS.iter().map(|(hook, kind, returns)| format!("{hook} {kind} {returns}")).collect();
        let count: Vec<_> = HOOKS.iter().map(|(hook, ..)| hook.to_string()).collect();
        let inside = format!("{SHELL}\nperl -e \"$BPF\" count $(own v2) {}; perl -e \"$PROBE\"", count.join(" "));
        let script = format!(
            r#"{SHELL}
            g=$(point cgroup2)/programs-of-others; mkdir $g || exit 1
            inside() {{ (echo $BASHPID >$g/cgroup.procs; exec cgexec-rs --hugetlb-max 2M=4M -- bash -c "$INSIDE"); }}
            # The control: without programs, all is allowed.
            inside
            perl -e "$BPF" attach $g {} && inside
            for i in $(seq 200); do rmdir $g 2>/dev/null; [ -d $g ] || exit 0; sleep 0.05; done; exit 1"#,
            attach.join(" ")
        );
        let script = world.script(&script).variable("BPF", BPF).variable("PROBE", PROBE).variable("INSIDE", inside);
        let outcome = script.run().succeeds();
        let expected = |programs: u32, connect: &str, send: &str| {
            let counts = HOOKS.iter().map(|(hook, ..)| format!("{hook}:{programs}"));
            counts.chain([format!("connect: {connect}"), format!("send: {send}")]).collect::<Vec<_>>()
        };
        let (missing, refused) = ("No such file or directory", "Operation not permitted");
        let expected = [expected(0, missing, missing), expected(1, refused, refused)].concat();
        assert_eq!(outcome.lines(), expected, "{outcome}");
    })
    .root_only()
    .host_only()];
