//! Bandwidth.

use super::attacks::apart;
use crate::harness::need::{IP, Need, PERL, UNSHARE};
use crate::harness::row::Row;

/// `perl measure get ADDRESS BYTES` and `put` print the rate in Mbit/s; `perl measure serve` answers. `bound FACTOR` prints
/// whether the rates that it reads are at most this many Mbit/s.
const MEASURE: &str = r#"
mount -t tmpfs none /run; ip link set lo up
cat >measure <<'P'
use IO::Socket::INET; use Time::HiRes 'time';
my ($mode, $address, $bytes) = @ARGV;
if ($mode eq 'serve') {
    my $s = IO::Socket::INET->new(LocalPort => 5000, Listen => 9, ReuseAddr => 1); open M, '>ready'; close M;
    while (my $c = $s->accept) {
        sysread $c, my $what, 64; my ($mode, $n) = split ' ', $what; my $b = 'x' x 65536;
        if ($mode eq 'get') { while ($n > 0) { my $w = syswrite $c, $b or last; $n -= $w } shutdown $c, 1; sysread $c, my $x, 1 }
        else { while (my $r = sysread $c, $b, 262144) { $n -= $r; last if $n <= 0 } syswrite $c, 'k' }
    }
}
my $c = IO::Socket::INET->new(PeerAddr => $address, PeerPort => 5000) or die; syswrite $c, sprintf '%-64s', "$mode $bytes";
my ($t, $n, $b) = (time, 0, 'x' x 65536);
if ($mode eq 'get') { while (my $r = sysread $c, $b, 262144) { $n += $r } }
else { while ($n < $bytes) { my $w = syswrite $c, $b or last; $n += $w } sysread $c, $b, 1 }
printf "%.2f\n", $n * 8 / 1e6 / (time - $t);
P
perl measure serve & SERVER=$!; until [ -e ready ]; do sleep 0.02; done
net='netns-rs exec --new --bridge box0 --gateway 10.97.7.1 --address 10.97.7.2/24'
bound() { perl -ne 'print $_ <= $ARGV0 ? "within\n" : "over\n"' -s -- -ARGV0=$1; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--rate limits both directions, and root inside cannot lift it",
        &[UNSHARE, IP, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{MEASURE}
                    for mode in get put; do $net --rate 20mbit -- perl measure $mode 10.97.7.1 5000000 | bound 20.4; done
                    $net --rate 20mbit -- bash -c 'tc qdisc delete dev eth0 root; perl measure put 10.97.7.1 10000000' | bound 30
                    for mode in get put; do $net -- perl measure $mode 10.97.7.1 20000000 | bound 30; done
                    $net --rate 20mbit -- tc qdisc show dev eth0 | grep -o 'rate 20Mbit burst 4Kb'; kill $SERVER"
                ),
            );
            // The control: without the option, both are faster.
            outcome.stdout_is("within\nwithin\nwithin\nover\nover\nrate 20Mbit burst 4Kb\n").stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new("a rate that nobody can mean is refused", &[], |world| {
        for rate in ["10mb", "0mbit", "1", "10MiB", "200gbit", "-1mbit"] {
            let outcome = world.sh(&format!("netns-rs exec --new --bridge b --address 10.97.7.2/24 --rate={rate} -- true"));
            outcome.fails_with(125).stderr_has("expected a rate in bits from 64kbit to 100gbit");
        }
    }),
];
