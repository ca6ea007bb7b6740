//! Roots made by an attacker: links, pipes and files in place of directories, names of any bytes, and a directory that is
//! replaced by a link during the run. A directory of the host, the witness, must stay unchanged, to the nanosecond.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use crate::harness::need::{BUSYBOX, Need, STRACE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The mount points in a container's root: the standard ones, and those of the options below.
const PLACES: [&str; 9] = ["proc", "sys", "dev", "tmp", "run", "srv", "var", "etc", "data"];

/// `$S` is a directory of the host; descriptor 7 is the witness.
const OPTIONS: &str = "--std --bind $S:/data --bind $S/file:/srv/a/b --tmpfs /run --tmpfs /var/new/dir --mask /etc/passwd \
                       --readonly-path /tmp";

type Evil = fn(&Path, &Path);

/// The files that are put at a mount point.
const EVILS: &[(&str, Evil)] = &[
    ("absolute link", |at, witness| link(witness, at)),
    ("relative link", |at, witness| {
        link(&Path::new(&"../".repeat(64)).join(witness.strip_prefix("/").expect("/")), at)
    }),
    ("link to a link", |at, witness| {
        link(witness, &at.with_extension("first"));
        link(Path::new(&format!("{}.first", at.file_name().expect("a name").display())), at);
    }),
    ("link to a descriptor", |at, _| link(Path::new("/proc/self/fd/7"), at)),
    ("link to the host's root", |at, _| link(Path::new("/proc/1/root/tmp"), at)),
    ("link to itself", |at, _| link(Path::new(at.file_name().expect("a name")), at)),
    ("link inside", |at, _| link(Path::new("/bin"), at)),
    ("pipe", |at, _| mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO")),
    ("file", |at, _| fs::write(at, "").expect("a file")),
    ("links below", |at, witness| {
        fs::create_dir(at).expect("a directory");
        for name in ["a", "new", "passwd", "pts", "shm", "null", "fs", "kcore"] {
            link(witness, &at.join(name));
        }
    }),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a pipe in place of an image's user names keeps unshare-rs from no shell", NEEDS, |world| {
        let (at, own) = (world.directory("fifo-passwd"), world.as_root());
        let line = format!(
            "cd $D; cp -r $ROOT r; rm -f r/etc/passwd; mkdir -p r/etc; mkfifo r/etc/passwd; unset SHELL; \
             timeout 1 cat r/etc/passwd; echo $?; echo 'echo runs' | timeout 20 unshare-rs {own} --mount --root r"
        );
        let script = world.script(&line).variable("D", at.display().to_string());
        script.variable("ROOT", world.busybox_root().display().to_string()).run().stdout_is("124\nruns\n");
    }),
    Row::new(
        "a link that was planted as a bundle's rootfs, or as an overlay's upper or work, leads nowhere",
        NEEDS,
        |world| {
            let place = world.directory("planted-links");
            let script = format!(
                "cd {}; cp -a {} witness; mkdir -p bundle state/real plain/upper plain/work; ln -s ../witness bundle/rootfs; \
             config() {{ echo '{{\"ociVersion\":\"1.0.0\",\"root\":{{\"path\":\"'$1'\"}},\"process\":{{\"cwd\":\"/\",\"args\":[\"/bin/touch\",\"/planted\"]}}}}' >bundle/config.json; }}; \
             run() {{ unshare-rs {} --mount --pid --fork -- chroot-rs \"$@\"; echo $?; }}; \
             for path in rootfs ../bundle/rootfs $PWD/bundle/rootfs; do config $path; run --oci bundle; done; \
             for name in upper work; do rm -rf state; mkdir state; ln -s ../witness state/$name; run --overlay witness --upper state -- /bin/touch /planted; done; \
             ls witness/planted; config ../witness; run --oci bundle; run --overlay witness --upper plain -- /bin/touch /kept; ls witness/planted plain/upper/kept; chmod -R 700 plain",
                place.display(),
                world.busybox_root().display(),
                world.as_root(),
            );
            let outcome = world.sh(&script);
            // The control: the same bundle and the same overlay without a link work.
            outcome.succeeds().stdout_is("125\n125\n125\n125\n125\n0\n0\nplain/upper/kept\nwitness/planted\n");
        },
    ),
    Row::new(
        "no root leads a mount to the host, whatever it has at a standard mount point or a target",
        NEEDS,
        |world| {
            let stage = Stage::new(world, "places");
            let mut refused = 0;
            for place in PLACES {
                for (name, evil) in EVILS {
                    let root = stage.root();
                    if root.join(place).exists() {
                        fs::remove_dir_all(root.join(place)).expect("make room");
                    }
                    evil(&root.join(place), &stage.witness);
                    let chain = "unshare-rs $OWN --mount --pid --net --fork -- chroot-rs $OPTIONS $R -- /bin/true 7<$W";
                    let outcome = stage.run(world, chain, OPTIONS, &root);
                    assert!([0, 125].contains(&outcome.status), "{name} at {place}\n{outcome}");
                    let is_reported = outcome.stderr.contains("inside the root")
                        || outcome.stderr.contains("the root has no such file");
                    let is_as_expected = if is_harmless(name, place) { outcome.status == 0 } else { is_reported };
                    assert!(is_as_expected, "{name} at {place}\n{outcome}");
                    refused += u32::from(outcome.status == 125);
                    stage.is_untouched(&format!("{name} at {place}"));
                }
            }
            assert!(refused > 60, "only {refused} were refused");
        },
    ),
    Row::new("a device or a file of the kernel's in place of an image's user names is neither opened nor read", &[BUSYBOX, STRACE], |world| {
        let script = r#"
            cp -a $ROOT $D/r; chmod 700 $D; echo web:x:900:900::/: >$D/r/etc/passwd
            opened() { strace -f -qq -e trace=openat2 -o $D/trace "$@" >$D/out 2>&1; echo $?; grep -o 'cannot read.*' $D/out; grep etc/passwd $D/trace | grep -vc O_PATH; grep -c etc/passwd.*O_PATH $D/trace; }
            std="unshare-rs --mount --pid --fork -- chroot-rs --std --userspec web $D/r /bin/true"; plain="chroot-rs --userspec web $D/r /bin/true"
            opened $plain; opened $std
            rm $D/r/etc/passwd; mknod $D/r/etc/passwd c 1 3 && { opened $plain; opened $std; }
            rm $D/r/etc/passwd; ln -s /proc/kmsg $D/r/etc/passwd; opened $std"#;
        let refused = "125\ncannot read /etc/passwd inside the root: it is not a regular file\n0\n1\n".repeat(2);
        let kernel = "125\ncannot read /etc/passwd inside the root: it is on a file system of the kernel, such as proc\n0\n1\n";
        // The control: a file is read, after it was found by a descriptor that opens nothing.
        world
            .apart("passwd-device", script)
            .variable("ROOT", world.busybox_root().display().to_string())
            .run()
            .stdout_is(&format!("0\n0\n1\n0\n0\n1\n{refused}{kernel}"));
    })
    .root_only()
    .host_only(),
    Row::new("no root leads a stage of a pipeline to the host", NEEDS, |world| {
        let stage = Stage::new(world, "pipe");
        for place in ["proc", "dev", "data", "var"] {
            let root = stage.root();
            link(&stage.witness, &root.join(place));
            let pipe = "unshare-rs --hold $OWN --mount --pid --net | chroot-rs --pipe $OPTIONS $R 7<$W | nsenter-rs --pipe --rm -- /bin/true";
            let outcome = stage.run(world, pipe, OPTIONS, &root).fails_with(125);
            assert!(outcome.stderr.contains("is a symbolic link in this root"), "{place}\n{outcome}");
            stage.is_untouched(place);
        }
    }),
    Row::new("a target may have any name and any depth", NEEDS, |world| {
        let stage = Stage::new(world, "names");
        let root = stage.root();
        let deep = "/d".repeat(120);
        let long = "n".repeat(255);
        for (number, target) in
            ["$'/\\xff\\xfe'", "$'/new\\nline'", "$'/\\e[31m \"'", &deep, &format!("/{long}/{long}")].iter().enumerate()
        {
            let line = format!(
                "target={target}; unshare-rs $OWN --mount -- chroot-rs --explain --bind $S:\"$target\" --tmpfs \"$target/sub\" $R -- \
                 /bin/sh -c 'cat \"$1/file\" && ls \"$1/sub\"' - \"$target\""
            );
            let outcome = stage.run(world, &line, "", &root).succeeds().stdout_is("hi\n");
            let is_one_line = |line: &str| line.starts_with("chroot-rs: ") && !line.contains('\u{1b}');
            assert!(outcome.stderr.lines().all(is_one_line), "{number}\n{outcome}");
            stage.is_untouched(target);
        }
    }),
    Row::new("a directory that is replaced by a link during the run leads nowhere", NEEDS, |world| {
        let stage = Stage::new(world, "race");
        let root = stage.root();
        let names = ["data", "var", "dev", "srv"];
        for name in names {
            link(&stage.witness, &root.join(format!("{name}.evil")));
            if !root.join(name).exists() {
                fs::create_dir(root.join(name)).expect("a directory");
            }
        }
        let is_over = AtomicBool::new(false);
        let (mut made, mut refused, mut swaps) = (0, 0, 0_u64);
        thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                let mut swaps = 0;
                while !is_over.load(Ordering::Relaxed) {
                    for name in names {
                        let (one, other) = (root.join(name), root.join(format!("{name}.evil")));
                        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("renameat2");
                        swaps += 1;
                    }
                    thread::sleep(Duration::from_micros(20));
                }
                swaps
            });
            let line = "for i in 1 2 3 4 5 6 7 8; do unshare-rs $OWN --mount --pid --net --fork -- chroot-rs $OPTIONS $R -- /bin/true 7<$W; echo $?; done";
            let options =
                OPTIONS.replace("--mask /etc/passwd --readonly-path /tmp", "--bind $S:/data/new/dir --tmpfs /srv/x/y");
            // Half of the runs must not write to the root: they cover the root's top directory by a copy meanwhile.
            let options = [options.clone(), format!("{options} --read-only --tmpfs /new")];
            let outcomes: Vec<_> =
                options.iter().cycle().take(6).map(|options| stage.run(world, line, options, &root)).collect();
            is_over.store(true, Ordering::Relaxed);
            swaps = swapping.join().expect("the swapping thread");
            for outcome in &outcomes {
                for status in outcome.lines() {
                    match status {
                        "0" => made += 1,
                        "125" => refused += 1,
                        other => panic!("status {other}\n{outcome}"),
                    }
                }
            }
        });
        assert!(made + refused == 48 && refused > 0 && swaps > 100, "{made} made, {refused} refused, {swaps} swaps");
        stage.is_untouched("race");
    }),
];

