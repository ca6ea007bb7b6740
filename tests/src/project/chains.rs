//! The remedies for an ordinary user, tried: the chain that an error names runs the command.

use crate::harness::need::{BUSYBOX, Need, SETPRIV};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[BUSYBOX, SETPRIV, Need::UserNamespaces, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the chain that netns-rs and chroot-rs name to an ordinary user runs the command", NEEDS, |world| {
        let script = "
            chmod 755 $D; cp -a $ROOT $D/r; mkdir $D/t; chmod 777 $D/t; cd $D/t
            user() { setpriv --reuid 4000 --regid 4000 --clear-groups \"$@\"; }
            try() {
                user \"$@\" 2>$D/err && echo allowed
                chain=$(sed -n 's/.*remedy: .*: \\(unshare-rs --map-root-user .*\\)$/\\1/p' $D/err); shift
                case $chain in
                    *' -- netns-rs exec --new -- COMMAND') user ${chain% COMMAND} echo works;;
                    *' ...') user ${chain% ...} \"$@\" 2>>$D/said || cat $D/said;;
                    *) cat $D/err;;
                esac
            }
            try netns-rs exec --new -- true; try netns-rs add chain; try netns-rs gc; try netns-rs exec --new --bridge chain0 --address 10.97.12.2/24 -- true
            try chroot-rs $D/r echo works; try chroot-rs --userspec 0:0 --groups= / echo works
            mkdir -p $D/r/proc $D/r/dev; for option in --std --pivot '--bind /usr:/srv' --read-only '--proc /proc --dev /dev'; do try chroot-rs $option $D/r -- echo works; done
            try chroot-rs --std --overlay $D/r -- echo works
            try chroot-rs --keep-root --capabilities none -- echo works; try chroot-rs --keep-root --securebits noroot -- echo works
            sleep 60 & user netns-rs show $! 2>&1 | grep -o 'belongs to uid 0, and we are uid 4000'; kill $!";
        let outcome = world.apart("chains", script).variable("ROOT", world.busybox_root().display().to_string()).run();
        let expected = "works\n".repeat(14) + "belongs to uid 0, and we are uid 4000\n";
        assert_eq!(outcome.stdout, expected, "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("the cgroup that cgexec-rs lets root make for an ordinary user is enough", &[BUSYBOX, SETPRIV], |world| {
        let script = "
            chmod 755 $D; cd /; user() { setpriv --reuid 54391 --regid 54391 --clear-groups \"$@\"; }
            user cgexec-rs --pids 9 -- true 2>$D/err && echo allowed
            make=$(sed -n 's/.*root can give you a group: \\(mkdir .* && chown .*\\); then use .*/\\1/p' $D/err)
            use=$(sed -n 's/.*; then use \\(cgexec-rs .*\\)/\\1/p' $D/err)
            # With cgroup v2, systemd gives a user one.
            grep -q 'systemd-run --user --scope -p Delegate=yes' $D/err && echo works && exit
            bash -c \"$make\"; user $use --pids 9 -- echo works 2>/dev/null
            find ${make##* } -depth -type d -exec rmdir {} +";
        let outcome = world.apart("chain-cgroup", script).run();
        assert_eq!(outcome.stdout, "works\n", "{outcome}");
    })
    .root_only()
    .host_only(),
];
