//! A process that traces our own init inside a container gains nothing. Each attack also runs against a first process
//! that keeps what it was started with, where it must succeed. The attack is written for the registers and call numbers
//! of x86_64.

use crate::harness::need::{NSENTER, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// What can be had from process 1: `$1` is a file of the host, outside of the container's root.
const ATTACK: &str = r#"
use strict;
my $witness = $ARGV[0];
for my $link ("root", "cwd") {
    print "$link leads out\n" if grep { -e "/proc/1/$link$_$witness" } "", "/..", "/../../../../../../..";
    print "$link readable\n" if opendir(my $directory, "/proc/1/$link/");
}
if (open(my $file, "<", "/proc/1/environ")) {
    local $/;
    print "environment\n" if <$file> =~ /SECRET=/;
}
print "executable\n" if open(my $exe, ">>", "/proc/1/exe");
sub seize {
    # PTRACE_SEIZE, PTRACE_INTERRUPT, __WALL.
    return if syscall(101, 0x4206, 1, 0, 0) != 0;
    syscall(101, 0x4207, 1, 0, 0);
    return waitpid(1, 0x40000000) == 1;
}
sub inject {
    my ($name, $number, @arguments) = @_;
    # PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_SINGLESTEP; rax, rdi, rsi, rdx, orig_rax and rip.
    my $before = "\0" x 216;
    syscall(101, 12, 1, 0, $before);
    my @registers = unpack("q27", $before);
    @registers[10, 14, 13, 12, 15] = ($number, @arguments[0 .. 2], -1);
    $registers[16] -= 2;
    my $after = pack("q27", @registers);
    syscall(101, 13, 1, 0, $after);
    syscall(101, 9, 1, 0, 0);
    waitpid(1, 0x40000000);
    syscall(101, 12, 1, 0, $after);
    my $answer = (unpack("q27", $after))[10];
    syscall(101, 13, 1, 0, $before);
    print "$name by process 1\n" if $answer >= 0;
}
if (seize()) {
    print "traced\n";
    # unshare(CLONE_NEWUTS), socket(AF_UNIX, SOCK_STREAM), PTRACE_DETACH.
    inject("unshare", 272, 0x04000000, 0, 0);
    inject("socket", 41, 1, 1, 0);
    # What an init of --hold keeps there: dup2(0, 7), close(7).
    inject("dup2", 33, 0, 7, 0);
    inject("close", 3, 7, 0, 0);
    syscall(101, 17, 1, 0, 0);
}
# setns(2).
my $namespace;
if (open($namespace, "<", "/proc/1/ns/mnt") and syscall(308, fileno $namespace, 0x00020000) == 0) {
    print "mount namespace\n";
    print "mount namespace leads out\n" if -e $witness;
}
print "tried\n";
"#;

const NEEDS: &[Need] = &[UNSHARE, PERL, Need::UserNamespaces];

/// Enough to trace, and nothing that Docker would give besides.
const TRACES: &str = "CHOWN,DAC_OVERRIDE,SYS_PTRACE";
/// What joins namespaces, too.
const JOINS: &str = "SYS_PTRACE,SYS_ADMIN,SYS_CHROOT";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a container that may trace gains nothing by the init of --init", NEEDS, |world| {
        let theirs = attack(world, "traced-shell", SHELL, TRACES);
        for reached in ["root leads out\n", "environment\n", "traced\nunshare by process 1\nsocket by process 1\ndup2 by process 1\nclose by process 1\n"] {
            assert!(theirs.stdout.contains(reached), "{reached} is missing\n{theirs}");
        }
        attack(world, "traced-init", INIT, TRACES)
            .succeeds()
            .stdout_is("root readable\ncwd readable\ntraced\ntried\n");
    })
    .host_only(),
    Row::new("a container that may join namespaces finds nothing in that of the init", NEEDS, |world| {
        let theirs = attack(world, "joined-shell", SHELL, JOINS);
        assert!(theirs.stdout.contains("mount namespace\nmount namespace leads out\n"), "{theirs}");
        let ours = attack(world, "joined-init", INIT, JOINS).succeeds();
        assert!(ours.stdout.ends_with("traced\nmount namespace\ntried\n"), "{ours}");
        assert!(!ours.stdout.contains("leads out"), "{ours}");
    })
    .host_only(),
    Row::new("a container that may not trace cannot look into the init, which has no capability to protect it", NEEDS, |world| {
        attack(world, "untraced-init", INIT, "CHOWN,DAC_OVERRIDE,KILL,SYS_CHROOT").succeeds().stdout_is("tried\n");
        pipe(world, "untraced-hold", "CHOWN,DAC_OVERRIDE,KILL,SYS_CHROOT").succeeds().stdout_is("tried\n");
    })
    .host_only(),
    Row::new("a container that may trace gains nothing by the init of --hold", NEEDS, |world| {
        pipe(world, "traced-hold", TRACES).succeeds().stdout_is("root readable\ncwd readable\ntraced\ntried\n");
    })
    .host_only(),
    Row::new("the audit takes the empty root of our init for no way out, and another root for one", NEEDS, |world| {
        let audit = |name: &str, chain: &str| {
            let enter = "enter() { exec chroot-rs --std --host-root --capabilities SYS_PTRACE --bind $TOOLS/chroot-rs:/usr/bin/true -- \
                         /usr/bin/true --audit --json; }";
            let chain = chain.replace("sh -c 'enter; :'", "bash -c '(enter); :'");
            let outcome = run(world, name, &format!("{enter}; export -f enter; {chain}"));
            outcome.stdout.lines().find(|line| line.contains("\"other-roots\"")).expect("the probe").to_owned()
        };
        let (theirs, ours) = (audit("audited-shell", SHELL), audit("audited-init", INIT));
        assert!(theirs.contains("\"open\"") && ours.contains("\"held\""), "{theirs}\n{ours}");
    })
    .host_only(),
    Row::new("the status of an init shows what is left to it", NEEDS, |world| {
        let keys = "CapInh CapEff CapBnd CapAmb NoNewPrivs Seccomp";
        let show = format!(
            "for key in {keys}; do sed -n \"s/^$key:[[:space:]]*0*\\(.*\\)/$key=\\1/p\" /proc/1/status; done | tr \"\\n\" \" \""
        );
        let own = world.as_root();
        let chain = format!("unshare-rs {own} --mount --pid --fork --init --mount-proc -- sh -c '{show}'");
        // CAP_KILL, for a command that became another user.
        world.sh(&chain).succeeds().stdout_is("CapInh= CapEff=20 CapBnd= CapAmb= NoNewPrivs=1 Seccomp=2 ");
        let hold = format!(
            "unshare-rs --hold {own} --mount --pid | chroot-rs --pipe --std --host-root | nsenter-rs --pipe --rm -- sh -c \
             'for i in $(seq 500); do grep -q \"^CapEff:.*0000$\" /proc/1/status && break; sleep 0.01; done; {show}'"
        );
        // Not what containers have: by that it is recognized.
        world.sh(&hold).succeeds().stdout_is("CapInh= CapEff= CapBnd= CapAmb= NoNewPrivs= Seccomp=2 ");
    })
    .host_only(),
    Row::new("an init passes signals on to a command of another user", &[SETPRIV], |world| {
        let script = "
            for own in '' '--mount --pid --mount-proc'; do
                unshare-rs $own --init -- setpriv --reuid 54321 --regid 54321 --clear-groups \
                    sh -c 'trap \"echo heard; exit 9\" USR1; echo >&3; while :; do sleep 0.02; done' 3>here &
                until [ -s here ]; do sleep 0.01; done; rm here; kill -USR1 $!; wait $!; echo $?
            done";
        let directory = world.directory("signalled-user");
        world.sh(&format!("cd {}; {script}", directory.display())).succeeds().stdout_is("heard\n9\nheard\n9\n");
    })
    .root_only(),
    Row::new("a hold whose init has nothing left can be entered and looked at", &[NSENTER, Need::UserNamespaces], |world| {
        let script = "
            unshare-rs --hold --name emptied $OWN --mount --pid --uts --cgroup --hostname inside >record
            P=$(sed 's/.*\"init\":{\"pid\":\\([0-9]*\\).*/\\1/' record)
            nsenter-rs --pipe -- true <record
            nsenter-rs --pipe -- hostname <record
            nsenter $U --preserve-credentials -t $P -m -p -u hostname
            nsenter-rs -t $P --all -- hostname
            nsenter-rs --find emptied --json | nsenter-rs --pipe -- hostname
            nsenter-rs --inspect $P >inspected && grep -c emptied inspected
            nsenter-rs --pipe --rm -- true <record";
        let directory = world.directory("emptied");
        let user = if world.is_root { "" } else { "-U" };
        let script = format!("cd {}; {script}", directory.display());
        let outcome = world.script(&script).variable("OWN", world.as_root()).variable("U", user).run().succeeds();
        assert!(outcome.stdout.starts_with("inside\ninside\ninside\ninside\n"), "{outcome}");
    })
    .host_only(),
];

