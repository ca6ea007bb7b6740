//! /etc/subuid is full of other people's text: one odd line breaks nothing but what it concerns, and a message names it.

use crate::harness::need::{NEWUIDMAP, Need};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("an odd line of another user in /etc/subuid changes nothing", &[Need::UserNamespaces, NEWUIDMAP], |world| {
        // The control: without a line of the user, the same options fail.
        let script = format!(
            "{LENT}
             for other in 'bj\\374rn:1:2' '\\377\\376' 'other:1:2\\r' ':::::' '' 'other:x:y'; do
                 for order in first last alone; do
                     case $order in
                     first) printf \"$other\\nlent:100000:10\\n\" ;; last) printf \"lent:100000:10\\n$other\" ;; alone) printf \"$other\\n\" ;;
                     esac >$D/ids
                     as_lent $TOOLS/unshare-rs -c --map-subids -- true 2>$D/err
                     echo \"$order $? $(grep -c 'has no line for this user' $D/err)\"
                 done
             done"
        );
        let outcome = world.apart("odd-subuid", &script).run().succeeds();
        assert_eq!(outcome.stdout, "first 0 0\nlast 0 0\nalone 125 1\n".repeat(6), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("a wrong line of the user's own in /etc/subuid is named, as root too", &[Need::UserNamespaces, NEWUIDMAP], |world| {
        // The control: newuidmap(1) refuses a range of such a line.
        let script = format!(
            "{LENT}
             for bad in ' ' '\\t' '\\r' 'x'; do
                 printf \"lent:100000:10$bad\\nroot:100000:10$bad\\n\" >$D/ids
                 $TOOLS/unshare-rs --map-subids --map-root-user -- true 2>$D/root; echo \"root $?\"
                 as_lent $TOOLS/unshare-rs -c --map-subids -- true 2>$D/user; echo \"user $?\"
                 cat $D/root $D/user | grep -c '/etc/subuid, line [12]: \"[a-z]*:100000:10.*\": '
                 as_lent $TOOLS/unshare-rs -c --map-users 100000:100000:5 -- true 2>/dev/null; echo \"newuidmap $?\"
                 printf \"lent:1:2$bad\\nlent:100000:10\\n\" >$D/ids
                 as_lent $TOOLS/unshare-rs -c --map-subids -- true 2>&1 | grep -c 'warning: /etc/subgid, line 1'
             done
             printf 'a\\000b:1:2\\nlent:100000:10\\n' >$D/ids
             as_lent $TOOLS/unshare-rs -c --map-subids -- true 2>&1 | grep -c 'remedy: remove the NUL byte in line 1 of /etc/subuid'
             mkfifo $D/fifo; umount /etc/subuid; mount --bind $D/fifo /etc/subuid
             as_lent $TOOLS/unshare-rs -c --map-subids -- true 2>&1 | grep -c 'not a regular file'"
        );
        let outcome = world.apart("wrong-subuid", &script).run();
        assert_eq!(outcome.stdout, "root 125\nuser 125\n2\nnewuidmap 125\n1\n".repeat(4) + "1\n1\n", "{outcome}");
    })
    .root_only()
    .host_only(),
];

/// A user with files of subordinate ids that both are `$D/ids`.
const LENT: &str = "
    printf 'root:x:0:0::/:/bin/sh\\nbj\\374rn:x:7:7:\\377:/:/bin/sh\\nlent:x:4000:4000::/:/bin/sh\\n' >$D/passwd
    : >$D/ids; chmod 777 $D
    mount --bind $D/passwd /etc/passwd; for file in subuid subgid; do mount --bind $D/ids /etc/$file; done
    as_lent() { setpriv --reuid 4000 --regid 4000 --clear-groups \"$@\"; }
";
