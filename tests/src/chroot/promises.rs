//! What `--std` promises has its place in any image, or is a line on stderr, with the reason and the remedy; `--strict`
//! makes it an error. The host's files are bytes of other people.

use crate::harness::need::{BUSYBOX, IP, Need, PERL};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the host's resolv.conf is there in every image, whatever the image has under that name", NEEDS, |world| {
        // The control: behind the link, the image has no such file.
        let script = "
            printf 'nameserver 192.0.2.7\\n# Z\\374rich' >$D/host; mount --bind $D/host /etc/resolv.conf
            try() { in_r cat /etc/resolv.conf 2>$D/err | cmp - $D/host && wc -l <$D/err; }
            for to in ../run/systemd/resolve/stub-resolv.conf /none/a /run/x resolv.conf /proc/self/mounts ../../../../../../etc/shadow; do
                rm -f $D/r/etc/resolv.conf; ln -s $to $D/r/etc/resolv.conf; try; readlink $D/r/etc/resolv.conf | grep -c .
            done
            chroot-rs $D/r cat /etc/resolv.conf 2>/dev/null | grep -c 192.0.2.7
            rm $D/r/etc/resolv.conf; try
            rm -r $D/r/etc; ln -s usr/e $D/r/etc; mkdir $D/r/usr/e; try
            rm $D/r/etc; try";
        staged(world, "resolv-conf", script).succeeds().stdout_is(&("0\n1\n".repeat(6) + "0\n0\n0\n0\n"));
    })
    .root_only()
    .host_only(),
    Row::new("odd bytes in the host's files change nothing but what they concern", NEEDS, |world| {
        let script = "
            mount --bind $D/host /etc/resolv.conf
            for text in 'nameserver 192.0.2.7\\n#\\374\\n' '#\\000\\nnameserver 192.0.2.7' 'nameserver 192.0.2.7\\r\\n' '' 'nameserver 127.0.0.53 \\377\\n'; do
                printf \"$text\" >$D/host; in_r cat /etc/resolv.conf | cmp - $D/host && echo same
            done
            printf 'bj\\366rn:x:7:7:\\377\\000:/:/bin/sh\\nweb:x:900:901::/h\\366m:/bin/sh\\r\\n' >$D/r/etc/passwd; printf 'a\\374:x:5:\\nlog:x:30:mail,web\\r\\n' >$D/r/etc/group
            MORE=\"--user web\" in_r sh -c 'id -u; id -g; id -G; echo $HOME' 2>/dev/null | od -An -c | tr -d ' \\n'; echo
            umount /etc/resolv.conf; mkdir $D/e; cp -a /etc/passwd /etc/group $D/e; mount --bind $D/e /etc
            for odd in 'mkfifo $F' 'mknod $F c 1 5' 'mkdir $F' 'ln -s none $F' 'truncate -s 5M $F'; do
                F=$D/e/resolv.conf; rm -rf $F; eval \"$odd\"
                in_r cat /etc/resolv.conf 2>&1 | sed 's/^chroot-rs: \\(warning:\\) cannot read .etc.resolv.conf: /\\1 /'
                MORE=--strict in_r true 2>/dev/null; echo $?
            done";
        let outcome = staged(world, "odd-bytes", script);
        let expected = "same\n".repeat(5)
            + "900\\n901\\n90130\\n/h366m\\n\n"
            + "warning: it is not a regular file; continuing without it\n125\n".repeat(3).as_str()
            + "warning: it is a symbolic link to a file that does not exist; continuing without it\n125\n"
            + "warning: it is longer than 4194304 bytes; continuing without it\n125\n";
        assert_eq!(outcome.stdout, expected, "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("/tmp and /run are in memory behind a link too, or a warning says why not", NEEDS, |world| {
        // The control: a plain chroot leaves the file in the root.
        let script = "
            try() { in_r sh -c 'echo x >/tmp/left; echo y >/run/left' 2>$D/err; MORE=--strict in_r true 2>/dev/null; echo $? $(find $D/r -name left | wc -l) $(sed -n 's/; continuing.*//; s/.*warning: cannot mount a new //p' $D/err); find $D/r -name left -delete; }
            link() { rm -rf $D/r/tmp; ln -s $1 $D/r/tmp; }
            try
            mkdir -p $D/r/var/tmp; link var/tmp; try; link /var/tmp; try; link ../../var/tmp; try
            rm -rf $D/r/run; mkdir $D/r/var/run; ln -s var/run $D/r/run; try
            link none; try; link tmp; try; link etc/passwd; try; link etc/passwd/x; try; link /; try
            rm $D/r/tmp; echo >$D/r/tmp; try
            rm $D/r/run; mkdir -p $D/r/run/in
            for to in dev/shm proc run/in run; do link $to; try; done; in_r stat -L -c '%a %n' /tmp
            rm -r $D/r/tmp $D/r/run; mkdir $D/r/tmp; ln -s tmp $D/r/run; try; in_r stat -L -c '%a %n' /tmp
            chroot-rs $D/r sh -c 'echo x >/tmp/left'; find $D/r -name left | wc -l";
        let outcome = staged(world, "tmp-links", script);
        let expected = "0 0\n".repeat(5)
            + "125 0 /tmp: it is a link to something that does not exist in this root\n\
               125 0 /tmp: it is a link that leads back to itself\n\
               125 0 /tmp: it is not a directory in this root\n\
               125 0 /tmp: it leads through a file in this root\n\
               125 1 /tmp: it is a link to the top directory of this root\n"
            + "125 0 /tmp: it is not a directory in this root\n\
               0 0\n125 0 /tmp: it is a link to a directory that the kernel's own file system covers\n\
               125 0 /tmp: it is a link to something that does not exist in this root\n\
               0 0\n1777 /tmp\n0 0\n1777 /tmp\n1\n";
        assert_eq!(outcome.stdout, expected, "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("a promise that a user may not keep in root's image is one line, with the remedy", NEEDS, |world| {
        let script = "
            chmod 755 $D; rm $D/r/etc/resolv.conf $D/r/etc/hosts
            user() { setpriv --reuid 4000 --regid 4000 --clear-groups unshare-rs --map-root-user --mount --pid --fork \"$@\"; }
            user --ipc --uts -- chroot-rs --std $D/r -- true 2>&1 | sed 's/: mknod.*remedy/: remedy/'
            user --ipc --uts -- chroot-rs --std --strict $D/r -- true 2>/dev/null; echo $?
            touch $D/r/etc/resolv.conf $D/r/etc/hosts; user --ipc -- chroot-rs --std --strict $D/r -- true; echo $?
            user -- chroot-rs --std $D/r -- true 2>&1 | grep -c 'warning: cannot mount mqueue on /dev/mqueue: .*remedy: .*--ipc'
            user -- chroot-rs --std --strict $D/r -- true 2>/dev/null; echo $?";
        let outcome = staged(world, "users-promise", script);
        let line = |name: &str| {
            format!(
                "chroot-rs: warning: cannot give the command its own /etc/{name}: cannot make /etc/{name} inside the root: \
                 remedy: /etc is not writable for us; let its owner make the mount point\n"
            )
        };
        assert_eq!(outcome.stdout, line("hosts") + &line("resolv.conf") + "125\n0\n1\n125\n", "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("the words exec, suid, dev and rw of --bind lift what the source's own mount has", NEEDS, |world| {
        let script = "
            mkdir $D/s; mount -t tmpfs -o noexec,nosuid,nodev none $D/s; printf '#!/bin/sh\\necho runs\\n' >$D/s/run; chmod 755 $D/s/run; mknod $D/s/null c 1 3
            try() { unshare-rs --mount -- chroot-rs --bind $D/s:/srv$1 $D/r sh -c \"$2\" 2>/dev/null || echo refused; }
            try '' /srv/run; try :exec /srv/run; try :noexec,exec /srv/run; try :exec,noexec /srv/run
            try '' 'echo x >/srv/null'; try :dev 'echo x >/srv/null && echo written'
            mount -o remount,bind,ro $D/s; try '' 'echo >/srv/new'; try :rw 'echo >/srv/new && echo written'; try :rw,ro 'echo >/srv/new'
            mount -o remount,ro $D/s; unshare-rs --mount -- chroot-rs --bind $D/s:/srv:rw $D/r true 2>&1 | grep -c 'warning: cannot bind .* for writing: the file system is mounted read-only; .*remedy'
            unshare-rs --mount -- chroot-rs --bind $D/s:/srv $D/r true; mount -o remount,rw $D/s
            try :suid 'grep \" /srv \" /proc/self/mountinfo; true' >/dev/null
            unshare-rs --mount -- chroot-rs --proc /proc --bind $D/s:/srv:suid $D/r grep ' /srv ' /proc/self/mountinfo | grep -c nosuid";
        // The control: the lines without a word, and those where a later word overrides it.
        let expected = "refused\nruns\nruns\nrefused\nrefused\nwritten\nrefused\nwritten\nrefused\n1\n0\n";
        staged(world, "bind-words", script).stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("a refused change of groups is explained by the caller's /proc, whatever the new root has", NEEDS, |world| {
        let script = "
            for root in empty false; do
                rm -rf $D/r/proc; mkdir -p $D/r/proc/self; [ $root = empty ] || echo allow >$D/r/proc/self/setgroups
                unshare-rs -r -- chroot-rs --groups 5 $D/r /bin/id 2>&1 | grep -c 'remedy: /proc/self/setgroups is \"deny\" here'
            done";
        staged(world, "groups-remedy", script).stdout_is("1\n1\n");
    })
    .root_only()
    .host_only(),
    Row::new("servers that the container's network cannot reach are replaced by those of systemd-resolved, or a warning names them", &[BUSYBOX, IP, PERL, Need::NetworkNamespaces], |world| {
        let script = r#"
            mount --bind $D/host /etc/resolv.conf; mount -t tmpfs -o mode=755 none /run; ip link set lo up
            printf 'search lan\nnameserver 127.0.0.53\noptions edns0\n' >$D/host
            seen() { in_r grep '^nameserver' /etc/resolv.conf 2>$D/err | tr -d '\r'; grep -c 'warning: cannot give the container a name server: /etc/resolv.conf names only '"$1"', and' $D/err; }
            seen 127.0.0.53; MORE=--strict in_r true 2>/dev/null; echo $?
            unshare-rs $OWN --hold --ttl 60 --mount --net | chroot-rs --pipe --std $D/r 2>$D/err | nsenter-rs --pipe --rm -- /bin/grep -c 127.0.0.53 /etc/resolv.conf; grep -c 'names only 127.0.0.53' $D/err
            printf 'nameserver ::1\nnameserver\t127.0.0.1\r\n' >$D/host; seen '::1, 127.0.0.1'
            printf 'nameserver 127.0.0.53\nnameserver 192.0.2.9\n' >$D/host; seen x
            printf '# no server\n' >$D/host; seen x
            printf 'nameserver fe80::1%%eth9\nnameserver 192.0.2.9\n' >$D/host; seen x; printf 'nameserver fe80::1%%lo\n' >$D/host; seen x
            printf 'nameserver 0.0.0.0\nnameserver ::ffff:127.0.0.53\n' >$D/host; seen '0.0.0.0, ::ffff:127.0.0.53'
            printf 'nameserver 127.1\n nameserver 192.0.2.9\n' >$D/host; seen 127.0.0.1
            (head -c 300000 /dev/zero | tr '\\0' '#'; printf '\nnameserver 192.0.2.9\n') >$D/host; seen x
            printf 'nameserver 127.0.0.53\n' >$D/host; mkdir -p /run/systemd/resolve; printf 'nameserver 192.0.2.7\nnameserver 127.0.0.1\n' >/run/systemd/resolve/resolv.conf; seen x
            printf 'nameserver 127.0.0.1\n' >/run/systemd/resolve/resolv.conf; seen 127.0.0.53
            perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.53", LocalPort => 53) or die; print "bound\n"; close STDOUT; sleep 60' >$D/bound & server=$!
            until [ -s $D/bound ]; do sleep 0.02; done; seen 127.0.0.53; MORE=--strict in_r true; echo $?; kill $server; wait"#;
        // The control: the last lines, with a server in the same network.
        let expected = "nameserver 127.0.0.53\n1\n125\n1\n1\nnameserver ::1\nnameserver\t127.0.0.1\n1\nnameserver 192.0.2.9\n0\n0\n\
                        nameserver 192.0.2.9\n0\nnameserver fe80::1%lo\n0\nnameserver 0.0.0.0\nnameserver ::ffff:127.0.0.53\n1\n\
                        nameserver 127.1\n1\nnameserver 192.0.2.9\n0\n\
                        nameserver 192.0.2.7\n0\nnameserver 127.0.0.53\n1\nnameserver 127.0.0.53\n0\n0\n";
        let inside = format!("[ \"$1\" ] || exec unshare --net bash $0 again\n{BEGIN}\n{script}");
        world
            .apart("name-servers", &inside)
            .variable("ROOT", world.busybox_root().display().to_string())
            .variable("OWN", world.as_root())
            .run()
            .stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("an own cgroup with a name that is not UTF-8 is shown like any other", NEEDS, |world| {
        let script = "
            mkdir $D/cg; own=$(sed -n 's/.*:pids://p' /proc/self/cgroup)
            mount -t cgroup -o pids none $D/cg 2>/dev/null || { mount -t cgroup2 none $D/cg; own=$(sed -n 's/^0:://p' /proc/self/cgroup); }
            odd=$D/cg$own/$(printf 'odd\\374')$$; mkdir \"$odd\" || exit; echo $$ >\"$odd/cgroup.procs\"
            for line in '--std' '--std --pivot' '--proc /proc'; do chroot-rs $line $D/r -- cat /proc/self/cgroup | grep -c $(printf 'odd\\374'); done
            echo $$ >$odd/../cgroup.procs; rmdir \"$odd\"";
        staged(world, "odd-cgroup", script).succeeds().stdout_is("1\n1\n1\n");
    })
    .root_only()
    .host_only(),
];

const BEGIN: &str = "chmod 700 $D; cp -a $ROOT $D/r; : >$D/host; in_r() { unshare-rs $OWN --mount --pid --ipc --uts --fork -- chroot-rs --std $MORE $D/r -- \"$@\"; }";

/// Runs a script in a mount namespace of its own, where `$D/r` is a root with busybox and `in_r` runs a command in it.
fn staged(world: &World, name: &str, script: &str) -> Outcome {
    world
        .apart(name, &format!("{BEGIN}\n{script}"))
        .variable("ROOT", world.busybox_root().display().to_string())
        .variable("OWN", world.as_root())
        .run()
}
