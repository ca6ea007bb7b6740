//! `--die-with-parent`: the command ends with the process that started unshare-rs, however that ends.

use std::time::Duration;

use super::options::own;
use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::scan::Scan;

const OURS: &[Need] = &[Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "with --die-with-parent a command ends with the process that started unshare-rs, killed or not",
        OURS,
        |world| {
            let own = own(world);
            for options in ["", "-p", "-p --init", "-S 0", "--forward-signals", "--kill-child=TERM"] {
                for end in ["kill -KILL $CALLER", "kill -TERM $CALLER"] {
                    let before = Scan::take();
                    // The control: without the option, a command outlives the caller.
                    let script = format!(
                        "bash -c 'unshare-rs {own} --die-with-parent --pid-file tied {options} -- sleep 86481 &
                        unshare-rs {own} --kill-child --pid-file free {options} -- sleep 86482 & echo $! >outer; wait' &
                    CALLER=$!
                    until [ -s tied ] && [ -s free ] && [ -s outer ]; do sleep 0.01; done
                    {end}; wait $CALLER 2>/dev/null
                    while kill -0 $(cat tied) 2>/dev/null; do sleep 0.01; done
                    kill -0 $(cat free) && echo outlived; kill -KILL $(cat outer); rm tied free outer"
                    );
                    world.sh(&script).succeeds().stdout_is("outlived\n");
                    before.wait_until_same(Duration::from_secs(10));
                }
            }
        },
    ),
    Row::new("with --die-with-parent no command starts after the end of the caller", OURS, |world| {
        let own = own(world);
        let before = Scan::take();
        let script = format!(
            "mkfifo go; exec 9<>go
            started() {{
                bash -c \"unshare-rs {own} $1 --block-fd 9 --pid-file pid -- touch started & echo \\$! >outer; wait\" & CALLER=$!
                until [ -s pid ] && [ -s outer ]; do sleep 0.01; done
                kill -KILL $CALLER; wait $CALLER 2>/dev/null
                if [ $1 = --die-with-parent ]; then while kill -0 $(cat outer) 2>/dev/null; do sleep 0.01; done; fi
                echo >&9; while kill -0 $(cat outer) 2>/dev/null; do sleep 0.01; done
                ls started 2>/dev/null || echo nothing; rm -f started pid outer; }}
            started --die-with-parent; read -r line <&9; started --fork"
        );
        world.sh(&script).succeeds().stdout_is("nothing\nstarted\n");
        before.wait_until_same(Duration::from_secs(10));
        // The first process of a pid namespace has a parent that it cannot name.
        world
            .sh(&format!("unshare-rs {own} --pid --fork -- unshare-rs --die-with-parent -- true"))
            .fails_with(125)
            .stderr_has("cannot watch the caller: it is in another pid namespace");
        // A caller that has ended before: the parent is another process then, and never ends.
        world
            .sh(&format!("bash -c 'unshare-rs {own} --die-with-parent=$$ -- echo started; true'"))
            .succeeds()
            .stdout_is("started\n");
        world
            .sh(&format!("unshare-rs {own} --die-with-parent=$(bash -c 'echo $$') -- echo started"))
            .fails_with(125)
            .stderr_has("cannot watch the caller: it has ended already (our parent is process ");
        world
            .sh(&format!("unshare-rs {own} --die-with-parent=x -- true"))
            .fails_with(125)
            .stderr_has("expected a pid such as $PPID");
        world.sh("unshare-rs --hold --die-with-parent | cat").stderr_has("'--die-with-parent'");
        world.sh(&format!("unshare-rs {own} --die-with-parent -- sh -c 'exit 7'")).fails_with(7);
    }),
];
