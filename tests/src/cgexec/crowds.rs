//! Views of groups that others make: many of them, deep ones, and such that may not be read.

use crate::harness::need::{BASH, Need, PERL, SETPRIV};
use crate::harness::row::Row;

use super::SHELL;

const NEEDS: &[Need] = &[BASH, PERL];

/// Sets `D` to the directory of the hierarchy that counts processes.
const PLACE: &str = "if has_v1 pids; then D=$(point cgroup pids); else D=$(point cgroup2); fi";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--events goes on without groups for which descriptors or rights are missing, and names them", &[BASH, SETPRIV], |world| {
        let script = format!(
            "{SHELL}
             {PLACE}
             G=$D/crowd-events; mkdir -p $G/{{1..60}}
             events() {{ cgexec-rs --cgroup /crowd-events --timeout 100ms --events; }}
             (ulimit -n 40; events 2>few; echo few $?)
             # The control: the same groups, where the hard limit allows more.
             (ulimit -Sn 40; events 2>many; echo many $?)
             grep -q 'left out' few && ! grep 'left out' many && echo named
             chmod 700 $G/7; chmod 0 $G/8/pids.events
             setpriv --reuid 54378 --regid 54378 --clear-groups cgexec-rs --cgroup /crowd-events --timeout 100ms --events 2>rights; echo rights $?
             for i in 7 8 9; do grep -c \"^cgexec-rs: /crowd-events/$i, .*left out: Permission denied\" rights; done
             (ulimit -n 90; exec cgexec-rs --cgroup /crowd-events --events 2>late) & watcher=$!
             until [ $(cat /proc/$watcher/fdinfo/* 2>/dev/null | grep -c ^inotify) -ge 61 ]; do kill -0 $watcher || break; sleep 0.02; done
             mkdir $G/{{61..120}}
             until grep -q '/crowd-events/.*left out' late; do kill -0 $watcher || break; sleep 0.02; done
             kill $watcher && echo alive; wait $watcher 2>/dev/null
             rmdir $G/*/ $G"
        );
        let place = world.directory("crowd-events");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        outcome.stdout_is("few 0\nmany 0\nnamed\nrights 0\n1\n1\n0\nalive\n");
    })
    .root_only()
    .host_only(),
    Row::new("--events finds a group that was made while the kernel dropped its reports", NEEDS, |world| {
        let script = format!(
            "{SHELL}
             {PLACE}
             G=$D/crowd-lost; mkdir $G
             cgexec-rs --cgroup /crowd-lost --events >out & watcher=$!
             until grep -qs ^inotify /proc/$watcher/fdinfo/*; do kill -0 $watcher || exit 1; sleep 0.02; done
             # A group whose only process cannot fork.
             full() {{
                 mkdir $G/$1; echo 1 >$G/$1/pids.max
                 perl -e 'open F, q(>), qq($ARGV[0]/cgroup.procs) or die; print F 0; close F or die; exit defined fork' $G/$1
             }}
             wait_for() {{ until grep -q \"/crowd-lost/$1\\\".*pids.max\" out; do kill -0 $watcher || exit 1; sleep 0.02; done; echo $1; }}
             # The control: nothing is dropped.
             full reported; wait_for reported
             kill -STOP $watcher
             perl -e 'for (0..$ARGV[1]) {{ my $d = qq($ARGV[0]/) . $_ % 2; mkdir $d and rmdir $d or die }}' $G $(cat /proc/sys/fs/inotify/max_queued_events)
             full dropped
             kill -CONT $watcher
             wait_for dropped
             kill $watcher; wait $watcher 2>/dev/null
             rmdir $G/*/ $G"
        );
        let place = world.directory("crowd-lost");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        outcome.stdout_is("reported\ndropped\n");
    })
    .root_only()
    .host_only(),
    Row::new("--events says when the pressure of a group that is made later is not watched", NEEDS, |world| {
        let script = format!(
            "{SHELL}
             G=$(point cgroup2)/crowd-pressure; mkdir -p $G/{{1..10}}
             cgexec-rs --cgroup /crowd-pressure --events >out 2>err & watcher=$!
             until [ $(cat /proc/$watcher/fdinfo/* 2>/dev/null | grep -c ^inotify) -ge 22 ]; do kill -0 $watcher || exit 1; sleep 0.02; done
             # The control: there is room for all at the start.
             grep 'pressure of' err
             mkdir $G/{{11..80}}
             until grep -q 'pressure of' err; do kill -0 $watcher || break; sleep 0.02; done
             grep -c 'the pressure of /crowd-pressure/[0-9]*, and of groups made after it, is not watched' err
             kill $watcher; wait $watcher 2>/dev/null
             rmdir $G/*/ $G"
        );
        let place = world.directory("crowd-pressure");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        outcome.stdout_is("1\n");
    })
    .root_only()
    .host_only(),
    Row::new("--list keeps no more than 64 MiB of long names, says so, and shows the groups with short ones", NEEDS, |world| {
        let script = format!(
            "{SHELL}
             {PLACE}
             G=$D/crowd-long; mkdir $G $G/z
             # Groups in 190 levels of long names.
             deep() {{
                 perl -e 'my ($group, $from, $to, $is_end) = @ARGV; my $name = q(l) x 250; chdir $group or die;
                     for (1..190) {{ mkdir $name; chdir $name or die }}
                     for ($from..$to) {{ $is_end ? rmdir : mkdir or die }}
                     if ($is_end) {{ for (1..190) {{ chdir q(..); rmdir $name or die $! }} }}' $G \"$@\"
             }}
             list() {{ cgexec-rs --cgroup /crowd-long --list --json >out 2>err; echo $? $(grep -c '64 MiB' err) $(grep -c '\"/crowd-long/z\"' out); }}
             # The control: ten of them are shown.
             deep 1 10; list; grep -c l/10\\\" out
             deep 11 1450; list
             [ $(stat -c %s out) -lt $((70 << 20)) ] && echo bounded
             deep 1 1450 1; rmdir $G/z $G; rm out"
        );
        let place = world.directory("crowd-long");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        outcome.stdout_is("0 0 1\n1\n0 1 1\nbounded\n");
    })
    .root_only()
    .host_only(),
];
