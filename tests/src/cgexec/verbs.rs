//! Verbs for a group that exists: they change it, wait until the kernel has done it, and refuse what would be a mistake.

use crate::harness::need::{BASH, Need, PERL, STRACE};
use crate::harness::row::Row;

use super::SHELL;

const NEEDS: &[Need] = &[BASH];

/// Shell functions: `fill GROUP COMMAND` runs a command in the background in the directories of a group.
const FILL: &str = r#"
v2=$(point cgroup2)
fill() { (for procs in $1; do echo $BASHPID >$procs/cgroup.procs; done; exec bash -c "$2") & }
used() { sed -n 's/^usage_usec //p' $v2/$1/cpu.stat; }
gone() { for i in $(seq 200); do rmdir $1 2>/dev/null; [ -d $1 ] || return 0; sleep 0.05; done; return 1; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a group is frozen, thawed, killed and removed when the verb has ended", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             mkdir $v2/verbs-life; fill $v2/verbs-life 'while :; do :; done'; pid=$!
             runs() {{ a=$(used verbs-life); for i in $(seq 100); do b=$(used verbs-life); [ $b -gt $((a + 20000)) ] && echo runs && return; sleep 0.05; done; echo stopped; }}
             # The control: it runs.
             runs
             cgexec-rs --cgroup /verbs-life --freeze || exit 1
             a=$(used verbs-life); sleep 0.5; b=$(used verbs-life); echo frozen $((b - a))
             cgexec-rs --cgroup /verbs-life --thaw && runs
             cgexec-rs --cgroup /verbs-life --remove || echo kept
             cgexec-rs --cgroup /verbs-life --kill && cat $v2/verbs-life/cgroup.procs
             wait $pid 2>/dev/null; echo $?
             mkdir $v2/verbs-life/inner; cgexec-rs --cgroup verbs-life --remove; ls -d $v2/verbs-life 2>/dev/null || echo removed"
        );
        let outcome = world.sh(&script).succeeds().stdout_is("runs\nfrozen 0\nruns\nkept\n137\nremoved\n");
        outcome.stderr_has("verbs-life: process ").stderr_has("remedy: end its processes with --kill");
    })
    .root_only(),
    Row::new("--kill succeeds although the group is removed as soon as it is empty", &[BASH, STRACE], |world| {
        let script = format!(
            "{SHELL}{FILL}
             for d in $v2/verbs-gone $(point cgroup pids)/verbs-gone; do
                 mkdir $d; fill $d 'exec sleep 86447'
                 until grep -q . $d/cgroup.procs; do sleep 0.02; done
                 gone $d & remover=$!
                 # It is removed before the next look at it.
                 strace -f -qq -o calls -e trace=openat -e inject=openat:delay_enter=150000 cgexec-rs --cgroup /verbs-gone --kill
                 echo $?; wait $remover; ls -d $d 2>/dev/null || echo removed
             done; grep -c 'cgroup.*ENOENT' calls"
        );
        let outcome = world.sh(&script).succeeds();
        // The control: it was gone when it was looked at.
        assert!(outcome.stdout.starts_with("0\nremoved\n0\nremoved\n") && !outcome.stdout.ends_with("\n0\n"), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("--kill ends the processes in the other hierarchies although one group of the cgroup is removed meanwhile", &[BASH, STRACE], |world| {
        let script = format!(
            "{SHELL}{FILL}
             f=$(point cgroup freezer)/verbs-part; p=$(point cgroup pids)/verbs-part; mkdir $f $p
             fill $p 'exec sleep 86448'; pid=$!
             until grep -q . $p/cgroup.procs; do sleep 0.02; done
             strace -f -qq -o calls -e trace=openat -e inject=openat:delay_enter=70000:when=10+ cgexec-rs --cgroup /verbs-part --kill & tool=$!
             until child=$(cat /proc/$tool/task/$tool/children) && find /proc/${{child% }}/fd -lname $f | grep -q .; do :; done 2>/dev/null
             rmdir $f; wait $tool; echo $?
             grep -q . $p/cgroup.procs && {{ echo alive; kill -KILL $pid; }}
             wait $pid 2>/dev/null; gone $p
             # The control: it was gone when it was to be thawed.
             grep -q 'freezer.state.*ENOENT' calls && echo gone"
        );
        world.sh(&script).succeeds().stdout_is("0\ngone\n");
    })
    .root_only()
    .host_only(),
    Row::new("a group of v1's freezer is frozen, thawed and killed", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             d=$(point cgroup freezer)/verbs-v1; mkdir $d; fill $d 'exec sleep 86440'; pid=$!
             for i in $(seq 200); do grep -q . $d/cgroup.procs && break; sleep 0.02; done
             cgexec-rs --cgroup /verbs-v1 --freeze && cat $d/freezer.state
             cgexec-rs --cgroup /verbs-v1 --thaw && cat $d/freezer.state
             cgexec-rs --cgroup /verbs-v1 --freeze; cgexec-rs --cgroup /verbs-v1 --kill --timeout 5s && wait $pid 2>/dev/null; echo $?
             cgexec-rs --cgroup /verbs-v1 --remove && ls -d $d 2>/dev/null || echo removed"
        );
        world.sh(&script).succeeds().stdout_is("FROZEN\nTHAWED\n137\nremoved\n");
    })
    .root_only()
    .host_only(),
    Row::new("--kill ends what a group of v1's freezer inside the group has frozen", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             d=$(point cgroup freezer)/verbs-inner; mkdir -p $d/a/b; fill $d/a/b 'exec sleep 86446'; pid=$!
             for i in $(seq 200); do grep -q . $d/a/b/cgroup.procs && break; sleep 0.02; done
             echo FROZEN >$d/a/b/freezer.state; until [ $(cat $d/a/b/freezer.state) = FROZEN ]; do sleep 0.02; done
             # The control: a signal does not end it, nor does thawing the group.
             kill -KILL $pid; cgexec-rs --cgroup /verbs-inner --thaw; grep -c ^$pid $d/a/b/cgroup.procs
             cgexec-rs --cgroup /verbs-inner --kill --timeout 5s && wait $pid 2>/dev/null; echo $?
             cgexec-rs --cgroup /verbs-inner --remove && ls -d $d 2>/dev/null || echo removed"
        );
        world.sh(&script).succeeds().stdout_is("1\n137\nremoved\n");
    })
    .root_only()
    .host_only(),
    Row::new("limits are set and processes are moved in a group that exists", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             has_v1 pids && d=$(point cgroup pids)/verbs-set || {{ d=$v2/verbs-set; echo +pids >$v2/cgroup.subtree_control; }}
             mkdir $d; cat $d/pids.max
             cgexec-rs --cgroup /verbs-set --pids 33 && cat $d/pids.max
             cgexec-rs --cgroup /verbs-set --set pids.max=34 && cat $d/pids.max
             sleep 86441 & pid=$!
             cgexec-rs --cgroup /verbs-set --move $pid && [ $(cat $d/cgroup.procs) = $pid ] && echo moved
             kill $pid; wait $pid 2>/dev/null; gone $d"
        );
        world.sh(&script).succeeds().stdout_is("max\n33\n34\nmoved\n");
    })
    .root_only(),
    Row::new("--kill leaves no process of a group that forks all the time", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             has_v1 pids && d=$(point cgroup pids)/verbs-bomb || {{ d=$v2/verbs-bomb; echo +pids >$v2/cgroup.subtree_control; }}
             mkdir $d; cgexec-rs --cgroup /verbs-bomb --pids 30
             fill $d 'b() {{ b & b & }}; while :; do b; done 2>/dev/null'; pid=$!
             for i in $(seq 500); do [ $(wc -l <$d/cgroup.procs) -gt 20 ] && break; sleep 0.02; done
             # The control: a signal to the first process leaves others.
             kill -KILL $pid; wait $pid 2>/dev/null; grep -q . $d/cgroup.procs && echo alive
             cgexec-rs --cgroup /verbs-bomb --kill && ! grep . $d/cgroup.procs && gone $d && echo gone"
        );
        world.sh(&script).succeeds().stdout_is("alive\ngone\n");
    })
    .root_only(),
    Row::new("groups whose path the kernel cannot open are frozen, thawed, killed, removed and looked through", &[BASH, PERL], |world| {
        let script = format!(
            "{SHELL}{FILL}
             d=$(point cgroup freezer)/verbs-deep; mkdir $d; cd $d
             perl -e 'for (1 .. 150) {{ mkdir $ARGV[0]; chdir $ARGV[0] or die }} open(my $procs, \">\", \"cgroup.procs\"); print $procs \"$$\\n\"; close $procs; exec \"sleep\", 86442' $(printf 'd%.0s' $(seq 40)) & pid=$!
             cd /; for i in $(seq 500); do grep -q sleep /proc/$pid/comm && break; sleep 0.02; done
             # The control: its path is too long.
             ls $d/$(printf 'd%.0s' $(seq 40))$(printf '/d%.0s' $(seq 2100)) 2>&1 | grep -o 'File name too long'
             cgexec-rs --gc --dry-run >/dev/null; echo $?
             cgexec-rs --cgroup /verbs-deep --freeze && cat $d/freezer.state
             cgexec-rs --cgroup /verbs-deep --thaw && cat $d/freezer.state
             cgexec-rs --cgroup /verbs-deep --remove 2>&1 | grep -c \"process $pid is in it\"
             cgexec-rs --cgroup /verbs-deep --kill && wait $pid 2>/dev/null; echo $?
             cgexec-rs --cgroup /verbs-deep --remove && ls -d $d 2>/dev/null || echo removed"
        );
        world.sh(&script).succeeds().stdout_is("File name too long\n0\nFROZEN\nTHAWED\n1\n137\nremoved\n");
    })
    .root_only()
    .host_only(),
    Row::new("--timeout limits --kill, --remove and finding the group of a process also if it has thousands of groups", &[BASH], |world| {
        let script = format!(
            "{SHELL}{FILL}
             d=$(point cgroup pids)/verbs-many; mkdir $d $d/{{1..1000}}; fill $d/7 'exec sleep 86443'; pid=$!
             for i in $(seq 500); do grep -q . $d/7/cgroup.procs && break; sleep 0.02; done
             for verb in kill remove; do cgexec-rs --cgroup /verbs-many --$verb --timeout 1ms; echo $?; done
             # To find the group of a process, its processes are counted. With time for that, the fault is another one.
             echo $pid >$d/cgroup.procs; cgexec-rs --thaw --timeout 1ms --target $pid; echo $?
             cgexec-rs --thaw --timeout 1m --target $pid 2>&1 | grep -c 'neither in the cgroup v2 hierarchy'
             # The control: there is nothing else to wait for.
             cgexec-rs --cgroup /verbs-many --kill --timeout 1m && wait $pid 2>/dev/null; echo $?
             cgexec-rs --cgroup /verbs-many --remove --timeout 1m && ls -d $d 2>/dev/null || echo removed"
        );
        let outcome = world.sh(&script).succeeds().stdout_is("125\n125\n125\n1\n137\nremoved\n");
        assert_eq!(outcome.stderr.matches("verbs-many: it has not come in time (--timeout)").count(), 3, "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("memory is reclaimed where the kernel can do it, and the error says where it cannot", NEEDS, |world| {
        let script = format!(
            "{SHELL}{FILL}
             mkdir $v2/verbs-reclaim; cgexec-rs --cgroup /verbs-reclaim --reclaim 4K; echo $?; gone $v2/verbs-reclaim
             has_v1 memory && exit
             echo +memory >$v2/cgroup.subtree_control; mkdir $v2/verbs-reclaim
             # An empty group has nothing to give.
             cgexec-rs --cgroup /verbs-reclaim --reclaim 64M; echo $?; gone $v2/verbs-reclaim"
        );
        let outcome = world.sh(&script);
        if world.in_vm {
            outcome.stderr_has("less than that could be reclaimed");
        } else {
            outcome.stdout_is("125\n").stderr_has("no memory.reclaim, which needs the memory controller of cgroup v2");
        }
    })
    .root_only(),
    Row::new("a verb refuses the group of its caller, a path that is none, and what it cannot do", NEEDS, |world| {
        let own = format!(
            "{SHELL}{FILL} mkdir $v2/verbs-own
             (echo $BASHPID >$v2/verbs-own/cgroup.procs; cgexec-rs --cgroup /verbs-own --freeze; echo $?; cgexec-rs --cgroup /verbs-own --kill; echo $?)
             gone $v2/verbs-own"
        );
        world.sh(&own).succeeds().stdout_is("125\n125\n").stderr_has("this process is in it");
        for (line, text) in [
            ("--cgroup / --freeze", "expected a path in the hierarchy"),
            ("--cgroup /a/../b --kill", "expected a path in the hierarchy"),
            ("--cgroup /no-such-group --kill", "ENOENT"),
            ("--freeze", "--freeze needs the PID of a process, the NAME of a container, or --cgroup PATH"),
            ("--cgroup /a", "needs a verb"),
            ("--cgroup /a --freeze --thaw", "--freeze cannot be used with --thaw"),
            ("--cgroup /a --freeze --memory 3M", "--freeze cannot be used with --memory"),
            ("--cgroup /a --freeze true", "no 'true' after it"),
            ("--cgroup /a --move", "--move needs the pid"),
            ("--cgroup /a --move x", "--move takes pids"),
            ("--cgroup /no-such-group --show", "ENOENT"),
        ] {
            world.sh(&format!("cgexec-rs {line}")).fails_with(125).stderr_has(text);
        }
    })
    .root_only(),
];
