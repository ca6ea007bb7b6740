//! Mounts that lie under another mount are out of reach, and a directory that the host shows at several places is judged
//! by each of them.

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// perl(1) with threads, which perl-base does not have.
const THREADS: Need = Need::Program("perl", "perl");

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--inspect reports a mount of the host under another one only if the process may unmount that", NEEDS, |world| {
        let script = "
            findings --bind /etc:/mnt/x
            findings --bind /etc:/mnt/x --tmpfs /mnt
            findings --bind /etc:/mnt --tmpfs /mnt
            findings --bind /etc:/mnt --tmpfs /mnt --capabilities sys_admin
            findings --tmpfs /mnt --bind /etc:/mnt/x";
        // The control: the first line and the last two.
        staged(world, "inspect-covered", script).stdout_is("host-directory\n-\n-\nhost-directory\nhost-directory\n");
    })
    .root_only()
    .host_only(),
    Row::new("--inspect judges every place at which the host shows a directory", NEEDS, |world| {
        let script = "
            mkdir $D/a $D/b $D/homes $D/homes/root; findings --bind /etc:/mnt
            mount --bind /etc $D/a; findings --bind /etc:/mnt; findings --bind $D/a:/mnt
            mount --bind $D/a $D/b; findings --bind $D/b:/mnt:ro
            findings --bind $D/homes:/mnt; mount --bind $D/homes/root /root; findings --bind $D/homes:/mnt";
        let expected = "host-directory\n".repeat(4) + "-\nhost-directory\n";
        staged(world, "inspect-places", script).stdout_is(&expected);
    })
    .root_only()
    .host_only(),
    Row::new("a limit that cannot be read is not reported as no limit", NEEDS, |world| {
        let script = "
            at=$(findmnt -rno TARGET -t cgroup -O memory | head -1); [ -n \"$at\" ] || { at=$D/v1; mkdir $at; mount -t cgroup -o memory none $at; }
            g=$at$(sed -n 's/.*:memory://p' /proc/self/cgroup)/unread-$$; mkdir $g; echo 60M >$g/memory.limit_in_bytes
            sh -c 'echo $$ >'$g'/cgroup.procs; exec sleep 60' & sleep 0.3; pid=$!
            look() { nsenter-rs --inspect $pid --json 2>/dev/null | grep -oE '\"memory.max\":([0-9]+|null|.\"unreadable\")|no-memory-limit|limit-not-readable' | sort -u; cgexec-rs --show $pid 2>&1 | grep -oE '^memory +[^ ]+ +[^ ]+' | tr -s ' ';
                cgexec-rs --why $pid 2>/dev/null | grep -oE '^memory.max +60M|^no limit .*' | tr -s ' '; for view in --list --tree; do cgexec-rs $view 2>&1 >/dev/null | grep -o 'memory controller.*mounted'; done; }
            look | sed 's/memory [0-9].* 60.*/memory 60M/'; echo -
            for at in $(findmnt -rno TARGET -t cgroup -O memory); do umount -l $at; done; look; echo -
            for view in --show --why; do cgexec-rs --json $view $pid | grep -o '\"unreadable\":.\"memory\":\"[^\"]*not mounted'; done
            kill $pid; wait 2>/dev/null; mkdir -p $D/m; mount -t cgroup -o memory none $D/m; rmdir $D/m${g#$at}";
        // The control: the same process while its hierarchy is mounted.
        let expected = "\"memory.max\":62914560\nmemory 60M\nmemory.max 60M\n-\n\"memory.max\":{\"unreadable\"\nlimit-not-readable\nmemory ? ?\nno limit can be seen; unreadable here: memory\n\
                        memory controller: its cgroup v1 hierarchy is not mounted\nmemory controller: its cgroup v1 hierarchy is not mounted\n-\n\
                        \"unreadable\":{\"memory\":\"cannot use the memory controller: its cgroup v1 hierarchy is not mounted\n\
                        \"unreadable\":{\"memory\":\"cannot use the memory controller: its cgroup v1 hierarchy is not mounted\n";
        world.apart("limit-unread", script).run().stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("namespaces of a process that /proc hides, or whose first thread has ended, are not reported as absent", &[BUSYBOX, Need::UserNamespaces, THREADS], |world| {
        let script = "
            kinds() { nsenter-rs --inspect $1 --json 2>$D/err | grep -o '\"namespaces\":{.*' | grep -oE '\"(mnt|uts|ipc|net|pid|user|cgroup|time)\":.\"inode' | sort -u | wc -l; }
            unshare-rs --uts --ipc -- perl -e 'use threads; threads->create(sub { sleep 60 }); syscall(60, 0)' & pid=$!
            while ! grep -q '^State:.Z' /proc/$pid/status; do sleep 0.05; done
            kinds $pid; kinds $$
            readlink /proc/$pid/ns/uts || echo ended; kill -9 $pid; wait 2>/dev/null
            chmod 755 $D; as_user() { setpriv --reuid 4000 --regid 4000 --clear-groups \"$@\"; }
            mount -t proc -o hidepid=2 proc /proc
            as_user bash -c 'nsenter-rs --inspect $$ --json' | grep -o '\"host\":[a-z]*' | sort | uniq -c | tr -s ' '";
        let outcome = world.apart("namespaces-unread", script).variable("TOOLS", world.tools.display().to_string()).run();
        assert_eq!(outcome.stdout, "8\n8\nended\n 8 \"host\":true\n", "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("nsenter-rs says why the kernel refuses a namespace file, and that a working directory was removed", NEEDS, |world| {
        let script = "
            why() { nsenter-rs \"$@\" -- true 2>&1 | sed -n 's/.*remedy: //p' | sed \"s|$D|D|\"; }
            : >$D/plain; why --net=$D/plain; why --net=/proc/self/ns/uts; why --uts=/proc/self/ns/net; why --user=/proc/self/ns/user
            mkdir $D/gone; (cd $D/gone; exec unshare-rs --uts -- sleep 60) & pid=$!; sleep 0.3
            nsenter-rs -t $pid --uts --wd -- true 2>/dev/null; echo $?; rmdir $D/gone
            nsenter-rs -t $pid --uts --wd -- true 2>&1 | grep -o 'it was removed'; kill $pid";
        let expected = "D/plain is not a namespace\n/proc/self/ns/uts is a namespace of another kind: --uts\n\
                        /proc/self/ns/net is a namespace of another kind: --net\n\
                        it is the user namespace that we are in, which the kernel does not let us enter again; leave --user out\n0\nit was removed\n";
        world.apart("setns-why", script).run().stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("cgexec-rs uses no mount of a hierarchy that lies under another one", NEEDS, |world| {
        let script = "
            for at in $(findmnt -rno TARGET -t cgroup,cgroup2 | sort -r); do umount -l $at; done
            mkdir $D/cg $D/two; mount -t cgroup -o pids none $D/cg; g=covered-$$; mkdir $D/cg/$g
            in_root() { cgexec-rs -g pids:/ -- sed -n 's/.*:pids://p' /proc/self/cgroup; }
            in_root
            mount -t cgroup -o pids none $D/two; mount -t tmpfs none $D/two; cgexec-rs -g pids:/$g -- sed -n 's/.*:pids://p' /proc/self/cgroup | sed s/$g/g/
            umount $D/two; umount $D/two; mount --bind $D/cg/$g $D/cg
            in_root | sed s/$g/g/; cgexec-rs -g pids:/$g -- true 2>/dev/null; echo $?
            cgexec-rs --pids 9 -- true 2>&1 | sed 's/.*: it is/it is/' | sed \"s|$D|D|; s/$g/g/\"
            (echo 0 >$D/cg/cgroup.procs; cgexec-rs --pids 9 -- sed -n 's/.*:pids:.*cgexec.*/limited/p' /proc/self/cgroup)
            umount $D/cg; mkdir $D/shut; mount --bind $D/cg $D/two; rmdir $D/cg/$g";
        world.apart("cgexec-covered", script).run().stdout_is("/\n/g\n/g\n125\nit is not below any mount: D/cg shows /g\nlimited\n");
    })
    .root_only()
    .host_only(),
];

/// Runs a script as the first process of a pid namespace, whose mounts then count as the host's. `findings` prints what
/// `--inspect` finds about the directories of a container with these options.
fn staged(world: &World, name: &str, script: &str) -> Outcome {
    let directory = world.directory(name);
    let begin = "
        findings() {
            unshare-rs --mount --pid --ipc --fork --pid-file $D/pid -- chroot-rs --std \"$@\" $ROOT -- sleep 60 2>/dev/null &
            while [ ! -s $D/pid ] || [ \"$(tr -d '\\0' </proc/$(cat $D/pid)/cmdline 2>/dev/null)\" != sleep60 ]; do sleep 0.02; done
            nsenter-rs --inspect $(cat $D/pid) --json | grep -o '\"id\":\"host-directory\"' | sort -u | cut -d'\"' -f4 | grep . || echo -
            kill -9 $(cat $D/pid); wait 2>/dev/null; rm $D/pid
        }";
    std::fs::write(directory.join("script"), format!("D={}\n{begin}\n{script}\n", directory.display()))
        .expect("a file");
    let line = "exec unshare-rs --mount --pid --ipc --fork --mount-proc -- bash $D/script";
    let script = world.script(line).variable("D", directory.display().to_string());
    script.variable("ROOT", world.busybox_root().display().to_string()).run()
}
