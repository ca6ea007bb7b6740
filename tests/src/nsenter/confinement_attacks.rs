//! Containers that try to give root's commands more rights than the container has: what is copied from their processes
//! is never more than they have themselves. The control of each row is a command that copies the process which the
//! container offers, or copies nothing.

use std::time::Duration;

use crate::harness::held::{MARK, SEALED};
use crate::harness::need::{BASH, BUSYBOX, JQ, NSENTER, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

const PGREP: Need = Need::Program("pgrep", "procps");

/// `rights` is a command that prints its own rights; `seen COMMAND` prints whether it has the rights of the container or
/// all of the caller's, or otherwise its status and messages; `runs SECONDS` waits for that sleep(1), and sets `$P`.
const PREAMBLE: &str = r#"
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/user
rights='grep -E ^(CapEff|CapBnd|NoNewPrivs|Seccomp): /proc/self/status'
$rights >free
seen() {
    "$@" 2>err >now; s=$?
    cmp -s now confined && echo confined || { cmp -s now free && echo free || { cat now; echo $s; sed 's/process[es]* [0-9]*/process P/; s/init [0-9]*/init I/' err; }; }
}
runs() { for i in $(seq 500); do P=$(pgrep -xf "sleep $1") && return; sleep 0.02; done; echo "no sleep $1"; }
# An earlier child of nsenter-rs is not the command.
entered() { for i in $(seq 500); do for P in $(cat /proc/$1/task/*/children); do case $(cat /proc/$P/comm) in perl | [0-9]*) return; esac; done; sleep 0.02; done 2>/dev/null; }
ends() { for i in $(seq 500); do [ -d /proc/$1 ] || return 0; sleep 0.02; done; echo "no end of $1"; }
"#;

/// The rest of the remedy of `--pipe`.
const OR: &str = ", or --target NAME --all --like-target-try, which leaves out what cannot be read; to run the command unconfined, pass \
                  the record through jq -c '.process={}'";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a held container whose program has forked and ended does not offer an administrator's process as its own", &[UNSHARE, BUSYBOX, BASH, JQ, PGREP], |world| {
        let root = world.busybox_root().display();
        let line = format!(
            r#"
            # Its init keeps no confinement, so only the processes show one.
            unshare-rs --hold --ttl 60 --name conf-fork --mount --pid --ipc | chroot-rs --pipe --std --capabilities all --seccomp none --allow-new-privs {root} >loose
            jq -c '.process+={{capabilities:["CAP_CHOWN"],no_new_privs:true,seccomp:"default"}}' loose >saved
            trap 'nsenter-rs --pipe --rm -- true <saved' EXIT
            nsenter-rs --pipe -- $rights <saved >confined; cmp -s free confined && echo not confined at all
            mkfifo gate
            nsenter-rs --pipe --stdin 5 -- sh -c 'sleep 86471 & read line; (sleep 86472 &) ; exit 0' <saved 5<>gate >main 2>&1 & MAIN=$!
            runs 86471; FIRST=$P
            nsenter-rs --target conf-fork --all -- sleep 86473 & runs 86473; ADMIN=$P
            echo go >gate; wait $MAIN; runs 86472; kill -KILL $FIRST; ends $FIRST
            seen nsenter-rs --target $ADMIN --all --like-target -- $rights
            seen nsenter-rs --target conf-fork --all --like-target -- $rights
            nsenter-rs --find conf-fork --json >found; seen nsenter-rs --pipe -- $rights <found
            jq -c '.process={{}}' found >loosened; seen nsenter-rs --pipe -- $rights <loosened
            # A process in another user namespace has all rights, but only there.
            runs 86472; kill -KILL $P $ADMIN; ends $P; ends $ADMIN
            nsenter-rs --target conf-fork --all -- busybox unshare -U -r sleep 86474 & runs 86474
            for set in CapBnd CapEff; do A=0x$(sed -n "s/^$set:.//p" free) B=0x$(sed -n "s/^$set:.//p" /proc/$P/status); [ $((A & ~B)) = 0 ] && echo all of $set; done
            seen nsenter-rs --target conf-fork --all --like-target -- $rights
            seen nsenter-rs --pipe -- $rights <found
            "#
        );
        let unknown = "125\nnsenter-rs: cannot determine how the commands of the container with init I are confined: process P is in another \
                       user namespace, or its rights cannot be read\nnsenter-rs: remedy: use the record that chroot-rs printed";
        run(world, "conf-fork", &line).stdout_is(&format!(
            "free\nconfined\nconfined\nfree\nall of CapBnd\nall of CapEff\n{unknown}\n{unknown}{OR}\n"
        ));
    })
    .root_only(),
    Row::new("a container that keeps its system call filters from being read does not get a command without filters", &[UNSHARE, BASH, JQ, PERL], |world| {
        let line = r#"
            # As vfork(2) does: the parent waits, and cannot be stopped, until the child executes a program.
            perl='syscall(`uname -m` =~ /x86_64/ ? 56 : 220, 0x4111, 0, 0, 0, 0); sleep 86475 while 1'
            unshare -m -p --mount-proc --fork --kill-child chroot-rs --skip-chdir --capabilities chown,kill --no-new-privs --seccomp default / perl -e "$perl" & OUTER=$!
            trap 'kill -KILL $OUTER' EXIT
            P=$(child $OUTER); for i in $(seq 500); do [ "$(child $P)" ] && break; done; mkdir -p /run/crun/conf-vfork
            printf '{"pid":%s,"process-start-time":%s}' $P $(sed 's/.*) //' /proc/$P/stat | cut -d' ' -f20) >/run/crun/conf-vfork/status
            echo nothing >confined
            nsenter-rs --find conf-vfork --json >found; seen nsenter-rs --pipe -- $rights <found
            seen nsenter-rs --target conf-vfork --all --like-target -- $rights
            nsenter-rs --target conf-vfork --all --like-target-try -- $rights 2>&1 | grep ^Seccomp
            jq -c '.process={}' found >loosened; seen nsenter-rs --pipe -- $rights <loosened
        "#;
        let unstopped = "125\nnsenter-rs: cannot read the system call filters of process P: it did not stop within 2 s\n";
        run(world, "conf-vfork", line).stdout_is(&format!(
            "{unstopped}nsenter-rs: remedy: use the record that chroot-rs printed{OR}\n{unstopped}Seccomp:\t0\nfree\n"
        ));
    })
    .root_only()
    .host_only(),
    Row::new("a process in a container that poses as the init of a hold does not choose the rights of who enters", &[UNSHARE, BASH, PERL], |world| {
        let line = r#"
            confine="chroot-rs --skip-chdir --capabilities chown,kill --no-new-privs --seccomp default /"
            poses() {
                echo $P >$D/now && mv $D/now $D/pid
                for i in $(seq 500); do [ -e /proc/$P/fd/9 ] && break; sleep 0.02; done
                grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$P/status >confined
                for file in exe fd/3 fd/7; do readlink /proc/$P/$file; done
                echo $1: $(seen nsenter-rs --target $P --all --like-target -- $rights)
                kill -KILL ${2-$P}; rm $D/pid
            }
            unshare -m -p --mount-proc --fork --kill-child $confine perl $PROGRAM $D/pid & P=$(child $!); poses "in its own pid namespace" $!
            unshare -m $confine perl $PROGRAM $D/pid & P=$!; poses "in that of the host"
            # The control: what makes it one is the signature, which only root of the host can make.
            perl $PROGRAM $D/pid & P=$!; poses "on the host" | sed 's/CapEff: *[^0].*NoNewPrivs: *1.*/as it keeps/'
        "#;
        let program = world.directory("poses").join("poses.pl");
        std::fs::write(&program, format!("{SEALED}{MARK}{POSES}")).expect("a file");
        let line = format!("PROGRAM={}\n{line}", program.display());
        let looks = "/memfd:sealed (deleted)\n/memfd:held (deleted)\n/memfd:process (deleted)\n";
        let seen = ["in its own pid namespace: confined", "in that of the host: confined", "on the host: as it keeps"];
        run(world, "conf-poses", &line).stdout_is(&seen.map(|seen| format!("{looks}{seen}\n")).concat());
    })
    .root_only()
    .host_only(),
    Row::new("a process that poses as the init of a hold does not choose the rights of who enters by changing its user", &[UNSHARE, BASH, JQ, PERL, SETPRIV], |world| {
        let line = r#"
            export D PROGRAM rights user="setpriv --reuid 54321 --regid 54321 --clear-groups"; chmod a+rwx .
            # Without no_new_privs, which would show a container to everybody.
            caps=chown,kill,setuid,setgid; confine="chroot-rs --skip-chdir --capabilities $caps --seccomp default /"
            poses() {
                echo $P >$D/now && mv $D/now $D/pid
                for i in $(seq 500); do case $(readlink /proc/$P/fd/9) in user:*) break; esac; sleep 0.02; done
                grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$P/status >confined
                echo "$1: $(seen nsenter-rs --target $P --all $LIKE -- $rights), $($LOOK nsenter-rs --inspect $P | grep -c 'init of a hold')"
                kill -KILL $P; rm $D/pid
            }
            # The control: who is not root of the host asks for no signature, and takes each for an init.
            LIKE=--like-target LOOK="$user --inh-caps=+sys_ptrace,+dac_read_search --ambient-caps=+sys_ptrace,+dac_read_search"
            $user perl $PROGRAM $D/pid & P=$!; poses "a user"
            unshare -m $confine perl $PROGRAM $D/pid 54321 & P=$!; poses "a container in the pid namespace of the host"
            unshare-rs --hold --name conf-user --ttl 60 --mount | chroot-rs --pipe --std --host-root --allow-new-privs --capabilities $caps,sys_ptrace >record
            trap 'nsenter-rs --pipe --rm -- true <record' EXIT
            init=$(jq .init.pid record); tmp=/proc/$init/root/tmp; cp $PROGRAM $tmp/poses.pl
            nsenter-rs --pipe -- perl /tmp/poses.pl /tmp/pid 54321 $init <record & entered $!; D=$tmp poses "a container that traces its init"
            # Root of a container can see neither a signature nor secure bits.
            export LIKE=--like-target-try; export -f poses seen; LOOK=
            unshare-rs --user --map-users 0:0:65536 --map-groups 0:0:65536 bash -c '$user perl $PROGRAM $D/pid & P=$!; $rights >free; poses "a user in a container"'
        "#;
        let program = world.directory("poses-user").join("poses.pl");
        std::fs::write(&program, format!("{SEALED}{MARK}{POSES}")).expect("a file");
        let line = format!("PROGRAM={}\n{line}", program.display());
        let who = ["a user", "a container in the pid namespace of the host", "a container that traces its init", "a user in a container"];
        run(world, "conf-user", &line).stdout_is(&who.map(|who| format!("{who}: confined, 1\n")).concat());
    })
    .root_only()
    .host_only(),
    Row::new("a process with no_new_privs that poses as the init of a user's hold does not choose the rights of who enters", &[UNSHARE, BASH, JQ, PERL, SETPRIV, Need::UserNamespaces], |world| {
        let line = r#"
            user="setpriv --reuid 54321 --regid 54321 --clear-groups"; chmod a+rwx .; D=$PWD; cp $PROGRAM poses.pl
            echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["swapon"],"action":"SCMP_ACT_ERRNO"}]}' >profile
            poses() {
                echo $P >now && mv now pid
                for i in $(seq 500); do case $(readlink /proc/$P/fd/9) in user:*) break; esac; sleep 0.02; done
                grep -E "^($lines):" /proc/$P/status >confined
                echo "$1: $(seen $AS nsenter-rs --target $P --all $LIKE -- grep -E "^($lines):" /proc/self/status | sed '1s/.*\t0*1f*$/as it keeps/; 1!d')"
                kill -KILL $P; wait; rm pid
            }
            # Only in a user namespace of its own it needs no signature. Root can copy the filter.
            lines='CapEff|Seccomp' AS= LIKE=--like-target confine="unshare -m chroot-rs --skip-chdir --capabilities chown,kill,setuid,setgid --seccomp profile"
            for privs in --no-new-privs ""; do
                $confine $privs / $user perl $D/poses.pl $D/pid "" "" 54321 & P=$!; poses "root, $privs"
            done
            lines=CapEff AS=$user LIKE=--like-target-try caps="--capabilities chown,kill,sys_ptrace"
            for hold in "--mount --no-new-privs" --mount "--mount --pid"; do
                $user unshare-rs --hold --name conf-user-ns --ttl 60 --user --map-root-user ${hold% --no*} >record
                init=$(jq .init.pid record); inside=$init; case $hold in *pid*) inside=1; esac
                $user nsenter-rs --pipe --rm -- chroot-rs --skip-chdir $caps ${hold#${hold% --no*}} / perl $D/poses.pl $D/pid "" $inside <record & entered $!; poses "a user, $hold"
            done
        "#;
        let program = world.directory("poses-user-ns").join("poses.pl");
        std::fs::write(&program, format!("{SEALED}{MARK}{POSES}")).expect("a file");
        let line = format!("PROGRAM={}\n{line}", program.display());
        run(world, "conf-user-ns", &line).stdout_is(
            "root, --no-new-privs: confined\nroot, : as it keeps\n\
             a user, --mount --no-new-privs: confined\na user, --mount: as it keeps\na user, --mount --pid: confined\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("a process in a user namespace that poses as the init of a hold is not taken for one", &[UNSHARE, BASH, PERL, Need::UserNamespaces], |world| {
        let directory = world.directory("poses-mapped");
        std::fs::write(directory.join("poses.pl"), format!("{SEALED}{MARK}{POSES}")).expect("a file");
        let line = format!(
            "cd {}
             poses() {{
                 echo $P >now && mv now pid; for i in $(seq 500); do [ -e /proc/$P/fd/9 ] && break; sleep 0.02; done
                 nsenter-rs --inspect $P | grep -c 'init of a hold'; kill -KILL $P; wait $P; rm pid
             }}
             unshare -U -r -m perl poses.pl pid 2>/dev/null & P=$!; poses
             # The control: the same in the user namespace of who looks. Only root signs.
             perl poses.pl pid & P=$!; poses",
            directory.display()
        );
        world.sh(&line).stdout_is("0\n1\n");
    })
    .host_only(),
    Row::new("a process in a hold that may trace the init cannot replace the confinement that the init keeps", &[BASH, JQ, NSENTER, PERL, SETPRIV], |world| {
        let line = r#"
            unshare-rs --hold --name conf-kept --ttl 60 --mount --pid | chroot-rs --pipe --std --host-root --capabilities chown,sys_ptrace >record
            trap 'nsenter-rs --pipe --rm -- true <record' EXIT
            P=$(jq .init.pid record)
            # The attacker is inside before the container is in use, as while its first command is being entered.
            nsenter -t $P -m -p setpriv --bounding-set -all,+chown,+sys_ptrace perl -e "$ATTACK"
            nsenter-rs --find conf-kept --json | nsenter-rs --pipe -- sh -c "grep -E '^CapBnd|^NoNewPrivs' /proc/self/status | tr -d '\n'; echo"
        "#;
        let line = format!("export ATTACK='{REPLACES}'\n{line}");
        // CAP_CHOWN and CAP_SYS_PTRACE.
        run(world, "conf-kept", &line).stdout_is("own: 2\nlease: A\nanswer: f 22\nkept: refused\nCapBnd:\t0000000000080001NoNewPrivs:\t1\n");
    })
    .root_only()
    .host_only(),
];