/// Reports whether a file is harmless at this mount point: nothing is made or mounted behind it.
fn is_harmless(evil: &str, place: &str) -> bool {
    match evil {
        "links below" => !["srv", "var", "etc"].contains(&place),
        "pipe" | "file" => place == "tmp",
        _ => false,
    }
}

fn link(to: &Path, at: &Path) {
    symlink(to, at).expect("a link");
}

/// The scene of the attacks: the witness, and a clean root to copy.
struct Stage {
    at: PathBuf,
    witness: PathBuf,
    before: Vec<String>,
}

impl Stage {
    fn new(world: &World, name: &str) -> Stage {
        let at = world.directory(&format!("hostile-{name}"));
        let witness = at.join("witness");
        let make = format!(
            "mkdir -p $W/a/b $W/new $W/fs $W/pts $W/shm $S && echo secret >$W/passwd && echo n >$W/null && echo hi >$S/file && \
             ln -s /nowhere $W/link && chmod 700 $W/a && mkdir -p $C/bin && cp {0}/bin/busybox $C/bin && \
             ln -s busybox $C/bin/sh && ln -s busybox $C/bin/cat && ln -s busybox $C/bin/true && ln -s busybox $C/bin/ls && \
             find $W -exec touch -h -d 2001-02-03 {{}} +",
            world.busybox_root().display()
        );
        let path = |name: &str| at.join(name).display().to_string();
        let script = world
            .script(&make)
            .variable("W", path("witness"))
            .variable("S", path("source"))
            .variable("C", path("clean"));
        script.run().succeeds();
        let before = fingerprint(&witness);
        assert!(before.len() > 8, "{before:?}");
        Stage { at, witness, before }
    }

