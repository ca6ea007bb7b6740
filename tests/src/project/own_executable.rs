//! Our own executables, seen from inside a container: none can be overwritten through /proc/PID/exe, and none can be
//! traced while it has rights to lose. Each attack is also made where it must succeed.

use crate::harness::need::{BASH, BUSYBOX, Need, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `root` makes the image `$R`, `runs_as_script PID` waits until a process is one that the image's command made of the
/// program that started it, `$AS` makes us root of a mount namespace.
const PREAMBLE: &str = r#"
[ "$(id -u)" = 0 ] && AS='unshare -m' LIKE=--like-target MINE= || AS='unshare -U -r -m' LIKE=--like-target-try MINE='-U -r'
export LIKE
R=$D/root
root() { mkdir -p $R/bin $R/proc $R/sys $R/dev; cp $(command -v busybox) $R/bin/; ln -s busybox $R/bin/sh; cp $R/bin/busybox $R/bin/own; }
runs_as_script() { for i in $(seq 500); do grep -qs '^/proc/self/exe' /proc/$1/cmdline && return; sleep 0.01; done; echo "no script runs"; }
sleeps() { for i in $(seq 500); do [ "$(cat /proc/$1/comm 2>/dev/null)" = sleep ] && return; sleep 0.01; done; echo "nothing sleeps"; }
"#;

/// `sh -c` of it with PID APP: keeps the executable of PID open, removes the command that it runs as, and writes to it
/// once it does not run any more.
const OVERWRITE: &str = r#"
# While it hides, it cannot be opened; the command that it becomes can.
until command exec 9</proc/$1/exe; do [ -d /proc/$1 ] || exit; done 2>/dev/null
echo opened
rm $2
kill -KILL $1
while [ "$(readlink /proc/$1/exe)" ]; do sleep 0.01; done
(echo pwned >/proc/self/fd/9) 2>/dev/null && echo written
echo tried
"#;

/// A script of the image's: keeps the executable of process 1 open, lets that process continue, and writes to what it
/// was.
const FIFO: &str = r#"
exec 9</proc/1/exe
echo opened
old=$(busybox readlink /proc/1/exe); echo go >/ff
while [ $(busybox readlink /proc/1/exe) = $old ]; do busybox sleep 0.01; done
(echo pwned >/proc/self/fd/9) 2>/dev/null && echo written
"#;

/// Lets a copy of `tool` make a root of `root` and execute a script there whose interpreter is the copy, and overwrites it.
fn as_interpreter(world: &World, tool: &str, options: &str, root: &str) -> Outcome {
    let line = format!(
        "cp $(command -v {tool}) $D/victim; cp $D/victim $D/before; printf '#!/proc/self/exe {root}\n' >$D/app; chmod 755 $D/app; \
         $AS --propagation private bash -c '$D/victim {options} {root} $D/app & P=$!; runs_as_script $P; bash -c \"$OVERWRITE\" - $P $D/app; wait $P'; \
         cmp -s $D/victim $D/before && echo same || echo changed"
    );
    run(world, &format!("interpreter-{tool}"), &line)
}

/// Looks for a process by its name `$1`, opens its executable, and writes to that when the process has ended.
const GRAB: &str = r#"
until for p in /proc/[0-9]*; do grep -qs "^$1$" $p/comm && break; done; grep -qs "^$1$" $p/comm; do sleep 0.01; done
echo found
for i in $(seq 200); do grep -qs "^$1$" $p/comm || break; command exec 9<$p/exe && echo opened && break; sleep 0.005; done 2>/dev/null
while grep -qs "^$1$" $p/comm; do sleep 0.01; done
(echo pwned >/proc/self/fd/9) 2>/dev/null && echo written
echo tried
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("an image's command #!/proc/self/exe cannot overwrite chroot-rs", &[UNSHARE, BASH, Need::UserNamespaces], |world| {
        let attack = |tool: &str| as_interpreter(world, tool, "", "/");
        attack("chroot").stdout_is("opened\nwritten\ntried\nchanged\n");
        attack("chroot-rs").stdout_is("opened\ntried\nsame\n");
        let explained = |option: &str| run(world, &format!("explain{option}"), &format!("$AS chroot-rs --explain {option} / true"));
        explained("").stderr_has("exe_fd=view");
        let copied = explained("--sealed-copy").stderr_has("memfd");
        assert!(!copied.stderr.contains("exe_fd=view"), "{copied}");
    })
    .host_only(),
    Row::new("a confined process cannot overwrite the chroot-rs that made its container", &[UNSHARE, BUSYBOX, Need::UserNamespaces], |world| {
        // The image's command is chroot-rs itself, over and over; who looks why it hangs enters.
        let attack = |command: &str, waits: &str| {
            format!(
                "root; {command} chmod 755 $R/bin/app; cp $(command -v chroot-rs) $D/victim; cp $D/victim $D/before; \
                 exec unshare-rs $OWN --mount --pid --fork --mount-proc -- bash -c '\
                 unshare-rs --mount --ipc --uts -- $D/victim --std $R -- /bin/app & P=$!; {waits} $P; \
                 nsenter-rs -t $P -a $LIKE -- /bin/sh -c \"$OVERWRITE\" - $P /bin/app; cmp $D/victim $D/before && echo same'"
            )
        };
        let command = "printf '#!/proc/self/exe /\\n' >$R/bin/app;";
        run(world, "confined", &attack(command, "runs_as_script")).stdout_is("opened\ntried\nsame\n");
        // With the same confinement, an executable that can be written is.
        let command = "cp $R/bin/busybox $R/bin/sleep; printf '#!/bin/sh\\nexec /bin/sleep 100\\n' >$R/bin/app;";
        run(world, "confined-control", &attack(command, "sleeps")).stdout_is("opened\nwritten\ntried\nsame\n");
    })
    .host_only(),
    Row::new("an image cannot keep chroot-rs waiting for a FIFO, to open and overwrite it from a second process", &[UNSHARE, BUSYBOX, Need::UserNamespaces], |world| {
        // The whole chain of the attack; the second process comes from the administrator who looks why the first one hangs.
        let attack = |name: &str, interpreter: &str| {
            let line = format!(
                "root; mkfifo $R/ff; cp $R/bin/busybox $R/bin/ash; printf '#!{interpreter}\\nread line </ff; exec /bin/busybox sleep 1\\n' >$R/bin/app; chmod 755 $R/bin/app; \
                 echo \"$FIFO\" >$R/evil; cp $(command -v chroot-rs) $D/victim; cp $D/victim $D/before; \
                 unshare-rs $OWN --mount --pid --ipc --uts --cgroup --fork --kill-child -- $D/victim --std $R -- /bin/app & P=$!; \
                 timeout 20 nsenter-rs -t $(child $P) -a $LIKE -- /bin/busybox sh /evil 2>$D/err; wait $P; echo $?; cmp $D/victim $D/before && echo same"
            );
            run(world, name, &line)
        };
        attack("fifo", "/proc/self/exe --env-file=/ff").stdout_is("125\nsame\n").stderr_has("/ff");
        // With the same confinement, an interpreter that can be written and that waits is overwritten.
        attack("fifo-control", "/bin/ash").stdout_is("opened\nwritten\n0\nsame\n");
    })
    .host_only(),
    Row::new("a container in the pid namespace of the host cannot overwrite a chroot-rs that is started there", &[BUSYBOX, STRACE], |world| {
        let attack = |name: &str, started: &str| {
            let line = format!(
                "root; mkdir $D/bound; cp $(command -v chroot-rs) $D/bound/{name}; [ {name} = chrt-own ] || cp $R/bin/busybox $D/bound/{name}; cp $D/bound/{name} $D/before; \
                 unshare-rs --mount --ipc --uts -- chroot-rs --std $R -- /bin/sh -c \"$GRAB\" - {name} & S=$!; {started} & wait $S; wait; \
                 cmp -s $D/bound/{name} $D/before && echo same || echo changed"
            );
            run(world, name, &line)
        };
        // The last moment: its rights are those of the container by now.
        let slow = "strace -D -qq -f -o /dev/null -e trace=execve -e inject=execve:delay_enter=1500000:when=1";
        attack("chrt-own", &format!("{slow} $D/bound/chrt-own --std $R -- /bin/busybox true"))
            .stdout_is("found\ntried\nsame\n");
        // The control: another program of the host with the same rights.
        attack("busybox-own", "chroot-rs --std --bind $D/bound:/bound $R -- /bound/busybox-own sleep 1.5")
            .stdout_is("found\nopened\nwritten\ntried\nchanged\n");
    })
    .root_only()
    .host_only(),
    Row::new("an image's command #!/proc/self/exe cannot overwrite unshare-rs --root", &[UNSHARE, BASH, Need::UserNamespaces], |world| {
        let attack = |tool: &str| as_interpreter(world, tool, "--uts", "--root=/");
        attack("unshare").stdout_is("opened\nwritten\ntried\nchanged\n");
        attack("unshare-rs").stdout_is("opened\ntried\nsame\n");
    }),
    Row::new(
        "a confined process in the same pid namespace can neither trace chroot-rs nor open what is its own",
        &[UNSHARE, BUSYBOX, STRACE, Need::UserNamespaces],
        |world| {
            // The last moment: its rights are those of the container by now, and the kernel lets equals trace equals.
            let spied = |name: &str, command: &str, slow: &str| {
                let line = format!(
                    "root; printf '#!/bin/sh\nsleep 2; true\n' >$R/bin/spied; chmod 755 $R/bin/spied; \
                     exec unshare-rs $OWN --mount --pid --fork --mount-proc -- bash -c '\
                     chroot-rs --std $R -- /bin/sh -c \"$SPY\" - {name} & S=$!; \
                     strace -qq -f -o /dev/null -e trace=execve {slow} chroot-rs --std $R -- {command} & wait $S'"
                );
                run(world, &format!("spied-{name}"), &line)
            };
            let slow = "-e inject=execve:delay_enter=2000000:when=1";
            spied("chroot-rs", "/bin/busybox true", slow).stdout_is("found\ndone\n");
            spied("spied", "/bin/spied", "")
                .stdout_is("found\nenvironment\nexecutable\nmemory\ndone\n");
        },
    )
    .host_only(),
    Row::new(
        "in another's pid namespace each tool runs from a file that nobody can write to",
        &[UNSHARE, STRACE, Need::UserNamespaces],
        |world| {
            let exe = |name: &str, place: &str, tool: &str| {
                let line = format!(
                    "exec {place} bash -c '\
                     strace -D -qq -o /dev/null -e trace=execve -e inject=execve:delay_enter=400000:when=1 {tool} {end} 2>/dev/null & P=$!; \
                     while seen=$(readlink /proc/$P/exe); do last=$seen; sleep 0.02; done; echo $last; wait'",
                    end = "/no/such/command"
                );
                run(world, name, &line)
            };
            for tool in ["cgexec-rs", "netns-rs exec --new --", "unshare-rs --uts", "nsenter-rs", "chroot-rs /"] {
                let seen = exe(&tool.replace([' ', '/'], "-"), "unshare $MINE -m -p --fork --mount-proc", tool);
                assert!(["/", "/memfd:sealed (deleted)"].contains(&seen.stdout.trim()), "{seen}");
            }
            // In the first one nobody is confined who could do anything to a process with more rights.
            let seen = exe("first", "unshare $MINE -m", "cgexec-rs");
            assert!(seen.stdout.ends_with("/cgexec-rs\n"), "{seen}");
        },
    )
    .host_only(),
];

/// Looks for a process by its name `$1` and tries what a debugger does.
const SPY: &str = r#"
for i in $(seq 1000); do for p in /proc/[0-9]*; do grep -qs "^$1" $p/comm && echo found && break 2; done; sleep 0.005; done
sleep 0.5
cat $p/environ >/dev/null 2>&1 && echo environment
readlink $p/exe >/dev/null && echo executable
(exec 9<>$p/mem) 2>/dev/null && echo memory
grep -q "^$1" $p/comm && echo done
"#;

fn run(world: &World, name: &str, line: &str) -> Outcome {
    let directory = world.directory(&format!("own-{name}"));
    let own = world.as_root();
    world
        .script(&format!(
            "export D={} OWN='{own}'\n{WAITING}{PREAMBLE}export R; export -f runs_as_script sleeps; {line}",
            directory.display()
        ))
        .variable("OVERWRITE", OVERWRITE)
        .variable("SPY", SPY)
        .variable("FIFO", FIFO)
        .variable("GRAB", GRAB)
        .run()
}
