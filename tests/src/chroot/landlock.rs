//! Landlock: what each option allows and refuses, what it does not cover, and what happens on a kernel that does not know a
//! right. The control of each refusal is the same action without the option.

use std::fs;

use crate::harness::need::{BUSYBOX, Need, PERL};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("each right of files allows what it names and nothing else", &[BUSYBOX], |world| {
        let place = world.directory("landlock-files");
        let run = |options: &str, action: &str| {
            let copy = if action.contains("a/busybox") { "cp $BB a/busybox;" } else { "" };
            let text = format!(
                "cd $D; rm -rf a b; mkdir -p a/e b; echo hi >a/f; {copy} BB=$BB exec chroot-rs --keep-root {options} -- $BB sh -c '{action}' 2>/dev/null"
            );
            at(world, &place, &text)
        };
        let nodes: &[_] = if world.is_root { NODES } else { &[] };
        // Emulated, a process takes long to start: there only the rights that older kernels lack, and one more.
        let is_worth =
            |right: &str| !world.in_vm || right == "read_file" || FROM.iter().any(|(name, _)| right.ends_with(name));
        for (right, action, others) in RIGHTS.iter().chain(nodes).filter(|(right, ..)| is_worth(right)) {
            // The control.
            run("", action).succeeds();
            let (name, since) = FROM.iter().find(|(name, _)| right.ends_with(name)).copied().unwrap_or((right, 1));
            let rule = |words: &str| {
                format!("--landlock exec:$BB --landlock {words}:. --landlock read_file,write_file:/dev/null")
            };
            let allowed = run(&rule(right), action);
            if since > abi() {
                allowed.fails_with(125);
                at(world, &place, &format!("chroot-rs --keep-root --landlock {right}:. true"))
                    .fails_with(125)
                    .stderr_has(&format!("does not know {name} (since Linux "));
                continue;
            }
            allowed.succeeds();
            let refused = run(&rule(others), action);
            assert_ne!(refused.status, 0, "{others} allows what {right} should\n{refused}");
            assert_ne!(refused.status, 125, "{refused}");
        }
        let device = |words: &str| {
            let options = format!("--landlock exec:$BB --landlock read_file,write_file{words}:/dev/null");
            at(world, &place, &format!("chroot-rs --keep-root {options} -- $BB stty -F /dev/null 2>&1"))
        };
        if abi() >= 5 {
            device("").stdout_has("Permission denied");
            device(",ioctl_dev").stdout_has("Inappropriate ioctl");
        } else {
            device("").stdout_has("Inappropriate ioctl");
            device(",ioctl_dev").fails_with(125).stdout_has("does not know ioctl_dev (since Linux 6.10)");
        }
        // Landlock looks at no attribute: the mode, the owner and the times of every file can be seen and changed.
        let outside = "$BB stat a/f && $BB chmod 600 a/f && $BB touch -d @1 a/f";
        run("--landlock exec:$BB", outside).succeeds();
    }),
    Row::new(
        "the ports of TCP that are named can be used, and no others",
        &[BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let serve = "for p in 7001 7002; do busybox nc -l -p $p </dev/null >/dev/null & done; \
             for i in $(busybox seq 100); do [ $(busybox netstat -ltn | busybox grep -c :700) = 2 ] && break; busybox sleep 0.05; done; ";
            let connect = |options: &str| {
                format!(
                    "for p in 7001 7002; do chroot-rs --keep-root {options} -- busybox nc 127.0.0.1 $p </dev/null 2>/dev/null && echo $p; done"
                )
            };
            // Port 0 is one that the kernel chooses. A process that has ended but was not waited for has no executable.
            let bind = |options: &str| {
                format!(
                    "for p in 7003 7004 0; do chroot-rs --keep-root {options} -- busybox nc -l -p $p 2>/dev/null & P=$!; \
                     while busybox readlink /proc/$P/exe >/dev/null; do busybox netstat -ltn | busybox grep -q LISTEN && echo $p && kill $P && break; busybox sleep 0.02; done; wait $P; done"
                )
            };
            let run = |line: &str| {
                let line = format!(
                    "unshare-rs {} --net --pid --fork --kill-child --mount-proc -- busybox sh -c '\nbusybox ip link set lo up; {line}'",
                    world.as_root()
                );
                world.sh(&line)
            };
            run(&format!("{serve}{}", connect(""))).stdout_is("7001\n7002\n");
            run(&bind("")).stdout_is("7003\n7004\n0\n");
            if abi() < 4 {
                for option in ["--landlock-connect 7001", "--landlock-bind none"] {
                    world
                        .sh(&format!("chroot-rs --keep-root {option} true"))
                        .fails_with(125)
                        .stderr_has("_tcp (since Linux 6.7)");
                }
                return;
            }
            run(&format!("{serve}{}; busybox killall nc", connect("--landlock-connect 7002"))).stdout_is("7002\n");
            run(&bind("--landlock-bind 7004,0")).stdout_is("7004\n0\n");
            // The rest only checks our own reading of the options, and emulated it takes long.
            if world.in_vm {
                return;
            }
            run(&format!("{serve}{}; busybox killall nc", connect("--landlock-connect none"))).stdout_is("");
            run(&bind("--landlock-bind 7003 --landlock-connect none")).stdout_is("7003\n");
            // Files and directories are left as they are: the kernel refuses links between directories otherwise.
            let place = world.directory("landlock-ports");
            at(world, &place, "mkdir a b; echo >a/f; chroot-rs --keep-root --landlock-bind none ln a/f b/f").succeeds();
        },
    ),
    Row::new(
        "no port of TCP is reached past Landlock, by MPTCP or by TCP Fast Open",
        &[PERL, Need::NetworkNamespaces],
        |world| {
            let place = world.directory("landlock-past");
            fs::write(place.join("past.pl"), PAST).expect("a script");
            let run = |how: &str| {
                let line = format!("exec unshare-rs {} --net -- sh -c 'ip link set lo up; {how}'", world.as_root());
                at(world, &place, &line).succeeds()
            };
            // The controls: without anything, and with the kernel's Landlock alone.
            run("perl past.pl").stdout_is("tcp reached\nmptcp reached\nfastopen reached\nmessage reached\n");
            let alone = run("perl past.pl landlock");
            assert!(alone.stdout.starts_with("tcp EACCES\nmptcp reached\n"), "{alone}");
            run("chroot-rs --keep-root --landlock-connect 1 perl past.pl")
                .stdout_is("tcp EACCES\nmptcp EPROTONOSUPPORT\nfastopen EOPNOTSUPP\nmessage EOPNOTSUPP\n");
            run("chroot-rs --keep-root --landlock-connect 1,7001 perl past.pl")
                .stdout_is("tcp reached\nmptcp EPROTONOSUPPORT\nfastopen EOPNOTSUPP\nmessage EOPNOTSUPP\n");
            // io_uring makes such calls where no filter sees them.
            let ring =
                "perl -e '$p = chr(0) x 120; syscall(425, 1, $p) >= 0 and print qq(ring\\n) or print $!+0, qq(\\n)'";
            let open = at(world, &place, ring);
            assert!(open.stdout == "ring\n" || open.stdout == "1\n", "{open}");
            at(world, &place, &format!("chroot-rs --keep-root --landlock-connect 1 {ring}")).stdout_is("38\n");
        },
    )
    .host_only(),
    Row::new(
        "a scope keeps signals and abstract sockets inside, and says what the kernel cannot keep",
        &[BUSYBOX],
        |world| {
            let outer = |options: &str, action: &str| {
                world.sh(&format!("chroot-rs --keep-root {options} -- busybox sh -c '{action}' 2>/dev/null; echo $?"))
            };
            let signals = "kill -0 $PPID && echo outside; busybox sleep 9 & kill $! && echo inside";
            outer("", signals).stdout_is("outside\ninside\n0\n");
            if abi() < 6 {
                let fault = world.sh("chroot-rs --keep-root --landlock-scope signal true").fails_with(125);
                fault
                    .stderr_has("does not know signal (since Linux 6.12)")
                    .stderr_has("remedy: use a kernel of that version");
                world
                .sh("chroot-rs --keep-root --landlock-scope all --landlock-ro / --landlock-try busybox true")
                .succeeds()
                .stderr_has("left out, because Landlock of this kernel does not know it: abstract_unix_socket (since Linux 6.12), signal");
            } else {
                outer("--landlock-scope signal", signals).stdout_is("inside\n0\n");
                outer("--landlock-scope signal --landlock-ro / --landlock-rw /dev/null", signals)
                    .stdout_is("inside\n0\n");
                outer("--landlock-scope abstract_unix_socket", signals).stdout_is("outside\ninside\n0\n");
            }
            if abi() < 10 {
                let outcome = world.sh("chroot-rs --keep-root --landlock-scope resolve_unix --landlock-connect udp:53 --landlock-bind udp:none true");
                outcome.fails_with(125).stderr_has("bind_udp (since Linux 7.2), connect_send_udp (since Linux 7.2)");
                // What is left is kept.
                world
                .sh("chroot-rs --keep-root --landlock-connect udp:53 --landlock-ro / --landlock-try busybox sh -c ': >new' 2>&1; ls new 2>&1")
                .stdout_has("chroot-rs: left out, because Landlock of this kernel does not know it: connect_send_udp (since Linux 7.2)\n")
                .stdout_has("can't create new: Permission denied");
            }
        },
    ),
    Row::new(
        "a socket outside is not reached by its name: abstract, and on a file where the kernel can keep that",
        &[PERL, Need::UserNamespaces],
        |world| {
            let place = world.directory("landlock-sockets");
            fs::write(place.join("unix.pl"), SOCKETS).expect("a script");
            let run = |options: &str| {
                at(world, &place, &format!("perl unix.pl chroot-rs --keep-root {options} --")).succeeds()
            };
            run("").stdout_is("abstract reached\nfile reached\nown reached\n");
            if abi() >= 6 {
                run("--landlock-scope abstract_unix_socket").stdout_is("abstract EPERM\nfile reached\nown reached\n");
                // A rule for files does not reach sockets before Linux 7.1.
                let file = if abi() >= 9 { "EACCES" } else { "reached" };
                run("--landlock-ro / --landlock-scope signal")
                    .stdout_is(&format!("abstract reached\nfile {file}\nown reached\n"));
            }
            for (right, made) in [("make_reg,make_fifo", "EACCES"), ("make_sock", "made")] {
                let line = format!(
                    "chroot-rs --keep-root --landlock ro:/ --landlock {right}:. perl unix.pl make $PWD/new; rm -f new"
                );
                at(world, &place, &line).stdout_is(&format!("{made}\n"));
            }
            if abi() >= 9 {
                run("--landlock-scope resolve_unix").stdout_is("abstract reached\nfile EACCES\nown reached\n");
                run("--landlock-scope all --landlock ro,resolve_unix:/ --landlock-rw .")
                    .stdout_is("abstract EPERM\nfile reached\nown reached\n");
            }
        },
    )
    .host_only(),
    Row::new(
        "rules of Landlock pass through the pipe, and apply without any capability",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            let root = world.busybox_root().display();
            let own = world.as_root();
            let pipe = |options: &str, script: &str| {
                world.sh(&format!(
                "unshare-rs --hold --ttl 60 {own} --mount --pid | chroot-rs --pipe --std --capabilities none {options} {root} | nsenter-rs --pipe --rm -- /bin/sh -c '{script}'"
            ))
            };
            let files = "--landlock exec:/bin --landlock read_file,read_dir:/proc --landlock ro,write_file:/dev";
            pipe(files, "ls / || echo no; ls /proc/self/fd >/dev/null && echo yes; echo >/tmp/x || echo no; cat /bin/sh >/dev/null && echo yes")
            .succeeds()
            .stdout_is("no\nyes\nno\nyes\n");
            if abi() >= 6 {
                pipe("--landlock-scope signal --landlock-bind none", "kill -0 1; echo $?; nc -l -p 99; echo $?")
                    .stdout_is("1\n1\n");
            } else {
                pipe("--landlock-scope signal", "echo ran")
                    .fails_with(125)
                    .stdout_is("")
                    .stderr_has("nsenter-rs: cannot use Landlock");
            }
        },
    ),
    Row::new("an option of Landlock that makes no sense is refused", &[], |world| {
        for (option, named) in [
            ("--landlock /usr", "expected RIGHTS:PATH"),
            ("--landlock fly:/usr", "there is no right \"fly\""),
            ("--landlock ro:", "expected RIGHTS:PATH"),
            ("--landlock make_reg:/dev/null", "the rule has only rights of directories"),
            ("--landlock ro:/no/such", "cannot allow access below /no/such"),
            ("--landlock-connect 65536", "expected ports"),
            ("--landlock-connect sctp:1", "expected ports"),
            ("--landlock-scope ptrace", "there is no scope \"ptrace\""),
            ("--landlock-try", "--landlock-try needs"),
            ("--landlock-nofollow --landlock-scope signal", "--landlock-nofollow needs a rule with a path"),
            ("--oci . --landlock-scope all", "cannot be used with"),
        ] {
            world.sh(&format!("chroot-rs --keep-root {option} true")).fails_with(125).stderr_has(named);
        }
    })
    .host_only(),
];

