//! Files that root in a container can leave on the host for other users, and the protection against that.

use crate::harness::need::{BUSYBOX, JQ, Need, SETPRIV, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "a container cannot make devices or forge packets, unless it gets the capabilities",
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
    Row::new("root in a container can leave users a set-user-ID program in a root that they can reach, and a warning says so", ROOTS, |world| {
        let at = stage(world, "planted");
        // The attack: the program that it leaves belongs to the host's root, for every user of the host.
        let plant = "chroot-rs --std $D/open/root -- /bin/sh -c 'cp /bin/id /x && chmod 4755 /x' && \
            setpriv --reuid 1000 --regid 1000 --clear-groups $D/open/root/x -u";
        run(world, &at, plant).stdout_is("0\n").stderr_has(&warning("$D/open/root", &at, "a set-user-ID program"));
        // If it cannot be reached, or is harmless, there is no warning.
        let reach = "setpriv --reuid 1000 --regid 1000 --clear-groups ls $D/closed/root >/dev/null 2>&1 && echo reached; true";
        run(world, &at, reach).succeeds().stdout_is("");
        for quiet in [
            "chroot-rs --std $D/closed/root -- /bin/true",
            "chroot-rs --std --read-only --bind $D/open/data:/data:ro $D/open/root -- /bin/true",
            "chroot-rs --std --userspec 1000:1000 $D/open/root -- /bin/true",
            "chroot-rs --std --overlay $D/open/root -- /bin/true",
            "chroot-rs --std --overlay $D/open/root --upper $D/closed/up -- /bin/true",
            "chroot-rs --std --bind $D/open/data:/data:idmap=0-1000-1 $D/closed/root -- /bin/true",
            "cp -a $D/open/root $D/open/theirs && chown -R 100000:100000 $D/open/theirs && unshare-rs --map-users 0:100000:1 \
             --map-groups 0:100000:1 --setuid 0 --setgid 0 --mount --ipc --pid --fork -- chroot-rs --std $D/open/theirs -- /bin/true",
            "unshare-rs --mount sh -c 'mount -t tmpfs -o nosuid t $D/open/data && cp -a $D/open/root $D/open/data && \
             chroot-rs --std $D/open/data/root -- /bin/true'",
        ] {
            run(world, &at, quiet).succeeds().stderr_is("");
        }
        for (loud, place, harm) in [
            ("chroot-rs --std --bind $D/open/data:/data $D/closed/root -- /bin/true", "$D/open/data", "a set-user-ID program"),
            ("chroot-rs --std --bind $D/open/file:/file $D/closed/root -- /bin/true", "$D/open/file", "a set-user-ID program"),
            ("chroot-rs --std --overlay $D/open/root --upper $D/open/up -- /bin/true", "$D/open/up", "a set-user-ID program"),
            ("chroot-rs --std --root-fd 9 -- /bin/true 9<$D/open/root", "$D/open/root", "a set-user-ID program"),
            ("ln -s ../open/root $D/closed/link; chroot-rs --std $D/closed/link -- /bin/true", "$D/closed/link", "a set-user-ID program"),
            ("unshare-rs --map-users 0:0:65536 --map-groups 0:0:65536 --mount --pid --fork -- chroot-rs --std $D/open/root -- /bin/true", "$D/open/root", "a set-user-ID program"),
            ("unshare-rs --hold --ttl 60 --mount | chroot-rs --pipe --std $D/open/root | nsenter-rs --pipe --rm -- /bin/true", "$D/open/root", "a set-user-ID program"),
            (
                "unshare-rs --mount sh -c 'mount -t tmpfs -o nosuid t $D/open/data && cp -a $D/open/root $D/open/data && \
                 chroot-rs --std --capabilities docker $D/open/data/root -- /bin/true'",
                "$D/open/data/root",
                "a device node",
            ),
            (
                "mkdir $D/open/bundle && jq -n --arg root $D/open/root '{ociVersion: \"1.0.0\", root: {path: $root}, \
                 process: {cwd: \"/\", args: [\"/bin/true\"], user: {uid: 0, gid: 0}}}' >$D/open/bundle/config.json && \
                 chroot-rs --oci $D/open/bundle",
                "$D/open/root",
                "a set-user-ID program",
            ),
        ] {
            run(world, &at, loud).succeeds().stderr_has(&warning(place, &at, harm));
        }
    })
    .root_only(),
    Row::new("a run that fails leaves no mount point behind, in the root or in directories that are bound into it", &[BUSYBOX, Need::UserNamespaces], |world| {
        let at = stage(world, "failing");
        let list = "find $D/open -printf '%P %m %y %s %i\\n' | sort";
        let before = run(world, &at, list).stdout;
        let own = world.as_root();
        let beyond = "--bind $D/open/data:/data --tmpfs /data/new/dir --bind $D/open/file:/srv/deep/file";
        let failing = ["--userspec no-such-user", "--mask /no-such", "--landlock-ro /no-such", "--tmpfs /bin/sh/x"];
        for options in failing {
            let chain = format!("unshare-rs {own} --mount --pid --fork -- chroot-rs --std {beyond} {options} $D/open/root -- /bin/true");
            let outcome = run(world, &at, &chain).fails_with(125);
            assert!(!outcome.stderr.contains(" stays in the root"), "{outcome}");
            assert_eq!(run(world, &at, list).stdout, before, "{options}\n{outcome}");
        }
        // In a pipe only the last stage opens the paths of --landlock-ro.
        for options in failing.iter().filter(|options| !options.starts_with("--landlock")) {
            let pipe = format!("unshare-rs --hold {own} --mount --pid | chroot-rs --pipe --std {beyond} {options} $D/open/root | cat");
            let outcome = run(world, &at, &pipe).fails_with(125);
            assert_eq!(run(world, &at, list).stdout, before, "{options}\n{outcome}");
        }
        // Files that existed stay, and so do those that a successful run has made.
        let chain = format!("mkdir $D/open/root/dev; unshare-rs {own} --mount --pid --fork -- chroot-rs --std --mask /no-such $D/open/root");
        run(world, &at, &chain).fails_with(125);
        assert_eq!(run(world, &at, "ls $D/open/root").stdout, "bin\ndev\n");
        let chain = format!("unshare-rs {own} --mount --pid --fork -- chroot-rs --std {beyond} $D/open/root -- /bin/true");
        run(world, &at, &chain).succeeds();
        let made = "cd $D/open; ls -d root/proc root/sys root/data root/srv/deep/file data/new/dir";
        run(world, &at, made).succeeds().stdout_is("data/new/dir\nroot/data\nroot/proc\nroot/srv/deep/file\nroot/sys\n");
    }),
    Row::new("a run that fails removes nothing that another process has put in the place of what it made", &[BUSYBOX, STRACE], |world| {
        let at = stage(world, "swapped");
        // Stops the tool for a while at the call $1, and puts something else at the place that option $2 has made.
        let attack = |call: &str, option: &str, theirs: &str| {
            let line = format!(
                "cd $D/open/root; [ $(uname -m) = x86_64 ] && N='263 316' || N='35 276'; set -- $N; [ {call} = unlinkat ] && N=$1 || N=$2
                 strace -D -qq -o /dev/null -e trace={call} -e inject={call}:delay_enter=1000000:when=1 \
                     unshare-rs --mount -- chroot-rs {option} --mask /no-such . /bin/true & P=$!
                 while read -r now rest </proc/$P/syscall; do [ \"$now\" = $N ] && {{ {theirs}; echo hit; break; }}; sleep 0.01; done 2>/dev/null
                 wait $P; stat -c '%a %s' made; find . -name '.chroot-rs*'; rm -rf made"
            );
            run(world, &at, &line).succeeds()
        };
        let file = ("--bind $D/open/file:/made", "echo theirs >new; chmod 640 new; mv new made", "hit\n640 7\n");
        let directory = ("--tmpfs /made", "mkdir -m 750 new; rmdir made 2>/dev/null; mv -T new made", "hit\n750 ");
        for (call, (option, theirs, expected)) in [("unlinkat", file), ("renameat2", file), ("renameat2", directory)] {
            let outcome = attack(call, option, theirs);
            assert!(outcome.stdout.starts_with(expected), "{call} {option}\n{outcome}");
            assert!(!outcome.stdout.contains(".chroot-rs"), "{call} {option}\n{outcome}");
        }
        // The control: a look at the name and its removal, with the swap between them.
        run(world, &at, "cd $D/open; echo >made; I=$(stat -c %i made); [ $(stat -c %i made) = $I ] && { echo theirs >new; mv new made; rm made; }; ls made || echo lost")
            .stdout_is("lost\n");
    })
    .root_only()
    .host_only(),
    Row::new("every tool that makes something by name refuses a name that is a path or has control characters", &[], |world| {
        for (tool, line) in [
            ("unshare-rs", "unshare-rs --hold --ttl 9 --name NAME --user --map-root-user"),
            ("cgexec-rs", "cgexec-rs --pids 9 --name NAME -- true"),
            ("netns-rs", "netns-rs add NAME"),
        ] {
            for name in ["..", ".", "a/b", "/", "$'a\\nb'", "$'\\e[2J'", "''"] {
                let outcome = world.sh(&line.replace("NAME", name)).fails_with(125).stdout_is("");
                assert!(outcome.stderr.contains("other than . and .."), "{tool} {name}\n{outcome}");
            }
            let outcome = world.sh(&line.replace("NAME", "a-name").replace(tool, &format!("{tool} --dry-run")));
            assert!(!outcome.stderr.contains("other than"), "{outcome}");
        }
    }),
    Row::new("a number for a user or group is that ID, whatever names the image has", &[UNSHARE, BUSYBOX], |world| {
        let root = world.directory("planted-digits");
        let plant = format!("cp -a {}/. {root}/; cd {root}/etc; printf '12345:x:0:0::/:\\n12345.12345:x:0:0::/:\\nweb:x:900:0::/:\\n' >passwd; printf '12345:x:0:\\n777:x:0:\\n 777:x:0:\\nroot:x:0:web\\n' >group", world.busybox_root().display(), root = root.display());
        world.sh(&plant).succeeds();
        let own = "unshare --mount --pid --ipc --net --fork";
        let look = "/bin/sh -c \"grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status | tr -s '[:space:]' ' '\"";
        let run = |line: &str| {
            let line = line.replace("ROOT", &root.display().to_string());
            let outcome = world.sh(&format!("{{ {line}; }} 2>&1 | grep -v 'every user of this machine'"));
            outcome.stdout
        };
        let ids = |uid: u32, groups: &str, group: u32, rights: &str| {
            format!("Uid: {uid} {uid} {uid} {uid} Gid: {group} {group} {group} {group} Groups: {groups} CapEff: {rights} \n")
        };
        let none = "0000000000000000";
        for (options, expected) in [
            ("--userspec 12345:12345", ids(12345, "12345", 12345, none)),
            ("--user 12345 --group 12345 --groups 777,5", ids(12345, "5 777", 12345, none)),
            ("--userspec 900:900", ids(900, "900", 900, none)),
            ("--userspec +900:900", ids(900, "900", 900, none)),
            ("--userspec 900:900 --groups '5, 777'", ids(900, "5 777", 900, none)),
            // Names are the image's.
            ("--userspec web", ids(900, "0", 0, none)),
        ] {
            assert_eq!(run(&format!("{own} chroot-rs --std {options} ROOT -- {look}")), expected, "{options}");
            let pipe = format!("unshare-rs --hold --ttl 60 --mount --pid | chroot-rs --pipe --std {options} ROOT | nsenter-rs --pipe --rm -- {look}");
            assert_eq!(run(&pipe), expected, "{pipe}");
        }
        let old_form = run(&format!("{own} chroot-rs --std --userspec 12345.12345 ROOT -- {look}"));
        let dot = "chroot-rs: warning: in --userspec a . should be a :\n";
        assert_eq!(old_form, format!("{dot}{}", ids(12345, "12345", 12345, none)));
        // The control: chroot(8) looks for a name first.
        let plain = run("chroot-rs --userspec 12345:12345 ROOT /bin/id -u");
        let warning = "chroot-rs: warning: 12345 is a name here, of ID 0; for the ID 12345 write +12345\n";
        assert_eq!(plain, format!("{warning}0\n"));
    })
    .root_only()
    .host_only(),
];

const ROOTS: &[Need] = &[BUSYBOX, JQ, SETPRIV, Need::UserNamespaces];

/// Makes two directories, one of which other users can reach; each has a root, and files to bind.
fn stage(world: &World, name: &str) -> std::path::PathBuf {
    let at = world.directory(name);
    let make = format!(
        "install -d -m 755 $D/open && install -d -m 700 $D/closed && for i in open closed; do mkdir -p $D/$i/root/bin $D/$i/data $D/$i/up && \
         echo x >$D/$i/file && cp {}/bin/busybox $(command -v id) $D/$i/root/bin/ && for applet in sh true cp chmod; do ln -s busybox $D/$i/root/bin/$applet; done; done",
        world.busybox_root().display()
    );
    run(world, &at, &make).succeeds();
    at
}

fn run(world: &World, at: &std::path::Path, line: &str) -> Outcome {
    world.script(line).variable("D", at.display().to_string()).run()
}

fn warning(place: &str, at: &std::path::Path, harm: &str) -> String {
    let place = place.replace("$D", &at.display().to_string());
    format!(
        "chroot-rs: warning: every user of this machine can reach {place}, and root in the container is root here: it can leave {harm} there for other users; "
    )
}
