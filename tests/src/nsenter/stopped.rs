//! Containers that do not run: `--list --containers --all`, `--find NAME --stopped`, and `--why` about them, by the layouts of
//! runtimes on disk.

use crate::harness::need::{BASH, JQ, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::state_files::run;

/// `layers STORE` makes three layers, of which the topmost one changes a file and the lowest one has busybox; `dead ID NAME
/// DRIVER` writes docker's file of a container that has ended; `open NAME` opens its files and prints one.
const STORES: &str = r#"
layers() { mkdir -p $1/l $1/top/diff $1/mid/diff $1/low/diff/bin; printf l/MID:l/LOW >$1/top/lower; printf l/LOW >$1/mid/lower
    for it in mid low; do ln -s ../$it/diff $1/l/${it^^}; done; cp $(command -v busybox) $1/low/diff/bin/sh; echo low >$1/low/diff/note; echo mid >$1/mid/diff/note; touch $1/mid/diff/mid; echo top >$1/top/diff/note; }
dead() { mkdir -p $D0/containers/$1 $D0/image/$3/layerdb/mounts/$1; printf top >$D0/image/$3/layerdb/mounts/$1/mount-id
    printf '{"ID":"%s","Name":"/%s","Driver":"%s","RestartCount":3,"State":{"Pid":0,"ExitCode":137,"OOMKilled":true,"StartedAt":"2026-01-02T03:04:05Z","FinishedAt":"2026-01-02T03:05:06Z"},"Config":{"Image":"stp:1"}}' $1 $2 $3 >$D0/containers/$1/config.v2.json; }
open() { unshare-rs --mount --fork -- $(nsenter-rs --find $1 --stopped) -- /bin/sh -c 'while read -r a; do echo $a; done </note; echo /*'; }
D0=/var/lib/docker; S0=/var/lib/containers/storage
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("containers of docker, podman, CRI-O and LXC that do not run are found, and their files opened", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        let lines = r#"
            A=$(id a) B=$(id b) C=$(id c) L=$(id d)
            layers $D0/overlay2; dead $A stp-dead overlay2; open stp-dead; open docker:aaaaaaaa | head -n 1
            layers $S0/overlay; mkdir -p $S0/overlay-containers/{$B,$C}/userdata
            printf '[{"id":"%s","names":["stp-pod"],"layer":"top","metadata":"{\\"image-name\\":\\"stp:2\\"}"},{"id":"%s","names":["k8s_stp_p_n_u_0"],"layer":"mid"}]' $B $C >$S0/overlay-containers/containers.json
            echo '{"annotations":{"io.container.manager":"cri-o","io.kubernetes.container.restartCount":"5"}}' >$S0/overlay-containers/$C/userdata/config.json
            echo '{"status":"stopped","exitCode":2,"finished":"2026-01-02T03:04:05Z","oomKilled":false}' >$S0/overlay-containers/$C/userdata/state.json
            touch $S0/overlay-containers/$B/userdata/oom; open stp-pod | head -n 1; open cri-o:k8s_stp_p_n_u_0 | head -n 1
            mkdir -p /var/lib/lxc/stp-lxc; echo 'lxc.rootfs.path = dir:/var/lib/containers/storage/overlay/low/diff' >/var/lib/lxc/stp-lxc/config; open stp-lxc | head -n 1
            # One that runs is not among them, whatever its file says of others.
            in_group docker-$L.scope; docker $L stp-live $P; nsenter-rs --find stp-live --stopped 2>&1 | cut -d: -f2 | head -n 1
            nsenter-rs --list --containers --all | grep stp- | tr -s ' ' | sed "s/ $P / P /" | cut -d' ' -f1-4,9- | sed 's/ 20[^ ]*Z$//'
            nsenter-rs --list --containers --all --json | jq -r 'select(.stopped and (.name | contains("stp"))) | [.name, .container.runtime, .end.exit_code // "-"] | join(" ")'
            for it in stp-dead k8s_stp_p_n_u_0 stp-pod; do nsenter-rs --why $it --json | jq -c '[.facts.end.value.status, .facts.OOM_kills.value, .facts.restarts.value]'; done
            nsenter-rs --why stp-dead | grep -c '^end  .*exit status 137, that is, signal 9'
        "#;
        let listed = "\nstp-live docker P fnd:1";
        let outcome = run(world, "stopped", &format!("{STORES}{lines}"));
        outcome
            .stdout_has("top\n/bin /mid /note\ntop\ntop\nmid\nlow\n")
            .stdout_has(" cannot find a stopped container named \"stp-live\"\n")
            .stdout_has(listed)
            .stdout_has("stp-dead docker - stp:1 exited 137\n")
            .stdout_has("stp-dead docker 137\nstp-pod podman -\nk8s_stp_p_n_u_0 cri-o 2\nstp-lxc lxc -\n")
            .stdout_has("[137,true,3]\n[2,false,5]\n[null,true,null]\n1\n");
    })
    .root_only()
    .host_only(),
    Row::new("a store that is false, hostile or of another user gives no path", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        let lines = r#"
            A=$(id a) B=$(id b)
            layers $D0/overlay2; dead $A stp-dead overlay2; open stp-dead | head -n 1
            files() { nsenter-rs --find stp-dead --stopped --json | jq -r '.files.unreadable // (.files.layers | length)'; }
            files
            ln -sfn /etc $D0/overlay2/l/MID; files; ln -sfn ../../../diff $D0/overlay2/l/MID; files; ln -sfn ../gone/diff $D0/overlay2/l/MID; files; rm $D0/overlay2/l/MID; files
            printf '../../x' >$D0/overlay2/top/lower; files; printf ../../etc >$D0/image/overlay2/layerdb/mounts/$A/mount-id; files
            dead $A stp-dead zfs; files | cut -d, -f1; nsenter-rs --find stp-dead --stopped; echo $?
            echo x >$D0/containers/$A/config.v2.json; nsenter-rs --find stp-dead --stopped 2>&1 | grep -c 'skipped: .*config.v2.json'
            # Nobody confirms what another user says.
            dead $B stp-theirs overlay2; nsenter-rs --find stp-theirs --stopped --json >/dev/null; echo $?; chown 54321 $D0; nsenter-rs --find stp-theirs --stopped --json 2>/dev/null; echo $?
        "#;
        run(world, "stopped-hostile", &format!("{STORES}{lines}")).stdout_is(
            "top\n3\n/var/lib/docker/overlay2/l/MID leads elsewhere\n/var/lib/docker/overlay2/l/MID leads elsewhere\n/var/lib/docker/overlay2/gone/diff is missing\n\
             /var/lib/docker/overlay2/l/MID: No such file or directory (os error 2)\n/var/lib/docker/overlay2/top/lower has an unknown form\nthe store names no layer\n\
             its files are in the store \"zfs\"\n125\n1\n0\n125\n",
        );
    })
    .root_only()
    .host_only(),
];