    /// Makes a new copy of the clean root, which lacks every mount point.
    fn root(&self) -> PathBuf {
        let root = self.at.join("root");
        if root.exists() {
            fs::remove_dir_all(&root).expect("remove the last root");
        }
        fs::create_dir_all(root.join("bin")).expect("a directory");
        fs::hard_link(self.at.join("clean/bin/busybox"), root.join("bin/busybox")).expect("busybox");
        for applet in ["sh", "cat", "true", "ls"] {
            link(Path::new("busybox"), &root.join("bin").join(applet));
        }
        for (file, directory) in [("etc/passwd", "etc"), ("tmp/x", "tmp")] {
            if fs::create_dir(root.join(directory)).is_ok() {
                fs::write(root.join(file), "").expect("a file");
            }
        }
        root
    }

    fn run(&self, world: &World, line: &str, options: &str, root: &Path) -> Outcome {
        let own = world.as_root();
        let script = world.script(&line.replace("$OPTIONS", options)).variable("OWN", own);
        let script = script.variable("S", self.at.join("source").display().to_string());
        script.variable("W", self.witness.display().to_string()).variable("R", root.display().to_string()).run()
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        assert_eq!(fingerprint(&self.witness), self.before, "{what}");
    }
}

/// Returns names, kinds, modes, owners, sizes, times and content of all files in a directory. Access times are left out,
/// because reading changes them.
fn fingerprint(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![top.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = fs::symlink_metadata(&path).expect("lstat");
        let content = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        let all = (meta.mode(), meta.uid(), meta.gid(), meta.nlink(), meta.ino(), times);
        found.push(format!("{} {all:?} {content:?}", path.display()));
        if meta.is_dir() {
            ahead.extend(fs::read_dir(&path).expect("readdir").map(|entry| entry.expect("an entry").path()));
        }
    }
    found.sort_unstable();
    found
}
