//! Finding containers by name: for each runtime that runs on this machine, a real container, started here and ended
//! with the row. Each row has a /run of its own, so that it neither sees nor leaves state of another row.

use std::time::Duration;

use crate::harness::need::{BASH, BUSYBOX, CRUN, JQ, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const LXC: Need = Need::Program("lxc-start", "lxc");
const NSPAWN: Need = Need::Program("systemd-nspawn", "systemd-container");
const CTR: Need = Need::Program("ctr", "containerd");
const RUNC: Need = Need::Program("runc", "runc");
const CONMON: Need = Need::Program("conmon", "conmon");
const PODMAN: Need = Need::Program("podman", "podman");

/// `until_ok COMMAND` waits until COMMAND succeeds; `sweep GROUP` notes which cgroups a runtime is about to leave
/// behind, and `remove_swept` removes them; `bundle` adapts a configuration; `field NAME FILTER` prints a member of the
/// record that is found.
const PREAMBLE: &str = r#"
set -u
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/lock /run/netns /run/user
until_ok() { for i in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "in vain: $*"; return 1; }
groups() { find /sys/fs/cgroup ${MASKED-} -type d -name "$1" -print 2>/dev/null | sort -r; }
sweep() { for name in "$@"; do [ "$(groups "$name")" ] || NEW="${NEW-} $name"; done; }
# crun does not start if v2 is mounted next to v1. What is created in its place must not remain there.
without_v2() { [ -d /sys/fs/cgroup/unified ] || return 0; umount /sys/fs/cgroup/unified; mount -t tmpfs none /sys/fs/cgroup/unified; MASKED='-path /sys/fs/cgroup/unified -prune -o'; }
remove_once() { for group in $(groups "$1"); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done; ! [ "$(groups "$1")" ]; }
remove_swept() { for name in ${NEW-}; do until_ok remove_once "$name"; done; }
bundle() { cp -r $R rootfs; jq '.process.terminal=false | .process.args=["/bin/sleep","86454"] | .hostname="inside"' config.json >c && mv c config.json; }
field() { nsenter-rs --find "$1" --json | jq -r "$2"; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("containers of LXC and of systemd-nspawn are found by name", &[LXC, NSPAWN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "lxc", r#"
            sweep lxc.pivot 'lxc.*.fnd-lxc'
            trap 'lxc-stop -P $D -k -n fnd-lxc; kill $SPAWN; wait; remove_swept' EXIT
            mkdir -p $D/fnd-lxc
            printf 'lxc.uts.name = inside-lxc\nlxc.rootfs.path = dir:%s\nlxc.net.0.type = empty\nlxc.init.cmd = /bin/sleep 86451\nlxc.apparmor.profile = unconfined\nlxc.autodev = 0\n' $R >$D/fnd-lxc/config
            lxc-start -P $D -n fnd-lxc -o $D/log || cat $D/log
            systemd-nspawn --register=no --keep-unit -q -D $R --machine=fnd-nspawn /bin/sleep 86452 >$D/nspawn.log 2>&1 & SPAWN=$!
            until_ok nsenter-rs --find fnd-nspawn --json || cat $D/nspawn.log
            until_ok nsenter-rs --find fnd-lxc --json
            nsenter-rs --target fnd-lxc --all -- hostname
            nsenter-rs --target nspawn:fnd-nspawn --uts -- hostname
            tr '\0' ' ' </proc/$(field fnd-nspawn .init.pid)/cmdline; echo
            tr '\0' ' ' </proc/$(field lxc:fnd-lxc .init.pid)/cmdline; echo
            nsenter-rs --target fnd-lxc --type nspawn --all -- true 2>&1; echo $?
            nsenter-rs --list --containers | sed 's/  */ /g' | cut -d' ' -f1,2,5,6 | sort
        "#)
        .succeeds()
        .stdout_is(
            "inside-lxc\nfnd-nspawn\n/bin/sleep 86452 \n/bin/sleep 86451 \n\
             nsenter-rs: cannot find a container named \"nspawn:fnd-lxc\": no nspawn container has this name or id\n125\n\
             NAME RUNTIME OWN SHARED\nfnd-lxc lxc mnt,uts,ipc,net,pid,cgroup user,time\n\
             fnd-nspawn nspawn mnt,uts,ipc,pid,cgroup user,net,time\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("containers of LXC and of systemd-nspawn are found by command lines of every form, also behind a runtime's init", &[LXC, NSPAWN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "forms", r#"
            sweep lxc.pivot 'lxc.*.fnd-form-*'
            s=; trap 'kill -KILL $s 2>/dev/null; wait; remove_swept' EXIT
            cp -r $R $D/fnd_dir.d; cd $D/fnd_dir.d
            mkdir -p $D/l; for n in one two three; do
                mkdir $D/l/fnd-form-$n
                printf 'lxc.uts.name = in-%s\nlxc.rootfs.path = dir:%s
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.autodev = 0
lxc.init.cmd = /bin/sleep 86451
' $n $R >$D/l/fnd-form-$n/config
            done
            Q="--register=no --keep-unit"
            ended() { ! kill -0 $1; }
            ended() { ! kill -0 $1; }
            try() { # NAME COMMAND: the container is found, and entered
                name=$1; shift; "$@" >$D/out 2>&1 & s=$!
                until_ok nsenter-rs --find $name --json || cat $D/out
                nsenter-rs --target $name --all -- /bin/hostname
                kill -KILL $(pgrep -f '^/bin/sleep 8645[12]'); until_ok ended $s || { cat $D/out; pgrep -af 8645; kill -KILL $s; }; wait $s
            }
            try fnd-two systemd-nspawn $Q -qaD $R --machine=fnd-two /bin/sleep 86452
            try fnddir.d systemd-nspawn $Q -qD$D/fnd_dir.d /bin/sleep 86452
            try fnddir.d systemd-nspawn $Q -qa --no-pager /bin/sleep 86452
            try fnd-three systemd-nspawn $Q -qD . --mach fnd-three /bin/sleep 86452
            try fnd-form-one lxc-execute -P $D/l -n fnd-form-one -o $D/log -- /bin/sleep 86452
            try fnd-form-two lxc-start -P $D/l -o $D/log -F fnd-form-two
            try fnd-form-three lxc-start -qFP$D/l --nam=fnd-form-three -o $D/log
        "#)
        .stdout_is("fnd-two\nfnddir.d\nfnddir.d\nfnd-three\nin-one\nin-two\nin-three\n");
    })
    .root_only()
    .host_only(),
    Row::new("a container of LXC that still has the host's root while it is made is not found", &[LXC, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "lxc-early", r#"
            sweep lxc.pivot 'lxc.*.fnd-early'
            trap 'touch $D/go; wait; lxc-stop -P $D -k -n fnd-early; remove_swept' EXIT
            mkdir -p $D/fnd-early
            printf '#!/bin/sh\ntouch %s/made; until [ -e %s/go ]; do sleep 0.05; done\n' $D $D >$D/hook; chmod +x $D/hook
            printf 'lxc.uts.name = inside-lxc\nlxc.rootfs.path = dir:%s\nlxc.net.0.type = empty\nlxc.init.cmd = /bin/sleep 86451\nlxc.apparmor.profile = unconfined\nlxc.autodev = 0\nlxc.hook.pre-mount = %s\n' $R $D/hook >$D/fnd-early/config
            lxc-start -P $D -n fnd-early -o $D/log || cat $D/log &
            until_ok test -e $D/made
            nsenter-rs --target fnd-early --all -- true 2>&1; echo $?
            touch $D/go
            until_ok nsenter-rs --find fnd-early --json
            nsenter-rs --target fnd-early --all -- hostname
        "#)
        .succeeds()
        .stdout_is(
            "nsenter-rs: cannot find a container named \"fnd-early\": no running container has this name or id\n125\ninside-lxc\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("containers of containerd are found by id and by their names in Kubernetes", &[CTR, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "containerd", r#"
            sweep fnd-pods
            containerd --root $D/root --state $D/state --address $D/sock -l error >$D/log 2>&1 & DAEMON=$!
            C="ctr -a $D/sock"
            ALL="fnd-plain fnd-0001 fnd-0002 fnd-0003"
            trap 'for c in $ALL; do $C task kill -s KILL $c; done; sleep 0.5; for c in $ALL; do $C task delete $c; $C container rm $c; done; kill $DAEMON; wait; remove_swept' EXIT
            until_ok test -S $D/sock || cat $D/log
            K=io.kubernetes.cri
            pod() { # ID KIND CONTAINER POD
                $C run --detach --cgroup /fnd-pods/$1 --rootfs --annotation $K.container-type=$2 --annotation $K.container-name=$3 --annotation $K.sandbox-name=$4 \
                    --annotation $K.sandbox-namespace=fnd-space --annotation $K.image-name=registry/$3:1 $R $1 /bin/sleep 86453
            }
            $C run --detach --cgroup /fnd-pods/plain --rootfs $R fnd-plain /bin/sleep 86453
            pod fnd-0001 sandbox '' fnd-one; pod fnd-0002 container web fnd-one; pod fnd-0003 container side fnd-two
            shown() { field "$1" '[.name,.container.runtime,.container.id,.container.pod,.container.image]|join(" ")'; }
            shown fnd-plain; shown web; shown fnd-one; shown fnd-space/fnd-two/side; shown fnd-two/side; shown fnd-0001; shown fnd-one/pause
            nsenter-rs --list --containers --type containerd --json | cgexec-rs --pipe --show | jq -r '[.name,.cgroup.pids.current]|@tsv' | sort
            nsenter-rs --target fnd-space/fnd-one --pid --mount -- /bin/sh -c 'echo $PPID'
        "#)
        .succeeds()
        .stdout_is(
            "fnd-plain containerd fnd-plain  \nweb containerd fnd-0002 fnd-space/fnd-one registry/web:1\n\
             web containerd fnd-0002 fnd-space/fnd-one registry/web:1\nside containerd fnd-0003 fnd-space/fnd-two registry/side:1\n\
             side containerd fnd-0003 fnd-space/fnd-two registry/side:1\npause containerd fnd-0001 fnd-space/fnd-one registry/:1\n\
             pause containerd fnd-0001 fnd-space/fnd-one registry/:1\nfnd-plain\t1\npause\t1\nside\t1\nweb\t1\n0\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("containers of crun are found by name, and a process that reuses their pid is refused", &[CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "crun", r#"
            without_v2
            trap 'kill $OTHER; cp $D/status /run/crun/fnd-crun/status; crun delete --force fnd-crun' EXIT
            sleep 86455 & OTHER=$!
            cd $D; crun spec; bundle; crun run --detach fnd-crun </dev/null >/dev/null 2>$D/log || cat $D/log
            field fnd-crun '[.name,.container.runtime]|join(" ")'; nsenter-rs -t fnd-crun --all hostname
            nsenter-rs --list --containers --type crun --json | cgexec-rs --pipe --show | jq -r '[.name,.cgroup.pids.current]|@tsv'
            # As after a crash, when the pid was reused.
            cp /run/crun/fnd-crun/status $D/status
            sed -i "s/\"pid\":[^,]*,/\"pid\": $OTHER,/" /run/crun/fnd-crun/status
            nsenter-rs --target fnd-crun --all -- true 2>&1 | sed "s/$OTHER/PID/"
        "#)
        .succeeds()
        .stdout_is(
            "fnd-crun crun\ninside\nfnd-crun\t1\n\
             nsenter-rs: cannot find a container named \"fnd-crun\": the crun container is not running: its pid PID was reused\n",
        );
    })
    .root_only(),
    Row::new("containers of runc are found by name, and a process that reuses their pid is refused", &[RUNC, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "runc", r#"
            trap 'kill $OTHER; cp $D/state.json /run/runc/fnd-runc/state.json; runc delete --force fnd-runc' EXIT
            sleep 86455 & OTHER=$!
            cd $D; runc spec; bundle; runc run --detach fnd-runc </dev/null >/dev/null 2>$D/log || cat $D/log
            field fnd-runc '[.name,.container.runtime]|join(" ")'; nsenter-rs -t fnd-runc --all hostname
            nsenter-rs --find fnd-ru --json 2>&1 | sed 's/pid [0-9]*/pid PID/'; echo ${PIPESTATUS[0]}
            cp /run/runc/fnd-runc/state.json $D/state.json
            sed -i "s/\"init_process_pid\":[^,]*,/\"init_process_pid\": $OTHER,/" /run/runc/fnd-runc/state.json
            nsenter-rs --target fnd-runc --all -- true 2>&1 | sed "s/$OTHER/PID/"
        "#)
        .succeeds()
        .stdout_is(
            "fnd-runc runc\ninside\n\
             nsenter-rs: cannot find a container named \"fnd-ru\": no running container has this name or id\n\
             nsenter-rs: remedy: similar names: fnd-runc (runc, pid PID)\n125\n\
             nsenter-rs: cannot find a container named \"fnd-runc\": the runc container is not running: its pid PID was reused\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("containers of podman are found by name and id, with and without their monitor", &[PODMAN, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "podman", &format!(r#"{PODMAN_SETUP}
            sweep libpod_parent
            trap '$P rm --force --time 0 fnd-podman >/dev/null 2>&1; remove_swept' EXIT
            start --cgroup-manager cgroupfs
            ID=$($P inspect --format '{{{{.Id}}}}' fnd-podman)
            shown() {{ field "$1" '[.name,.container.runtime,.container.id,.container.image]|join(" ")' | sed "s/$ID/ID/g"; }}
            shown fnd-podman; shown $ID; shown podman:${{ID:0:12}}; shown ${{ID:0:3}} 2>&1 | cut -d: -f1
            nsenter-rs -t fnd-podman --all /bin/sh -c 'echo $$ >/dev/null; hostname'
            netns-rs connect fnd-podman --bridge fndbr0 --address 10.95.2.2/24; nsenter-rs -t fnd-podman --net -- ip -4 -o address show eth0 | grep -o 10.95.2.2/24
            netns-rs who 10.95.2.2 2>/dev/null | head -1 | grep -o 'podman fnd-podman'; netns-rs disconnect fnd-podman; until ! ip -o link show fndbr0 2>/dev/null >&2; do sleep 0.02; done
            # It was found through its monitor. Without that, its store in another place is unknown, but crun knows the id.
            kill -KILL $(cat $D/run/vfs-containers/$ID/userdata/conmon.pid); sleep 0.2
            shown $ID
            printf '[storage]\ngraphroot = "%s"\nrunroot = "%s"\n' $D/graph $D/run >$D/storage.conf
            mount -t tmpfs -o mode=755 none /etc/containers; cp $D/storage.conf /etc/containers/; shown fnd-podman; umount /etc/containers
        "#))
        .succeeds()
        .stdout_is(
            "fnd-podman podman ID localhost/fnd:busybox\nfnd-podman podman ID localhost/fnd:busybox\n\
             fnd-podman podman ID localhost/fnd:busybox\nnsenter-rs\ninside\n10.95.2.2/24\npodman fnd-podman\nID crun ID \n\
             fnd-podman podman ID localhost/fnd:busybox\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("the program that a monitor runs after its container has ended is not taken for the container", &[CONMON, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "conmon", r#"
            without_v2
            ID=$(printf %064d 7)
            trap 'pkill -xf "/bin/sleep 86458"; crun delete --force $ID; until_ok gone' EXIT
            gone() { ! pgrep -f "^conmon.* fnd-conmon "; }
            cd $D; mkdir sock; crun spec; bundle; jq '.linux.cgroupsPath="/fnd-conmon"' config.json >c && mv c config.json
            conmon --socket-dir-path $D/sock --api-version 1 -c $ID -u $ID -n fnd-conmon -r $(command -v crun) -b $D -p $D/pidfile                 -l k8s-file:$D/log --exit-dir $D --exit-command /bin/sleep --exit-command-arg 86458 2>$D/errors || cat $D/errors
            until_ok test -s pidfile; crun start $ID
            field fnd-conmon '[.name,.container.runtime]|join(" ")'; nsenter-rs -t fnd-conmon --all -- /bin/hostname
            crun kill $ID KILL; until_ok pgrep -xf '/bin/sleep 86458'
            nsenter-rs -t fnd-conmon --all -- echo on the host 2>&1; nsenter-rs --list --containers | grep -c fnd-conmon
        "#)
        .stdout_is(
            "fnd-conmon podman\ninside\n\
             nsenter-rs: cannot find a container named \"fnd-conmon\": no running container has this name or id\n0\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("another user's container is found only if the user is named", &[PODMAN, CRUN, UNSHARE, BUSYBOX, JQ, BASH], |world| {
        run(world, "rootless", &format!(r#"{PODMAN_SETUP}
            cp -a $R $D/r; R=$D/r; chown -R 54321:54321 $D; mkdir -m 700 /run/user/54321; chown 54321:54321 /run/user/54321
            cat >$D/as-user <<END
export HOME=$D TMPDIR=$D XDG_RUNTIME_DIR=/run/user/54321 PATH=$PATH; cd $D
D=$D; R=$R
$(declare -f start until_ok)
$(declare -p P)
case \$1 in start) start --cgroups=disabled;; stop) \$P rm --force --time 0 fnd-podman; \$P system migrate;; esac >/dev/null 2>&1
END
            user() {{ setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }}
            trap 'user bash $D/as-user stop' EXIT
            user bash $D/as-user start
            nsenter-rs --find fnd-podman --json 2>&1 | sed 's/podman [0-9a-f]* of/podman ID of/;s/pid [0-9]*/pid PID/'
            field podman@54321:fnd-podman '[.name,.container.runtime,.container.user]|join(" ")'
            nsenter-rs --list --containers --json | jq -c '[.name,.container.user,.container.uid_map]'
            user nsenter-rs -t fnd-podman --all -- /bin/hostname
        "#))
        .succeeds()
        .stdout_is(
            "nsenter-rs: cannot find a container named \"fnd-podman\": only another user's container has this name: fnd-podman (podman ID of user 54321, pid PID)\n\
             nsenter-rs: remedy: use podman@54321:fnd-podman if you trust that user\n\
             fnd-podman podman 54321\n[\"fnd-podman\",54321,[[0,54321,1]]]\ninside\n",
        );
    })
    .root_only()
    .host_only(),
];

/// Prepares podman with a store of its own, and a function that starts a container.
const PODMAN_SETUP: &str = r#"
    without_v2
    mkdir -p /var/lib/containers /var/lib/cni; mount -t tmpfs none /var/lib/containers; mount -t tmpfs none /var/lib/cni
    P="podman --root $D/graph --runroot $D/run --tmpdir $D/tmp --storage-driver vfs --events-backend file --cgroup-manager cgroupfs"
    start() {
        tar --owner=0 --group=0 -C $R -c . | $P import - fnd:busybox >$D/log 2>&1 || cat $D/log
        case $1 in --cgroups*) option=$1;; *) option=;; esac
        $P run $option --detach --name fnd-podman --hostname inside --network none --ulimit nproc=1000:1000 --ulimit nofile=1024:1024 \
            fnd:busybox /bin/sleep 86456 >$D/log 2>&1 || cat $D/log
    }
"#;

/// Runs the lines in a mount namespace of their own; `$D` is their directory, `$R` the root of busybox.
fn run(world: &World, name: &str, lines: &str) -> Outcome {
    // Short: podman refuses a runroot of more than 50 characters.
    let script = world.apart(&format!("f-{name}"), &format!("R={}\n{PREAMBLE}{lines}", world.busybox_root().display()));
    let before = left(world);
    let outcome = script.within(Duration::from_secs(120)).run();
    let is_clean = world.eventually(|| (left(world) == before).then_some(()));
    assert!(is_clean.is_some(), "left behind: {}\n{outcome}", left(world));
    outcome
}

/// Returns the groups and processes that runtimes leave behind and that no other part of the suite makes.
fn left(world: &World) -> String {
    let groups = "find /sys/fs/cgroup -type d \\( -name '*fnd-*' -o -name libpod_parent -o -name lxc.pivot \\)";
    world.sh(&format!("{groups} 2>/dev/null | sort; pgrep -a -f '^[^ ]*sleep 8645[0-9]'")).stdout
}