/// A right, an action that needs it, and other rights that do not suffice for the action.
const RIGHTS: &[(&str, &str, &str)] = &[
    ("read_file", "$BB cat a/f", "read_dir,write_file,execute"),
    ("read_dir", "$BB ls a", "read_file,write_file"),
    ("write_file", "echo x >>a/f", "read_file,make_reg"),
    ("exec", "a/busybox true", "read_file,read_dir,write_file"),
    ("ro", "$BB cat a/f && $BB ls a && a/busybox true", "read_file,read_dir"),
    ("rw", "echo x >a/f && $BB mkdir a/d && $BB rm -r a b", "ro"),
    ("make_reg,write_file", "echo x >a/new", "write_file,read_file"),
    ("make_dir", "$BB mkdir a/new", "make_reg,make_sym,make_fifo"),
    ("make_sym", "$BB ln -s f a/new", "make_reg,make_dir,make_fifo"),
    ("make_fifo", "$BB mkfifo a/new", "make_reg,make_dir,make_sym"),
    ("remove_file", "$BB rm -f a/f && [ ! -e a/f ]", "remove_dir,write_file"),
    ("remove_dir", "$BB rmdir a/e", "remove_file,make_dir"),
    ("make_reg,refer", "$BB ln a/f b/f", "make_reg,make_dir"),
    ("write_file,truncate", ": >a/f", "write_file,read_file"),
];

