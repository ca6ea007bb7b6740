//! A user's `--hold` that root takes up: what the user makes of his namespaces does not get him root's rights, and does
//! not keep root waiting. Each row also shows what comes of joining them without precautions.

use crate::harness::held::{MARK, SEALED};
use crate::harness::need::{BUSYBOX, JQ, NSENTER, Need, PERL, SETPRIV, STRACE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// `hold OPTIONS` makes a container of the user's: `$P` is its init, `$D/record` its record. `inside` is the user in it,
/// and `raw` is root who joins it without precautions. `as_root` has a group, as a login of root's has.
const PREAMBLE: &str = r#"
AS="setpriv --reuid 54321 --regid 54321 --clear-groups"
as_root() { setpriv --groups 4 "$@"; }
hold() {
    $AS unshare-rs --hold --ttl 60 --user --mount --ipc --uts --net --cgroup "$@" | cat >$D/record
    P=$(jq .init.pid $D/record); trap 'kill -KILL $P' EXIT
}
inside() { $AS nsenter --preserve-credentials -t $P -U -m "$@"; }
raw() { as_root nsenter --preserve-credentials -t $P -U -m "$@"; }
bind() { $AS perl $D/bind.pl $P "$@"; }
mkdir $D/root $D/root/etc $D/root/bin $D/root/dev $D/root/proc $D/root/sys $D/bundle
cp $(command -v busybox) $D/root/bin; touch $D/root/etc/resolv.conf; chown -R 54321 $D/root
echo '{"ociVersion":"1.0.0","root":{"path":"../root"},"process":{"args":["x"],"cwd":"/"},
    "mounts":[{"destination":"/made","type":"bind","source":"/sys"}]}' >$D/bundle/config.json
"#;

/// Joins the user and mount namespace of a process by setns(2) alone, and binds a path on another there.
const BIND: &str = r#"
my ($pid, $from, $to) = @ARGV;
my ($setns, $mount) = `uname -m` =~ /x86_64/ ? (308, 165) : (268, 40);
my $pidfd = syscall(434, $pid + 0, 0);
syscall($setns, $pidfd, 0x10020000) == 0 or die "setns: $!";
syscall($mount, $from, $to, my $none = "", 4096, 0) == 0 or die "mount: $!";
"#;

