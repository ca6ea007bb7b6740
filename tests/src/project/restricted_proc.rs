//! What the tools say where /proc is missing, restricted, or that of another pid namespace: which mount is the cause, and
//! what to do. `proc(5)`.

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// Begins a script: prints for each tool the reason why it can do nothing, or `done`.
const BEGIN: &str = "
    chmod 755 $D; as_user() { setpriv --reuid 4000 --regid 4000 --clear-groups \"$@\"; }
    why() { if \"$@\" >/dev/null 2>$D/err; then echo done; else sed -n 's/.*remedy: //p; s/, without .*//p' $D/err | sed \"s/[;,:] .*//; s/ here$//; s/$$/N/\" | tail -1; fi; }
    tools() {
        why nsenter-rs --inspect $$; why nsenter-rs --list; why nsenter-rs --list --containers; why nsenter-rs --target $$ --net -- true
        why unshare-rs --user --map-root-user -- true; why bash -o pipefail -c 'unshare-rs --hold --ttl 1 --uts | cat'
        why cgexec-rs --list; why cgexec-rs --show $$; why chroot-rs --std $ROOT -- true
        why netns-rs exec --new -- true; why netns-rs gc; why netns-rs show $$
    }";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("where /proc is missing, restricted or of other pids, every tool names the cause and the remedy", NEEDS, |world| {
        let script = "
            tools | sort | uniq -c | tr -s ' '; echo -
            mount -t proc -o subset=pid proc /proc; tools | sort | uniq -c | tr -s ' '; umount /proc; echo -
            mount -t tmpfs none /proc; tools | sort | uniq -c | tr -s ' '; umount /proc; echo -
            unshare --pid --fork mount -t proc proc /proc; tools | sort | uniq -c | tr -s ' '; umount /proc";
        let outcome = world
            .apart("restricted-proc", &format!("[ \"$1\" ] || exec unshare --net bash $0 again\n{BEGIN}\n{script}"))
            .variable("ROOT", world.busybox_root().display().to_string())
            .run();
        // The control: the first line, where /proc is whole.
        let expected = " 12 done\n-\n 2 /proc is mounted with subset=pid\n 10 done\n-\n \
                        12 no proc file system is mounted at /proc\n-\n 12 /proc shows another pid namespace\n";
        assert_eq!(outcome.stdout, expected, "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("a process that hidepid hides from a user is named as hidden, and one that is gone is not", NEEDS, |world| {
        let script = "
            why as_user nsenter-rs --inspect $$
            for option in hidepid=1 hidepid=2; do
                mount -t proc -o $option proc /proc
                for command in 'nsenter-rs --inspect' 'cgexec-rs --show' 'netns-rs show'; do why as_user $command $$; done
                for list in 'nsenter-rs --list' 'nsenter-rs --list --containers' 'netns-rs map' 'nsenter-rs --find no-such-name --json'; do as_user $list 2>&1 >/dev/null | grep -c 'processes of other users are not seen'; $list 2>&1 >/dev/null | grep -c 'are not seen'; done
                why as_user nsenter-rs --inspect 4194304; why nsenter-rs --inspect $$; as_user bash -c 'nsenter-rs --inspect $$ >/dev/null && echo own'
                umount /proc
            done";
        let outcome = world.apart("hidden-process", &format!("{BEGIN}\n{script}")).run();
        let hidden = |option: &str| format!("/proc is mounted with hidepid={option}\n").repeat(3) + &"1\n0\n".repeat(4) + "done\nown\n";
        let expected = "done\n".to_owned() + &hidden("noaccess") + &hidden("invisible");
        assert_eq!(outcome.stdout, expected, "{outcome}");
    })
    .root_only()
    .host_only(),
];
