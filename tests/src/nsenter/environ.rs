//! `nsenter-rs --env`: what a target writes into its environment runs nothing as the caller. The control does what
//! `nsenter --env` of util-linux 2.41 does, which Debian 12 does not have: it passes the whole environment to every
//! command, and each attack works.

use crate::harness::need::{BUSYBOX, NSENTER, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;

/// `evil OPTIONS` makes a container whose environment is hostile in every way; the attacks leave traces in `$D`.
/// `sprung` lists the traces, and removes them.
const EVIL: &str = r#"
mkdir $D/bin $D/home; printf '#!/bin/sh\n: >$D/PATH\n' >$D/bin/ls; chmod 755 $D/bin/ls; sed -i "s,[$]D,$D," $D/bin/ls
echo ": >$D/HOME" >$D/home/.bashrc
evil() {
    env TAR_OPTIONS="--checkpoint=1 --checkpoint-action=exec=:>$D/TAR_OPTIONS" PROMPT_COMMAND=": >$D/PROMPT_COMMAND" \
        PS1="\$(: >$D/PS1)" HOME=$D/home LD_PRELOAD=$D/missing.so WITNESS=yes TZ=$D/zone LANG=C.UTF-8 LC_ALL=../x PATH=$D/bin:$PATH \
        unshare $OWN "$@" --fork --kill-child sleep 86436 >/dev/null 2>&1 & OUTER=$!
    # The death signal of unshare(1) is lost when its child changes to another user.
    trap 'kill -KILL $P $OUTER' EXIT
    P=$(child $OUTER); asleep $P; unset TZ LANG
}
sprung() { (cd $D; for trace in HOME PATH PROMPT_COMMAND PS1 TAR_OPTIONS; do [ -e $trace ] && echo $trace; rm -f $trace; done; grep -o cannot.be.preloaded err | head -1; : >err; :); }
all() { local all; mapfile -d '' -t all </proc/$P/environ; nsenter -t $P $U ${U:+--preserve-credentials} "$WHERE" env -i "${all[@]}" "$@"; }
attack() {
    "$@" tar cf /dev/null /etc/passwd 2>>$D/err;
    "$@" bash -i </dev/null >/dev/null 2>>$D/err; "$@" bash --norc -i </dev/null >/dev/null 2>>$D/err; "$@" ls / >/dev/null 2>>$D/err
    sprung
}
show() { "$@" sh -c 'echo ${WITNESS-none} ${LANG-none} ${LC_ALL-none} ${TZ-none}' 2>$D/err; grep -o '^nsenter-rs: used only.*' $D/err | sed "s/process $P\$/process P/"; : >$D/err; }
"#;

const ALL: &str = "HOME\nPATH\nPROMPT_COMMAND\nPS1\nTAR_OPTIONS\ncannot be preloaded\n";
const HOST: &str = "nsenter-rs: used only locale and time zone of the target's environment: the command is a program of the host, and other variables could make it run something else\n";
const OTHER: &str = "nsenter-rs: used only locale and time zone of the target's environment: a user other than the command's could change the environment of process P\n";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the target's environment makes no program of the host run a command", &[UNSHARE, NSENTER], |world| {
        let line = "evil -u; WHERE=-u attack all; echo; attack nsenter-rs -t $P $U -u --env; \
            show nsenter-rs -t $P $U -u --env; LC_ALL=C TZ=UTC nsenter-rs -t $P $U -u --env sh -c 'echo $LANG $LC_ALL $TZ' 2>/dev/null";
        evil(world, "environ-host", line).stdout_is(&format!("{ALL}\nnone C.UTF-8 C none\n{HOST}C.UTF-8 C UTC\n"));
    })
    .host_only(),
    Row::new("--mount and --root do not make a program of the host count as the target's", &[UNSHARE, NSENTER], |world| {
        // Into our own mount namespace, our own root, and the target's root, which shows the host's /usr.
        let line = "evil -u; WHERE=-m attack all; \
            for where in -m --root --root=/ '-m --root'; do attack nsenter-rs -t $P $U -u $where --env; show nsenter-rs -t $P $U -u $where --env; done";
        let expected = format!("none C.UTF-8 C none\n{HOST}").repeat(4);
        evil(world, "environ-ours", line).stdout_is(&format!("{ALL}{expected}"));
    })
    .root_only()
    .host_only(),
    Row::new("in a mount namespace that shows the host's /usr, a program counts as one of the host", &[UNSHARE, NSENTER], |world| {
        let line = "evil -m -u; WHERE=-m attack all; attack nsenter-rs -t $P -a --env; show nsenter-rs -t $P -a --env";
        evil(world, "environ-private", line).stdout_is(&format!("{ALL}none C.UTF-8 C none\n{HOST}"));
    })
    .host_only(),
    Row::new(
        "a program in the target's own root gets the whole environment if it runs as the target's user",
        &[UNSHARE, BUSYBOX, Need::UserNamespaces],
        |world| {
            let root = world.busybox_root().display();
            let shown = "yes C.UTF-8 ../x ";
            let line = format!("evil -m -R {root}; show nsenter-rs -t $P $U -m --root --env; show nsenter-rs -t $P $U -m --root --env --like-target-try");
            let outcome = evil(world, "environ-root", &line);
            assert!(outcome.lines().len() == 2 && outcome.lines().iter().all(|line| line.starts_with(shown)), "{outcome}");
        },
    )
    .host_only(),
    Row::new("root in the target's root does not use the environment that another user there wrote", &[UNSHARE, BUSYBOX], |world| {
        let root = world.busybox_root().display();
        let line = format!(
            "evil -m -R {root} -S 54321 -G 54321; show nsenter-rs -t $P -m --root --env; show nsenter-rs -t $P -m --root --env -S follow; show nsenter-rs -t $P -m --root --env --like-target"
        );
        let outcome = evil(world, "environ-user", &line);
        let rest = outcome.stdout.strip_prefix(&format!("none C.UTF-8 C none\n{OTHER}")).expect("the warning").to_owned();
        assert!(rest.lines().count() == 2 && rest.lines().all(|line| line.starts_with("yes C.UTF-8 ../x ")), "{outcome}");
    })
    .root_only()
    .host_only(),
];

fn evil(world: &World, name: &str, line: &str) -> Outcome {
    let place = world.directory(name);
    run(world, &format!("D={}\n{EVIL}\n{line}", place.display()))
}
