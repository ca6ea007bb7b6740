//! Landlock in a root that somebody else made: no link there chooses what a rule allows. The control is `--keep-root`, where
//! links are followed.

use crate::harness::need::{BUSYBOX, JQ, Need};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "a link of an image, or of an earlier command, widens no rule of Landlock",
    &[BUSYBOX, JQ, Need::UserNamespaces],
    |world| {
        let (at, own) = (world.directory("landlock-links"), world.as_root());
        let run = |line: &str| {
            let at = at.display();
            world.sh(&format!(
                "D={at}; [ -e $D/bin ] || {{ mkdir -p $D/bin $D/secret $D/plain/conf $D/proc $D/sys $D/dev; cp $(command -v busybox) $D/bin/; ln -s busybox $D/bin/sh; \
                 echo secret >$D/secret/f; ln -s / $D/data; ln -s plain $D/near; }}; {line}"
            ))
        };
        let read = "-- /bin/sh -c 'busybox cat /secret/f; true'";
        let std = format!("unshare-rs {own} --mount --pid --fork --kill-child -- chroot-rs --std --landlock-ro /bin --landlock-rw");
        let plain = format!("unshare-rs {own} -- chroot-rs --landlock-ro /bin --landlock-rw");
        for chain in [&std, &plain] {
            run(&format!("{chain} /plain $D {read}")).succeeds().stdout_is("").stderr_has("denied");
            for (path, link, to) in [("/data", "/data", "/"), ("/near/conf", "/near", "/plain/conf"), ("/data/plain", "/data", "/plain")] {
                run(&format!("{chain} {path} $D {read}"))
                    .fails_with(125)
                    .stdout_is("")
                    .stderr_has("RESOLVE_NO_SYMLINKS): ELOOP")
                    .stderr_has(&format!("{link} is a symbolic link in this root"))
                    .stderr_has(&format!("name {to}, where the path leads"));
            }
        }
        // Controls: our own root, and a root with the host's programs, in which /bin is a link of ours.
        run("chroot-rs --keep-root --landlock-rw $D/data --landlock-ro / -- busybox cat $D/secret/f").stdout_is("secret\n");
        run("chroot-rs --keep-root --landlock-rw $D/data --landlock-ro / --landlock-nofollow -- busybox cat $D/secret/f")
            .fails_with(125)
            .stdout_is("")
            .stderr_has("RESOLVE_NO_SYMLINKS): ELOOP");
        run(&format!("unshare-rs {own} --mount --pid --fork -- chroot-rs --std --host-root --landlock-ro /lib64 --landlock-ro /bin --landlock-ro /usr -- /bin/sh -c 'echo ran'"))
            .stdout_is("ran\n");
        // A command in a container that is held puts the link there for the next one.
        let pipe = "E='nsenter-rs --pipe -- /bin/sh -c'; R=$(unshare-rs --hold --ttl 60 OWN --mount --pid | \
             chroot-rs --pipe --std --landlock-ro /bin --landlock-rw /plain --landlock-ro /plain/conf $D); \
             echo \"$R\" | $E 'busybox cat /secret/f; busybox rmdir /plain/conf && busybox ln -s / /plain/conf && echo link'; \
             echo \"$R\" | $E 'busybox cat /secret/f'; echo $?; echo \"$R\" | jq -c '.process.landlock.follow_links = true' | $E 'busybox cat /secret/f'; \
             kill -9 $(echo \"$R\" | jq .init.pid)";
        run(&pipe.replace("OWN", own))
            .stdout_is("link\n125\nsecret\n")
            .stderr_has("nsenter-rs: cannot allow access below /plain/conf: openat2(");
    },
)
.host_only()];
