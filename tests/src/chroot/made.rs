//! `--dir`, `--symlink`, `--file`, `--bind-fd`, `--overlay-at`: what the users of bwrap(1) make in a root.

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("options make directories, links and files in a new root, and refuse what is there already", NEEDS, |world| {
        let run = |options: &str, look: &str| in_memory(world, &format!("{options} -- busybox sh -c '{look}'"));
        run(
            "--dir /a/b:1777 --dir /a --dir /a/b --dir /a/b:1777 --symlink ../x:/a/l --symlink ../x:/a/l --file 3:/a/f:600 --file 4:/g",
            "busybox stat -c %a /a /a/b /a/f /g; readlink /a/l; cat /a/f /g",
        )
        .succeeds()
        .stdout_is("755\n1777\n600\n644\n../x\nthree\nfour\n");
        for (options, wrong) in [
            ("--file 3:/f --dir /f", "cannot make the directory /f inside the root: something else has this name"),
            ("--dir /d:777 --dir /d:700", "with mode 700: it exists, and its mode is 777"),
            ("--dir /d --symlink x:/d", "cannot make the link /d inside the root: something else has this name"),
            ("--symlink x:/l --symlink y:/l", "cannot make the link /l inside the root: something else has this name"),
            ("--file 3:/f --file 4:/f", "cannot write /f inside the root: openat("),
            ("--file 3:/f --file 3:/g", "descriptor 3 is not open"),
            ("--file 44:/f", "descriptor 44 is not open"),
            ("--file 2:/f", "expected a descriptor from 3 on"),
        ] {
            run(options, "true").fails_with(125).stderr_has(wrong);
        }
        // What nobody passed is not one of our own files.
        let own = namespaces(world);
        for number in 3..8 {
            let option = if number % 2 == 0 { "file" } else { "bind-fd" };
            world
                .sh(&format!("{own} chroot-rs --tmpfs-root --{option} {number}:/f -- true"))
                .fails_with(125)
                .stderr_has("is not open");
        }
    })
    .host_only(),
    Row::new("a link of a foreign root leads no file of --dir, --symlink and --file outside of it", NEEDS, |world| {
        let (root, outside) = (world.directory("made-root"), world.directory("made-outside"));
        for name in ["way", "usr"] {
            std::fs::create_dir_all(root.join(name)).expect("a root");
        }
        let (root, outside) = (root.display(), outside.display());
        let own = namespaces(world);
        for option in ["--dir /out/x", "--symlink a:/out/x", "--file 3:/out/x", "--dir /out", "--file 3:/out"] {
            let line = format!(
                "rm -rf {root}/out; ln -s {outside} {root}/out; {own} chroot-rs {option} --bind /bin:/bin --bind /usr:/usr --bind /lib:/lib {root} /bin/true 3</dev/null; \
                 find {outside} -mindepth 1; readlink {root}/out"
            );
            world.sh(&line).stdout_is(&format!("{outside}\n"));
        }
        // The control: through such a link, a tool that trusts paths makes the directory.
        world.sh(&format!("mkdir {root}/out/x; ls {outside}; rmdir {outside}/x")).stdout_is("x\n");
    })
    .host_only(),
    Row::new("--bind-fd binds what its descriptor leads to, not what has the name by then", NEEDS, |world| {
        let place = world.directory("made-bind-fd");
        let here = place.display();
        let own = namespaces(world);
        let run = |option: &str, look: &str| {
            world.sh(&format!(
                "cd {here}; rm -rf d e f; mkdir d e; echo right >d/name; echo wrong >e/name; echo file >f; exec 7<d 8<f; mv d gone; mv e d
                 {own} chroot-rs --tmpfs-root --bind /bin:/bin --bind /usr:/usr --bind /lib:/lib --bind /lib64:/lib64 {option} -- \
                 busybox sh -c '{look}'; rm -rf gone d f"
            ))
        };
        run("--bind-fd 7:/d --bind-fd 8:/f:ro", "cat /d/name /f; echo x >/d/new && echo written; echo x >/f")
            .stdout_is("right\nfile\nwritten\n")
            .stderr_has("Read-only file system");
        // The control: the path leads to the other directory.
        run("--bind d:/d", "cat /d/name").stdout_is("wrong\n");
        world.sh("unshare-rs --hold --map-root-user --mount | chroot-rs --pipe --std --host-root --bind-fd 3:/d 3</ | cat").stderr_has("cannot be used with --pipe");
    })
    .host_only(),
    Row::new("--overlay-at keeps changes in memory and leaves the layers as they are", NEEDS, |world| {
        let place = world.directory("made-overlay");
        let here = place.display();
        let own = namespaces(world);
        let run = |option: &str| {
            world.sh(&format!(
                "cd {here}; rm -rf a b; mkdir a b; echo a >a/one; echo b >b/one; echo b >b/two; chmod 755 a b
                 {own} chroot-rs --tmpfs-root --bind /bin:/bin --bind /usr:/usr --bind /lib:/lib --bind /lib64:/lib64 {option} -- \
                 busybox sh -c 'cat /o/*; echo new >/o/one; rm -f /o/two; cat /o/*'; cat a/* b/*"
            ))
        };
        run("--overlay-at ./a:./b:/o").succeeds().stdout_is("a\nb\nnew\na\nb\nb\n");
        // The control.
        run("--bind b:/o").succeeds().stdout_is("b\nb\nnew\na\nnew\n");
        run("--overlay-at ./none:/o").stderr_has("cannot open the layer ./none");
    })
    .host_only(),
];

/// Runs chroot-rs with an empty root, the host's programs in it, and descriptors 3 and 4.
fn in_memory(world: &World, rest: &str) -> Outcome {
    let own = namespaces(world);
    world.sh(&format!(
        "{own} chroot-rs --tmpfs-root --bind /bin:/bin --bind /usr:/usr --bind /lib:/lib --bind /lib64:/lib64 {rest} 3<<<three 4<<<four"
    ))
}

/// Returns the namespaces in which the root is made.
fn namespaces(world: &World) -> String {
    format!("unshare-rs {} --mount --", if world.is_root { "" } else { "--map-root-user" })
}
