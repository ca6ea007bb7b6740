//! How a command starts: in which directory, under which name, with which variables, and as which user.

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the working directory is kept where a new root has the same directory, and only there", NEEDS, |world| {
        let here = world.directory("start-here");
        let root = world.busybox_root().display();
        let made = here.join("r");
        // The control is a root with another directory at the same path.
        let other = made.join(here.strip_prefix("/").expect("an absolute path"));
        std::fs::create_dir_all(&other).expect("a root");
        let (here, made) = (here.display(), made.display());
        let outside = own(world);
        let pwd = |options: &str, end: &str| {
            world.sh(&format!("cd {here} && {outside} chroot-rs {options} -- busybox pwd")).succeeds().stdout_is(&format!("{end}\n"));
        };
        let at_here = format!("{here}");
        pwd("--pivot /", &at_here);
        pwd(&format!("--tmpfs-root --bind /bin:/bin --bind /usr:/usr --bind {here}:{here}"), &at_here);
        pwd("--std --host-root --bind /usr/bin/busybox:/usr/bin/busybox", "/");
        pwd(&format!("--std --host-root --bind .:{here}"), &at_here);
        pwd(&format!("--std --host-root --bind .:{here} --chdir /usr/"), "/usr");
        pwd(&format!("--bind /bin:/bin --bind /usr:/usr --bind /lib:/lib {made}"), "/");
        pwd(&format!("--std {root}"), "/");
        // A directory that was removed, and one that the user may not enter.
        world.sh(&format!("cd {here} && mkdir gone && cd gone && rmdir ../gone && {outside} chroot-rs --pivot / busybox pwd")).succeeds().stdout_is("/\n");
        for (options, end) in [("--chdir usr", "/usr"), ("--chdir /usr/../bin", "/bin")] {
            pwd(&format!("--std {options} {root}"), end);
        }
        let line = format!("{outside} chroot-rs --std --chdir /none {root} true");
        world.sh(&line).fails_with(125).stderr_has("cannot change to the directory /none: chdir(\"/none\"): ENOENT");
        world.sh("cd /usr && chroot-rs --keep-root --chdir bin -- busybox pwd").succeeds().stdout_has("/bin\n");
        world.sh("chroot-rs --skip-chdir --chdir /usr / true").fails_with(125).stderr_has("cannot be used with");
        let pipe = format!(
            "unshare-rs --hold {} --mount --pid | chroot-rs --pipe --std --chdir /usr {root} | nsenter-rs --pipe --rm -- busybox pwd",
            if world.is_root { "" } else { "--map-root-user" }
        );
        world.sh(&pipe).succeeds().stdout_is("/usr\n");
    })
    .host_only(),
    Row::new("a command gets the name of --argv0 and the listed variables of the caller, and no others", NEEDS, |world| {
        let root = world.busybox_root().display().to_string();
        for (way, root) in [("--keep-root", ""), ("--std --host-root", ""), ("--std", &*root)] {
            let outside = if way.contains("std") { own(world) } else { String::new() };
            let line = |options: &str, command: &str| world.sh(&format!("export A=1 B=2 SECRET=3; {outside} chroot-rs {way} {options} {root} -- {command}"));
            // busybox is the program of its name; the control has none of that name.
            line("--argv0 echo", "busybox hello").succeeds().stdout_is("hello\n");
            line("", "busybox hello").fails_with(127);
            let names = "sh -c 'echo $A-$B-$SECRET-$C-${PATH:+path}'";
            line("--whitelist-env A,B,NONE --whitelist-env C --setenv B=x", names).succeeds().stdout_is("1-x---path\n");
            // The control.
            let kept = if way.contains("std") { "--keep-env" } else { "" };
            line(kept, names).succeeds().stdout_is("1-2-3--path\n");
        }
        world.sh("chroot-rs --std --keep-env --whitelist-env A / true").fails_with(125).stderr_has("cannot be used with");
    })
    .host_only(),
    Row::new("a user who keeps the own id has a name and a home below --host-root, and is shown the way to it", NEEDS, |world| {
        let look = "sh -c 'id -u; id -un; echo $HOME; cd ~ && pwd; id root -u; test ! -e /etc/shadow && echo hidden'";
        let caller = world.sh("id -u").stdout.trim().to_owned();
        let seen = world.sh(&format!(
            "unshare-rs --map-current-user --keep-caps --mount --pid --fork -- chroot-rs --std --host-root -- {look}"
        ));
        let seen = seen.succeeds();
        let lines: Vec<_> = seen.stdout.lines().collect();
        // The user of the tests may have no entry on the host.
        assert!(lines[0] == caller && lines[1] != "nobody" && lines[2] == lines[3] && lines[4..] == ["0", "hidden"], "{seen}");
        world
            .sh("unshare-rs --map-current-user --mount -- chroot-rs --std --host-root -- true")
            .fails_with(125)
            .stderr_has("CAP_SYS_ADMIN is missing here: in this user namespace only root keeps capabilities")
            .stderr_has("add --keep-caps to unshare-rs --map-current-user");
        world.sh("unshare-rs --map-current-user -- netns-rs exec --new -- true").fails_with(125).stderr_has("add --keep-caps");
        // The control: root of the user namespace lacks nothing.
        world.sh("unshare-rs --map-root-user --mount --pid --fork -- chroot-rs --std --host-root -- sh -c 'echo $HOME'").stdout_is("/root\n");
    })
    .user_only()
    .host_only(),
];

/// Returns the namespaces in which the root is made.
fn own(world: &World) -> String {
    format!("unshare-rs {} --mount --pid --fork --", if world.is_root { "" } else { "--map-root-user" })
}
