//! `--devices`, `--device-allow`: which devices a group may open and make, by v1's controller and by programs of v2.

use std::time::Duration;

use crate::harness::need::{BASH, Need, SETPRIV};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const PATIENCE: Duration = Duration::from_secs(10);

const NEEDS: &[Need] = &[BASH];

/// Prints what can be done: reading, writing, making. A denied /dev/null is no place for messages.
const PROBE: &str = r#"
r() { (exec 3<$1) 2>&- && printf "r$1 "; }; w() { (exec 3>>$1) 2>&- && printf "w$1 "; }
m() { mknod $D/node-$BASHPID $1 $2 $3 2>&- && printf "m$1$2:$3 "; rm -f $D/node-$BASHPID 2>&-; }
r /dev/null; w /dev/null; r /dev/zero; r /dev/full; r /dev/kmsg; m c 1 3; m c 1 11; m b 7 99; echo"#;

const ALL: &str = "r/dev/null w/dev/null r/dev/zero r/dev/full r/dev/kmsg mc1:3 mc1:11 mb7:99";

/// Options, and what then can be done.
const CASES: &[(&str, &str)] = &[
    // The control.
    ("--devices all", ALL),
    ("--devices none", ""),
    ("--devices docker", "r/dev/null w/dev/null r/dev/zero r/dev/full mc1:3 mc1:11 mb7:99"),
    ("--device-allow c:1:3:r", "r/dev/null"),
    ("--device-allow c:1:3:w --device-allow c:1:3:r", "r/dev/null w/dev/null"),
    ("--device-allow /dev/zero:r --device-allow /dev/null:m", "r/dev/zero mc1:3"),
    ("--device-allow c:1:*:rm", "r/dev/null r/dev/zero r/dev/full r/dev/kmsg mc1:3 mc1:11"),
    ("--device-allow c:*:*", "r/dev/null w/dev/null r/dev/zero r/dev/full r/dev/kmsg mc1:3 mc1:11"),
    ("--device-allow b:7:*", "mb7:99"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a group can open and make exactly the devices that it is allowed", NEEDS, |world| {
        let before = Scan::take();
        for is_v1 in versions(world) {
            for (options, expected) in CASES.iter().filter(|(options, _)| world.chooses(options)) {
                let outcome = probe(world, *is_v1, &format!("cgexec-rs {options} -- bash -c \"$PROBE\""));
                assert_eq!(outcome.succeeds().stdout.trim(), *expected, "{options} v1 {is_v1}");
            }
        }
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("a device that an outer group denies stays denied in a group inside it, and next to it", NEEDS, |world| {
        let outer = "cgexec-rs --devices none --device-allow c:1:3 -- cgexec-rs";
        for is_v1 in versions(world) {
            // On v2 the second group is next to the first one, because that has a process.
            for inner in ["--pids 9", "--devices docker", "--device-allow c:1:* --pids 9", "--devices all"] {
                let outcome = probe(world, *is_v1, &format!("{outer} {inner} -- bash -c \"$PROBE\""));
                if *is_v1 && ["docker", "c:1:*"].iter().any(|more| inner.contains(more)) {
                    outcome.fails_with(125).stderr_has("the group above is not allowed to use this device");
                } else {
                    assert_eq!(outcome.succeeds().stdout.trim(), "r/dev/null w/dev/null mc1:3", "{inner} v1 {is_v1}");
                }
            }
        }
        // The control: without an outer group, each of them allows more.
        probe(world, false, "cgexec-rs --devices docker -- bash -c \"$PROBE\"").succeeds().stdout_has("r/dev/zero");
    })
    .root_only(),
    Row::new("the kernel accepts the programs for random device rules", NEEDS, |world| {
        // As many rules as a command line holds, and sets of a few.
        let script = r#"
            RANDOM=14; any() { [ $((RANDOM % 4)) = 0 ] && echo '*' || echo $((RANDOM % $1)); }
            words=(r w m rw rm wm rwm); kinds=(b c)
            rules() { for ((i = 0; i < $1; i++)); do
                echo "--device-allow ${kinds[RANDOM % 2]}:$(any 4096):$(any 30000):${words[RANDOM % 7]}"; done; }
            for n in 1 2 3 5 8 13 21 34 55 700; do cgexec-rs --devices none $(rules $n) -- true || exit; echo; done"#;
        let outcome = world.script(&without_v1(world, script)).run().succeeds();
        assert_eq!(outcome.lines().len(), 10, "{outcome}");
    })
    .root_only(),
    Row::new("--cgroup replaces the devices of a group that exists", NEEDS, |world| {
        let script = |name: &str| {
            format!(
                "for h in {name}; do mkdir $h/devices-test || exit 1; done
                 inside() {{ cgexec-rs -g $2:/devices-test -- bash -c \"$PROBE\"; }}
                 for d in '--devices none' '--device-allow c:1:3:r' '--devices docker' '--device-allow c:1:5' '--devices all'; do
                     cgexec-rs --cgroup /devices-test $d || exit 1; inside $d $G; done
                 cgexec-rs --cgroup /devices-test --device-allow c:1:3:w -- bash -c \"$PROBE\"
                 rmdir $h/devices-test"
            )
        };
        let expected =
            ["", "r/dev/null", "r/dev/null w/dev/null r/dev/zero r/dev/full mc1:3 mc1:11 mb7:99", "r/dev/zero", ALL, "w/dev/null"];
        for is_v1 in versions(world) {
            let (place, group) = match (*is_v1, world.in_vm) {
                (true, _) => ("/sys/fs/cgroup/devices", "devices"),
                (false, true) => ("/sys/fs/cgroup", ""),
                (false, false) => ("/sys/fs/cgroup/unified", ""),
            };
            let script = format!("G={group}\n{}", script(place).replace("inside $d $G", "inside \"$d\" \"$G\""));
            let outcome = probe(world, *is_v1, &script).succeeds();
            let lines: Vec<_> = outcome.stdout.lines().map(str::trim).collect();
            assert_eq!(lines, expected, "v1 {is_v1}\n{outcome}");
        }
    })
    .root_only(),
    Row::new("without the right to load a program, restricted devices are refused, and no group is left", &[BASH, SETPRIV], |world| {
        let before = Scan::take();
        let script = r#"
            v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts); place=$v2/devices-right; mkdir -p $place/from || exit 1
            chown -R 54321 $place
            as_user() { (echo $BASHPID >$place/from/cgroup.procs; cd /; exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"); }
            as_user cgexec-rs --device-allow c:1:3 -- true; echo $?; find $place -name 'cgexec-rs*'
            # The control: another group can be made.
            as_user cgexec-rs --report=/dev/null -- true; echo $?
            for i in $(seq 200); do rmdir $place/from $place 2>/dev/null; [ -d $place ] || exit 0; sleep 0.05; done; exit 1"#;
        let outcome = world.script(&without_v1(world, script)).run().succeeds().stdout_is("125\n0\n");
        outcome.stderr_has("BPF_PROG_LOAD").stderr_has("EPERM").stderr_has("remedy: such programs need CAP_SYS_ADMIN");
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
];

/// The versions that have a say about devices here: on the host v1, and v2 where v1 cannot be seen.
fn versions(world: &World) -> &'static [bool] {
    if world.in_vm { &[false] } else { &[true, false] }
}

fn probe(world: &World, is_v1: bool, script: &str) -> Outcome {
    let script = if is_v1 { script.to_owned() } else { without_v1(world, script) };
    let place = world.shared_directory("device-nodes");
    world.script(&script).variable("PROBE", PROBE).variable("D", place.display().to_string()).run()
}

/// Returns the script in a mount namespace in which v1's controller of devices is not mounted.
fn without_v1(world: &World, script: &str) -> String {
    if world.in_vm {
        return script.to_owned();
    }
    format!("unshare --mount bash <<'APART'\numount /sys/fs/cgroup/devices || exit 1\n{script}\nAPART")
}
