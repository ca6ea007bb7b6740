//! `nsenter-rs --copy`: files into a container and out of it, which may be hostile.

use crate::harness::need::{BUSYBOX, Need, PERL, SCRIPT, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::nsenter::options::run;

/// `begin` starts a container with the root R, in the present directory, which has one program; its first process is `$C`.
const CONTAINER: &str = r#"
umask 022; mkdir R R/app R/d; cp $(command -v busybox) R/app/busybox
begin() {
    unshare $OWN "$@" -m -p --fork --kill-child chroot R /app/busybox sleep 86460 & O=$!
    trap 'kill -KILL $O' EXIT
    C=$(child $O); for i in $(seq 500); do grep -qs ^busybox /proc/$C/comm && break; sleep 0.01; done
}
"#;

/// Exchanges the directory `$1` and the link `$2` until there is a file `$3`.
const SWAP: &str = r#"perl -e '($d, $l, $end) = @ARGV; until (-e $end) { rename $d, "$d.0"; rename $l, $d; rename $d, $l; rename "$d.0", $d }'"#;

const NEEDS: &[Need] = &[UNSHARE, BUSYBOX, Need::UserNamespaces];

fn contained(world: &World, name: &str, line: &str) -> Outcome {
    let directory = world.directory(&format!("copy-{name}"));
    run(world, &format!("cd {}; {CONTAINER}{line}", directory.display()))
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--copy copies files and directories out of a container and into it", NEEDS, |world| {
        let tree = "mkdir -p T/sub/empty; echo hi >T/a; ln -s a T/l; ln -s /none T/sub/far; chmod 750 T/sub; chmod 4711 T/a; \
            truncate -s 40M T/sparse; echo data | dd of=T/sparse bs=1M seek=20 conv=notrunc status=none; \
            head -c 3000000 /dev/zero | tr '\\0' x >T/large; echo odd >\"T/$(printf 'o\\nd\\377')\"; touch -d @86400 T/a T/sub; ";
        let same = "same() { diff -r --no-dereference $1 $2 && [ $(du -k $2/sparse | cut -f1) -lt 1000 ] && \
            stat -c '%a %Y' $2/a $2/sub; }; ";
        let line = "begin; nsenter-rs --copy T $C:/d; same T R/d/T; nsenter-rs --copy $C:/d/T out; same T out; nsenter-rs --copy T $C:/d/new; same T R/d/new";
        // As cp(1) does, without set-user-ID; times are kept.
        contained(world, "tree", &format!("{tree}{same}{line}"))
            .stdout_is(&"711 86400\n750 86400\n".repeat(3))
            .stderr_is("");
        let line = "echo one >R/d/f; ln -s f R/d/l; begin; nsenter-rs --copy $C:/d/l -; echo two | nsenter-rs --copy - $C:/d/f; cat R/d/f; \
            nsenter-rs --copy $C:/d/f .; cat f; nsenter-rs --copy $C:/d/l f; cat f; nsenter-rs --copy - $C:/d/g <f; cmp f R/d/g; \
            nsenter-rs --copy $C:/proc/self/status . 2>/dev/null; echo $?; ls -A; ls -A R/d";
        contained(world, "files", line).stdout_is("one\ntwo\ntwo\ntwo\n125\nR\nf\nf\ng\nl\n");
    }),
    Row::new("--copy refuses what it cannot copy whole, and says why", NEEDS, |world| {
        let deep = ["d"; 210].join("/");
        let mut line = format!(
            "mkfifo R/d/fifo; echo f >R/d/f; mkdir d; ln -s f l; mkdir -p R/deep/{deep}; begin; refused() {{ nsenter-rs --copy $1 $2 </dev/null 2>err; echo $?; \
             grep -qF \"$3\" err || cat err; }}; "
        );
        const REFUSED: &[(&str, &str)] = &[
            ("$C:/none .", "cannot copy $C:/none: openat(\\\"/none\\\", O_PATH): ENOENT"),
            ("$C:/d/fifo .", "cannot copy $C:/d/fifo: it is a FIFO"),
            ("$C:/d /dev/null", "cannot copy to /dev/null: null exists already, and is a device"),
            ("$C:/d/f /dev/null", "cannot copy to /dev/null: null exists already, and is a device"),
            ("$C:/d/f l", "cannot copy to l: l exists already, and is a symbolic link"),
            ("$C:/d/f new/", "cannot copy to new/: openat(\\\"new/\\\", O_PATH|O_DIRECTORY): ENOENT"),
            ("$C:/d .", "cannot copy to .: d exists already, and is a directory"),
            ("- .", "neither '-' nor '.' is in a container"),
            ("- $C:/d", "cannot copy to $C:/d: it is a directory; name the copy in it"),
            ("$C:/d -", "cannot copy to -: the source is a directory"),
            ("$C:/ new/x", "cannot copy to new/x: openat(\\\"new\\\", O_PATH|O_DIRECTORY): ENOENT"),
            ("$C:/deep new", "directories are more than 200 levels deep"),
        ];
        REFUSED.iter().for_each(|(command, reason)| line.push_str(&format!("refused {command} \"{reason}\"; ")));
        line.push_str("ls -A; ls -A d");
        contained(world, "refused", &line).stdout_is(&format!("{}R\nd\nerr\nl\n", "125\n".repeat(REFUSED.len())));
        // The control: opening a FIFO waits for a writer.
        let line = "mkfifo R/d/fifo; echo f >R/d/f; begin; timeout 0.2 cat R/d/fifo; echo $?; nsenter-rs --copy $C:/d . ; echo $?; ls d";
        contained(world, "fifo", line).stdout_is("124\n0\nf\n").stderr_has("/d/fifo: it is a FIFO");
    }),
    Row::new("no link leads --copy out of a container's root", NEEDS, |world| {
        let links = "mkdir H; echo secret >H/f; H=$PWD/H; ln -s $H R/d/out; ln -s $H/f R/d/file; ln -s ../../../../../../../../../../../$H R/d/up; \
            mkdir -p R$H; echo inside >R$H/f; begin; at=/proc/$C/root/d; ";
        // The control: cp(1) follows them, because its root is the host's.
        let line = "cat $at/out/f $at/file; cp H/f $at/out/own && ls H; rm H/own; \
            for it in out/f file up/f; do nsenter-rs --copy $C:/d/$it -; done; \
            echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]}' >profile; \
            for it in out/f file up/f; do chroot-rs --keep-root --seccomp profile -- nsenter-rs --copy $C:/d/$it -; done; \
            nsenter-rs --copy R/app/busybox $C:/d/out/new; nsenter-rs --copy $C:/d tree; ls H; ls R$H; readlink tree/out tree/file";
        let outcome = contained(world, "links", &format!("{links}{line} | sed s:^$PWD/::"));
        outcome.stdout_is("secret\nsecret\nf\nown\ninside\ninside\ninside\ninside\ninside\ninside\nf\nf\nnew\nH\nH/f\n");
    }),
    Row::new("a directory that is swapped for a link while it is copied leads nowhere", &[UNSHARE, BUSYBOX, PERL, Need::UserNamespaces], |world| {
        let prepare = "mkdir H R/d/t R/d/t/sub; echo secret >H/f; echo inside >R/d/t/sub/f; ln -s $PWD/H R/d/link; echo new >new; begin; at=/proc/$C/root/d/t/sub; ";
        // The control: a path that is examined first and used afterwards leads to the host.
        let control = "[ -d $at ] && mv $at $at.0 && cp -P /proc/$C/root/d/link $at && cat $at/f; rm $at; mv $at.0 $at; ";
        let attack = format!(
            "{SWAP} R/d/t/sub R/d/link end & S=$!; for i in $(seq 20); do nsenter-rs --copy $C:/d/t out$i; nsenter-rs --copy $C:/d/t/sub/f -; \
             nsenter-rs --copy new $C:/d/t/sub/; done </dev/null >log 2>&1; touch end; wait $S; (find out* -type f -exec cat {{}} +; cat log) | grep -c secret; ls H; \
             find . -name '.nsenter*'; [ $((find out* -type f -exec cat {{}} +; cat log) | grep -c inside) -gt 0 ] && echo copied"
        );
        contained(world, "swap", &format!("{prepare}{control}{attack}")).stdout_is("secret\n0\nf\ncopied\n");
    }),
    Row::new("a copy that is ended leaves nothing, and no half of a file is seen under its name", NEEDS, |world| {
        for (signal, status) in [("TERM", 143), ("HUP", 129)] {
            let line = format!(
                "echo old >R/d/f; begin; mkfifo p; nsenter-rs --copy - $C:/d/f <p & N=$!; exec 8>p; echo half >&8; \
                 until grep -qs half R/d/.nsenter-rs-copy-*; do sleep 0.01; done; cat R/d/f; kill -{signal} $N; wait $N; echo $?; cat R/d/f; ls -A R/d"
            );
            contained(world, &format!("ended-{signal}"), &line).stdout_is(&format!("old\n{status}\nold\nf\n"));
        }
        // A directory with content, by a file that cannot be copied; and a source that ends early.
        let line = "mkdir -p R/d/t/sub; echo f >R/d/t/sub/f; chmod 500 R/d/t/sub; begin; mkdir H; nsenter-rs --copy $C:/d/t H/t; echo $?; ls -A H; \
            (cd R/d/t; mkdir -p {deep}); nsenter-rs --copy $C:/d/t H/u 2>/dev/null; echo $?; ls -A H; chmod 700 R/d/t/sub H/t/sub";
        let line = line.replace("{deep}", &["d"; 210].join("/"));
        contained(world, "ended-deep", &line).stdout_is("0\nt\n125\nt\n");
    }),
    Row::new("--copy shows its progress on a terminal, and not before", &[UNSHARE, BUSYBOX, SCRIPT, Need::UserNamespaces], |world| {
        let line = "begin; export C; (until grep -q 'MiB, 0 files' log; do echo x; sleep 0.05; done) | \
            script --quiet --flush --return --command 'nsenter-rs --copy - $C:/d/f' log >/dev/null; sed 's/.*\\r//' log | grep -c MiB; \
            script --quiet --return --command 'nsenter-rs --copy $C:/d/f g' log2 >/dev/null </dev/null; grep -c MiB log2; cmp g R/d/f";
        contained(world, "progress", line).stdout_is("0\n0\n");
    }),
    Row::new("--copy has the rights of the container's root, and maps owners by the id map", &[UNSHARE, BUSYBOX, PERL, Need::UserNamespaces], |world| {
        let mapped = "map() { chown -Rh 100000:100000 R/d; unshare-rs --map-users 0:100000:1000 --map-groups 0:100000:1000 -S 0 -G 0 --mount --pid --fork --kill-child \
                chroot R /app/busybox sleep 86460 & O=$!; trap 'kill -KILL $O' EXIT
            for i in $(seq 500); do C=$(child $O); grep -qs ^busybox /proc/$C/comm && break; sleep 0.01; done; }\n";
        let owners = "echo f >R/d/f; chmod 6755 R/d/f; map; chown 100005:100006 R/d/f; chmod 6755 R/d/f; echo g >g; chown 7:8 g; chmod 4755 g; \
            nsenter-rs --copy $C:/d/f .; nsenter-rs --copy $C:/d/f a --archive; nsenter-rs --copy g $C:/d; nsenter-rs --archive --copy g $C:/d/h; \
            stat -c '%n %u:%g %a' f a R/d/g R/d/h; chown 5000 g; nsenter-rs --archive --copy g $C:/d/i; echo $?; ls R/d";
        contained(world, "owners", &format!("{mapped}{owners}"))
            .stdout_is("f 0:0 755\na 5:6 755\nR/d/g 100000:100000 755\nR/d/h 100007:100008 4755\n125\nf\ng\nh\n")
            .stderr_has("EINVAL (Invalid argument)")
            .stderr_has("remedy: the container's user namespace does not map this owner");
        // A directory of the host that the container shares: root outside could change it, root inside may not.
        let shared = "mkdir H; mkdir R/vol; chown -R 100000:100000 R; mount --bind H R/vol; map; umount R/vol; cp g /proc/$C/root/vol/own; nsenter-rs --copy g $C:/vol; echo $?; ls H";
        contained(world, "shared", &format!("{mapped}echo g >g; {shared}"))
            .stdout_is("125\nown\n")
            .stderr_has("EACCES (Permission denied)");
    })
    .root_only(),
];
