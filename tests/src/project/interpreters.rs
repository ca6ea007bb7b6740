//! The kernel opens a script's interpreter before it closes descriptors that are marked close-on-exec. So an image's
//! `#!/proc/self/fd/N/…` must find nothing, whatever the tools or their caller had open. Each attack is also made where
//! it must succeed.

use crate::harness::need::{BUSYBOX, NSENTER, Need, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// Makes the image `$R` and the witness `$W/busybox` outside of it. `scripts PLACE` makes one script for each descriptor
/// number, whose interpreter is the witness at PLACE below that descriptor; the search through `$B` tries all of them,
/// and then a harmless one. `changed` says whether the container has written to the witness. `raw DIRECTORY` does
/// what a program does that only marks its descriptors.
const PREAMBLE: &str = r##"
[ "$(id -u)" = 0 ] && AS='unshare -m' LIKE=--like-target U= || AS='unshare -U -r -m' LIKE=--like-target-try U='-U --preserve-credentials'
R=$D/root W=$D/witness
mkdir -p $R/bin $R/proc $R/sys $R/dev $R/last $W
cp $(command -v busybox) $R/bin/; for name in sh sleep; do ln -s busybox $R/bin/$name; done
cp $R/bin/busybox $W/
printf '#!/bin/sh\necho harmless\n' >$R/last/app
printf 'echo pwned >/proc/self/fd/9\n' >$R/second
scripts() {
    B=
    for n in $(seq 3 40); do
        mkdir $R/b$n; B=$B/b$n:
        printf '#!/proc/self/fd/%s%s/busybox sh\necho taken\nexec 9</proc/self/exe\nexec /bin/sh /second\n' $n "$1" >$R/b$n/app
    done
    chmod 755 $R/*/app; B=$B/last
}
changed() { cmp -s $R/bin/busybox $W/busybox && echo same || echo changed; }
raw() { $AS --propagation private perl -e 'system "mount", "--rbind", "/proc", "$ARGV[1]/proc" and die;
    sysopen F, $ARGV[0], 0 or die; chroot $ARGV[1]; chdir "/"; $n = fileno F; exec "/b$n/app"' "$1" $R; }
contain() { unshare-rs $OWN --mount --pid --ipc --uts --fork --kill-child -- chroot-rs --std $R -- /bin/sleep 100 </dev/null & C=$!; P=$(child $C); asleep $P; }
"##;

/// Enters with `--like-target`, and as the last stage of a pipeline.
const BOTH: &str = "\
    contain; PATH=$B:$PATH nsenter-rs -t $P -a $LIKE -- app; changed; kill -KILL $C; \
    unshare-rs $OWN --hold --mount --pid --ipc --uts | chroot-rs --pipe --std --setenv PATH=$B $R | nsenter-rs --pipe --rm -- app; changed";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "an image's #! runs and overwrites no file below a directory that the caller left open",
        &[UNSHARE, BUSYBOX, PERL, Need::UserNamespaces],
        |world| {
            run(world, "raw", "scripts ''; raw $W; changed").stdout_is("taken\nchanged\n");
            let chain = "scripts ''; exec 9<$W; \
                unshare-rs $OWN --mount --pid --ipc --uts --fork --kill-child -- chroot-rs --std --setenv PATH=$B $R -- app; changed";
            run(world, "chain", chain).stdout_is("harmless\nsame\n");
            let passed = chain.replace("--std", "--std --preserve-fds 7");
            run(world, "passed", &passed).stdout_is("taken\nchanged\n");
            run(world, "both", &format!("scripts ''; exec 9<$W; {BOTH}")).stdout_is("harmless\nsame\nharmless\nsame\n");
        },
    )
    .host_only(),
    Row::new(
        "an image's #! runs and overwrites no file that nsenter-rs could reach through its own /proc",
        &[UNSHARE, BUSYBOX, PERL, SETPRIV],
        |world| {
            // A process that the container could trace if it saw it.
            let weak = "setpriv --bounding-set -all --inh-caps -all sleep 100 & V=$!; asleep $V; scripts /$V/root$W;";
            run(world, "raw-proc", &format!("{weak} raw /proc; changed; kill $V")).stdout_is("taken\nchanged\n");
            run(world, "proc", &format!("{weak} {BOTH}; kill $V")).stdout_is("harmless\nsame\nharmless\nsame\n");
        },
    )
    .root_only()
    .host_only(),
    Row::new("a directory as stdin is refused instead of given to a container", &[UNSHARE, BUSYBOX, Need::UserNamespaces], |world| {
        let look = "'[ -e /proc/self/fd/0/witness/busybox ] && echo reachable'";
        let raw = format!("$AS sh -c 'mount --rbind /proc $0/proc; exec chroot $0 /bin/sh -c \"$1\"' $R {look} <$D");
        run(world, "stdin-raw", &raw).stdout_is("reachable\n");
        let std = format!("unshare-rs $OWN --mount --pid --fork -- chroot-rs --std $R -- /bin/sh -c {look}");
        run(world, "stdin-std", &format!("{std} <$D; echo $?; {std} </dev/null; echo $?"))
            .stdout_is("125\n1\n")
            .stderr_has("cannot give the command descriptor 0: it is a directory")
            .stderr_has("remedy: redirect it: 0</dev/null");
        let enter = format!("nsenter-rs -t $P -a -- /bin/sh -c {look}");
        run(world, "stdin-enter", &format!("contain; {enter} <$D; echo $?; kill -KILL $C"))
            .stdout_is("125\n")
            .stderr_has("cannot give the command descriptor 0: it is a directory");
    }),
    Row::new(
        "a command that enters a container leaves the caller's session keyring",
        &[UNSHARE, NSENTER, PERL, Need::UserNamespaces],
        |world| {
            let line = "export LIKE OWN U; export -f child asleep; exec perl -e 'syscall($ENV{KEYCTL}, 1, 0) > 0 or die; exec @ARGV' bash -c '\
                unshare-rs $OWN --mount --pid --fork --kill-child sleep 100 & C=$!; P=$(child $C); asleep $P; \
                own=$(perl -e \"$SESSION\"); \
                for tool in \"nsenter $U -t $P -m -p\" \"nsenter-rs -t $P -a\" \"nsenter-rs -t $P -a $LIKE\"; do \
                [ $($tool perl -e \"$SESSION\") = $own ] && echo shared || echo own; done; kill -KILL $C'";
            run(world, "keyring", line).stdout_is("shared\nown\nown\n");
        },
    )
    .host_only(),
];

/// Prints the number of the session keyring.
const SESSION: &str = "print syscall($ENV{KEYCTL}, 0, -3, 0)";

fn run(world: &World, name: &str, line: &str) -> Outcome {
    let directory = world.directory(&format!("interpreter-{name}"));
    let own = world.as_root();
    let keyctl = if cfg!(target_arch = "x86_64") { 250 } else { 219 };
    world
        .script(&format!("export KEYCTL={keyctl}; D={} OWN='{own}'\n{WAITING}{PREAMBLE}{line}", directory.display()))
        .variable("SESSION", SESSION)
        .run()
}
