//! 4294967295 is not a user or group ID: setresuid(2) takes it to mean "unchanged", so root would stay root.

use crate::harness::need::{BUSYBOX, JQ, PERL, SETPRIV, UNSHARE};
use crate::harness::row::Row;

const NOT_AN_ID: &str = "4294967295";

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the kernel leaves who we are where it is asked for the highest id", &[PERL], |world| {
        // What the other rows refuse is no harmless mistake: the call succeeds and changes nothing.
        let script = "perl -e 'syscall(`uname -m` =~ /x86_64/ ? 117 : 147, -1, -1, -1) == 0 or die; print \"$> $<\\n\"'; id -u; id -u";
        world.sh(script).succeeds().stdout_has("0 0\n0\n0\n");
    })
    .root_only()
    .host_only(),
    Row::new("a name that passwd or group gives the highest number is refused, in the root and on the host", &[BUSYBOX, UNSHARE], |world| {
        let root = world.directory("highest-root");
        let script = format!(
            "cp -a {}/. {root}/; cd {root}/etc; printf 'web:x:{NOT_AN_ID}:5::/:/bin/sh\\nits:x:6:{NOT_AN_ID}::/:/bin/sh\\nok:x:5:5::/:/bin/sh\\n' >passwd; printf 'high:x:{NOT_AN_ID}:\\n' >group; \
             for options in '--userspec ok' '--userspec web' '--userspec its' '--userspec :high' '--userspec ok --groups high' '--userspec 5:5 --groups {NOT_AN_ID}' '--userspec {NOT_AN_ID}:5'; do \
             for form in '' --std; do unshare --pid --fork $TOOLS/chroot-rs $form $options {root} /bin/id -u; echo $?; done; done",
            world.busybox_root().display(),
            root = root.display(),
        );
        let outcome = world.sh(&script);
        outcome.stdout_is(&format!("5\n0\n5\n0\n{}", "125\n".repeat(12))).stderr_has("4294967295 is not an ID");
        // unshare-rs reads the host's.
        let host = format!("unshare -m sh -c 'mount --bind {root}/etc/passwd /etc/passwd && mount --bind {root}/etc/group /etc/group && $TOOLS/unshare-rs", root = root.display());
        world.sh(&format!("{host} --map-user ok id -u'")).succeeds().stdout_is("5\n");
        world.sh(&format!("{host} --map-user web id -u'")).fails_with(125).stderr_has("4294967295 is not an ID");
        world.sh(&format!("{host} --map-group high id -u'")).fails_with(125).stderr_has("4294967295 is not an ID");
    })
    .root_only(),
    Row::new("a number that means \"unchanged\" is refused in every option", &[], |world| {
        for line in [
            "unshare-rs --user --setuid N true",
            "unshare-rs --user --setgid N true",
            "unshare-rs --owner N:5 --user true",
            "unshare-rs --map-user N true",
            "unshare-rs --map-users 0:N:1 true",
            "nsenter-rs --target 1 --user --setuid N true",
            "nsenter-rs --target 1 --user --setgid N true",
            "chroot-rs --userspec N:0 / true",
            "chroot-rs --userspec 0:N / true",
            "chroot-rs --groups N / true",
        ] {
            world.sh(&line.replace('N', NOT_AN_ID)).fails_with(125).stdout_is("");
        }
    }),
    Row::new("a record or bundle that says the highest number is refused, and one that says another is not", &[BUSYBOX, JQ, SETPRIV], |world| {
        let root = world.busybox_root().display();
        for (member, value, status) in [
            ("uid", "54321", 0),
            ("uid", NOT_AN_ID, 125),
            ("gid", NOT_AN_ID, 125),
            ("groups", "[4294967295]", 125),
        ] {
            let script = format!(
                "unshare-rs --hold --ttl 60 --mount --pid | chroot-rs --pipe --std {root} | jq -c '.process.{member} = {value}' | nsenter-rs --pipe --rm -- /bin/id -u"
            );
            let outcome = world.sh(&script).fails_with(status);
            outcome.stdout_is(if status == 0 { "54321\n" } else { "" });
        }
        let bundle = world.directory("highest-bundle");
        for (member, value) in [
            (".process.user.uid", NOT_AN_ID),
            (".process.user.gid", NOT_AN_ID),
            (".process.user.additionalGids", "[4294967295]"),
            (".linux.devices", "[{\"type\":\"c\",\"path\":\"/dev/n\",\"major\":1,\"minor\":3,\"uid\":4294967295}]"),
        ] {
            let config = format!(
                "echo '{{\"ociVersion\":\"1.0.0\",\"root\":{{\"path\":\"{root}\"}},\"process\":{{\"args\":[\"/bin/id\",\"-u\"],\"cwd\":\"/\"}}}}' >all; jq"
            );
            let script = |value: &str| {
                format!("cd {}; {config} '{member} = {value}' all >config.json; unshare-rs --pid --fork -- chroot-rs --oci .", bundle.display())
            };
            world.sh(&script(value)).fails_with(125).stderr_has("4294967295");
            world.sh(&script(&value.replace(NOT_AN_ID, "0"))).succeeds().stdout_is("0\n");
        }
    })
    .root_only(),
];
