//! A user's `--hold` that shares the host's namespaces, or those of a service of root's, and a record that was edited:
//! root's stages refuse them, and nothing in a record makes a program of the host do something else. Each row also shows
//! what the same act does without the precaution.

use crate::harness::held::{MARK, SEALED};
use crate::harness::need::{BUSYBOX, JQ, NSENTER, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// `user COMMAND…` runs it as the user. `service OPTIONS` starts a process of root's in namespaces of its own, `$S`, in
/// which `held HOW OPTIONS` makes a hold: `$P` is its init, `$D/record` its record.
const PREAMBLE: &str = r#"
user() { setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }
root() { "$@"; }
PIDS=; trap 'kill -KILL $PIDS 2>/dev/null' EXIT
service() { unshare "$@" sleep 60 & S=$!; PIDS="$PIDS $S"
    while [ $(readlink /proc/$S/exe) != $(readlink -f $(command -v sleep)) ]; do sleep 0.01; done; }
held() { local how=$1; shift
    nsenter -t $S "${AT[@]}" -- bash -c "$(declare -f user root); $how unshare-rs --hold --ttl 60 $*" | cat >$D/record; P=$(jq .init.pid $D/record); PIDS="$PIDS $P"; }
hold() { local how=$1; shift; S=$$; $how unshare-rs --hold --ttl 60 "$@" | cat >$D/record; P=$(jq .init.pid $D/record); PIDS="$PIDS $P"; }
edit() { jq -c "$1" $D/record >$D/edited; }
[ -n "$OWN" ] || mkdir $D/root $D/root/bin $D/root/etc $D/root/proc $D/root/sys $D/root/dev $D/plant;  cp $(command -v busybox) $D/root/bin; chown -R 54321 $D/root
printf '#!/bin/sh\necho planted\n' >$D/plant/planted-program; chmod -R a+rx $D/plant
"#;

const NEEDS: &[Need] = &[SETPRIV, NSENTER, UNSHARE, JQ, BUSYBOX];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a user's record does not choose the programs that root runs on the host", NEEDS, |world| {
        let edit = r#"edit ".process={env:[\"PATH=$D/plant\",\"LD_PRELOAD=$D/plant/x.so\",\"LANG=C.UTF-8\"],setenv:[\"BASH_ENV=$D/plant/b\"],cwd:\"$D/plant\",umask:0}""#;
        let lines = format!(
            "cd /; umask 022; hold user; {edit}; PATH=$D/plant:$PATH planted-program; nsenter-rs --pipe -- planted-program <$D/edited; echo $?; kill -KILL $P; \
             hold root --mount; {edit}; nsenter-rs --pipe -- sh -c 'planted-program 2>/dev/null; echo $?; pwd; umask; echo $LANG $LD_PRELOAD $BASH_ENV.' <$D/edited"
        );
        let outcome = run(world, "host-programs", &lines);
        outcome.stdout_is("planted\n125\n127\n/\n0022\nC.UTF-8 .\n").stderr_has("belongs to user 54321").stderr_has("--hold --user").stderr_has("a program of the host");
    })
    .root_only(),
    Row::new("a record alone gives a program of the host to no other user, and sets no limit or filter of its own on it", NEEDS, |world| {
        let user = r#"{"uid":54321,"gid":54321,"groups":[42]}"#;
        let filter = r#"{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["setuid"],"action":"SCMP_ACT_ERRNO","errnoRet":0}]}}"#;
        let doubtful = [
            user,
            r#"{"gid":54321}"#,
            r#"{"rlimits":[{"type":"RLIMIT_FSIZE","soft":0,"hard":0}]}"#,
            r#"{"oom_score_adj":500}"#,
            filter,
            r#"{"capability_sets":{"ambient":["CAP_KILL"]}}"#,
            r#"{"securebits":["SECBIT_NO_SETUID_FIXUP"]}"#,
        ];
        let restriction = r#"{"uid":0,"groups":[],"capabilities":["CAP_KILL"],"no_new_privs":true,"seccomp":"default","umask":0}"#;
        // Each record enters a hold with the host's root, which must refuse it, and one with a root of its own.
        let lines = format!(
            r#"ids='grep -E ^(CapEff|NoNewPrivs|Seccomp): /proc/self/status'
            enter() {{ edit ".process=$1"; nsenter-rs --pipe -- ${{2-$true}} <$D/edited >$D/out 2>>$D/err; echo -n "$? "; }}
            all() {{ for p in '{doubtful}'; do enter "$p"; done; }}
            used() {{ nsenter-rs --pipe -- $true <$D/record; }}
            true=true; hold root --uts; used; all; enter '{restriction}' "$ids"; tr '\n\t' '  ' <$D/out; echo; cat $D/err >&2
            hold root --mount; chroot-rs --pipe --std $D/root <$D/record >$D/rooted; cp $D/rooted $D/record; true='/bin/busybox true'; used; all; enter '{user}' '/bin/busybox id'; cat $D/out
            hold root --mount; chroot-rs --pipe --std --userspec 54321:54321 --rlimit fsize=0 / <$D/record >$D/rooted; cp $D/rooted $D/record
            nsenter-rs --pipe -- sh -c 'id -u; ulimit -f' <$D/record; edit .process.uid=54322; nsenter-rs --pipe -- id <$D/edited; echo $?"#,
            doubtful = doubtful.join("' '"),
        );
        let outcome = run(world, "host-confinement", &lines);
        let expected = "125 125 125 125 125 125 125 0 CapEff: 0000000000000020 NoNewPrivs: 1 Seccomp: 2 \n\
            0 0 0 0 0 0 0 0 uid=54321 gid=54321 groups=42\n54321\n0\n125\n";
        outcome.stdout_is(expected).stderr_has("(uid, gid, groups)").stderr_has("jq -c 'del(.process.uid, .process.gid, .process.groups)'");
    })
    .root_only(),
    Row::new("a hold in the mount namespace of a service does not change the service's root", NEEDS, |world| {
        let stage = "edit .namespaces.mnt.private=true; chroot-rs --pipe --std $D/root <$D/edited >/dev/null; echo $?; nsenter -t $S -m test -e $D/plant; echo $?";
        let lines = format!(
            "service -m --propagation private; AT=(-m); held user; {stage}; held user --user --map-root-user; {stage}; held root; {stage}; \
             held user; nsenter -t $P -m mount -t tmpfs none $D/plant; nsenter -t $S -m test -e $D/plant/planted-program; echo $?; \
             held user --user --map-root-user --mount --pid; chroot-rs --pipe --std $D/root <$D/record >/dev/null; echo $?"
        );
        let outcome = run(world, "service-mounts", &lines);
        outcome
            .stdout_is("125\n0\n125\n0\n125\n0\n1\n0\n")
            .stderr_has("belongs to user 54321")
            .stderr_has("does not own its mount namespace")
            .stderr_has("'s mount namespace; pivoting");
    })
    .root_only()
    .host_only(),
    Row::new("a hold in the network of a service does not connect the service", NEEDS, |world| {
        let stage = "netns-rs connect --pipe --bridge none0 --address 10.9.0.2/24 <$D/record; echo $?";
        let lines = format!(
            "service -n; AT=(-n); held user; {stage}; held user --user --map-root-user; {stage}; \
             held user; nsenter -t $P -n sh -c 'echo 77 >/proc/sys/net/ipv4/ip_default_ttl'; nsenter -t $S -n cat /proc/sys/net/ipv4/ip_default_ttl"
        );
        let outcome = run(world, "service-network", &lines);
        outcome
            .stdout_is("125\n125\n77\n")
            .stderr_has("belongs to user 54321")
            .stderr_has("does not own its net namespace");
    })
    .root_only()
    .host_only(),
    Row::new("root's environment does not reach a program of another user's container", NEEDS, |world| {
        let lines = "export SECRET=hunter2; hold user --user --map-root-user --mount --pid; \
            nsenter --preserve-credentials -t $P -U -m env | grep -c hunter2; \
            nsenter-rs --pipe -- sh -c 'env; echo $HOME' <$D/record >$D/env; grep -c hunter2 $D/env; grep -c ^PATH=/usr/local/sbin $D/env; tail -n 1 $D/env; kill -KILL $P; \
            hold root --mount; nsenter-rs --pipe -- sh -c 'echo $SECRET' <$D/record";
        let outcome = run(world, "secrets", lines);
        outcome.stdout_is("1\n0\n1\n/root\nhunter2\n");
    })
    .root_only(),
    Row::new("a user's own hold keeps his environment as long as its root is his", &[JQ, Need::UserNamespaces], |world| {
        let script = "export MINE=kept; unshare-rs --hold --ttl 9 --user --map-root-user --mount | nsenter-rs --pipe --rm -- sh -c 'echo $MINE'";
        world.sh(script).succeeds().stdout_is("kept\n");
    })
    .user_only(),
    Row::new("a record does not move root's command into a cgroup that a user can freeze", NEEDS, |world| {
        // A mount of its own, so that the row does not depend on the layout of the machine.
        let file = "mkdir $D/cg; mount -t cgroup2 none $D/cg; G=$D/cg/shared-holds-$$; mkdir $G; chown 54321 $G $G/cgroup.procs; \
            again() { hold user --user --map-root-user --mount; trap 'kill -KILL $PIDS; rmdir $G' EXIT; edit \".cgroup={version:2,path:\\\"/${G##*/}\\\"}\"; }; again; \
            sh -c \"echo 0 >$G/cgroup.procs; grep -c ${G##*/} /proc/self/cgroup\"; \
            nsenter-rs --pipe -- true <$D/edited; echo $?; chown 0 $G $G/cgroup.procs; again; nsenter-rs --pipe -- true <$D/edited; echo $?";
        let outcome = run(world, "frozen", &format!("[ -n \"$OWN\" ] || OWN=1 exec unshare -m --propagation private bash $0; {file}"));
        outcome.stdout_is("1\n125\n0\n").stderr_has("cannot join the cgroup");
    })
    .root_only()
    .host_only(),
    Row::new("a container of another user does not keep the kernel from killing root's command", NEEDS, |world| {
        // Each process may lower its score to its lowest value so far: no CAP_SYS_RESOURCE is needed here.
        let bundle = r#"{"ociVersion":"1.0.2","root":{"path":"root"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],"process":{"cwd":"/","args":["/bin/true"],"user":{"uid":0,"gid":0},"oomScoreAdj":200}}"#;
        let lines = format!(
            "echo '{bundle}' >$D/config.json; \
             both() {{ $1 chroot-rs --pipe --oci $D <$D/record >$D/rooted; sh -c 'echo 300 >/proc/self/oom_score_adj; \
                nsenter-rs -t '$P' --all --like-target -- /bin/busybox cat /proc/self/oom_score_adj; \
                nsenter-rs --pipe -- /bin/busybox cat /proc/self/oom_score_adj <$D/rooted'; kill -KILL $P; rm -rf $D/root/dev/*; }}; \
             hold user --user --map-root-user --mount --pid; both user; hold root --mount --pid; both root"
        );
        let outcome = run(world, "oom-score", &lines);
        outcome.stdout_is("300\n300\n200\n200\n").stderr_has("the container belongs to another user and requests 200");
    })
    .root_only(),
    Row::new("a stage joins the cgroup that cgexec-rs made, not one that a user put in its place", NEEDS, |world| {
        let file = r#"
            d=$(awk '$(NF - 2) == "cgroup" && ("," $NF ",") ~ /,pids,/ { print $5; exit }' /proc/self/mountinfo)/shared-swap; mkdir $d; chown 54321 $d
            user() { setpriv --reuid 54321 --regid 54321 --clear-groups "$@"; }
            hold() { (echo $BASHPID >$d/cgroup.procs; exec unshare-rs --hold --ttl 60 --mount --pid) | cgexec-rs --pipe --name swap --pids 20 >$D/record; }
            in_it() { nsenter-rs --pipe $1 -- sed -n 's/.*:pids://p' /proc/self/cgroup <$D/record; echo $?; }
            at=$d/cgexec-rs-swap; hold; in_it
            user sh -c "mv $at $d/away; mkdir $at"
            # The control: what goes by the name goes there.
            sh -c "echo 0 >$at/cgroup.procs && sed -n 's/.*:pids://p' /proc/self/cgroup"; stat -c %u $at
            in_it; cgexec-rs --pipe --show <$D/record; echo $?
            # Nor that of a process whose group has a name that another one has by now.
            P=$(jq .init.pid $D/record); nsenter-rs --target $P --mount --pid --join-cgroup -- sed -n 's/.*:pids://p' /proc/self/cgroup
            user rmdir $at; mv $d/away $at; in_it --rm
            for i in $(seq 200); do rmdir $d 2>/dev/null && break; sleep 0.05; done; ls -d $d 2>/dev/null"#;
        run(world, "swapped", file)
            .stdout_is("/shared-swap/cgexec-rs-swap\n0\n/shared-swap/cgexec-rs-swap\n54321\n125\n125\n/shared-swap\n/shared-swap/cgexec-rs-swap\n0\n")
            .stderr_has("it is not the one that was recorded");
    })
    .root_only()
    .host_only(),
    Row::new("a program that changed its user, or does not run from a sealed copy, is no hold, although it has the mark", &[PERL, JQ], |world| {
        let directory = world.directory("inherited-mark");
        std::fs::write(directory.join("marked.pl"), format!("{SEALED}{MARK}{MARKED}")).expect("a file");
        let script = format!(
            "cd {}; for how in 0: 54321: 0:1; do rm -f record; SEALED=${{how#*:}} perl marked.pl ${{how%:*}} >record </dev/null & H=$!; \
             until [ -s record ]; do kill -0 $H || break; sleep 0.01; done; \
             nsenter-rs --pipe --rm -- true <record; echo $?; kill -KILL $H && echo alive; wait $H; done 2>&1",
            directory.display()
        );
        let outcome = world.sh(&script).stdout_has("0\n");
        assert_eq!(outcome.stdout.matches("was not made by unshare-rs --hold\n125\nalive\n").count(), 2, "{outcome}");
    })
    .root_only()
    .host_only(),
];

/// A process of root's with a mark that the given user made, as a set-user-ID program inherits it.
const MARKED: &str = r#"
use strict;
use POSIX;
$> = shift;
my $mark = mark();
$> = 0;
POSIX::dup2(fileno $mark, 30);
POSIX::close($_) for 3 .. 29;
POSIX::dup2(30, 3);
my ($stat, $boot) = map { open(my $file, "<", $_) or die; my $text = <$file>; POSIX::close(fileno($file)); $text } "/proc/self/stat", "/proc/sys/kernel/random/boot_id";
chomp($boot);
my @fields = split ' ', $stat =~ s/.*\) //r;
$| = 1;
print qq({"record":1,"name":"marked","init":{"pid":$$,"start_time":$fields[19],"boot_id":"$boot"},"namespaces":{}}\n);
sleep 60;
"#;

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    let directory = world.directory(name);
    let file = directory.join("script");
    std::fs::write(&file, format!("export D={}\n{PREAMBLE}\n{lines}\n", directory.display())).expect("a file");
    world.sh(&format!("exec bash -o pipefail {}", file.display()))
}
