//! A working directory that was removed while the caller was in it: every tool names it as the cause.

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "where the working directory was removed, every tool names that as the cause, and only of relative paths",
    &[BUSYBOX, Need::UserNamespaces],
    |world| {
        let script = r#"
            why() { it=$("$@" 2>&1 >/dev/null | grep -o 'remedy: the working directory was removed, so [^ ]*\|the source of the mount was removed'); echo "${it:-other}"; }
            all() {
                why chroot-rs r true; why chroot-rs --seccomp x.json / true; why chroot-rs --oci . -- true
                why unshare-rs $OWN --root x -- true; why unshare-rs $OWN --uts=f -- true; why unshare-rs $OWN -- ./x; why cgexec-rs --oci b -- true
                why netns-rs -b f; why unshare-rs $OWN --mount -- chroot-rs --bind .:/srv $D/r -- true
                why chroot-rs $D/r/none true; why unshare-rs $OWN -- no-such-command
            }
            cp -a $ROOT $D/r; mkdir -p $D/r/srv $D/gone $D/there; cd $D/there; all | sort | uniq -c | tr -s ' '; cd $D/gone; rmdir $D/gone; all"#;
        // The control: an empty directory that exists, and paths that do not begin in it.
        let removed = ["r", "x.json", "./config.json", "x", "f", "./x", "b", "f"]
            .map(|path| format!("remedy: the working directory was removed, so {path}\n"));
        let expected = format!(" 11 other\n{}the source of the mount was removed\nother\nother\n", removed.concat());
        world
            .script(&format!("D={}\n{script}", world.directory("removed-directory").display()))
            .variable("ROOT", world.busybox_root().display().to_string())
            .variable("OWN", world.as_root())
            .run()
            .stdout_is(&expected);
    },
)];