/// A process with the descriptors of an init that keeps a confinement without limits, as far as it can have them. Its
/// arguments are a file with the pid that it has outside, the user that it becomes, the true init whose namespaces of the maker
/// it copies, and its own user if it makes a user namespace.
const POSES: &str = r#"
use strict;
use POSIX;
my ($path, $user, $true, $own) = @ARGV;
select(undef, undef, undef, 0.01) until -e $path;
open(my $file, "<", $path) or die;
chomp(my $pid = <$file>);
# pidfd_open(2), pidfd_getfd(2).
my $init = $true ? syscall(434, $true + 0, 0) : -1;
my @makers = $true ? map { "&=" . syscall(438, $init, $_, 0) } 8, 9 : ("/proc/self/ns/pid", "/proc/self/ns/user");
if ($user) { $) = "$user $user"; POSIX::setgid($user); POSIX::setuid($user); }
my $mark = mark($pid);
open(my $process, "+<&=", syscall(`uname -m` =~ /x86_64/ ? 319 : 279, my $name = "process", 2)) or die;
syswrite($process, '{"no_new_privs":true}');
fcntl($process, 1033, 15) or die;
my ($pids, $users) = map { open(my $maker, "<$_") or die; $maker } @makers;
if ($own) {
    syscall(`uname -m` =~ /x86_64/ ? 272 : 97, 0x10000000) == 0 or die;
    for my $entry (["setgroups", "deny"], ["uid_map", "0 $own 1"], ["gid_map", "0 $own 1"]) {
        open(my $map, ">", "/proc/self/$entry->[0]") or die;
        syswrite($map, $entry->[1]) or die;
    }
}
my %kept = (3 => $mark, 7 => $process, 8 => $pids, 9 => $users);
POSIX::dup2(fileno($kept{$_}), $_ + 30) for keys %kept;
POSIX::dup2($_ + 30, $_) for sort keys %kept;
sleep 60;
"#;

