//! A command that enters a container by its name or its record has no more rights there than the container, or a
//! warning lists which. The control of each row is `--target PID`, which gives all of the caller's rights, as
//! nsenter(1) does.

use std::time::Duration;

use crate::harness::need::{BASH, BUSYBOX, JQ, NSENTER, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::waiting::WAITING;
use crate::harness::world::World;

/// `rights` is a command that prints its own rights; `seen COMMAND` runs it with COMMAND, and prints which rights it
/// has and the message on stderr; `find NAME` is the first half of a pipeline.
const PREAMBLE: &str = r#"
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/user
rights='grep -E ^(CapEff|CapBnd|NoNewPrivs|Seccomp): /proc/self/status'
seen() { "$@" 2>err >now; cmp -s now confined && echo -n confined || { cmp -s now free && echo -n free || cat now; }; echo " $(cut -d'(' -f1 err)"; }
find() { nsenter-rs --find $1 --json; }
free() { $rights >free; }
"#;

const MORE: &str = "nsenter-rs: the command has more rights than";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("in a held container that was found by name, a command is confined like those that run in it", &[UNSHARE, BUSYBOX, BASH, JQ], |world| {
        let root = world.busybox_root().display();
        let line = format!(
            r#"
            unshare-rs --hold --ttl 60 --name rights-held --mount --pid --ipc | chroot-rs --pipe --std {root} >saved
            trap 'nsenter-rs --pipe --rm -- true <saved' EXIT
            free; nsenter-rs --pipe -- $rights <saved >confined; cmp -s free confined && echo not confined at all
            # No command runs in it, or only one of the administrator's: the init keeps how to confine one.
            entered() {{ find rights-held | seen nsenter-rs --pipe -- $rights
                for like in "" --like-target; do seen nsenter-rs --target rights-held --all $like -- $rights; done; }}
            entered
            nsenter-rs --target $(jq .init.pid saved) --all -- sleep 86437 & ADMIN=$!
            until pgrep -xf 'sleep 86437' >/dev/null; do sleep 0.02; done
            entered
            kill $ADMIN; wait $ADMIN
            # Without chroot-rs nothing shows how to confine one.
            unshare-rs --hold --ttl 60 --name rights-bare --mount --pid >bare
            find rights-bare | seen nsenter-rs --pipe -- $rights
            seen nsenter-rs --target rights-bare --all --like-target -- echo run | sed "s/process $(jq .init.pid bare):/process P:/"
            nsenter-rs --pipe --rm -- true <bare
            nsenter-rs --pipe -- sleep 86438 <saved &
            until pgrep -xf 'sleep 86438' >/dev/null; do sleep 0.02; done
            find rights-held | seen nsenter-rs --pipe -- $rights
            find rights-held | jq -c '.process={{}}' | seen nsenter-rs --pipe -- $rights
            seen nsenter-rs --target rights-held --all -- $rights
            seen nsenter-rs --target rights-held --all --like-target -- $rights
            seen nsenter-rs --target rights-held --pid -- true
            seen nsenter-rs --target $(jq .init.pid saved) --all -- $rights
            "#
        );
        run(world, "rights-held", &line).stdout_is(&format!(
            "confined \nfree {MORE} rights-held \nconfined \nconfined \nfree {MORE} rights-held \nconfined \n\
             free nsenter-rs: the command runs unconfined: the record does not contain its confinement, and no command in rights-bare \
             shows it; use the record that chroot-rs printed\n nsenter-rs: cannot make the command like process P: it is the init of a held container, \
             and no command is known to run in it\nconfined \nfree \nfree {MORE} rights-held \nconfined \n \nfree \n"
        ));
    })
    .root_only(),
    Row::new("in a container of a runtime, a command is confined like its first process", &[UNSHARE, NSENTER, BASH, JQ], |world| {
        let line = r#"
            unshare -m -p --mount-proc --fork --kill-child chroot-rs --skip-chdir --capabilities chown,kill --no-new-privs --seccomp default / sleep 86439 & OUTER=$!
            trap 'kill -KILL $OUTER' EXIT
            P=$(child $OUTER); asleep $P; mkdir -p /run/crun/rights-crun
            printf '{"pid":%s,"process-start-time":%s}' $P $(sed 's/.*) //' /proc/$P/stat | cut -d' ' -f20) >/run/crun/rights-crun/status
            free; nsenter -t $P -m -p $rights >now; cmp free now; sed 's/self/1/' <<<"$rights" >in; nsenter -t $P -m -p $(cat in) >confined
            cmp -s free confined && echo not confined at all
            find rights-crun | seen nsenter-rs --pipe -- $rights
            seen nsenter-rs --target rights-crun --all -- $rights
            seen nsenter-rs --target rights-crun --net -- $rights
            seen nsenter-rs --target rights-crun --all --like-target -- $rights
            seen nsenter-rs --target $P --all -- $rights
        "#;
        run(world, "rights-crun", line)
            .stdout_is(&format!("confined \nfree {MORE} rights-crun \nfree \nconfined \nfree \n"));
    })
    .root_only(),
];

fn run(world: &World, name: &str, lines: &str) -> Outcome {
    world.apart(name, &format!("cd $D\n{WAITING}{PREAMBLE}{lines}")).within(Duration::from_secs(60)).run()
}
