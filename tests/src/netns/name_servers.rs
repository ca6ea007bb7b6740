//! `--dns`: name servers of a container, in a chain and in a pipeline.

use crate::harness::need::{BUSYBOX, IP, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, IP, Need::NetworkNamespaces];

/// Runs a script in network and mount namespaces of its own, where `$D/r` is a root with busybox, and /etc is `$D/e`.
fn staged(world: &World, name: &str, script: &str) -> Outcome {
    let begin = "[ \"$1\" ] || exec unshare --net bash $0 again
        mount -t tmpfs -o mode=755 none /run; cp -a $ROOT $D/r; mkdir -p $D/e/netns/a; cp -a /etc/passwd /etc/group $D/e
        mount --bind $D/e /etc; echo nameserver 198.51.100.1 >/etc/resolv.conf; servers() { grep -v '^#' | tr '\\n' ' '; echo; }";
    world
        .apart(name, &format!("{begin}\n{script}"))
        .variable("ROOT", world.busybox_root().display().to_string())
        .variable("OWN", world.as_root())
        .run()
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--dns stays when the target of a link at /etc/resolv.conf is replaced", NEEDS, |world| {
        let script = r#"
            rm /etc/resolv.conf; ln -s ../run/resolver/stub /etc/resolv.conf; mkdir /run/resolver; echo nameserver 198.51.100.1 >/run/resolver/stub
            echo nameserver 192.0.2.1 >/etc/netns/a/resolv.conf; ip netns add a; mkfifo $D/go $D/gone
            replaced='cat /etc/resolv.conf; echo >$D/go; read x <$D/gone; cat /etc/resolv.conf'; export D
            replace() { read x <$D/go; echo nameserver 198.51.100.2 >/run/resolver/new; mv /run/resolver/new /run/resolver/stub; echo >$D/gone; }
            for tool in 'ip netns exec a' 'netns-rs exec --etc a' 'netns-rs exec --new --dns 192.0.2.1'; do
                replace & $tool bash -c "$replaced" | servers; wait
            done
            grep -c resolv /proc/self/mountinfo; readlink /etc/resolv.conf; cat /etc/resolv.conf; ls /run/resolver"#;
        // The control: the mounts of the first two are on the target, and end with it.
        staged(world, "dns-link", script).succeeds().stderr_is("").stdout_is(
            "nameserver 192.0.2.1 nameserver 198.51.100.2 \nnameserver 192.0.2.1 nameserver 198.51.100.2 \n\
             nameserver 192.0.2.1 nameserver 192.0.2.1 \n0\n../run/resolver/stub\nnameserver 198.51.100.2\nstub\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("--dns reaches the root that chroot-rs --std makes, and nothing of the host", NEEDS, |world| {
        let script = r#"
            mkdir -p /run/systemd/resolve; echo nameserver 198.51.100.3 >/run/systemd/resolve/resolv.conf
            rm -f $D/r/etc/resolv.conf; ln -s /etc/passwd $D/r/etc/resolv.conf; before=$(cat /etc/passwd $D/r/etc/passwd | cksum)
            dns='--dns 127.0.0.1 --dns fd00::1 --dns-search lab.example --dns-search .'
            read="chroot-rs --std $D/r -- /bin/cat /etc/resolv.conf"
            netns-rs exec --new $dns -- unshare-rs --mount --pid --fork -- $read | servers
            hold() { unshare-rs $OWN --hold --ttl 60 --mount --net --pid; }; net="netns-rs connect --pipe --bridge dns0 --address 10.98.0.2/24"
            hold | $net $dns | tee $D/record | chroot-rs --pipe --std $D/r | nsenter-rs --pipe --rm -- /bin/cat /etc/resolv.conf | servers
            grep -o '"dns":{[^}]*}' $D/record
            hold | $net | chroot-rs --pipe --std $D/r | nsenter-rs --pipe --rm -- /bin/cat /etc/resolv.conf | servers
            for bad in '["a\nnameserver 203.0.113.9"]' '["a b"]'; do
                hold | $net $dns | sed 's/"search":\[[^]]*\]/"search":'"${bad//\\/\\\\}/" | chroot-rs --pipe --std $D/r 2>$D/err | wc -l; grep -c 'cannot use the record: its member net.dns' $D/err
            done
            mkdir $D/b; echo '{"ociVersion":"1.2.0","root":{"path":"../r"},"process":{"cwd":"/"}}' >$D/b/config.json
            hold | $net $dns | chroot-rs --pipe --oci $D/b 2>$D/err | nsenter-rs --pipe --rm -- /bin/true; grep -c 'warning: cannot give the container the name servers' $D/err
            hold | $net $dns | nsenter-rs --pipe --rm -- true 2>&1 | grep -c 'warning: cannot use the name servers of the record'
            hold | chroot-rs --pipe --std $D/r | $net $dns 2>&1 | grep -c 'cannot set the name servers: the container has a root already'
            until ! ip -o link | grep -q 'dns0\|veth'; do sleep 0.02; done
            [ "$before" = "$(cat /etc/passwd $D/r/etc/passwd | cksum)" ] && cat /etc/resolv.conf"#;
        let chosen = "search lab.example . nameserver 127.0.0.1 nameserver fd00::1 \n";
        let record = "\"dns\":{\"servers\":[\"127.0.0.1\",\"fd00::1\"],\"search\":[\"lab.example\",\".\"]}\n";
        // The control: without --dns, the container has the host's servers.
        let rest = "nameserver 198.51.100.1 \n0\n1\n0\n1\n1\n1\n1\nnameserver 198.51.100.1\n";
        staged(world, "dns-root", script).succeeds().stdout_is(&format!("{chosen}{chosen}{record}{rest}"));
    })
    .root_only()
    .host_only(),
    Row::new("--dns host leaves out the host's loopback, and asks for a server if nothing remains", NEEDS, |world| {
        let script = r#"
            seen() { printf "$1" >/etc/resolv.conf; netns-rs exec --new --dns host $2 -- cat /etc/resolv.conf 2>$D/err | servers; grep -o 'names .*, and' $D/err; }
            seen 'domain lan\nnameserver 127.0.0.53\n# Z\374rich\nnameserver 198.51.100.1'
            seen 'search a.example b c/d\nnameserver 198.51.100.1\n' '--dns-search lab --dns 192.0.2.9'
            seen 'nameserver 127.0.0.53\nnameserver ::1\n'; seen ''
            mkdir -p /run/systemd/resolve; echo nameserver 198.51.100.3 >/run/systemd/resolve/resolv.conf; seen 'nameserver 127.0.0.53\n'
            rm /etc/resolv.conf; netns-rs exec --new --dns 192.0.2.1 -- true 2>&1 | grep -c 'remedy: /etc/resolv.conf does not exist'
            netns-rs exec --new --dns 1.1.1.1 --dns 1.1.1.2 --dns 1.1.1.3 --dns 1.1.1.4 -- true; netns-rs exec --new --dns 1.1.1.1 --dns-search $'a\nb' -- true; echo $?
            netns-rs connect pid:$$ --bridge dns0 --address 10.98.0.2/24 --dns host; netns-rs exec --dns host a true"#;
        staged(world, "dns-host", script)
            .stdout_is(
                "search lan nameserver 198.51.100.1 \nsearch lab nameserver 198.51.100.1 nameserver 192.0.2.9 \n\
                 \nnames only 127.0.0.53, ::1, and\n\nnames none, and\nnameserver 198.51.100.3 \n1\n125\n",
            )
            .stderr_has("programs use the first 3 name servers only")
            .stderr_has("the files of running commands are not changed")
            .stderr_has("--dns needs --new");
    })
    .root_only()
    .host_only(),
    Row::new("a user's sandbox has the name server that it was given, over one of a sandbox around it", NEEDS, |world| {
        let script = "unshare-rs --map-root-user -- netns-rs exec --new --dns 192.0.2.1 -- netns-rs exec --new --dns 192.0.2.2 -- cat /etc/resolv.conf
            grep -c 192.0.2 /etc/resolv.conf";
        world.sh(script).stdout_is("# chosen with netns-rs --dns\nnameserver 192.0.2.2\n0\n");
    })
    .user_only()
    .host_only(),
];