/// Tries to give the init another confinement to keep: by a lease and the message for that, and by writing to the file. The
/// control is that it reaches the doorbell and the file of the init, and can write to such a file of its own.
const REPLACES: &str = r#"
use strict;
use POSIX;
use Socket;
my ($create, $sendmsg) = `uname -m` =~ /x86_64/ ? (319, 46) : (279, 211);
# pidfd_open(2), pidfd_getfd(2).
my $init = syscall(434, 1, 0);
sub fetch { syscall(438, $init, shift, 0) }
sub write_to { my ($name, $fd) = @_; print "$name: ", syswrite($fd, "{}") // "refused", "\n" }
sub forged {
    my $fd = syscall($create, my $name = "process", 2);
    open(my $file, "+<&=", $fd) or die;
    $file
}
sub send_with {
    my ($socket, $word, $fd) = @_;
    my $part = pack("P Q", $word, 1);
    my $control = pack("Q l l l x4", 20, 1, 1, $fd);
    syscall($sendmsg, fileno $socket, pack("Q L x4 P Q P Q l x4", 0, 0, $part, 1, $control, length $control, 0), 0) == 1 or die "$!";
}
my $own = forged();
write_to("own", $own);
fcntl($own, 1033, 15) or die;
socketpair(my $ours, my $theirs, AF_UNIX, SOCK_SEQPACKET, 0) or die;
open(my $bell, "+<&=", fetch(4)) or die;
send_with($bell, "L", fileno $theirs);
recv($ours, my $answer, 2, 0);
print "lease: ", substr($answer, 0, 1), "\n";
send_with($ours, "p", fileno $own);
# The init answers in order, and no other message is left without an answer but this one.
send_with($ours, "c", fileno $own);
recv($ours, $answer, 2, 0);
print "answer: ", join(" ", unpack("a C", $answer)), "\n";
open(my $kept, "+<&=", fetch(7)) or die;
write_to("kept", $kept);
send($ours, "r", 0);
"#;

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    world.apart(name, &format!("cd $D\n{WAITING}{PREAMBLE}{lines}")).within(Duration::from_secs(60)).run()
}