/// The same, of rights that only root can use.
const NODES: &[(&str, &str, &str)] = &[
    ("make_char", "$BB mknod a/new c 1 3", "make_reg,make_block"),
    ("make_block", "$BB mknod a/new b 1 1", "make_reg,make_char"),
];

/// The rights that Landlock did not have from the beginning.
const FROM: &[(&str, u32)] = &[("refer", 2), ("truncate", 3)];

/// Connects to a port that listens, in four ways.
const PAST: &str = r#"
use strict; use Socket; use Errno;
sub name { my $code = $! + 0; my ($name) = grep { $!{$_} } keys %!; $name = "EOPNOTSUPP" if $code == 95; return $name }
socket(my $server, AF_INET, SOCK_STREAM, 0) or die; setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($server, 6, 23, pack("i", 5)); my $to = pack_sockaddr_in(7001, INADDR_LOOPBACK);
bind($server, $to) or die "bind: $!"; listen($server, 9) or die;
if (@ARGV) {
    my $attributes = pack("QQQ", 0, 2, 0); my $fd = syscall(444, $attributes, 24, 0);
    syscall(157, 38, 1, 0, 0, 0) == 0 and syscall(446, $fd, 0) == 0 or die "landlock: $!";
}
sub tell_of { my ($what, $done) = @_; print "$what ", ($done ? "reached" : name()), "\n" }
socket(my $tcp, AF_INET, SOCK_STREAM, 0) or die; tell_of("tcp", connect($tcp, $to));
my $is = socket(my $mptcp, AF_INET, SOCK_STREAM, 262); tell_of("mptcp", $is && connect($mptcp, $to));
socket(my $fast, AF_INET, SOCK_STREAM, 0) or die; tell_of("fastopen", defined send($fast, "x", 0x20000000, $to));
socket(my $message, AF_INET, SOCK_STREAM, 0) or die;
# A struct msghdr with a struct iovec.
my $byte = "x"; my $iovec = pack("PQ", $byte, 1); my $header = pack("PLx4PQQQL", $to, length $to, $iovec, 1, 0, 0, 0) . "\0" x 8;
tell_of("message", syscall(46, fileno $message, $header, 0x20000000) >= 0);
"#;

