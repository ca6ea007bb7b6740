//! A hostile process inside a container gains nothing when nsenter-rs enters. Each attack is also tried where it must
//! succeed, on `nsenter` or with the protection switched off, so that no row passes because its attack does not work.

use crate::harness::need::{NSENTER, Need, PERL, SCRIPT, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;

/// Attacks a command whose interpreter is `/proc/self/exe`, so that executing it executes the program that enters.
/// Opens that program for reading while it runs, and for writing after it has ended. `$1` is its name; removing `$2`
/// ends it.
const OVERWRITE: &str = r#"
for i in $(seq 2000); do
    for p in /proc/[0-9]*; do
        case $(readlink $p/exe) in */"$1"|/memfd:sealed*|/) exec 9<$p/exe && break 2;; esac
    done
done
rm "$2"
readlink /proc/self/fd/9 >/dev/null && echo opened
for i in $(seq 300); do
    [ "$(readlink $p/exe)" ] || break
    sleep 0.01
done
(echo pwned >/proc/self/fd/9) 2>/dev/null && echo written
(echo pwned >>/proc/self/fd/9) 2>/dev/null && echo appended
touch "$3/at"
mount --bind /proc/self/fd/9 "$3/at" 2>/dev/null && mount -o remount,bind,rw "$3/at" 2>/dev/null && echo mounted
(echo pwned >"$3/at") 2>/dev/null
echo tried
"#;

