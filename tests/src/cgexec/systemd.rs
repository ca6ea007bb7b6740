//! Limits where systemd is process 1: each run is in a delegated unit, and nothing is written to what belongs to systemd.
//!
//! The machine is xtask/src/vm/systemd.rs; the suite runs in a service that is not delegated, and user 54321 has a manager.

use crate::harness::need::PERL;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

pub const ROWS: &[Row] = &[
    Row::new("under systemd a run gets a delegated scope, which ends with it and leaves nothing", &[], |world| {
        let run = sh(
            world,
            r#"
            before=$(find /sys/fs/cgroup -type d | sort)
            cgexec-rs --memory 64M --pids 20 -- bash -c '
                cat /proc/self/cgroup; cat $(here)/memory.max $(here)/pids.max
                unit=$(basename "$(dirname "$(here)")"); systemctl $u show -P Delegate "$unit"' | sed "s/[0-9]*-[0-9a-f]\{16\}.scope.*/…/"
            gone
            [ "$(find /sys/fs/cgroup -type d | sort)" = "$before" ] && echo unchanged
            # Control: a group that systemd does not know belongs to no unit of its own.
            systemctl $u status cgexec-rs-1.scope >/dev/null 2>&1 || echo unknown
            "#,
        );
        let slice = if world.is_root { "/system.slice" } else { "/user.slice/user-54321.slice/user@54321.service/app.slice" };
        run.stdout_is(&format!("0::{slice}/cgexec-rs-…\n67108864\n20\nyes\nunchanged\nunknown\n"));
    })
    .under_systemd(),
    Row::new("under systemd nothing is written to a group that is not delegated", &[], |world| {
        sh(
            world,
            r#"
            foreign() {
                strace -f -y -qq -o calls -e trace=mkdirat,unlinkat,write,fsetxattr "$@" || return
                grep -c '</sys/fs/cgroup' calls
                { grep '</sys/fs/cgroup' calls || :; } | grep -c -v '</sys/fs/cgroup/[^>]*cgexec-rs-[0-9]*-[0-9a-f]\{16\}\.scope[/>]' || :
            }
            foreign cgexec-rs --memory 64M -- true > found; gone
            [ "$(sed -n 1p found)" -gt 5 ] && sed -n 2p found
            if [ $(id -u) = 0 ]; then
                # Control: where it does not look like systemd, the group is made in system.slice.
                mkdir -p empty
                foreign unshare -m bash -c 'mount --bind empty /run/systemd && exec cgexec-rs --memory 64M -- true' > found; gone
                [ "$(sed -n 2p found)" -gt 1 ] && echo foreign
            fi
            "#,
        )
        .stdout_is(if world.is_root { "0\nforeign\n" } else { "0\n" });
    })
    .under_systemd(),
    Row::new("under systemd the limits and programs of a service go with a scope that leaves it, and it ends with the service", &[], |world| {
        sh(
            world,
            r#"
            service() { systemd-run -q --pipe --wait -E PATH "$@"; }
            in='cat $(here)/memory.max $(here)/pids.max; { echo > /dev/udp/127.0.0.1/9; } 2>&1 | grep -o "Operation not permitted" || echo sent'
            service -p MemoryMax=50M -p TasksMax=90 -p IPAddressDeny=any cgexec-rs --memory 1G --pids 100 -- bash -c "$in"
            service cgexec-rs --memory 1G --pids 100 -- bash -c "$in"
            systemd-run -q --unit=carrier -E PATH bash -c 'cgexec-rs --pids 50 -- sleep 1000 & systemd-run -q --scope --unit=stays sleep 1000 & wait'
            until ls -d /sys/fs/cgroup/system.slice/cgexec-rs-*.scope/cgexec-rs-* && systemctl -q is-active stays.scope; do sleep 0.1; done >/dev/null 2>&1
            systemctl stop carrier; gone; echo ended
            # Control: a scope that does not belong to the service stays.
            systemctl is-active stays.scope; systemctl stop stays.scope
            "#,
        )
        .stdout_is("52428800\n90\nOperation not permitted\n1073741824\n100\nsent\nended\nactive\n");
    })
    .root_only()
    .under_systemd(),
    Row::new("a delegated service of systemd keeps its runs, if no other process is in its group or --leaf is given", &[], |world| {
        sh(
            world,
            r#"
            service() { systemd-run -q --pipe --wait -E PATH "$@" | sed 's/run-u[0-9]*/run-u/; s/[0-9]\+-[0-9a-f]\{16\}/N/; s/cgexec-rs-[0-9]\+$/cgexec-rs-N/'; }
            service -p Delegate=yes cgexec-rs --memory 64M -- cat /proc/self/cgroup
            service -p Delegate=yes -p User=user cgexec-rs --memory 64M -- cat /proc/self/cgroup
            service -p Delegate=yes bash -c 'cgexec-rs --leaf --memory 64M -- cat /proc/self/cgroup; :'
            # Other processes do not move unasked.
            service -p Delegate=yes bash -c 'cgexec-rs --memory 64M -- cat /proc/self/cgroup; :'
            # Control: the same without delegation.
            service cgexec-rs --memory 64M -- cat /proc/self/cgroup
            service bash -c 'cgexec-rs --leaf --memory 64M -- cat /proc/self/cgroup; cat /proc/self/cgroup'
            gone
            "#,
        )
        .stdout_is(
            "0::/system.slice/run-u.service/cgexec-rs-N\n0::/system.slice/run-u.service/cgexec-rs-N\n\
             0::/system.slice/run-u.service/cgexec-rs-N\n0::/system.slice/cgexec-rs-N.scope/cgexec-rs-N\n\
             0::/system.slice/cgexec-rs-N.scope/cgexec-rs-N\n0::/system.slice/cgexec-rs-N.scope/cgexec-rs-N\n\
             0::/system.slice/run-u.service\n",
        );
    })
    .root_only()
    .under_systemd(),
    Row::new("systemd is asked through its own socket or a bus; without both, the error names the socket", &[], |world| {
        sh(
            world,
            r#"
            asked() { cgexec-rs --explain --memory 64M -- true 2>&1 | grep -o 'sendto([^,]*'; }
            export -f asked
            systemctl stop dbus.socket dbus.service; asked
            as_user() { setpriv --reuid 54321 --regid 54321 --clear-groups env -u DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR=/run/user/54321 "$@"; }
            # In the user's own manager, the system's bus is not needed.
            as_user systemd-run --user -q --pipe --wait -E PATH cgexec-rs --memory 64M -- bash -c 'cat $(here)/memory.max'
            as_user cgexec-rs --memory 64M -- echo never || echo "status $?"
            systemctl start dbus.socket
            # It has lost its connection to the bus.
            systemctl restart user@54321.service
            unshare -m bash -c 'mount --bind /dev/null /run/systemd/private; asked'
            unshare -m bash -c 'for at in /run/systemd/private /run/dbus/system_bus_socket; do mount --bind /dev/null $at; done
                cgexec-rs --memory 64M -- echo never; echo "status $?"' 2>&1
            gone
            "#,
        )
        .stdout_is(
            "sendto(\"/run/systemd/private\"\n67108864\nstatus 125\nsendto(\"/run/dbus/system_bus_socket\"\n\
             cgexec-rs: cannot ask systemd for a cgroup: connect(\"/run/systemd/private\"): ECONNREFUSED (Connection refused)\n\
             status 125\n",
        );
    })
    .root_only()
    .under_systemd(),
    Row::new("a user without a manager of systemd reads how to get one, and then has limits", &[], |world| {
        sh(
            world,
            r#"
            as_stranger() { setpriv --reuid 54322 --regid 54322 --clear-groups env -u XDG_RUNTIME_DIR -u DBUS_SESSION_BUS_ADDRESS "$@"; }
            as_stranger cgexec-rs --memory 64M -- echo never 2>&1 || echo "status $?"
            loginctl enable-linger 54322
            until [ -S /run/user/54322/systemd/private ]; do sleep 0.1; done
            as_stranger cgexec-rs --memory 64M -- bash -c 'cat $(here)/memory.max'; gone
            loginctl disable-linger 54322
            until [ ! -e /run/user/54322/systemd/private ]; do sleep 0.1; done
            "#,
        )
        .stdout_is(
            "cgexec-rs: cannot ask systemd for a cgroup: XDG_RUNTIME_DIR is not set, and there is no /run/user/54322\n\
             cgexec-rs: remedy: no manager of systemd answers for uid 54322; root starts one with loginctl enable-linger 54322\n\
             status 125\n67108864\n",
        );
    })
    .root_only()
    .under_systemd(),
    Row::new("under systemd reports, views and verbs work in the scope", &[], |world| {
        sh(
            world,
            r#"
            cgexec-rs --report=report --json --memory 32M --swap 0 -- bash -c 'head -c 100M /dev/zero | tail' >/dev/null 2>&1 || :
            jq -r .verdict.text report | cut -d' ' -f1,2; gone
            cgexec-rs --max-time 200ms -- sleep 1000 || echo "status $?"; gone
            cgexec-rs --memory 64M -- sleep 1000 & pid=$!
            until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
            group=/sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)
            cgexec-rs --why --json $pid | jq '.effective."memory.max".value'
            cgexec-rs --freeze $pid; cat $group/cgroup.freeze; cgexec-rs --thaw $pid; cat $group/cgroup.freeze
            cgexec-rs --kill $pid; wait $pid 2>/dev/null || echo "status $?"; gone
            cgexec-rs --dry-run --memory 64M -- true 2>&1 | grep -c 'StartTransientUnit\|memory.max'; find /sys/fs/cgroup -name 'cgexec-rs*'
            "#,
        )
        .stdout_is("killed: memory.max\nstatus 143\n67108864\n1\n0\nstatus 137\n2\n");
    })
    .under_systemd(),
    Row::new("under systemd a pipeline's container has its group in a scope", &[], |world| {
        let pipe = "unshare-rs --hold --user --map-root-user --mount --pid --cgroup | \
                    cgexec-rs --pipe --memory 64M --pids 20 | nsenter-rs --pipe --rm -- cat /proc/self/cgroup";
        let script = if world.is_root {
            format!("{pipe}; gone")
        } else {
            // A user moves processes within the user's own manager only.
            format!("systemd-run --user -q --scope -E PATH bash -c {pipe:?}; gone")
        };
        sh(world, &script).stdout_is("0::/\n");
    })
    .under_systemd(),
    Row::new("what a socket of systemd answers is not trusted", &[PERL], |world| {
        sh(
            world,
            r#"
            cat > server.pl <<'END'
use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Local => "fake/systemd/private", Listen => 1) or die $!;
open my $ready, ">", "ready"; close $ready;
my $peer = $socket->accept; my $read;
my $ok = "DATA\r\nOK 0123\r\n";
sub text { my ($text) = @_; pack("V", length $text) . "$text\0" }
sub aligned { my ($bytes) = @_; $bytes . "\0" x (-length($bytes) % 8) }
sub message { my ($kind, $fields, $body) = @_; "l" . chr($kind) . "\1\1" . pack("VVV", length $body, 9, length $fields) . aligned($fields) . $body }
sub scope { my ($read, $found) = (""); until (($found) = $read =~ /(cgexec-rs-\d+-[0-9a-f]{16}\.scope)/) { sysread($peer, $read, 4096, length $read) or last } $found }
my %answers = (
    rejects => sub { "REJECTED EXTERNAL\r\n" },
    babbles => sub { "x" x 4096 },
    overstates => sub { $ok . "l\2\1\1" . "\xff\xff\xff\x7f" x 3 },
    refuses => sub { $ok . message(3, "\5\1u\0" . pack("V", 3) . aligned("\4\1s\0" . text("a.Denied")) . "\10\1g\0\1s\0", text("\e[2Jno")) },
    fails => sub { done("failed") },
    lies => sub { done("done") },
);
sub done {
    my ($result) = @_; syswrite $peer, $ok; my $scope = scope();
    my $body = pack("V", 1) . text("/j/1"); $body .= "\0" x (-length($body) % 4) . text($scope); $body .= "\0" x (-length($body) % 4) . text($result);
    message(2, "\5\1u\0" . pack("V", 3) . "\10\1g\0\1o\0", text("/j/1")) . message(4, aligned("\3\1s\0" . text("JobRemoved")) . "\10\1g\0\4uoss\0", $body)
}
sysread $peer, $read, 4096 unless $ARGV[0] =~ /lies|fails/;
syswrite $peer, $answers{$ARGV[0]}->();
1 while sysread $peer, $read, 4096;
END
            mkdir -p fake/systemd; unset DBUS_SESSION_BUS_ADDRESS
            for answer in rejects babbles overstates refuses fails lies; do
                rm -f fake/systemd/private ready; perl server.pl $answer & until [ -e ready ]; do sleep 0.1; done
                XDG_RUNTIME_DIR=$PWD/fake cgexec-rs --memory 64M -- echo never 2>&1 || echo "status $?"
                wait
            done | sed "s|$PWD|…|; s/[0-9]*-[0-9a-f]\{16\}/N/"
            "#,
        )
        .stdout_is(
            "cgexec-rs: cannot ask systemd for a cgroup through …/fake/systemd/private: it rejects our user\nstatus 125\n\
             cgexec-rs: cannot ask systemd for a cgroup through …/fake/systemd/private: its handshake is not D-Bus\nstatus 125\n\
             cgexec-rs: cannot ask systemd for a cgroup through …/fake/systemd/private: a message is invalid: a value is longer than its message\nstatus 125\n\
             cgexec-rs: cannot start the scope cgexec-rs-N.scope: StartTransientUnit: a.Denied (\\u{1b}[2Jno)\nstatus 125\n\
             cgexec-rs: cannot start the scope cgexec-rs-N.scope: systemd's job ended with: failed\nstatus 125\n\
             cgexec-rs: cannot use the scope cgexec-rs-N.scope: systemd has started it, but this process is in /system.slice/suite.service\nstatus 125\n",
        );
    })
    .user_only()
    .under_systemd(),
];

/// Runs a script with some commands: `here` prints the directory of the current group, `gone` waits until no group of
/// ours is left; `$u` selects the user's manager.
fn sh(world: &World, script: &str) -> Outcome {
    let functions = r#"set -e
        printf '%s\n' '#!/bin/bash' 'echo /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)' > here
        chmod +x here; export PATH=$PWD:$PATH
        gone() { until [ -z "$(find /sys/fs/cgroup -name 'cgexec-rs*')" ]; do sleep 0.1; done; }
        export u=; [ "$(id -u)" = 0 ] || u=--user
    "#;
    world.sh(&format!("{functions}\n{script}")).succeeds()
}
