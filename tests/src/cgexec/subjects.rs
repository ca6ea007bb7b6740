//! Verbs and views of a group that is named by a process in it, by a container, or by a record.

use serde_json::Value;

use crate::harness::need::{BASH, JQ, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

use super::SHELL;

const NEEDS: &[Need] = &[BASH, JQ];

/// Shell functions: `hold NAME OPTIONS` makes a container with a command in it, which `job` waits for.
const HOLD: &str = r#"
hold() {
    unshare-rs --hold --name $1 --mount --pid --cgroup | cgexec-rs --pipe $2 | nsenter-rs --pipe --rm -- sleep 86450 & job=$!
    for i in $(seq 500); do nsenter-rs --list --containers | grep -q "^$1 " && [ -n "$(pgrep -f '^sleep 86450')" ] && break; sleep 0.02; done
}
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--why, --show, limits and --kill take the name of a container, and a record", NEEDS, |world| {
        let script = format!(
            "{HOLD}
             hold subject-named '--memory 64M --pids 20'
             cgexec-rs --json --why subject-named | jq -c '.effective[\"memory.max\"].value'
             cgexec-rs --target subject-named --pids 21 && cgexec-rs --json --show hold:subject-named | jq '.pids.max'
             nsenter-rs --find subject-named --json | cgexec-rs --pipe --why | jq '.cgroup.effective[\"pids.max\"].value, .name'
             nsenter-rs --find subject-named --json | cgexec-rs --pipe --kill | jq .name; wait $job; echo $?
             hold subject-killed '--pids 20'; cgexec-rs --kill subject-killed; wait $job; echo $?"
        );
        let expected = "67108864\n21\n21\n\"subject-named\"\n\"subject-named\"\n137\n137\n";
        world.sh(&script).succeeds().stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("a verb refuses a container that shares its group with others, and a process that is in root groups only", NEEDS, |world| {
        // Without limits there is no group of its own: the control is the row above.
        let script = format!(
            "{HOLD}
             hold subject-shared ''
             cgexec-rs --kill subject-shared; echo $?; kill -0 $job && echo alive
             nsenter-rs --find subject-shared --json | nsenter-rs --pipe --rm -- true; wait $job
             cgexec-rs --freeze 2147483; cgexec-rs --kill no-such-container"
        );
        let outcome = world.sh(&script).fails_with(125).stdout_is("125\nalive\n");
        outcome
            .stderr_has("cannot change the cgroup of subject-shared: it has none of its own")
            .stderr_has("process 2147483")
            .stderr_has("cannot find a container named \"no-such-container\"");
    })
    .root_only()
    .host_only(),
    Row::new("a verb changes no group that a record of any process, or a hold whose processes were moved, leads to", NEEDS, |world| {
        let script = format!(
            "{SHELL}{HOLD}
             v2=$(point cgroup2); d=$(point cgroup pids); [ -n \"$d\" ] || d=$v2
             mkdir $d/subject-theirs; sleep 86452 & their=$!; echo $their >$d/subject-theirs/cgroup.procs
             # A record of a process that is in no container: what it says about it is true.
             unshare-rs --hold --name subject-none --mount >hold; init=$(jq .init.pid hold)
             start=$(sed 's/.*) //' /proc/$their/stat | cut -d' ' -f20); inode=$(perl -e 'my $fd = syscall(434, $ARGV[0] + 0, 0); open(my $F, \"<&=$fd\") or die $!; print((stat $F)[1])' $their)
             jq -c \".init.pid=$their | .init.start_time=$start | .init.pidfd_inode=$inode | .namespaces={{mnt:{{inode:$(stat -Lc %i /proc/$their/ns/mnt),private:false}}}}\" hold >forged
             cgexec-rs --pipe --kill <forged; echo $?
             nsenter-rs --pipe --rm -- true <hold
             # A hold without a group of its own, whose command is moved to where others are.
             hold subject-moved ''; echo $(pgrep -f '^sleep 86450') >$d/subject-theirs/cgroup.procs
             cgexec-rs --kill subject-moved; echo $?; nsenter-rs --find subject-moved --json | cgexec-rs --pipe --kill; echo $?
             kill -0 $their && kill -0 $job && echo alive
             # The control: the group can be killed by its own name.
             cgexec-rs --cgroup /subject-theirs --kill; wait $their; echo $?; wait $job
             for i in $(seq 100); do rmdir $d/subject-theirs 2>/dev/null; [ -d $d/subject-theirs ] || break; sleep 0.05; done"
        );
        let outcome = world.sh(&format!("cd {}; {script}", world.directory("subject-moved").display()));
        let outcome = outcome.stdout_is("125\n125\n125\nalive\n137\n");
        outcome.stderr_has("the record says that it is a container").stderr_has("it has none of its own");
    })
    .root_only()
    .host_only(),
    Row::new("a pid means the group with the fewest processes, in each hierarchy where it is in that group", NEEDS, |world| {
        let script = format!(
            "{SHELL}
             v2=$(point cgroup2)
             cgexec-rs --cgroup /subject-pid/inner --pids 9 -- sleep 86451 & pid=$!
             for i in $(seq 500); do grep -qx $pid $v2/subject-pid/inner/cgroup.procs 2>/dev/null && [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done
             cgexec-rs --freeze $pid && grep -x 'frozen 1' $v2/subject-pid/inner/cgroup.events
             cgexec-rs --json --why $pid | jq -c '[.effective[\"cgroup.freeze\"].group, .effective[\"pids.max\"].value]'
             cgexec-rs --thaw $pid && grep -x 'frozen 0' $v2/subject-pid/inner/cgroup.events
             cgexec-rs --target $pid --pids 8 && cgexec-rs --json --show $pid | jq .pids.max
             cgexec-rs --kill $pid; wait $pid 2>/dev/null; echo $?
             # The group is kept, until it is removed.
             cgexec-rs --cgroup /subject-pid --show >/dev/null && cgexec-rs --cgroup /subject-pid --remove && cgexec-rs --cgroup /subject-pid --show"
        );
        let expected = "frozen 1\n[\"/subject-pid/inner\",9]\nfrozen 0\n8\n137\n";
        world.sh(&script).fails_with(125).stdout_is(expected).stderr_has("ENOENT");
    })
    .root_only(),
    Row::new("a command runs in a named cgroup with limits, and a refused limit leaves no group behind", &[BASH], |world| {
        let script = format!(
            "{SHELL}
             d=$(point cgroup pids); [ -n \"$d\" ] || d=$(point cgroup2)
             cgexec-rs --cgroup /kept-one/two --pids 7 -- sh -c 'grep -o /kept-one/two /proc/self/cgroup | sort -u'
             cat $d/kept-one/two/pids.max
             cgexec-rs --cgroup /kept-one/two -- cat $d/kept-one/two/pids.max
             cgexec-rs --cgroup /kept-one --remove; ls -d $d/kept-one 2>/dev/null
             cgexec-rs --cgroup /kept-bad/two --pids 7 --set pids.events=7 -- true; echo $?
             ls -d $d/kept-bad 2>/dev/null || echo none; [ -e \"$(point cgroup2)/kept-bad\" ] || echo none"
        );
        world.sh(&script).succeeds().stdout_is("/kept-one/two\n7\n7\n125\nnone\nnone\n");
    })
    .root_only(),
    Row::new("the limit that holds is the smallest of each kind, whichever group above sets it", NEEDS, |world| {
        let script = "cgexec-rs --cgroup /holds-outer --memory 32M --pids 11 -- true &&
             cgexec-rs --cgroup /holds-outer/inner --memory 64M --cpus 50% --cpuset-cpus 0 --pids 12 -- true &&
             cgexec-rs --show --json --cgroup /holds-outer/inner; cgexec-rs --show --cgroup /holds-outer/inner
             cgexec-rs --cgroup /holds-outer --remove";
        let outcome = world.sh(script).succeeds();
        let shown: Value = serde_json::from_str(outcome.lines()[0]).expect("JSON");
        let held = |file: &str| (shown["effective"][file]["value"].clone(), shown["effective"][file]["group"].clone());
        assert_eq!(held("memory.max"), (33_554_432.into(), "/holds-outer".into()), "{outcome}");
        assert_eq!(held("pids.max"), (11.into(), "/holds-outer".into()), "{outcome}");
        assert_eq!(held("cpu.max"), ("50000 100000".into(), "/holds-outer/inner".into()), "{outcome}");
        if cpus(world) > 1 {
            assert_eq!(held("cpuset.cpus"), ("0".into(), "/holds-outer/inner".into()), "{outcome}");
        }
        // The control: the limits of the group itself.
        assert_eq!(shown["memory"]["max"], 67_108_864, "{outcome}");
        assert!(outcome.lines().iter().any(|line| line.starts_with("memory.max") && line.ends_with(" /holds-outer")));
    })
    .root_only()
    .host_only(),
];

fn cpus(world: &World) -> usize {
    world.sh("nproc --all").succeeds().stdout.trim().parse().expect("a number")
}
