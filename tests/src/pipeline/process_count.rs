//! What a stage does must not depend on how many processes the machine has.

use crate::harness::need::{BUSYBOX, STRACE};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a stage asks the mark of a hold whose mount namespace it is, not each process of the machine", &[BUSYBOX, STRACE], |world| {
        let directory = world.directory("process-count");
        // Counts the processes that the stage asked for their mount namespace: a hold that shares the one of its maker, whose
        // record says otherwise, is the control.
        let asked = |hold: &str, outcome: &str| {
            let line = format!(
                "cd {}; cp -a {} root; for I in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & P=\"$P $!\"; done
                 unshare-rs --mount --propagation shared sh -c 'unshare-rs --hold --ttl 60 --pid {hold} | sed s/\\\"private\\\":false/\\\"private\\\":true/g |
                     unshare-rs --mount strace -f -qq -o trace -e trace=readlinkat -e signal=none chroot-rs --pipe --std root |
                     nsenter-rs --pipe --rm -- /bin/true' 2>said; echo $?
                 kill $P; wait; grep -c '\"/proc/[0-9]*/ns/mnt\"' trace; grep -c 'shares process' said; rm -rf root trace",
                directory.display(),
                world.busybox_root().display()
            );
            let lines = world.sh(&line).stdout;
            let mut lines = lines.lines();
            let (status, count, refused) = (lines.next(), lines.next(), lines.next());
            assert_eq!((status, refused), (Some(outcome), Some(if outcome == "0" { "0" } else { "1" })), "{count:?}");
            count.and_then(|count| count.parse::<usize>().ok()).expect("a count")
        };
        assert_eq!(asked("--mount", "0"), 0);
        assert!(asked("", "125") >= 1);
    })
    .root_only()
    .host_only(),
];
