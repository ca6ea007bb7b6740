//! `tmpcopyup` of bundles: a tmpfs that begins with a copy of a directory of the image, which is hostile.

use serde_json::{Value, json};

use crate::chroot::bundles::with_own;
use crate::chroot::oci::{bundle, within};
use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];
const COPIES: &[Need] = &[BUSYBOX, Need::UserNamespaces, STRACE];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a tmpfs of a bundle begins with a copy of the directory if the bundle says so", NEEDS, |world| {
        let show = json!(["/bin/sh", "-c", "cd /srv; find . | sort; cat a/file; readlink a/link; stat -c '%a %u:%g' . a a/file; echo new >a/new; rm a/link"]);
        let prepare = "cd $B/rootfs/srv; mkdir -p a; echo text >a/file; ln -sf /etc/passwd a/link; chown 5:6 a/file; chmod 4755 a/file; chmod 1770 a; chmod 711 .; ls -lR . >$B/before";
        let line = format!("({prepare}); unshare-rs $OWN --mount --pid --ipc --net --fork -- chroot-rs --oci $B && cd $B/rootfs/srv && ls -lR . | cmp - $B/before");
        for (number, options, expected) in [
            (0, json!(["tmpcopyup", "nosuid"]), ".\n./a\n./a/file\n./a/link\ntext\n/etc/passwd\n711 0:0\n1770 0:0\n4755 5:6\n"),
            (1, json!(["tmpcopyup", "mode=755"]), ".\n./a\n./a/file\n./a/link\ntext\n/etc/passwd\n755 0:0\n1770 0:0\n4755 5:6\n"),
        ] {
            let at = with_srv(world, &format!("bundle-copyup-{number}"), show.clone(), &options);
            with_own(world, &line, &at).succeeds().stdout_is(expected);
        }
        // The control: without the word, the tmpfs is empty.
        let at = bundle(world, "bundle-copyup-control", json!(["/bin/ls", "/srv"]), |config| config["mounts"][4]["destination"] = json!("/srv"));
        with_own(world, &line, &at).succeeds().stdout_is("");
    })
    .root_only()
    .host_only(),
    Row::new("a copy into a tmpfs opens no device, gives root no set-ID bit of others, keeps holes and has a limit", COPIES, |world| {
        let namespaces = "--mount --pid --ipc --net --fork";
        // Every name is opened with O_PATH, and only the regular file that was found is opened again.
        let show = json!(["/bin/sh", "-c", "cd /srv; find . | sort; cat /srv/file"]);
        let at = with_srv(world, "bundle-copyup-swap", show, &json!(["tmpcopyup"]));
        let line = format!("cd $B/rootfs/srv; mkfifo fifo; mknod device c 1 3; echo text >file; mkdir d; ln -s /etc/passwd link
            unshare-rs {namespaces} -- strace -f -qq -e trace=openat -o $B/trace chroot-rs --oci $B");
        let mut outcome = with_own(world, &line, &at).succeeds().stdout_is(".\n./d\n./file\n./link\ntext\n");
        for name in ["fifo", "device"] {
            outcome = outcome.stderr_has(&format!("warning: cannot copy /srv/{name} into the tmpfs that covers it: it is neither a directory"));
        }
        let trace = std::fs::read_to_string(at.join("trace")).expect("read");
        for name in ["fifo", "device", "file", "d", "link"] {
            let opened: Vec<_> = trace.lines().filter(|line| line.contains(&format!(", \"{name}\", ")) && !line.contains("O_CREAT")).collect();
            assert!(!opened.is_empty() && opened.iter().all(|line| line.contains("O_PATH") && line.contains("O_NOFOLLOW")), "{opened:#?}");
        }
        assert!(trace.contains("/proc/self/fd/"), "{trace}");

        // The control is where the owner is mapped: the bits stay.
        let prepare = "cd $B/rootfs/srv; echo >user; echo >group; mkdir d; chown 5:6 *; chgrp 0 user; chown 0 group; chmod 4755 user; chmod 2755 group; chmod 3777 d";
        let show = json!(["/bin/stat", "-c", "%n %a %u:%g", "/srv/user", "/srv/group", "/srv/d"]);
        for (number, map, expected) in [
            (0, "", "/srv/user 4755 5:0\n/srv/group 2755 0:6\n/srv/d 3777 5:6\n"),
            (1, "--user --map-users 0:0:1 --map-groups 0:0:1", "/srv/user 755 0:0\n/srv/group 755 0:0\n/srv/d 1777 0:0\n"),
            (2, "--user --map-users 0:0:1 --map-users 65534:65534:1 --map-groups 0:0:1 --map-groups 65534:65534:1",
                "/srv/user 755 65534:0\n/srv/group 755 0:65534\n/srv/d 1777 65534:65534\n"),
        ] {
            let at = with_srv(world, &format!("bundle-copyup-ids-{number}"), show.clone(), &json!(["tmpcopyup"]));
            with_own(world, &format!("({prepare}); unshare-rs {map} {namespaces} -- chroot-rs --oci $B"), &at).succeeds().stdout_is(expected);
        }

        let show = json!(["/bin/sh", "-c", "cd /srv; head -c 5 big; dd if=big bs=1M skip=300 2>/dev/null; stat -c %s big tail; test $(stat -c %b big) -lt 100 && echo sparse"]);
        let at = with_srv(world, "bundle-copyup-holes", show, &json!(["tmpcopyup"]));
        let line = format!("cd $B/rootfs/srv; echo begin >big; truncate -s 300M big; echo end >>big; truncate -s 5M tail
            unshare-rs {namespaces} -- chroot-rs --oci $B");
        with_own(world, &line, &at).succeeds().stdout_is("beginend\n314572804\n5242880\nsparse\n");

        // A ramfs has no holes: the whole file is data. The control is a file that fits.
        for (number, length, options, error) in [
            (0, "2G", json!(["tmpcopyup"]), "cannot copy /srv into the tmpfs that covers it: with /srv/big it has more than 1 GiB, and the tmpfs has no size="),
            (1, "2G", json!(["tmpcopyup", "size=0"]), "it has more than 1 GiB"),
            (2, "2M", json!(["tmpcopyup", "size=1m"]), "cannot copy /srv into the tmpfs that covers it: write(tmpfs:/srv/big): ENOSPC"),
            (3, "2M", json!(["tmpcopyup"]), ""),
        ] {
            let at = with_srv(world, &format!("bundle-copyup-limit-{number}"), json!(["/bin/stat", "-c", "%s", "/srv/big"]), &options);
            let line = format!("unshare-rs {namespaces} -- sh -c 'mount -t ramfs none $B/rootfs/srv && truncate -s {length} $B/rootfs/srv/big && exec chroot-rs --oci $B'");
            let outcome = with_own(world, &line, &at);
            if error.is_empty() {
                outcome.succeeds().stdout_is("2097152\n");
            } else {
                outcome.fails_with(125).stderr_has(error);
            }
        }
    })
    .root_only()
    .host_only(),
];

/// Makes a bundle with one more mount, a tmpfs on /srv.
fn with_srv(world: &World, name: &str, args: Value, options: &Value) -> std::path::PathBuf {
    let at = bundle(world, name, args, |_| {});
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(at.join("config.json")).expect("read")).expect("JSON");
    let mount = json!({"destination": "/srv", "type": "tmpfs", "source": "tmpfs", "options": options});
    config["mounts"].as_array_mut().expect("a list").push(mount);
    std::fs::write(at.join("config.json"), config.to_string()).expect("write");
    // Other rows leave mount points in the root of which this is a copy.
    within(world, "rm -rf $B/rootfs/srv; mkdir $B/rootfs/srv", &at).run().succeeds();
    at
}
