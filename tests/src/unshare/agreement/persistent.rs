//! `--KIND=FILE`: a bind mount keeps the namespace after its last process. Each case runs in a new mount namespace, so that
//! a failure leaves no mount.

use crate::harness::agreement::case::{Case, Difference};

const SHARED: &[Difference] = &[
    Difference::new("output", "`--mount=FILE` where FILE is on a shared mount"),
    Difference::new("stderr", "`--mount=FILE` where FILE is on a shared mount"),
];

/// Cases with a persistent namespace.
///
/// A mount namespace can be bound only in an older one. Linux 6.18 numbers mount namespaces per processor, so the order
/// is certain only on one processor: hence taskset(1).
pub const CASES: &[Case] = &[
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/uts; $unshare --uts=$dir/uts hostname FOO
            nsenter --uts=$dir/uts hostname; hostname | grep -c FOO; umount $dir/uts'"#,
    )
    .root(),
    Case::script(
        r#"exec unshare --mount bash -c '
            for kind in ipc net uts cgroup; do
                touch $dir/$kind; own=$($unshare --$kind=$dir/$kind readlink /proc/self/ns/$kind)
                [ $own = $(nsenter --$kind=$dir/$kind readlink /proc/self/ns/$kind) ] && echo $kind stays
                umount $dir/$kind
            done'"#,
    )
    .root(),
    Case::script(
        r#"exec taskset -c $(taskset -cp $$ | sed "s/.*: //; s/[-,].*//") unshare --mount bash -c '
            touch $dir/mnt; $unshare --mount=$dir/mnt mount -t tmpfs inside $root/tmp
            grep -c inside /proc/self/mountinfo; nsenter --mount=$dir/mnt grep -c " inside " /proc/self/mountinfo
            umount $dir/mnt'"#,
    )
    .root()
    .host(),
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/pid; $unshare --pid=$dir/pid --fork sh -c "readlink /proc/self/ns/pid >$dir/own"
            [ $(cat $dir/own) = "pid:[$(stat -L -c %i $dir/pid)]" ] && echo stays; umount $dir/pid; rm $dir/own'"#,
    )
    .root(),
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/time; own=$($unshare --time=$dir/time --boottime 5000 --fork readlink /proc/self/ns/time)
            [ $own = "time:[$(stat -L -c %i $dir/time)]" ] && echo stays; umount $dir/time'"#,
    )
    .root(),
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/net $dir/uts; $unshare --net=$dir/net --uts=$dir/uts --fork hostname both; echo $?
            nsenter --net=$dir/net --uts=$dir/uts hostname; umount $dir/net $dir/uts'"#,
    )
    .root(),
    // The namespace stays however the command ends.
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/uts; $unshare --uts=$dir/uts --fork sh -c "hostname odd; exit 5"; echo $?
            nsenter --uts=$dir/uts hostname; umount $dir/uts'"#,
    )
    .root(),
    Case::new("--uts=/no/such/file").root().ends(1),
    // The peer still starts the command, at the same time.
    Case::new("--pid=/no/such/file --fork").command("true").root().ends(1),
    Case::script("exec unshare --mount bash -c 'touch $dir/x; exec $unshare --pid=$dir/x true'").root().ends(1),
    Case::script(
        r#"exec taskset -c $(taskset -cp $$ | sed "s/.*: //; s/[-,].*//") unshare --mount --propagation shared bash -c '
            touch $dir/mnt; $unshare --mount=$dir/mnt true || echo failed
            grep -c $dir/mnt /proc/self/mountinfo; true'"#,
    )
    .root()
    .host()
    .differs(SHARED),
];
