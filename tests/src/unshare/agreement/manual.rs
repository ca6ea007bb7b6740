//! The EXAMPLES of unshare(1), and the commands of popular introductions to containers.

use crate::harness::agreement::case::Case;

/// Cases that users copy from documents.
pub const CASES: &[Case] = &[
    // EXAMPLES.
    Case::script("$unshare --fork --pid --mount-proc readlink /proc/self").root(),
    Case::script("$unshare --user --map-root-user sh -c 'whoami; cat /proc/self/uid_map /proc/self/gid_map'"),
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/uts-ns
            $unshare --uts=$dir/uts-ns hostname FOO
            nsenter --uts=$dir/uts-ns hostname
            umount $dir/uts-ns'"#,
    )
    .root(),
    Case::script(
        r#"exec taskset -c $(taskset -cp $$ | sed "s/.*: //; s/[-,].*//") unshare --mount bash -c '
            mount --bind $dir $dir
            mount --make-private $dir
            touch $dir/mnt
            $unshare --mount=$dir/mnt <<<"mount -t tmpfs hidden /mnt"
            nsenter --mount=$dir/mnt grep -c hidden /proc/self/mountinfo
            umount $dir/mnt; umount $dir'"#,
    )
    .root()
    .host(),
    // The printed example kills with TERM, which unshare blocks while it waits, contrary to the page.
    Case::script(
        r#"set +m
        $unshare --pid --fork --mount-proc --kill-child -- \
            bash --norc -c '(sleep 555 &) && sleep 999' &
        until init=$(pgrep -P $! -x sleep); do sleep 0.01; done
        namespace=$(readlink /proc/$init/ns/pid)
        inside() { for pid in $(pgrep -x sleep); do readlink /proc/$pid/ns/pid; done | grep -cF "$namespace"; }
        until [ $(inside) = 2 ]; do sleep 0.01; done
        ps h -o comm $! | sed s/-rs//
        kill -KILL $!
        wait $!; echo $?
        for i in $(seq 100); do [ $(inside) = 0 ] && break; sleep 0.02; done
        inside"#,
    )
    .root()
    .host()
    .ends(1),
    Case::script(
        r#"set +m
        $unshare --pid --fork --mount-proc -- bash --norc -c '(sleep 555 &) && sleep 999' &
        until init=$(pgrep -P $! -x sleep); do sleep 0.01; done
        namespace=$(readlink /proc/$init/ns/pid)
        inside() { for pid in $(pgrep -x sleep); do readlink /proc/$pid/ns/pid; done | grep -cF "$namespace"; }
        until [ $(inside) = 2 ]; do sleep 0.01; done
        kill -KILL $!
        wait $!; echo $?
        sleep 0.1; inside; kill -KILL $init"#,
    )
    .root()
    .host(),
    Case::script("$unshare --time --fork --boottime 300000000 sh -c 'cut -d. -f1 /proc/uptime | cut -c 1-3'").root(),
    Case::script("$unshare --time --fork --boottime 300000000 uptime -p | cut -d, -f1,2").root().host(),
    // From wikis, blogs and answers.
    Case::script("$unshare -Urmpf --mount-proc bash -c 'echo $$; id -u; all=$(ps ax); echo \"$all\" | wc -l'"),
    Case::script(
        "$unshare --user --map-root-user --net sh -c 'ip link show up | wc -l; ip link set lo up; ip -o addr show lo' | cut -d' ' -f1-6",
    ),
    Case::script("$unshare -rn sh -c 'cat /proc/net/dev | wc -l; ls /sys/class/net >/dev/null'"),
    Case::script("$unshare -r sh -c 'id -u; id -g; whoami'"),
    Case::script("$unshare -rm sh -c 'mount -t tmpfs none $dir && touch $dir/inside && ls $dir'; ls $dir | wc -l"),
    Case::script("$unshare -r -u sh -c 'hostname container; hostname'; hostname | grep -c container").ends(1),
    Case::script("$unshare -rpf sh -c 'echo $$'"),
    Case::script(
        "$unshare --map-root-user --uts --ipc --pid --fork --mount-proc sh -c 'set -- /proc/[0-9]*; echo $#; ipcs -m | wc -l'",
    ),
    Case::script("$unshare -n true 2>/dev/null; echo $?").root(),
    Case::script("$unshare --mount sh -c 'mount --bind /usr $dir; ls -d $dir/bin'; ls $dir | wc -l").root(),
    Case::script("$unshare --mount-proc --fork --pid sh -c 'ps -e -o pid= | head -n 1 | tr -d \" \"'").root(),
    Case::script("$unshare -c --keep-caps --fork grep -E '^Cap(Eff|Amb)' /proc/self/status"),
    Case::script("$unshare -r --root=$root /bin/busybox echo in the root"),
    Case::script("$unshare -Ur --mount --pid --fork --root=$root --mount-proc /bin/busybox ls /proc/1/root"),
    Case::script("$unshare -p -f --kill-child sh -c 'echo $$; exit 3'; echo $?").root(),
];