const NEEDS: &[Need] = &[SETPRIV, NSENTER, JQ, BUSYBOX, PERL, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("what root's groups may read is not shown to the user whose hold root takes up", NEEDS, |world| {
        let lines = "echo SECRET >$D/secret; chown 12345:4 $D/secret; chmod 040 $D/secret; hold --map-root-user --pid; \
            bind $D/secret /etc/resolv.conf; inside cat /etc/resolv.conf 2>/dev/null; raw cat /etc/resolv.conf; \
            as_root chroot-rs --pipe --std $D/root <$D/record >$D/record2; echo $?; inside /bin/busybox cat /etc/resolv.conf";
        let outcome = run(world, "groups-read", lines);
        let (raw, ours) = outcome.stdout.split_once('\n').expect("lines");
        assert_eq!(raw, "SECRET", "the attack works on who joins without precautions\n{outcome}");
        assert!(ours.starts_with("0\n") && !ours.contains("SECRET"), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("where root's groups may go is closed to a stage in a user's hold", NEEDS, |world| {
        let lines = "mkdir $D/closed; mv $D/root $D/closed; chown 12345:4 $D/closed; chmod 710 $D/closed; mkdir $D/way; \
            hold --map-root-user --pid; bind $D/closed $D/way; \
            inside ls $D/way/root 2>/dev/null; raw ls -d $D/way/root; \
            as_root chroot-rs --pipe --std $D/way/root <$D/record; echo $?";
        let outcome = run(world, "groups-go", lines);
        outcome.stdout_has("/way/root\n125\n").stderr_has("EACCES");
    })
    .root_only()
    .host_only(),
    Row::new("a stage makes no file as root outside in a user's hold", NEEDS, |world| {
        let script = |options: &str, stage: &str| {
            format!(
                "mkdir $D/witness; chmod 755 $D/witness; hold {options} --pid; bind $D/witness $D/root; raw touch $D/root/raw; ls $D/witness; \
                 as_root chroot-rs --pipe {stage} <$D/record; echo $?; ls $D/witness"
            )
        };
        for (name, options, refusal) in [
            ("unmapped", "--map-user 1 --map-group 1", "does not map ID 0"),
            ("mapped", "--map-root-user", "EACCES"),
        ] {
            for (form, stage) in [("oci", "--oci $D/bundle"), ("std", "--std $D/root")] {
                let outcome = run(world, &format!("witness-{name}-{form}"), &script(options, stage));
                outcome.stdout_is("raw\n125\nraw\n").stderr_has(refusal);
            }
        }
    })
    .root_only()
    .host_only(),
    Row::new("what a user mounts over the host's files and over /proc keeps no stage waiting", NEEDS, |world| {
        for (name, source, control) in [
            ("fifo", "$D/fifo", "raw timeout 1 cat /etc/resolv.conf; echo $?"),
            ("endless", "/dev/zero", "raw head -c 9000000 /etc/resolv.conf | wc -c"),
        ] {
            let seen = if name == "fifo" { "124" } else { "9000000" };
            let plant = "mkfifo -m 666 $D/fifo; hold --map-root-user --pid; for f in resolv.conf passwd group; do bind SOURCE /etc/$f; done";
            let proc = "export D; inside sh -c 'mkdir $D/root/self; cd $D/root/self; \
                for f in cgroup gid_map uid_map mountinfo setgroups status; do touch $f; mount --bind SOURCE $f; done; mount --rbind $D/root /proc'";
            for (form, lines, reported) in [
                ("etc", "as_root chroot-rs --pipe --std --userspec nobody $D/root <$D/record | jq -c .process.uid", "65534"),
                ("proc", "as_root chroot-rs --pipe --oci $D/bundle <$D/record | jq -c .process.cwd", "\"/\""),
            ] {
                let proc = if form == "proc" { proc } else { "" };
                let lines = format!("{plant}\n{proc}\n{control}; {lines}").replace("SOURCE", source);
                let outcome = run(world, &format!("waiting-{name}-{form}"), &lines);
                outcome.succeeds().stdout_is(&format!("{seen}\n{reported}\n"));
            }
        }
    })
    .root_only()
    .host_only(),
    Row::new("cgexec-rs joins a user's hold as its root alone, with no group of ours", TRACED, |world| {
        let lines = "hold --map-root-user; raw id -G; \
            as_root strace -qq -f -o $D/trace -e trace=setns,unshare,setgroups,setresuid,prctl cgexec-rs --pipe --pids 20 <$D/record >$D/record2 & \
            until [ -s $D/record2 ] || ! kill -0 $!; do sleep 0.02; done; nsenter-rs --pipe --rm -- true <$D/record2; echo $?; wait $!; grep -oE '(setgroups|setresuid|PR_SET_DUMPABLE|CLONE_NEWUSER|CLONE_NEWCGROUP).*' $D/trace";
        let outcome = run(world, "cgroup-namespace", lines);
        let order = ["setgroups(0, ", "setresuid(54321", "PR_SET_DUMPABLE, SUID_DUMP_DISABLE", "CLONE_NEWUSER", "CLONE_NEWCGROUP"];
        let mut rest = outcome.stdout.as_str();
        for call in order {
            rest = rest.split_once(call).unwrap_or_else(|| panic!("{call} is missing, or comes too early\n{outcome}")).1;
        }
        outcome.stdout_has("65534\n0\n");
    })
    .root_only(),
    Row::new("netns-rs looks into a network from its user namespace with no group of ours", TRACED, |world| {
        let lines = "unshare-rs --hold --ttl 60 --map-root-user --net | cat >$D/record; P=$(jq .init.pid $D/record); trap 'kill -KILL $P' EXIT; \
            as_root strace -qq -f -o $D/trace -e trace=setns,setgroups,prctl setpriv --bounding-set -sys_admin netns-rs show --pipe <$D/record | jq -c .net.interfaces[].name; \
            grep -oE '(setgroups|PR_SET_DUMPABLE|CLONE_NEWUSER).*' $D/trace";
        let outcome = run(world, "network", lines);
        let at = |call| outcome.stdout.find(call).unwrap_or_else(|| panic!("{call} is missing\n{outcome}"));
        assert!(at("setgroups(0, ") < at("CLONE_NEWUSER") && at("PR_SET_DUMPABLE") < at("CLONE_NEWUSER"), "{outcome}");
    })
    .root_only(),
    Row::new("a user's own hold with another map than root's is still his to change", &[BUSYBOX, JQ, Need::UserNamespaces], |world| {
        let root = world.busybox_root().display();
        for map in ["--map-current-user", "--map-root-user"] {
            let script = format!(
                "unshare-rs --hold --ttl 3 --user {map} --mount --pid --net | chroot-rs --pipe --std {root} | netns-rs show --pipe | jq -r .root.path"
            );
            world.sh(&script).succeeds().stdout_is(&format!("{root}\n"));
        }
    })
    .user_only(),
    Row::new("a hold that answers nothing and takes nothing keeps no stage waiting", &[PERL, JQ], |world| {
        let file = world.directory("full-doorbell").join("hold.pl");
        std::fs::write(&file, format!("{SEALED}{MARK}{FULL}")).expect("a file");
        let script = format!(
            "set -m; perl {0} >{0}.record 2>{0}.err </dev/null & H=$!; until [ -s {0}.record ]; do kill -0 $H || break; sleep 0.01; done; \
             for stage in 'cgexec-rs --pipe --pids 20' 'netns-rs connect --pipe --bridge none0 --address 10.9.0.2/24' 'chroot-rs --pipe --std /' \
             'nsenter-rs --pipe -- true'; do timeout 15 $stage <{0}.record; echo $?; done; kill -0 $H && cat {0}.err; kill $H",
            file.display()
        );
        world.sh(&script).stdout_is("125\n125\n125\n125\nstill waiting\n").stderr_has("EAGAIN");
    })
    .host_only(),
    Row::new("no file of a process is taken over that is not what a hold has there", &[PERL, STRACE, JQ], |world| {
        // Closing a stranger's file may wait for him, so what counts is that there is none to close.
        let directory = world.directory("taken-over");
        std::fs::write(directory.join("hold.pl"), format!("{SEALED}{MARK}{FULL}")).expect("a file");
        for (what, status, taken) in [("unmarked", 125, 0), ("file", 125, 0), ("tcp", 125, 1), ("real", 0, 1)] {
            let script = format!(
                "cd {}; case {what} in real) unshare-rs --hold --ttl 20 $(test $(id -u) = 0 || echo --map-root-user) --net | cat >record;; \
                 *) rm -f record; perl hold.pl {what} >record </dev/null & H=$!; until [ -s record ]; do kill -0 $H || break; sleep 0.01; done;; esac; \
                 strace -f -qq -o trace -e trace=execve,pidfd_getfd nsenter-rs --pipe --rm -- true <record; echo $?; grep -c pidfd_getfd trace; \
                 read tool _ <trace; grep \"^$tool .*pidfd_getfd\" trace; kill ${{H-}} 2>/dev/null; true",
                directory.display()
            );
            let outcome = world.sh(&script).stdout_is(&format!("{status}\n{taken}\n"));
            if ["file", "tcp"].contains(&what) {
                outcome.stderr_has("ENOTSOCK");
            }
        }
    })
    .host_only(),
];

const TRACED: &[Need] = &[SETPRIV, NSENTER, JQ, BUSYBOX, STRACE, Need::UserNamespaces];

/// A process with the mark of a hold, whose doorbell is full, and its record.
const FULL: &str = r#"
use strict;
use POSIX;
use Socket;
my $mark = mark();
my $memfd = fileno $mark;
socketpair(my $ours, my $theirs, AF_UNIX, SOCK_SEQPACKET, 0) or die;
my @fds = ($memfd, fileno($ours), fileno($theirs));
POSIX::dup2($fds[$_], 30 + $_) for 0 .. 2;
POSIX::dup2(30 + $_, 3 + $_) for 0 .. 2;
open(my $bell, "+<&=", 31) or die;
my $what = shift // "full";
open(my $file, "<", "/etc/passwd") or die;
POSIX::dup2(fileno($file), 3) if $what eq "unmarked";
POSIX::dup2(fileno($file), 4) if $what eq "file";
if ($what eq "tcp") {
    socket(my $tcp, AF_INET, SOCK_STREAM, 0) or die;
    POSIX::dup2(fileno($tcp), 4);
}
1 while $what eq "full" && send($bell, "x", MSG_DONTWAIT);
# Who waits there waits.
$SIG{ALRM} = sub { print STDERR "still waiting\n" };
alarm 1;
send($bell, "x", 0) if $what eq "full";
alarm 0;
open(my $stat, "<", "/proc/self/stat") or die;
my @fields = split ' ', <$stat> =~ s/.*\) //r;
open(my $boot, "<", "/proc/sys/kernel/random/boot_id") or die;
chomp(my $id = <$boot>);
my $inode = (stat("/proc/self/ns/mnt"))[1];
$| = 1;
print qq({"record":1,"name":"full","init":{"pid":$$,"start_time":$fields[19],"boot_id":"$id"},),
    qq("namespaces":{"mnt":{"inode":$inode,"private":true}}}\n);
sleep 60;
"#;

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    let directory = world.directory(name);
    let file = directory.join("script");
    std::fs::write(directory.join("bind.pl"), BIND).expect("a file");
    std::fs::write(&file, format!("D={}\n{PREAMBLE}\n{lines}\n", directory.display())).expect("a file");
    world.sh(&format!("exec bash -o pipefail {}", file.display()))
}
