//! `--landlock-scope signal`: what does to a process outside what a signal could do is refused as well.

use crate::harness::need::Need;
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "with --landlock-scope signal no limit, priority or policy of a process outside can be changed",
    &[Need::Program("prlimit", "util-linux")],
    |world| {
        let place = world.directory("landlock-signal");
        // On the command's own processes all of these work, with and without the scope.
        let own = "prlimit --nofile=99:99 sh -c 'ulimit -n; ulimit -n 98; ulimit -n'; nice -n 3 nice; chrt -b 0 sh -c 'chrt -p $$' | grep -c BATCH; \
                   ionice -c 3 ionice; taskset -c $(taskset -cp $$ | sed 's/.*[ ,-]//') echo pinned; prlimit --pid $V --nofile --noheadings | grep -c FILE";
        let attempts = "for try in 'prlimit --pid $V --nofile=77:77' 'renice -n 7 -p $V' 'renice -n 7 -g $V' 'chrt -b -p 0 $V' \
                        'ionice -c 3 -p $V' 'ionice -c 3 -P $V' 'taskset -cp 0 $V'; do eval $try >/dev/null 2>&1; echo $?; done";
        let run = |options: &str| {
            world.sh(&format!(
                "cd {}; cat >own <<'E'\n{own}\nE\ncat >attempts <<'E'\n{attempts}\nE\n
                 setsid sleep 86495 & export V=$!; until grep -qs ^sleep /proc/$V/comm; do sleep 0.02; done
                 chroot-rs --keep-root {options} -- sh -c '. ./own; . ./attempts'
                 grep -c 'open files  *77 ' /proc/$V/limits; cut -d' ' -f19 /proc/$V/stat; kill $V; wait 2>/dev/null; true",
                place.display()
            ))
        };
        let own = "99\n98\n3\n1\nidle\npinned\n1\n";
        run("--landlock-scope signal").stdout_is(&format!("{own}{}0\n0\n", "1\n".repeat(7)));
        // The control.
        run("--landlock-scope abstract_unix_socket").stdout_is(&format!("{own}{}1\n7\n", "0\n".repeat(7)));
    },
)
.host_only()];
