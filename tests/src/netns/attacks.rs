//! Attacks on the host's network from another user, from inside a container or from outside. Each attack is also tried
//! where it must succeed: on objects that `ip` makes, with the protection removed, or on another tool.

use crate::harness::need::{BUSYBOX, IP, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// `$OTHER_USER CMD` runs a command as another user; `locks FILE` locks a file as that user for as long as the shell lives,
/// or reports that it cannot.
const OTHER_USER: &str = r#"
mount -t tmpfs none /run; ip link set lo up
OTHER_USER="setpriv --reuid 54321 --regid 54321 --clear-groups"
locks() {
    exec 8< <($OTHER_USER perl -e 'use Fcntl ":flock"; $| = 1; open F, "<", $ARGV[0] or print "no\n"; flock F, LOCK_EX and print "yes\n"; sleep 60' $1)
    LOCKER=$!
    read answer <&8
    echo "locked by another user: $answer"
}
trap 'kill $LOCKER 2>/dev/null' EXIT
held() { perl -e 'use Fcntl ":flock"; open F, "<", $ARGV[0] or die; exit !flock F, LOCK_EX|LOCK_NB' $1 && echo free || echo held; }
"#;

/// `perl advertise eth0` sends a router advertisement with a prefix to all on a link. It writes the frame itself, so an
/// interface without IPv6 suffices.
const ADVERTISE: &str = r#"
cat >advertise <<'E'
my ($name) = @ARGV;
my ($index) = `ip -o link show $name` =~ /^(\d+)/;
my $link = pack 'C6', 2, 0, 0, 0, 0, 9;
my ($from, $to) = (pack('n8', 0xfe80, 0, 0, 0, 0, 0, 0, 9), pack('n8', 0xff02, 0, 0, 0, 0, 0, 0, 1));
my $prefix = pack 'CCCCNNNn8', 3, 4, 64, 0xc0, 86400, 14400, 0, 0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0;
my $message = pack('CCnCCnNN', 134, 0, 0, 64, 0, 1800, 0, 0) . $prefix;
my $sum = 0;
$sum += $_ for unpack 'n*', $from . $to . pack('NN', length $message, 58) . $message;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr($message, 2, 2) = pack 'n', ~$sum & 0xffff;
my $packet = pack('NnCC', 6 << 28, length $message, 58, 255) . $from . $to . $message;
my $frame = pack('C6', 0x33, 0x33, 0, 0, 0, 1) . $link . pack('n', 0x86dd) . $packet;
socket my $raw, 17, 3, 0 or die "socket: $!";
send $raw, $frame, 0, pack('SnlSCCa8', 17, 0x86dd, $index, 0, 0, 6, '') or die "send: $!";
E
"#;

/// `perl redirect` sends 10.97.2.2 a redirect from its gateway: the way to 192.0.2.9 leads by 10.97.2.9. It quotes an
/// echo reply, which needs no socket that it belongs to.
const REDIRECT: &str = r#"
cat >redirect <<'E'
use Socket;
my $quoted = pack('CCnnnCCn', 0x45, 0, 28, 0, 0, 64, 1, 0) . inet_aton('10.97.2.2') . inet_aton('192.0.2.9') . "\0" x 8;
my $message = pack('CCn', 5, 1, 0) . inet_aton('10.97.2.9') . $quoted;
my $sum = 0;
$sum += $_ for unpack 'n*', $message;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr($message, 2, 2) = pack 'n', ~$sum & 0xffff;
socket my $raw, AF_INET, SOCK_RAW, 1 or die "socket: $!";
send $raw, $message, 0, sockaddr_in 0, inet_aton '10.97.2.2' or die "send: $!";
E
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a container that sends router advertisements does not become the router of others",
        &[UNSHARE, PERL, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{ADVERTISE} ip link set lo up; mount -t tmpfs none /run
                    net='netns-rs exec --new --bridge box0 --gateway 10.97.2.1'
                    $net --address 10.97.2.3/24 -- sh -c 'touch other; until [ -e done ]; do sleep 0.02; done; ip -6 route show proto ra' &
                    until [ -e other ]; do sleep 0.02; done
                    ip link add br1 type bridge; ip link set br1 up; ip netns add control
                    ip link add port1 master br1 type veth peer name eth0 netns control; ip link set port1 up; ip -n control link set eth0 up
                    for i in $(seq 300); do
                        ip netns exec control perl advertise eth0
                        ip -6 route show proto ra | grep -q br1 && break; sleep 0.02
                    done
                    $net --address 10.97.2.2/24 -- sh -c 'perl advertise eth0; perl advertise eth0; touch done'; wait
                    ip -6 route show proto ra | sed 's/ via.* dev/ dev/; s/ metric.*//'
                    ip netns delete control"
                ),
            );
            outcome.succeeds().stdout_is("default dev br1\n").stderr_is("");
        },
    )
    .host_only(),
    Row::new(
        "interfaces made for a container ignore routers and redirects before they are up, and a bridge made by others is not changed",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "settings() { for f in ipv4/conf/$1/accept_redirects ipv4/conf/$1/send_redirects \
                    ipv6/conf/$1/{accept_redirects,accept_ra,disable_ipv6}; do cat /proc/sys/net/$f; done | tr '\n' ' '; echo; }
                export -f settings; ip link add br1 type bridge; settings br1
                for bridge in box0 br1; do netns-rs exec --new --bridge $bridge --address 10.97.2.2/24 -- \
                    bash -c 'settings eth0; touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done
                    settings $bridge; settings $(ip -o link show master $bridge | sed 's/^[0-9]*: //; s/@.*//'); touch done; wait; rm done made; done
                netns-rs exec --new --bridge box0 --address fd00:97::2/64 --gateway fd00:97::1 -- bash -c 'settings eth0'",
            );
            let (defaults, closed) = ("1 1 1 1 0 ", "0 0 0 0 1 ");
            let lines = [defaults, closed, closed, closed, closed, defaults, closed, "0 0 0 0 0 "];
            outcome.succeeds().stdout_is(&format!("{}\n", lines.join("\n"))).stderr_is("");
        },
    ),
    Row::new(
        "a container does not believe a redirect of its route",
        &[UNSHARE, PERL, IP, BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{REDIRECT} mount -t tmpfs none /run
                    netns-rs exec --new --bridge box0 --address 10.97.2.2/24 --gateway 10.97.2.1 -- \
                        bash -c 'echo $$ >pid; until [ -e done ]; do sleep 0.02; done' & until [ -s pid ]; do sleep 0.02; done
                    in_C() {{ nsenter --net=/proc/$(cat pid)/ns/net \"$@\"; }}
                    in_C ip neigh add 10.97.2.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
                    attack() {{ perl redirect; in_C busybox ping -c 1 -q 10.97.2.1 >/dev/null; in_C ip route get 192.0.2.9 | grep -o 'via [0-9.]*'; }}
                    attack; in_C bash -c 'echo 1 >/proc/sys/net/ipv4/conf/all/accept_redirects'; attack; touch done; wait"
                ),
            );
            outcome.succeeds().stdout_is("via 10.97.2.1\nvia 10.97.2.9\n").stderr_is("");
        },
    )
    .host_only(),
    Row::new(
        "a container's port is neither a multicast router nor a bridge, and a port made by others is not changed",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "ip link add br1 type bridge; ip link add p1 master br1 type veth peer name p2; netns-rs exec --new --bridge br1 \
                    --address 10.97.2.2/24 -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' & until [ -e made ]; do sleep 0.02; done
                for port in $(ip -o link show master br1 | sed 's/^[0-9]*: //; s/@.*//' | sort); do \
                    echo ${port:0:1} $(ip -d link show $port | grep -o 'hairpin o[nf]*\\| guard o[nf]*\\|mcast_router [0-9]'); done; touch done; wait",
            );
            let expected = "p hairpin off guard off mcast_router 1\nv hairpin off guard on mcast_router 0\n";
            outcome.succeeds().stdout_is(expected).stderr_is("");
        },
    ),
    Row::new(
        "a container with IPv6 can join a bridge that was made without it",
        &[UNSHARE, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "netns-rs exec --new --bridge box0 --address 10.97.2.2/24 -- bash -c 'touch made; until [ -e done ]; do sleep 0.02; done' &
                until [ -e made ]; do sleep 0.02; done
                netns-rs exec --new --bridge box0 --address fd00:97::2/64 --gateway fd00:97::1 -- busybox ping -c 1 -q fd00:97::1; touch done; wait",
            );
            outcome.succeeds().stdout_has("1 packets received");
        },
    ),
    Row::new(
        "if a setting cannot be disabled, nothing is connected",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
                netns-rs exec --new --bridge box0 --address 10.97.2.2/24 -- true; echo $?; ip -o link show type bridge",
            );
            outcome.succeeds().stdout_is("125\n").stderr_has("EROFS").stderr_has("remount it read-write");
        },
    ),
    Row::new(
        "another user's lock on the namespace does not block changes to the network",
        &[UNSHARE, SETPRIV, PERL, IP],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{OTHER_USER} locks /proc/self/ns/net; held /proc/self/ns/net
                netns-rs exec --new --bridge lock0 --address 10.97.1.2/24 -- echo connected
                kill $LOCKER; locks /proc/sys/net/ipv4/tcp_fastopen_key"
                ),
            );
            let expected = "locked by another user: yes\nheld\nconnected\nlocked by another user: no\n";
            outcome.succeeds().stdout_is(expected).stderr_is("");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "processes that change the network wait for each other",
        &[UNSHARE, PERL, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
            world,
            "perl -e 'use Fcntl \":flock\"; open F, \"<\", \"/proc/sys/net/ipv4/tcp_fastopen_key\"; flock F, LOCK_EX; \
                system \"touch held\"; sleep 1; $| = 1; print \"released\\n\"' & until [ -e held ]; do sleep 0.01; done
            netns-rs exec --new --bridge lock0 --address 10.97.1.2/24 -- echo connected; wait",
        );
            outcome.succeeds().stdout_is("released\nconnected\n");
        },
    )
    .host_only(),
    Row::new(
        "another user's lock on /run/netns does not prevent naming a namespace",
        &[UNSHARE, SETPRIV, PERL, IP],
        |world| {
            let outcome = apart(
                world,
                &format!(
                    "{OTHER_USER} mkdir /run/netns; locks /run/netns; timeout 1 ip netns add a; echo $?
                netns-rs add b; netns-rs exec b -- echo inside; netns-rs add c; netns-rs list | sort"
                ),
            );
            let expected = "locked by another user: yes\n124\ninside\nb\nc\n";
            outcome.succeeds().stdout_is(expected).stderr_has("it is prepared without the lock");
        },
    )
    .root_only()
    .host_only(),
];

/// Runs lines of bash as root of a network and a mount namespace, in a directory of their own.
pub fn apart(world: &World, lines: &str) -> Outcome {
    let own = if world.is_root { "" } else { "--user --map-root-user" };
    let script = format!("exec unshare {own} --net --mount --propagation private bash -c \"$LINES\"");
    let lines = format!("D=$(mktemp -d) && chmod 755 $D && cd $D\n{lines}");
    world.script(&script).variable("LINES", lines).run()
}