/// The control: a shell that stays as process 1, with what it was started with.
const SHELL: &str = "unshare $THEIR --mount --pid --fork sh -c 'enter; :'";
const INIT: &str = "unshare-rs $OWN --mount --pid --fork --init -- bash -c enter";

/// Runs the attack in a container with these capabilities, behind the words of a chain that calls `enter`.
fn attack(world: &World, name: &str, chain: &str, capabilities: &str) -> Outcome {
    let enter = format!(
        "enter() {{ exec chroot-rs --std --host-root --capabilities {capabilities} -- perl -e \"$ATTACK\" $PWD/witness; }}"
    );
    let chain = chain.replace("sh -c 'enter; :'", "bash -c '(enter); :'");
    run(world, name, &format!("{enter}; export -f enter; export SECRET=1; {chain}"))
}

fn pipe(world: &World, name: &str, capabilities: &str) -> Outcome {
    let line = format!(
        "export SECRET=1; unshare-rs --hold $OWN --mount --pid | chroot-rs --pipe --std --host-root --capabilities {capabilities} | \
         nsenter-rs --pipe --rm -- perl -e \"$ATTACK\" $PWD/witness"
    );
    run(world, name, &line)
}

fn run(world: &World, name: &str, line: &str) -> Outcome {
    let directory = world.directory(name);
    std::fs::write(directory.join("witness"), "").expect("a file");
    let script = world.script(&format!("cd {}; {line}", directory.display()));
    let theirs = if world.is_root { "" } else { "--user --map-root-user" };
    script.variable("ATTACK", ATTACK).variable("OWN", world.as_root()).variable("THEIR", theirs).run()
}
