//! The processes around the command: forwarded signals, the small init, and the synchronization with engines.

use std::time::Duration;

use super::options::own;
use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::world::World;

const OURS: &[Need] = &[Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the init of --init has an empty root, also where only a user namespace was made", OURS, |world| {
        // The parent is the init; the command's own root is the control.
        let script = "unshare-rs --user --map-root-user --init -- sh -c 'ls /proc/$PPID/root/ | wc -l; ls / | wc -l' | sed 's/^[1-9].*/many/'";
        world.sh(script).succeeds().stdout_is("0\nmany\n").stderr_is("");
    }),
    Row::new("a signal is forwarded, whenever it arrives", OURS, |world| {
        let script = "
            unshare-rs --forward-signals -- bash -c 'trap \"echo heard; exit 7\" TERM; touch here; while :; do sleep 0.02; done' &
            until [ -e here ]; do sleep 0.01; done; rm here; kill -TERM $!; wait $!; echo $?
            for i in $(seq 40); do
                unshare-rs --forward-signals -- sleep 86402 & sleep 0.00$((i % 10)); kill -TERM $!; wait $!; echo $?
            done | sort -u";
        let before = Scan::take();
        world.sh(script).succeeds().stdout_is("heard\n7\n143\n");
        before.wait_until_same(Duration::from_secs(5));
    }),
    Row::new("without --forward-signals, TERM and INT wait for the end of the command", OURS, |world| {
        let script = "
            unshare-rs --fork -- sh -c 'touch here; sleep 0.5; exit 3' &
            until [ -e here ]; do sleep 0.01; done; rm here; kill -TERM $!; kill -INT $!; wait $!; echo $?";
        // TERM stays pending until the wait is over, and has no effect after that.
        world.sh(script).succeeds().stdout_is("3\n");
    }),
    Row::new("an init exits with the status of its command, for every status and signal", OURS, |world| {
        // The signal comes from another program, because some shells ignore QUIT.
        let script = "
            for status in $STATUSES; do
                unshare-rs $INIT -- sh -c \"exit $status\"; [ $? = $status ] || echo status $status: $?
            done
            for signal in HUP INT QUIT KILL USR1 SEGV USR2 PIPE ALRM TERM XCPU XFSZ VTALRM PROF IO PWR SYS; do
                number=$(kill -l $signal); unshare-rs $INIT -- sh -c \"exec /bin/kill -$number \\$\\$\" 2>/dev/null
                status=$?; [ $status = $((128 + number)) ] || echo signal $signal: $status
            done
            unshare-rs $INIT -- /no/such/command 2>/dev/null; echo $?";
        let statuses: Vec<String> =
            (0..=255).step_by(if world.in_vm { 17 } else { 1 }).map(|it: i32| it.to_string()).collect();
        for init in inits(world) {
            let run = world.script(script).variable("INIT", init.as_str()).variable("STATUSES", statuses.join(" "));
            run.within(Duration::from_secs(120)).run().succeeds().stdout_is("127\n");
        }
    }),
    Row::new("an init forwards signals", OURS, |world| {
        // With job control (-m), because without it a shell's background processes ignore INT and QUIT.
        let script = "
            set -m
            for signal in HUP INT QUIT USR1 USR2 ALRM TERM WINCH RTMIN+3; do
                unshare-rs $INIT -- bash -c \"trap 'echo $signal; exit 9' $signal; touch here; while :; do sleep 0.02; done\" &
                until [ -e here ]; do sleep 0.01; done; rm here; kill -$signal $!; wait $!; [ $? = 9 ] || echo not 9
            done";
        for init in inits(world) {
            let heard = world.script(script).variable("INIT", init.as_str()).run().succeeds();
            assert_eq!(heard.stdout.replace('\n', " "), "HUP INT QUIT USR1 USR2 ALRM TERM WINCH RTMIN+3 ", "{heard}");
        }
    }),
    Row::new("an init collects the orphans of the command, and has no file of the host", OURS, |world| {
        // Twenty orphans that end at once: without a wait, twenty zombies remain.
        let script = "
            unshare-rs $INIT --name tidy -- sh -c '
                for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sh -c \"sleep 0.1\" &) ; done; sleep 0.5
                me=$(cut -d\" \" -f4 /proc/self/stat); init=$(cut -d\" \" -f4 /proc/$me/stat)
                cat /proc/$init/comm; readlink /proc/$init/cwd; ls /proc/$init/fd | wc -l
                grep -l \"^PPid:.$init$\" /proc/[0-9]*/status 2>/dev/null | wc -l'";
        for init in inits(world) {
            // The three standard descriptors and the signalfd; its only child is the command.
            world.script(script).variable("INIT", init.as_str()).run().succeeds().stdout_is("tidy\n/\n4\n1\n");
        }
        let script = format!("unshare-rs {} -p --mount-proc --init -- readlink /proc/1/exe", own(world));
        world.sh(&script).succeeds().stdout_has("memfd:");
    }),
    Row::new("the complete pid is in the file before the command runs", OURS, |world| {
        let script = "
            unshare-rs --pid-file p -- sh -c 'cat p; echo $$' | uniq | wc -l
            unshare-rs --fork --pid-file p -- sh -c 'cat p; echo $$' | uniq | wc -l
            unshare-rs $OWN -p --fork --pid-file p -- sh -c 'sleep 0.3; :' &
            until grep -qs \"(sh)\" /proc/$(cat p)/stat; do sleep 0.01; done; wait $!; echo found; ls -A; unshare-rs --pid-file /no/such/place/p -- echo ran; echo $?";
        let directory = world.directory("pid-file");
        let script = format!("cd {}; {script}", directory.display());
        let outcome = world.script(&script).variable("OWN", own(world)).run().succeeds();
        outcome.stdout_is("1\n1\nfound\np\n125\n").stderr_has("cannot write the pid to /no/such/place/p: openat(");
    }),
    Row::new("the pid in the file is the caller's also where a pid namespace was joined before", OURS, |world| {
        let script = "
            cd $PLACE; unshare-rs --pid --fork --pid-file first -- sleep 86471 &
            until [ -s first ]; do sleep 0.02; done; inside=$(readlink /proc/$(cat first)/ns/pid)
            for options in --fork '--uts --fork' '--init --name joined'; do
                nsenter-rs --pid=/proc/$(cat first)/ns/pid --no-fork -- unshare-rs $options --pid-file second -- sleep 86472 &
                until [ -s second ]; do sleep 0.02; done; pid=$(cat second)
                [ \"$(readlink /proc/$pid/ns/pid)\" = \"$inside\" ] && echo found
                set -- $(grep NSpid /proc/$pid/status); [ $2 = $pid ] && [ $3 != $pid ] && echo another number inside
                kill -KILL $pid; wait $!; ls -A; rm second
            done
            kill -KILL $(cat first); wait";
        let place = world.directory("pid-joined").display().to_string();
        let outcome = world.script(script).variable("PLACE", place).run();
        // The control is in it: the process has another number in the namespace that was joined.
        outcome.stdout_is(&"found\nanother number inside\nfirst\nsecond\n".repeat(3));
    })
    .root_only()
    .host_only(),
    Row::new("everything is set up before --ready-fd, and the command waits for --block-fd", OURS, |world| {
        let script = "
            mkfifo ready block; exec 8<>ready 9<>block
            unshare-rs $OWN --uts --fork --hostname set --pid-file p --ready-fd 8 --block-fd 9 -- sh -c '[ -e /proc/$$/fd/8 -o -e /proc/$$/fd/9 ]; echo $?; hostname' 8<>ready 9<>block >out &
            read -t 10 -r line <&8 && echo \"ready [$line]\"
            nsenter --uts=/proc/$(cat p)/ns/uts $ENTER hostname; wc -c <out; echo go >&9; wait $!; cat out";
        let directory = world.directory("gates");
        let enter = if world.is_root { "" } else { "--user=/proc/$(cat p)/ns/user --preserve-credentials" };
        let script = format!("cd {}; {}", directory.display(), script.replace("$ENTER", enter));
        let outcome = world.script(&script).variable("OWN", own(world)).run().succeeds();
        outcome.stdout_is("ready []\nset\n0\n1\nset\n");
    }),
    Row::new(
        "end of file on --block-fd starts the command, and a closed descriptor is an error at once",
        OURS,
        |world| {
            world.sh("sleep 0.1 | unshare-rs --block-fd 0 -- echo ran").succeeds().stdout_is("ran\n");
            world.sh("unshare-rs --block-fd 0 --init -- echo ran </dev/null").succeeds().stdout_is("ran\n");
            world.sh("unshare-rs --ready-fd 1 -- echo ran").succeeds().stdout_is("\nran\n");
            for option in ["--ready-fd", "--block-fd"] {
                world
                    .sh(&format!("unshare-rs {option} 77 -- echo ran"))
                    .fails_with(125)
                    .stdout_is("")
                    .stderr_has("descriptor 77 is not open");
            }
        },
    ),
];

/// Returns options for an init with a pid namespace and without.
fn inits(world: &World) -> [String; 2] {
    [format!("{} -p --mount-proc --init", own(world)), "--init".to_owned()]
}