/// Finds a process by its name `$1`, and tries to open everything about it in /proc.
const SPY: &str = r#"
for i in $(seq 1000); do for p in /proc/[0-9]*; do grep -qs "^$1" $p/comm && break 2; done; sleep 0.005; done
echo found
readlink $p/fd/* >/dev/null 2>&1 && echo descriptors
cat $p/environ >/dev/null 2>&1 && echo environment
readlink $p/exe >/dev/null && echo executable
(exec 9<>$p/mem) 2>/dev/null && echo memory
ls $p/cwd/ $p/root/ >/dev/null 2>&1 && echo directories
echo done
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a container cannot overwrite the program that enters it", &[UNSHARE, NSENTER, Need::UserNamespaces], |world| {
        let outcome = overwrite(world, "nsenter", "-m -p $U --preserve-credentials");
        assert!(outcome.stdout.starts_with("opened\n") && outcome.stdout.ends_with("changed\n"), "{outcome}");
        let outcome = overwrite(world, "nsenter-rs", "-a");
        // Whatever was opened, nothing could be written.
        let is_view = outcome.stderr.contains("exe_fd=view");
        assert!(is_view || outcome.stderr.contains("execveat(memfd"), "{outcome}");
        assert!(is_view || !world.is_root || world.in_vm, "root must be able to use the read-only view here\n{outcome}");
        outcome.stdout_is("opened\ntried\nsame\n");
    }),
    Row::new("nsenter-rs maps no file that a container could write to", &[UNSHARE], |world| {
        let line = "contain -m -p --mount-proc; nsenter-rs -t $P -m -p sleep 60 & N=$!; runs() { grep -q sleep /proc/$(child $N)/comm; }; \
            until runs; do sleep 0.05; done; readlink /proc/$N/exe; awk '{print $2, $6}' /proc/$N/maps; kill $N; wait $N";
        let outcome = run(world, line);
        let (executable, maps) = outcome.stdout.split_once('\n').expect("lines");
        assert_eq!(executable, "/", "{outcome}");
        let files: Vec<_> = maps.lines().filter(|line| line.contains('/')).collect();
        assert_eq!(files, ["r--p /", "r-xp /"], "{outcome}");
        let writable_code = maps.lines().find(|line| line.contains('w') && line.contains('x'));
        assert!(writable_code.is_none(), "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("the view of our executable cannot be made writable", &[UNSHARE, PERL], |world| {
        let file = world.directory("remounting").join("attack.pl");
        std::fs::write(&file, REMOUNT).expect("a file");
        // The command's interpreter is the program that enters, so it has a descriptor of the view.
        let line = format!(
            "contain -m -p --mount-proc; D={}; cp $(command -v nsenter-rs) $D/ours; cp $D/ours $D/before; \
             printf '#!/proc/self/exe\\n' >$D/evil; chmod 755 $D/evil; \
             nsenter -t $P -m -p perl {} $D/evil & A=$!; $D/ours -t $P -a $D/evil 2>/dev/null; wait $A; cmp $D/ours $D/before && echo same",
            file.parent().expect("a directory").display(),
            file.display()
        );
        run(world, &line).stdout_is("opened\ntried\nsame\n");
        // The control: the attack works on a read-only mount that is attached.
        let line = format!(
            "cd {}; touch evil attached; unshare -m sh -c 'mount --bind attached attached && \
             mount -o remount,bind,ro attached && perl {} evil attached'",
            file.parent().expect("a directory").display(),
            file.display()
        );
        run(world, &line).stdout_has("mount_setattr\n").stdout_has("written\n");
    })
    .root_only()
    .host_only(),
    Row::new(
        "while nsenter-rs enters, root of the container can neither open its memory, nor read its /proc, nor trace it",
        &[UNSHARE, STRACE, NSENTER, Need::UserNamespaces],
        |world| {
            let spied = |slow: &str, tool: &str, name: &str| {
                let line = format!(
                    "OWN='-U -r'; contain -m -p --mount-proc; strace -qq -f -o /dev/null {slow} {tool} & \
                     nsenter --preserve-credentials -t $P -U -m -p bash -c '{}' - {name}; wait $!",
                    SPY.replace('\'', "'\\''")
                );
                run(world, &line)
            };
            let slow = "-e trace=execve -e inject=execve:delay_enter=1000000";
            let theirs = spied(slow, "nsenter --preserve-credentials -t $P -U -m -p true", "nsenter");
            assert!(theirs.stdout.contains("environment\n") && theirs.stdout.contains("memory\n"), "{theirs}");
            let slow = "-e trace=close_range -e inject=close_range:delay_enter=1500000";
            spied(slow, "nsenter-rs -t $P -a true", "nsenter-rs").stdout_is("found\ndone\n");
        },
    )
    .host_only(),
    Row::new("input that a container injects into its terminal does not reach the caller's terminal", &[UNSHARE, SCRIPT, PERL], |world| {
        let typing = r#"perl -e 'for (split //, "HACKED\n") { ioctl(STDIN, 0x5412, my $c = $_) or print "refused\n"; }'"#;
        let file = world.directory("typing").join("typing");
        std::fs::write(&file, typing).expect("a file");
        let file = file.display();
        let session = |option: &str| {
            format!(
                "contain -m -p --mount-proc; type_in 'nsenter-rs {option} -t $P -a sh {file}; IFS= read -r -t 1 line; echo \"got [$line]\"'"
            )
        };
        run(world, &session("")).stdout_has("got []").succeeds();
        // The control: the attack works with the caller's terminal.
        run(world, &session("--no-pty")).stdout_has("got [HACKED]");
    })
    .host_only(),
    Row::new("no inherited descriptor and no directory of the host is open inside", &[UNSHARE, NSENTER], |world| {
        let line = |tool: &str| format!("contain -m -p --mount-proc; {tool} readlink /proc/self/fd/7 7</etc 9</");
        run(world, &line("nsenter --preserve-credentials -t $P $U -m -p")).stdout_is("/etc\n");
        run(world, &line("nsenter-rs -t $P -a")).fails_with(1).stdout_is("");
        run(world, "contain -m -p --mount-proc; cd /tmp; nsenter-rs -t $P $U -m pwd").succeeds().stdout_is("/\n");
    }),
    Row::new("nsenter-rs looks up no name and loads no library in the container", &[UNSHARE, NSENTER, STRACE], |world| {
        let plant = "mount -t tmpfs none /etc; printf '#!/bin/sh\necho sprung\n' >/etc/evil; chmod 755 /etc/evil; \
            echo root:x:0:0::/:/etc/evil >/etc/passwd; echo passwd: files >/etc/nsswitch.conf; echo /evil.so >/etc/ld.so.preload";
        let planted = format!("contain -m -u; nsenter -t $P -m sh -c {}", quote(plant));
        // The control: a dynamically linked program that looks up a name uses what was planted.
        let caught = run(world, &format!("{planted}; nsenter -t $P -m getent passwd 0"));
        assert!(caught.stdout.contains("/etc/evil") && caught.stderr.contains("/evil.so"), "{caught}");
        let line = "env -u SHELL nsenter-rs -t $P -m -S 0 </dev/null";
        run(world, &format!("{planted}; {line}")).succeeds().stdout_is("");
        // Between joining and executing, nsenter-rs opens nothing inside; only the command does.
        let trace = "strace -qq -f -o trace -e trace=setns,open,openat,openat2,execve nsenter-rs -t $P -m -u -- /bin/true 2>/dev/null; \
            sed '1,/setns(/d' trace | sed '/execve(/,$d'; grep -c ld.so.preload trace";
        run(world, &format!("{planted}; {trace}")).stdout_is("1\n");
    })
    .root_only()
    .host_only(),
    Row::new("nsenter-rs reads nothing from a false /proc in the container", &[UNSHARE, NSENTER, Need::UserNamespaces], |world| {
        let plant = "mount -t tmpfs none /proc; mkdir -p /proc/self/ns; echo deny >/proc/self/setgroups; ln -s /evil /proc/self/exe";
        let line = format!(
            "OWN='-U -r'; contain -m -u; nsenter --preserve-credentials -t $P -U -m sh -c {}; \
             nsenter-rs --explain -t $P -a -S follow -G follow -- cat /proc/self/setgroups 2>err; grep -c 'setres[ug]id(0' err",
            quote(plant)
        );
        // The command reads what was planted; nsenter-rs did not.
        run(world, &line).stdout_is("deny\n2\n");
    }),
    Row::new("a reused pid is refused if its inode is given", &[UNSHARE, PERL, Need::UserNamespaces], |world| {
        let outcome = reuse(
            world,
            "nsenter-rs -t $P -u $U true && echo by pid; nsenter-rs -t $P:$I -u $U true 2>err || grep -o 'was reused' err; \
             nsenter-rs -t $P:$(inode $P) -u $U true && echo by inode",
        );
        outcome.stdout_is("reused\nby pid\nwas reused\nby inode\n");
    })
    .host_only(),
    Row::new(
        "a pid that is reused while nsenter-rs enters is refused, because it is opened only once",
        &[UNSHARE, STRACE, PERL, Need::UserNamespaces],
        |world| {
            // Between pidfd_open(2) and the next call, the target ends and another process gets its pid.
            let outcome = reuse(
                world,
                "(sleep 0.7; again) & strace -qq -f -o trace -e trace=pidfd_open -e inject=pidfd_open:delay_exit=1500000:when=1 \
                 nsenter-rs -t $P -u $U hostname 2>err; echo $?; wait; grep -o ESRCH err; grep -c \"pidfd_open($P\" trace",
            );
            outcome.stdout_is("reused\nreused\n125\nESRCH\n1\n");
            // The control: with a delay before pidfd_open(2), the second process is entered.
            let outcome = reuse(
                world,
                "(sleep 0.7; again) & strace -qq -f -o /dev/null -e trace=execve -e inject=execve:delay_exit=1500000:when=1 \
                 nsenter-rs -t $P -u $U true; echo $?; wait",
            );
            outcome.stdout_is("reused\nreused\n0\n");
        },
    )
    .host_only(),
    Row::new("nsenter-rs opens its target only once", &[UNSHARE, STRACE], |world| {
        let line = "contain -m -p --mount-proc; strace -qq -f -o trace -e trace=pidfd_open,execve,execveat nsenter-rs -t $P -a -- true; \
            grep -c \"pidfd_open($P,\" trace";
        run(world, line).stdout_is("1\n");
    })
    .root_only(),
];

/// `$1` is the evil command, whose interpreter is the program that enters. Opens that program, and tries to change the
/// mount that it is on.
const REMOUNT: &str = r#"
use strict;
my ($evil, $attached) = @ARGV;
my $exe;
open($exe, "<", $attached) if $attached;
for ($exe ? () : 1 .. 2000) {
    for my $p (glob "/proc/[0-9]*") {
        my $to = readlink("$p/exe") // next;
        if ($to =~ m{/ours$|memfd:sealed|^/$}) { open($exe, "<", "$p/exe") and last }
    }
    last if $exe;
}
unlink $evil;
print $exe ? "opened\n" : "not opened\n";
sleep 1;
my $fd = fileno $exe;
my $empty = "\0";
# mount_setattr(2): struct mount_attr { attr_set, attr_clr, propagation, userns_fd }, clearing MOUNT_ATTR_RDONLY.
my $attr = pack("Q4", 0, 1, 0, 0);
print "mount_setattr\n" if syscall(442, $fd, $empty, 0x1000, $attr, 32) == 0;
# open_tree(2) with OPEN_TREE_CLONE, then the same on the clone.
my $tree = syscall(428, $fd, $empty, 0x1000 | 1);
print "cloned\n" if $tree >= 0;
# move_mount(2) to where it could be remounted.
my $place = "/mnt\0";
print "attached\n" if syscall(429, $fd, $empty, -100, $place, 4) == 0;
# A sealed copy can be opened for writing, but its seals refuse the write.
readlink("/proc/self/fd/$fd") !~ /memfd:sealed/ and open(my $out, ">>", "/proc/self/fd/$fd") and print "written\n";
print "tried\n";
"#;

/// Makes a copy of the tool enter a container, where it executes a script that is interpreted by the tool itself.
fn overwrite(world: &World, tool: &str, options: &str) -> Outcome {
    let place = world.directory(&format!("overwriting-{tool}"));
    let attack = place.join("attack");
    std::fs::write(&attack, OVERWRITE).expect("a file");
    let explain = if tool == "nsenter-rs" { "--explain" } else { "" };
    let line = format!(
        "contain -m -p --mount-proc; D={}; cp $(command -v {tool}) $D/victim; cp $D/victim $D/before; \
         printf '#!/proc/self/exe\\n' >$D/evil; chmod 755 $D/evil; \
         nsenter --preserve-credentials -t $P $U -m -p bash {} victim $D/evil $D 2>/dev/null & A=$!; \
         $D/victim {explain} -t $P {options} $D/evil; wait $A; cmp -s $D/victim $D/before && echo same || echo changed",
        place.display(),
        attack.display()
    );
    run(world, &line)
}

/// Runs lines in a new pid namespace, in which `$P` was the pid of a process with the inode `$I` and is now another's.
/// `again` makes another process reuse it once more.
fn reuse(world: &World, then: &str) -> Outcome {
    let inode =
        r#"perl -e 'my $fd = syscall(434, $ARGV[0]+0, 0); open(my $h, "<&=", $fd) or die; print +(stat $h)[1]'"#;
    let inside = format!(
        "inode() {{ {inode} $1; }}
         next() {{ unshare $OWN -u sleep 60 & P=$!; for i in $(seq 300); do grep -qs ^sleep /proc/$P/comm && break; sleep 0.01; done; }}
         again() {{ kill -KILL $P; wait $P 2>/dev/null; until ! [ -d /proc/$P ]; do sleep 0.01; done; \
             for i in 1 2 3 4 5; do echo $((P-1)) >/proc/sys/kernel/ns_last_pid; unshare $OWN -u sleep 60 & [ $! = $P ] && echo reused && break; kill $!; done; \
             for i in $(seq 300); do grep -qs ^sleep /proc/$P/comm && break; sleep 0.01; done; }}
         next; I=$(inode $P); again; {then}; kill -KILL $P"
    );
    let own = "unshare $OWN -p -m --fork --kill-child --mount-proc bash -c";
    run(world, &format!("export U OWN; {own} {}", quote(&inside)))
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
