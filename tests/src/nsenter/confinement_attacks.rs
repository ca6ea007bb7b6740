//! Containers that try to give root's commands more rights than the container has: what is copied from their processes
//! is never more than they have themselves. The control of each row is a command that copies the process which the
//! container offers, or copies nothing.

use std::time::Duration;

use crate::harness::held::SEALED;
use crate::harness::need::{BASH, BUSYBOX, JQ, Need, PERL, UNSHARE};
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
            unshare -m -p --mount-proc --fork --kill-child chroot-rs --skip-chdir --capabilities chown,kill --no-new-privs --seccomp default / perl $PROGRAM & OUTER=$!
            trap 'kill -KILL $OUTER' EXIT
            for i in $(seq 500); do P=$(child $OUTER); [ -e /proc/$P/fd/7 ] && break; sleep 0.02; done
            grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$P/status >confined
            # The control: it looks like one, up to what only a process outside can open.
            for file in exe fd/3 fd/7; do readlink /proc/$P/$file; done
            seen nsenter-rs --target $P --all --like-target -- $rights
        "#;
        let program = world.directory("poses").join("poses.pl");
        std::fs::write(&program, format!("{SEALED}{POSES}")).expect("a file");
        let line = format!("PROGRAM={}\n{line}", program.display());
        run(world, "conf-poses", &line)
            .stdout_is("/memfd:sealed (deleted)\n/memfd:held (deleted)\n/memfd:process (deleted)\nconfined\n");
    })
    .root_only()
    .host_only(),
];

/// A process with the descriptors of an init that keeps a confinement without limits.
const POSES: &str = r#"
use strict;
use POSIX;
my @kept = map {
    my ($name, $content) = @$_;
    # memfd_create(2) with MFD_ALLOW_SEALING, then every seal.
    my $memfd = syscall(`uname -m` =~ /x86_64/ ? 319 : 279, $name, 2);
    open(my $file, "+<&=", $memfd) or die;
    syswrite($file, $content);
    fcntl($file, 1033, 15) or die;
    $file
} ["held", "held by unshare-rs --hold, protocol 1\n"], ["process", '{"no_new_privs":true}'];
POSIX::dup2(fileno($kept[$_]), 30 + $_) for 0 .. 1;
POSIX::dup2(30, 3);
POSIX::dup2(31, 7);
sleep 60;
"#;

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    world.apart(name, &format!("cd $D\n{WAITING}{PREAMBLE}{lines}")).within(Duration::from_secs(60)).run()
}
