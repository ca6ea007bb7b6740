//! What root of a container can leave on the host for others to use, and what keeps it from that.

use crate::need::{BUSYBOX, Need};
use crate::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a container makes no device and forges no packet, unless it is given the capabilities",
        &[BUSYBOX, Need::NetworkNamespaces],
        |world| {
            let root = world.busybox_root().display();
            let inside = "mknod /tmp/full c 1 7 2>&1; arping -c 1 -I lo 127.0.0.1 2>&1; true";
            let run = |options: &str| {
                let line = format!(
                    "unshare-rs --mount --pid --net --fork -- chroot-rs --std {options} {root} -- /bin/sh -c '{inside}'"
                );
                world.sh(&line).succeeds()
            };
            run("").stdout_is(
                "mknod: /tmp/full: Operation not permitted\n\
                 arping: socket: Operation not permitted\n",
            );
            run("--capabilities default,NET_RAW").stdout_is(
                "mknod: /tmp/full: Operation not permitted\narping: interface lo is down\n",
            );
            run("--capabilities docker").stdout_is("arping: interface lo is down\n");
        },
    )
    .root_only(),
    Row::new("users, owners, ports and set-user-ID bits work with the default capabilities", &[BUSYBOX], |world| {
        let root = world.busybox_root().display();
        let inside = "cd /tmp; su user -c \"id -un\"; echo x >f; chown user:5 f && chmod 4755 f && \
            stat -c \"%U %g %a\" f; tar cf t f && rm f && tar xpf t && stat -c \"%U %g %a\" f; su user -c \"sleep 60\" & sleep 0.2; \
            kill $! && echo killed; timeout 1 nc -l -p 80 </dev/null; echo $?; mkdir r && cp /bin/busybox r && chroot r /busybox echo in";
        let line = format!(
            "unshare-rs --mount --pid --net --fork -- chroot-rs --std --overlay {root} -- /bin/sh -c '{inside}'"
        );
        world.sh(&line).succeeds().stdout_is("user\nuser 5 4755\nuser 5 4755\nkilled\n143\nin\n");
    })
    .root_only(),
];
