//! `nsenter-rs --env`: what a target writes into its environment runs nothing as the caller. The control is what
//! `nsenter --env` of util-linux 2.41 does, which Debian 12 does not have: all of it to every command. There each works.

use crate::need::{BUSYBOX, NSENTER, Need, UNSHARE};
use crate::nsenter::run;
use crate::row::Row;
use crate::script::Outcome;
use crate::world::World;

/// `evil OPTIONS` makes a container whose environment is hostile in every way, with `$D` for the traces; `sprung` lists
/// those that were left, and removes them.
const EVIL: &str = r#"
mkdir $D/bin $D/home; printf '#!/bin/sh\n: >$D/PATH\n' >$D/bin/ls; chmod 755 $D/bin/ls; sed -i "s,[$]D,$D," $D/bin/ls
echo ": >$D/HOME" >$D/home/.bashrc
evil() {
    env TAR_OPTIONS="--checkpoint=1 --checkpoint-action=exec=:>$D/TAR_OPTIONS" PROMPT_COMMAND=": >$D/PROMPT_COMMAND" \
        PS1="\$(: >$D/PS1)" HOME=$D/home LD_PRELOAD=$D/missing.so WITNESS=yes TZ=$D/zone LANG=C.UTF-8 LC_ALL=../x PATH=$D/bin:$PATH \
        unshare $OWN "$@" --fork --kill-child sleep 86436 >/dev/null 2>&1 & OUTER=$!
    # Of a child with another user unshare(1) loses the death signal.
    trap 'kill -KILL $P $OUTER' EXIT
    P=$(child $OUTER); asleep $P; unset TZ LANG
}
sprung() { (cd $D; for trace in HOME PATH PROMPT_COMMAND PS1 TAR_OPTIONS; do [ -e $trace ] && echo $trace; rm -f $trace; done; grep -o cannot.be.preloaded told | head -1; : >told; :); }
all() { local all; mapfile -d '' -t all </proc/$P/environ; nsenter -t $P $U ${U:+--preserve-credentials} "$WHERE" env -i "${all[@]}" "$@"; }
attack() {
    "$@" tar cf /dev/null /etc/passwd 2>>$D/told; 
    "$@" bash -i </dev/null >/dev/null 2>>$D/told; "$@" bash --norc -i </dev/null >/dev/null 2>>$D/told; "$@" ls / >/dev/null 2>>$D/told
    sprung
}
show() { "$@" sh -c 'echo ${WITNESS-none} ${LANG-none} ${LC_ALL-none} ${TZ-none}' 2>$D/told; grep -o '^nsenter-rs: used only.*' $D/told | sed "s/process $P\$/process P/"; : >$D/told; }
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
    }),
    Row::new("neither --mount nor --root makes the host's programs the target's", &[UNSHARE, NSENTER], |world| {
        // Into our own mount namespace, our own root, and a root of the target's own that shows the host's /usr.
        let line = "evil -u; WHERE=-m attack all; \
            for where in -m --root --root=/ '-m --root'; do attack nsenter-rs -t $P $U -u $where --env; show nsenter-rs -t $P $U -u $where --env; done";
        let expected = format!("none C.UTF-8 C none\n{HOST}").repeat(4);
        evil(world, "environ-ours", line).stdout_is(&format!("{ALL}{expected}"));
    })
    .root_only(),
    Row::new("a mount namespace that shows the host's /usr has the host's programs", &[UNSHARE, NSENTER], |world| {
        let line = "evil -m -u; WHERE=-m attack all; attack nsenter-rs -t $P -a --env; show nsenter-rs -t $P -a --env";
        evil(world, "environ-private", line).stdout_is(&format!("{ALL}none C.UTF-8 C none\n{HOST}"));
    }),
    Row::new(
        "a program in a root of the target's own gets the whole environment, where its user is the target's",
        &[UNSHARE, BUSYBOX, Need::UserNamespaces],
        |world| {
            let root = world.busybox_root().display();
            let shown = "yes C.UTF-8 ../x ";
            let line = format!("evil -m -R {root}; show nsenter-rs -t $P $U -m --root --env; show nsenter-rs -t $P $U -m --root --env --like-target-try");
            let told = evil(world, "environ-root", &line);
            assert!(told.lines().len() == 2 && told.lines().iter().all(|line| line.starts_with(shown)), "{told}");
        },
    ),
    Row::new("root in the target's root is not steered by what another user there wrote", &[UNSHARE, BUSYBOX], |world| {
        let root = world.busybox_root().display();
        let line = format!(
            "evil -m -R {root} -S 54321 -G 54321; show nsenter-rs -t $P -m --root --env; show nsenter-rs -t $P -m --root --env -S follow; show nsenter-rs -t $P -m --root --env --like-target"
        );
        let told = evil(world, "environ-user", &line);
        let rest = told.stdout.strip_prefix(&format!("none C.UTF-8 C none\n{OTHER}")).expect("left out").to_owned();
        assert!(rest.lines().count() == 2 && rest.lines().all(|line| line.starts_with("yes C.UTF-8 ../x ")), "{told}");
    })
    .root_only(),
];

fn evil(world: &World, name: &str, line: &str) -> Outcome {
    let place = world.directory(name);
    run(world, &format!("D={}\n{EVIL}\n{line}", place.display()))
}
