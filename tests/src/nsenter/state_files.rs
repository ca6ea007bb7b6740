//! Finding containers by what runtimes leave on disk: the layouts of runtimes that cannot run here, with real processes
//! in real cgroups; and state files that are false, stale, or meant to block us. Each row has a /run and a /var/lib of
//! its own.

use std::time::Duration;

use crate::harness::held::MARK;
use crate::harness::need::{BASH, IP, JQ, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

const PGREP: Need = Need::Program("pgrep", "procps");

/// `in_group GROUP [USER]` starts a process in a new cgroup below `$G` and sets `$P`; `id LETTER` is a container's id;
/// `docker ID NAME PID` writes docker's file; `found NAME` prints what is found; `stop` ends everything that was
/// started.
const PREAMBLE: &str = r#"
set -u
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/netns /run/user /run/systemd/machines
mkdir -p /var/lib; mount -t tmpfs -o mode=755 none /var/lib; mkdir -p /var/lib/docker/containers
H=/sys/fs/cgroup; [ -d $H/systemd ] && H=$H/systemd
G=$H/fnd-state.slice; mkdir $G; ALL=
stop() { kill -KILL $ALL; for i in $(seq 100); do find $G -depth -type d -exec rmdir {} + 2>/dev/null; [ -d $G ] || break; sleep 0.05; done; }
trap 'stop 2>/dev/null; wait' EXIT
user() { setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }
become_user() { exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }
in_group() {
    mkdir -p $G/$1
    case ${2-} in user) become_user sleep 86461 & P=$!;; *) sleep 86461 & P=$!;; esac
    ALL="$ALL $P"; asleep $P
    echo $P >$G/$1/cgroup.procs
}
id() { printf "$1%.0s" $(seq 64); }
docker() { mkdir -p /var/lib/docker/containers/$1; printf '{"ID":"%s","Name":"/%s","State":{"Running":true,"Pid":%s},"Config":{"Image":"fnd:1"}}' $1 "$2" $3 >/var/lib/docker/containers/$1/config.v2.json; }
found() { nsenter-rs --find "$1" --json 2>err | jq -r '[.init.pid,.container.runtime,.container.pod,.container.image]|map(select(.))|join(" ")' | sed "s/^$P /P /"; cat err; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("docker's file is trusted only if the cgroup confirms it", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        run(world, "docker", r#"
            A=$(id a) B=$(id b)
            in_group docker-$A.scope; docker $A fnd-web $P
            found fnd-web; found docker:$A; found aaaaa; found aaa | cut -d: -f2
            # The process moved to a group below, as an init does.
            mkdir $G/docker-$A.scope/init.scope; echo $P >$G/docker-$A.scope/init.scope/cgroup.procs; found fnd-web
            docker $B fnd-stale $P; found fnd-stale | sed "s/$P/PID/g"
            docker $B fnd-ended 4194303; found fnd-ended
            # A group inside a container's group was made by that container.
            in_group docker-$A.scope/docker-$B.scope; docker $B fnd-nested $P; found fnd-nested | sed "s/$P/PID/g"
            # A user with a delegated group can make groups of any name.
            mkdir $G/delegated; chown 54321 $G/delegated $G/delegated/cgroup.procs; user mkdir $G/delegated/docker-$B.scope
            in_group delegated/docker-$B.scope user; docker $B fnd-fake $P; found fnd-fake | sed "s/$P/PID/g"
            chown 0 $G/delegated/docker-$B.scope; found fnd-fake
        "#)
        .succeeds()
        .stdout_is(
            "P docker fnd:1\nP docker fnd:1\nP docker fnd:1\n cannot find a container named \"aaa\"\nP docker fnd:1\n\
             nsenter-rs: cannot find a container named \"fnd-stale\": the docker container cannot be process PID, which its state names: that process is not in a cgroup of this container\n\
             nsenter-rs: cannot find a container named \"fnd-ended\": the docker container is not running: there is no process 4194303\n\
             nsenter-rs: cannot find a container named \"fnd-nested\": the docker container cannot be process PID, which its state names: that process is not in a cgroup of this container\n\
             nsenter-rs: cannot find a container named \"fnd-fake\": the docker container cannot be process PID, which its state names: that process is not in a cgroup of this container\n\
             P docker fnd:1\n",
        );
    })
    .root_only(),
    Row::new("containers of CRI-O, machines of systemd-machined and units of systemd are found", &[BASH, JQ, UNSHARE], |world| {
        run(world, "layouts", r#"
            C=$(id c) S=/var/lib/containers/storage/overlay-containers
            mkdir -p $S/$C/userdata /run/containers/storage
            printf '[{"id":"%s","names":["k8s_web_pod_space_uid_0"],"metadata":"{}"}]' $C >$S/containers.json
            K=io.kubernetes
            printf '{"annotations":{"io.container.manager":"cri-o","%s":"web","%s":"pod","%s":"space","%s":"container","%s":"registry/web:2"}}' \
                $K.container.name $K.pod.name $K.pod.namespace $K.cri-o.ContainerType $K.cri-o.ImageName >$S/$C/userdata/config.json
            in_group kubepods.slice/crio-$C.scope; printf '{"id":"%s","pid":%s,"status":"running"}' $C $P >$S/$C/userdata/state.json
            found web; found space/pod/web; found pod/web; found cri-o:ccccc
            in_group machine.slice/machine-fnd.scope
            printf 'NAME=fnd-machine\nSCOPE=machine-fnd.scope\nSERVICE=systemd-nspawn\nID=00000000000000000000000000000000\nLEADER=%s\nCLASS=container\n' $P >/run/systemd/machines/fnd-machine
            ln -s fnd-machine /run/systemd/machines/unit:machine-fnd.scope
            found fnd-machine; found nspawn:fnd-machine
            in_group fnd-unit.service; FIRST=$P; sleep 0.05; in_group fnd-unit.service; P=$FIRST
            found fnd-unit.service; found systemd:fnd-unit; found fnd-unit | cut -d: -f2-
            nsenter-rs --target fnd-unit --type systemd --uts -- echo entered
        "#)
        .succeeds()
        .stdout_is(
            "P cri-o space/pod registry/web:2\nP cri-o space/pod registry/web:2\nP cri-o space/pod registry/web:2\n\
             P cri-o space/pod registry/web:2\nP nspawn\nP nspawn\nP systemd\nP systemd\n \
             cannot find a container named \"fnd-unit\": no running container has this name or id\nentered\n",
        );
    })
    .root_only(),
    Row::new("no state file blocks nsenter-rs or makes it read anything but state files", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        run(world, "traps", r#"
            D=/var/lib/docker/containers; for x in d e f; do mkdir $D/$(id $x); done
            mkfifo $D/$(id d)/config.v2.json; truncate -s 8G $D/$(id e)/config.v2.json; echo '{"Name":' >$D/$(id f)/config.v2.json
            U=/run/user/54321; mkdir -p $U /run/crun/fnd-root; chown 54321 $U
            sleep 86462 & ALL="$ALL $!"; P=$!
            printf '{"pid":%s,"process-start-time":%s}' $P $(sed 's/.*) //' /proc/$P/stat | cut -d' ' -f20) >/run/crun/fnd-root/status
            # Links, mounts and pipes of another user; and a process of root that the user claims.
            user ln -s /run/crun $U/crun; user mkdir -p $U/runc/fnd-his $U/runc/fnd-fifo
            user mkfifo $U/runc/fnd-fifo/state.json
            printf '{"init_process_pid":%s,"init_process_start":%s}' $P $(sed 's/.*) //' /proc/$P/stat | cut -d' ' -f20) >$U/runc/fnd-his/state.json
            timeout 10 nsenter-rs --list --containers | sed 's/  */ /g' | cut -d' ' -f1,2; echo ${PIPESTATUS[0]}
            found fnd-his | sed "s/$P/PID/g"
            found fnd-nothing | tr ';' '\n' | sed "s,/[^ ]*/,,;s/skipped: //" | cut -c1-70 | sort
        "#)
        .succeeds()
        .stdout_is(
            "NAME RUNTIME\nfnd-root crun\n0\n\
             nsenter-rs: cannot find a container named \"fnd-his\": the runc container cannot be process PID, which user 54321 names: that process does not belong to user 54321\n \
             config.v2.json is not a regular file\n config.v2.json is too large for a state file\n config.v2.json: EOF while parsing a value at line 2 column 0\n \
             crun leads through a symbolic link\n\
             nsenter-rs: cannot find a container named \"fnd-nothing\": no running co\n",
        );
    })
    .root_only(),
    Row::new("a user's process in a unit of root does not represent the unit", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        run(world, "unit", r#"
            echo planted >$D/planted; echo original >$D/program; N=fnd-job.service
            become_user unshare -U -r -m sh -c "mount --bind $D/planted $D/program && exec sleep 86461" & P=$!; ALL="$ALL $P"; asleep $P
            USERS=$P; mkdir $G/$N; echo $P >$G/$N/cgroup.procs
            # The daemon was restarted, so it is younger.
            sleep 0.05; in_group $N; found $N
            nsenter-rs --target $N --mount -- cat $D/program; nsenter-rs --target $USERS --mount -- cat $D/program
            kill -KILL $P; wait $P; nsenter-rs --target $N --mount -- cat $D/program 2>&1 | sed "s/$USERS/PID/g"
            # In a user namespace of root's, as by PrivateUsers=.
            unshare -U -r sleep 86461 & P=$!; ALL="$ALL $P"; asleep $P; echo $P >$G/$N/cgroup.procs; found $N
        "#)
        .succeeds()
        .stdout_is(
            "P systemd\noriginal\nplanted\n\
             nsenter-rs: cannot find a container named \"fnd-job.service\": the systemd container has only processes in user namespaces that \
             root did not make; its first process, PID, is in one of user 54321; to enter that process, use --target PID\nP systemd\n",
        );
    })
    .root_only(),
    Row::new("a user's claim about a process in a container of root does not hide that container", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        run(world, "hide", r#"
            P=none U=/run/user/54321; mkdir -p /run/crun/fnd-root $U; chown 54321 $U
            claim() { printf '{"pid":%s,"process-start-time":%s}' $1 $(sed 's/.*) //' /proc/$1/stat | cut -d' ' -f20); }
            unshare -m -p -f --kill-child sh -c 'setpriv --reuid 54321 --regid 54321 --clear-groups sleep 86464 & setpriv --reuid 54321 --regid 54321 --clear-groups unshare -U sleep 86465 & sleep 86466 & exec sleep 86467' & ALL="$ALL $!"
            ROOT=$(child $!); asleep $ROOT; for i in $(seq 500); do set -- $(cat /proc/$ROOT/task/$ROOT/children); asleep "$@"; [ $# = 3 ] && break; done
            claim $ROOT >/run/crun/fnd-root/status
            NS=$(stat -L -c %i /proc/$ROOT/ns/pid)
            seen() { nsenter-rs --list --type pid -o NS,CONTAINER | sed -n "s/^ *$NS *//p"; }
            seen
            user mkdir -p $U/crun/fnd-inner $U/crun/fnd-other
            claim $1 | user tee $U/crun/fnd-inner/status >/dev/null; found fnd-inner | sed "s/$1/PID/g"
            # A user namespace of the user's own makes a container.
            claim $2 | user tee $U/crun/fnd-other/status >/dev/null; nsenter-rs --find crun@54321:fnd-other --json | jq -r .name
            seen
            rm /run/crun/fnd-root/status; seen
        "#)
        .succeeds()
        .stdout_is(
            "fnd-root\n\
             nsenter-rs: cannot find a container named \"fnd-inner\": the crun container cannot be process PID, which user 54321 names: that \
             process is not the first of its pid namespace\nfnd-other\nfnd-root\nfnd-other\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("names that an unprivileged user gives to processes do not mislead root's search", &[BASH, JQ, PERL, PGREP, SETPRIV, UNSHARE], |world| {
        run(world, "names", &r#"
            mkdir $D/data $D/data/containers; A=$(id a); in_group docker-$A.scope
            docker $A fnd-web $P; mv /var/lib/docker/containers/$A $D/data/containers; chown -R 54321 $D/data
            found fnd-web
            # A process of the user that calls itself docker's daemon.
            become_user bash -c "exec -a dockerd perl -e 'sleep 86463' run --data-root=$D/data" & DAEMON=$!
            for i in $(seq 200); do tr '\0' ' ' </proc/$DAEMON/cmdline | grep -q ^dockerd && break; sleep 0.01; done
            found fnd-web; kill $DAEMON
            bash -c "exec -a dockerd perl -e 'sleep 86463' run --data-root=$D/data" & DAEMON=$!
            for i in $(seq 200); do tr '\0' ' ' </proc/$DAEMON/cmdline | grep -q ^dockerd && break; sleep 0.01; done
            chown -R 0 $D/data; found fnd-web; kill $DAEMON
            # A process of the user that bears the mark of a held container, also as a set-user-ID program.
            cp $(readlink -f $(command -v cat)) $D/plain; cp $D/plain $D/setuid; chmod 4755 $D/setuid; mkfifo -m 666 $D/never
            cat >$D/forge <<'END'
                #mark#
                use POSIX; $^F = 9; my $mark = mark(); POSIX::dup2(fileno $mark, 3) or die; my $program = shift;
                # An init of --hold runs from a sealed copy; only a file can be set-user-ID.
                unless (-u $program) {
                    my $copy = syscall(319, my $called = "sealed", 0); open(our $to, ">&=", $copy) or die; open(my $from, "<", $program) or die;
                    my $part; syswrite($to, $part) while sysread($from, $part, 1 << 20); $program = "/proc/self/fd/$copy";
                }
                exec { $program } "unshare-rs-init", "-", $ARGV[0];
END
            until_forged() { for i in $(seq 200); do pgrep -f "^unshare-rs-init - $1" >/dev/null && return; sleep 0.02; done; echo "no $1"; }
            forged() { become_user perl $D/forge $D/$1 $2 <>$D/never 3<&- & ALL="$ALL $!"; until_forged $2; found $2 | sed 's/pid [0-9]*/pid PID/'; }
            # Without a user namespace of the user's own, only root can sign a hold.
            forged plain fnd-held
            forged setuid fnd-raised
            # Root's claims count, but not those of root in a container.
            perl $D/forge $D/plain fnd-roots <>$D/never 3<&- & P=$!; ALL="$ALL $P"; until_forged fnd-roots; found fnd-roots
            echo $P >$G/docker-$A.scope/cgroup.procs; found fnd-roots
            unshare --pid --fork unshare --pid --fork perl $D/forge $D/plain fnd-deeper <>$D/never 3<&- & ALL="$ALL $!"; until_forged fnd-deeper; found fnd-deeper
            ALL="$ALL $(pgrep -f fnd-deeper | tr '\n' ' ')"
        "#.replace("#mark#", MARK))
        .stdout_is(
            "nsenter-rs: cannot find a container named \"fnd-web\": no running container has this name or id\n\
             nsenter-rs: cannot find a container named \"fnd-web\": no running container has this name or id\n\
             P docker fnd:1\n\
             nsenter-rs: cannot find a container named \"fnd-held\": no running container has this name or id\n\
             nsenter-rs: cannot find a container named \"fnd-raised\": no running container has this name or id\n\
             P hold\n\
             nsenter-rs: cannot find a container named \"fnd-roots\": no running container has this name or id\n\
             nsenter-rs: cannot find a container named \"fnd-deeper\": no running container has this name or id\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("names are printed without control characters, and are compared byte by byte", &[BASH, JQ, UNSHARE], |world| {
        let outcome = run(world, "control", r#"
            A=$(id a); in_group docker-$A.scope; docker $A 'f\u001b[2Jnd\nx' $P
            nsenter-rs --list --containers | tail -1 | cut -d' ' -f1
            nsenter-rs --list --containers --json | jq .name
            found $'f\e[2Jnd\nx'; found $'no\e]0;x\a'
        "#);
        outcome.succeeds().stdout_is(
            "f\\u{1b}[2Jnd\\nx\n\"f\\u001b[2Jnd\\nx\"\nP docker fnd:1\n\
             nsenter-rs: cannot find a container named \"no\\u{1b}]0;x\\u{7}\": no running container has this name or id\n",
        );
    })
    .root_only(),
    Row::new("a network namespace of `ip netns` can be entered by its name, and gives only a network", &[BASH, IP, JQ, UNSHARE], |world| {
        run(world, "netns", r#"
            ip netns add fnd-blue; A=$(stat -Lc %i /run/netns/fnd-blue)
            for how in "-t fnd-blue -n" "-t netns:fnd-blue -a" "-t fnd-blue --type netns --net"; do [ $(nsenter-rs $how -- stat -Lc %i /proc/self/ns/net) = $A ] && echo entered; done
            nsenter-rs -t fnd-blue -m true 2>&1; nsenter-rs -t fnd-blue -a -c true 2>&1; nsenter-rs --find fnd-blue --json 2>&1
            B=$(id b); in_group docker-$B.scope; docker $B fnd-blue $P
            nsenter-rs -t fnd-blue -n true 2>&1 | sed "s/$P/PID/"
            touch /run/netns/fnd-file; nsenter-rs -t fnd-file -n true 2>&1; nsenter-rs -t netns:../netns/fnd-blue -n true 2>&1
            ip netns del fnd-blue
        "#)
        .succeeds()
        .stdout_is(
            "entered\nentered\nentered\n\
             nsenter-rs: cannot use more than the network of /run/netns/fnd-blue: it is a named network namespace, which has no process\n\
             nsenter-rs: cannot use more than the network of /run/netns/fnd-blue: it is a named network namespace, which has no process\n\
             nsenter-rs: cannot use fnd-blue as a container: it is a named network namespace, which has no process\n\
             nsenter-rs: remedy: enter it with --net=/run/netns/fnd-blue\n\
             nsenter-rs: cannot decide which container \"fnd-blue\" means: fnd-blue (docker bbbbbbbbbbbb, pid PID); the network namespace /run/netns/fnd-blue (netns)\n\
             nsenter-rs: remedy: use its id, its pid, or RUNTIME:NAME\n\
             nsenter-rs: cannot find a container named \"fnd-file\": no running container has this name or id\n\
             nsenter-rs: cannot find a container named \"netns:../netns/fnd-blue\": no netns container has this name or id\n",
        );
    })
    .root_only(),
    Row::new("a held container is found only by its whole name, and an error lists both of two with the same name", &[BASH, JQ, Need::UserNamespaces], |world| {
        let script = r#"
            hold() { unshare-rs --hold --ttl 60 --name "$1" --user --map-root-user --uts --pid --hostname "$2" >$2; }
            finish() { nsenter-rs --pipe --rm -- true <$1; }
            trap 'for record in one two three; do finish $record; done 2>/dev/null' EXIT
            cd $D
            hold fnd-a-name-of-many-letters one; hold fnd-a-name-of-many two; hold fnd-twice three
            nsenter-rs --target fnd-a-name-of-many-letters --all -- hostname
            nsenter-rs --target fnd-a-name-of-many --all -- hostname
            nsenter-rs --find hold:fnd-a-name-of-many --json | jq -c '[.init.pid,.name,.namespaces.uts.private]' | sed "s/$(jq .init.pid two)/PID/"
            nsenter-rs --list --containers --type hold --json | jq -r 'select(.name|startswith("fnd-")).name' | sort
            finish two; hold fnd-twice two
            nsenter-rs --target fnd-twice --all -- true 2>&1 | sed "s/pid $(jq .init.pid two)\b/PID/; s/pid $(jq .init.pid three)\b/PID/; s/ of user [0-9]*//g" | tr ';' '\n' | sed 's/^ //' | sort
            nsenter-rs --target $(jq .init.pid two) --all -- hostname
        "#;
        let directory = world.directory("state-hold");
        let outcome = world.script(&format!("D={}; {script}", directory.display())).within(Duration::from_secs(120)).run();
        outcome.succeeds().stdout_is(
            "one\ntwo\n[PID,\"fnd-a-name-of-many\",true]\nfnd-a-name-of-many\nfnd-a-name-of-many-letters\nfnd-twice\n\
             fnd-twice (hold, PID)\n\
             nsenter-rs: cannot decide which container \"fnd-twice\" means: fnd-twice (hold, PID)\n\
             nsenter-rs: remedy: use its id, its pid, or RUNTIME:NAME\ntwo\n",
        );
    }),
];

/// Runs the lines in a mount namespace of their own; `$D` is their directory.
pub fn run(world: &World, name: &str, lines: &str) -> Outcome {
    let script = world.apart(&format!("state-{name}"), &format!("cd $D\n{WAITING}{PREAMBLE}{lines}"));
    script.within(Duration::from_secs(120)).run()
}