/// Listens on an abstract socket and on one on a file, and has the command of its arguments connect to both, and to a socket
/// of its own.
const SOCKETS: &str = r#"
use strict; use Socket; use Errno;
sub name { my ($name) = grep { $!{$_} } keys %!; return $name }
sub listening { my ($at) = @_; socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die; bind($socket, pack_sockaddr_un($at)) or die "bind: $!"; listen($socket, 5); return $socket }
sub reach { my ($what, $at) = @_; socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die; print "$what ", (connect($socket, pack_sockaddr_un($at)) ? "reached" : name()), "\n" }
if ($ARGV[0] eq "make") { socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die; print bind($socket, pack_sockaddr_un($ARGV[1])) ? "made" : name(), "\n"; exit }
if ($ARGV[0] ne "inside") {
    my $name = "\0landlock-suite-$$"; unlink "file"; my @kept = (listening($name), listening("file"));
    exit(system(@ARGV, "perl", $0, "inside", substr($name, 1)) >> 8);
}
reach("abstract", "\0$ARGV[1]"); reach("file", "file");
my $own = listening("\0own-$$"); reach("own", "\0own-$$");
"#;

/// Returns the version of Landlock that belongs to this kernel's release. A row that asked the tool could not find out that
/// the tool is wrong.
pub fn abi() -> u32 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse::<u32>().ok());
    let version = (numbers.next().expect("a number"), numbers.next().expect("a number"));
    let since = [(5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15), (7, 0), (7, 1), (7, 2)];
    since.iter().filter(|since| **since <= version).count() as u32
}

/// Runs a script in a directory, with the path of busybox in `$BB`.
fn at(world: &World, place: &std::path::Path, line: &str) -> Outcome {
    let line = format!("BB=$(command -v busybox); D={}; cd $D; {line}", place.display());
    world.sh(&line)
}
