//! `nsenter-rs --tools` and `--shell`: programs for a container that has none.

use crate::harness::need::{BUSYBOX, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;

/// Makes a held container, `$N`, in the present directory, whose root R has one program, which runs as process `$C`: no
/// /bin, /tmp and /proc. Its first empty directory is /empty: /media and /srv are links, /opt and /home are in use.
const CONTAINER: &str = r#"
umask 022; mkdir R R/app R/empty R/opt R/home; touch R/home/used R/opt/used
ln -s empty R/media; ln -s ../../../../../../../tmp R/srv
cp $(command -v busybox) R/app/busybox
echo '{"ociVersion":"1.2.0","root":{"path":"R"},"process":{"cwd":"/"},"mounts":[],"linux":{}}' >config.json
N=tools-$$
begin() {
    unshare-rs $ROOT --hold --name $N --ttl 60 --mount --pid | chroot-rs --pipe --oci . >record 2>warnings
    nsenter-rs --pipe --rm -- /app/busybox sleep 86450 <record 2>>warnings & E=$!
    trap 'kill $E; wait $E' EXIT
    for i in $(seq 500); do C=$(child $E); grep -qs ^busybox /proc/$C/comm && break; sleep 0.01; done
}
state() { cat /proc/$C/mountinfo; (cd R && find . | sort); }
"#;

/// Attacks the mount of the tools as root of the container: makes it writable, and writes to a program.
const REMOUNT: &str =
    "PATH=/empty; mount -o remount,bind,rw /empty /empty && echo remounted; echo pwned >/empty/tool; cat /empty/tool";

fn contained(world: &World, name: &str, line: &str) -> Outcome {
    let directory = world.directory(name);
    let root = world.as_root();
    run(world, &format!("cd {}; ROOT='{root}'; {CONTAINER}{line}", directory.display()))
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "--tools gives a command programs that the container has not, does not see, and cannot change",
        &[UNSHARE, BUSYBOX, Need::UserNamespaces],
        |world| {
            let line = r#"begin; state >before; nsenter-rs -t $N -a -- ls / 2>/dev/null; echo $?
                PATH=$PATH:/bin nsenter-rs -t $N -a --tools -- sh -c 'echo ${PATH##*:}; ls -d /app /empty/ls; touch /empty/new; echo $?
                    while [ -e /app ] && [ ! -e /opt/go ]; do sleep 0.01; done' 2>/dev/null >out & T=$!
                for i in $(seq 500); do [ "$(wc -l <out)" = 4 ] && break; sleep 0.01; done
                state | cmp - before && echo hidden; touch R/opt/go; wait $T; rm R/opt/go
                cat out; state | cmp - before && echo gone"#;
            contained(world, "tools", line).stdout_is("127\nhidden\n/empty\n/app\n/empty/ls\n1\ngone\n");
        },
    ),
    Row::new(
        "root of a container cannot change the caller's programs through --tools",
        &[UNSHARE, BUSYBOX, Need::UserNamespaces],
        |world| {
            let attack = |enter: &str| {
                let line = format!(
                    "mkdir D; echo own >D/tool; chmod 755 D/tool; cp R/app/busybox D; for it in sh mount cat echo; do ln -s busybox D/$it; done\n\
                     begin; {enter} /empty/sh -c '{REMOUNT}' 2>/dev/null; cat D/tool"
                );
                contained(world, "tools-attack", &line)
            };
            // The control: with a read-only mount of the directory itself, the attack works.
            let mounted = "unshare ${ROOT:+-U -r} -m sh -c 'mount --bind D R/empty && mount -o remount,bind,ro R/empty && exec chroot R \"$@\"' -";
            attack(mounted).stdout_is("remounted\npwned\npwned\n");
            // What the attack changes is the copy.
            attack("nsenter-rs -t $N -a --tools=D --").stdout_is("remounted\npwned\nown\n");
        },
    ),
    Row::new(
        "--shell opens the container's shell, or ours if it has none",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            let shell = r#"echo 'echo $0 ${PATH##*:}; pwd' | SHELL= PATH=$TOOLS:/usr/bin:/bin nsenter-rs --shell $N"#;
            contained(world, "shell-none", &format!("begin; {shell}")).succeeds().stdout_is("/empty/sh /empty\n/\n");
            let own = format!("mkdir R/bin; ln R/app/busybox R/bin/sh; begin; {shell}");
            contained(world, "shell-own", &own).succeeds().stdout_has("/bin/sh /").stdout_has("\n/\n");
            // A file that is no program, and a link that leads nowhere, are no shell.
            let false_ones = format!("mkdir R/bin; touch R/bin/sh; ln -s /none R/bin/bash; begin; {shell}; echo $?");
            contained(world, "shell-false", &false_ones).stdout_is("/empty/sh /empty\n/\n0\n");
            let status = "begin; nsenter-rs --shell $N -- sh -c 'exit 7'; echo $?";
            contained(world, "shell-status", status).stdout_is("7\n");
        },
    ),
    Row::new("--tools says why a container can have no tools", &[BUSYBOX, Need::UserNamespaces], |world| {
        let full = "touch R/empty/used; begin; nsenter-rs -t $N -a --tools -- true; echo $?; rm R/empty/used; \
                nsenter-rs -t $N -a --tools -- true; echo $?";
        contained(world, "tools-full", full)
            .stdout_is("125\n0\n")
            .stderr_has("has no empty directory to mount them on");
        let large = "mkdir D; truncate -s 200M D/large; chmod 755 D/large; begin; nsenter-rs -t $N -a --tools=D -- true; echo $?; \
                chmod 644 D/large; nsenter-rs -t $N -a --tools=D -- /app/busybox true; echo $?";
        contained(world, "tools-large", large).stdout_is("125\n0\n").stderr_has("larger than 128 MiB");
        let none = "mkdir D; cp $(command -v true) D/busybox; begin; export PATH=$PWD/D:$PATH; nsenter-rs -t $N -a --tools -- true; echo $?";
        contained(world, "tools-none", none).stdout_is("0\n");
        if !world.is_root {
            let line = "nsenter-rs --target $$ --all --tools -- true";
            run(world, line).fails_with(125).stderr_has("tools need the right to mount: CAP_SYS_ADMIN");
        }
    }),
];
