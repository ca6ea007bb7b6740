//! netns-rs compared with `ip netns` of the installed iproute2, and where it does better.

use super::attacks::apart;
use crate::harness::need::{IP, Need, SETPRIV, UNSHARE};
use crate::harness::row::Row;

/// Lines for a shell. `@` is `ip netns` in one run and `netns-rs` in the other; `@(-x)` is `ip -x netns` and `netns-rs
/// -x`. Before each of them the names a and b exist, a has the id 5, and a process, `$P`, is in it.
const CASES: &[&str] = &[
    "@",
    "@ list",
    "@ show",
    "@ lst",
    "@ s",
    "@ l",
    "@(-json)",
    "@(-j) list",
    "@(--json) list",
    "@(-n a) list",
    "@(-netns b -json) list",
    "@ add c",
    "@ a c",
    "@ add 7",
    "@ add 'c d'",
    "@ add c; @ exec c true",
    "@ add c; @ exec c cat /sys/class/net/lo/operstate /proc/net/dev_mcast | grep -c lo",
    "@ add a",
    "@ add",
    "@ add c/d",
    "@ add .",
    "@ add ..",
    "@ add ''",
    "@ attach c $P; @ exec c readlink /proc/self/ns/net /proc/$P/ns/net | uniq | wc -l",
    "@ attach a $P",
    "@ attach c",
    "@ attach",
    "@ attach c 4194305",
    "@ at c $P; @ pids c | wc -l",
    "@ delete a",
    "@ del a",
    "@ d a; @ d b; @",
    "@ delete c",
    "@ delete",
    "@(-all) delete",
    "@(-a) d",
    "@ set a 6",
    "@ set b 6",
    "@ set b 0; @ list-id",
    "@ set b 5",
    "@ set b auto; @",
    "@ se b 9; @ list-id nsid 9",
    "@ set b -1",
    "@ set b x",
    "@ set b",
    "@ set c 1",
    "@ set",
    "@ identify $P",
    "@ i $P",
    "@ identify",
    "@ identify 4194305",
    "@ identify x",
    "@ identify 1 2",
    "@ pids a | sed s/$P/P/",
    "@ pids b",
    "@ p a | wc -l",
    "@ pids c",
    "@ pids",
    "@ exec a sh -c 'exit 3'",
    "@ exec a readlink /proc/self/ns/net | wc -l",
    "@ e b true",
    "@ exec a /nonexistent",
    "@ exec c true",
    "@ exec a",
    "@ exec",
    "@(-all) exec true",
    "@(-all) exec sh -c 'exit 3'",
    "@(-a) e echo x",
    "@ list-id",
    "@(-j) list-id",
    "@ list- nsid 5",
    "@ list-id nsid 77",
    "@ list-id target-nsid 5",
    "@(-json) list-id target-nsid 5",
    "@ list-id nsid",
    "@ list-id nsid x",
    "@ list-id frobnicate",
    "@(-n b) list-id",
    "@(-n b) set a 3; @(-n b) list-id",
    "@ frobnicate",
    "touch /run/netns/stale; @",
    "touch /run/netns/stale; @ delete stale; @",
    "touch /run/netns/stale; @ exec stale true",
    "touch /run/netns/stale; @ pids stale",
    "ln -s /nonexistent /run/netns/c; @",
    "ln -s /nonexistent /run/netns/c; @ delete c",
    "ln -s c /run/netns/c; @ delete c; @",
    "ln -s /proc/$P/ns/net /run/netns/c; @ exec c true; @ delete c; @",
    "ln -s /proc/$P/ns/net /run/netns/c; @",
    "umount /run/netns/a; @ delete a",
    "@(-o) list",
    "@(-d -s -r) l",
    "@(-br -c=never -iec) list",
    "@(-4) list",
    "@(-f inet6) list-id",
    "@(-rc 4096 -l 3) list",
    "@(-js) list",
    "@(-net a) list-id",
    "@(-al) d; @",
    "@(-t -ts) list-id",
    "@(--) list",
    "@(-x) list",
    "@(-n) list",
    "@(-n nosuch) list",
    "printf 'netns add c # x\\n\\nnetns set c 7\\nnetns list-id\\n' >/run/f; @(-b /run/f); @",
    "printf 'netns add c\\nnetns \\\\\\nadd d\\nnetns list' | @(-batch -)",
    "printf 'netns add a\\nnetns add c\\n' >/run/f; @(-b /run/f); @",
    "printf 'netns add a\\nnetns add c\\n' >/run/f; @(-force -b /run/f); @",
    "printf 'netns add a\\nnetns add c\\n' >/run/f; @(-b /run/f -fo); @",
    "printf 'netns exec a sh -c \"exit 3\"\\nnetns add c\\n' >/run/f; @(-b /run/f); @",
    "printf 'netns exec a echo \"x  y\" z\\nnetns exec a sh -c \\'kill -9 $$\\'\\nnetns add c\\n' >/run/f; @(-b /run/f); @",
    "printf 'netns list\\n' >/run/f; @(-j -b /run/f)",
    "printf 'netns exec b readlink /proc/self/ns/net\\nnetns exec a readlink /proc/self/ns/net\\n' >/run/f; @(-b /run/f) | uniq | wc -l",
    "printf 'netns list-id\\n' >/run/f; @(-n b -b /run/f)",
    "@(-b /run/nosuch)",
    "@(-b)",
];

const _: () = assert!(CASES.len() >= 50);

/// Runs each case of `$CASES` with both tools, and prints where they differ. A failure of the tools themselves has
/// other numbers (`ip`: 1, 2, 255).
const COMPARE: &str = r#"
one() {
    mount -t tmpfs none /run
    ip netns add a; ip netns add b; ip netns set a 5
    ip netns exec a sleep 100 & P=$!
    until [ /proc/$P/exe -ef "$(command -v sleep)" ]; do sleep 0.01; done
    ( eval "$1" ) 2>/dev/null
    case $? in 0) ;; 3) echo ended with 3;; *) echo failed;; esac
    kill $P; wait $P 2>/dev/null
    echo "left:" $(ls /run/netns) $(grep -c ' /run/netns/' /proc/self/mountinfo)
}
export -f one
# Ids are those of the network namespace that looks: with one for each run, none is left from the last.
run() { unshare -n -m bash -c 'one "$1"' - "$(sed -E "s/@\(([^)]*)\)/$1/g; s/@/$2/g" <<<"$line")" 2>&1; }
compare() {
    peer=$(run 'ip \1 netns' 'ip netns'); ours=$(run 'netns-rs \1' netns-rs)
    [ "$peer" = "$ours" ] || printf '%s\n  peer: %s\n  ours: %s\n' "$line" "${peer//$'\n'/ | }" "${ours//$'\n'/ | }"
}
count=0
while IFS= read -r line; do
    compare & [ $((++count % 8)) -gt 0 ] || wait
done <<<"$CASES"
wait
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("netns-rs does what ip netns does", &[UNSHARE, IP, Need::NetworkNamespaces], |world| {
        let cases: Vec<_> = CASES.iter().copied().filter(|case| world.chooses(case)).collect();
        let script = format!("CASES=$(cat <<'E'\n{}\nE\n)\n{COMPARE}", cases.join("\n"));
        apart(world, &script).succeeds().stdout_is("").stderr_is("");
    })
    .root_only()
    .host_only(),
    Row::new(
        "deleting a name that is a link leaves alone what the link leads to",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; mkdir /run/engine; touch /run/engine/x; unshare -n mount --bind /proc/self/ns/net /run/engine/x
                ip netns add a; ln -s /run/engine/x /run/netns/web; ln -s loop /run/netns/loop; ln -s /none /run/netns/gone
                netns-rs list 2>/dev/null | sort; netns-rs exec web ls /sys/class/net >/dev/null && echo entered
                for name in web loop gone; do netns-rs delete $name || echo no; done
                ls /run/netns; grep -c /run/engine/x /proc/self/mountinfo
                ln -s /run/engine/x /run/netns/web; umount -l /run/netns/web; grep -c /run/engine/x /proc/self/mountinfo",
            );
            // The control: without UMOUNT_NOFOLLOW, the engine's mount is gone.
            outcome.stdout_is("a\ngone\nloop\nweb\nentered\na\n1\n0\n").stderr_is("");
        },
    )
    .root_only(),
    Row::new(
        "a name that is a link is not followed through the root of a process, whose user mounts over directories of root",
        &[UNSHARE, IP, SETPRIV, Need::NetworkNamespaces, Need::UserNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; mkdir /run/netns; : >/run/netns/y; unshare -n sleep 100 & O=$!
                setpriv --reuid 54321 --regid 54321 --clear-groups unshare -U -r -m -n sh -c 'mount --bind /proc/self/ns/net /run/netns/y; exec sleep 100' & P=$!
                until [ \"$(cat /proc/$P/comm)\" = sleep ] && [ ! /proc/$O/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done
                ln -s /proc/$P/root/run/netns/y /run/netns/foreign; mount --bind /proc/$O/ns/net /run/netns/y; ln -s /proc/$O/root/run/netns/y /run/netns/own
                for name in foreign own; do
                    echo $name $(ip netns exec $name readlink /proc/self/ns/net | grep -c .) $(netns-rs exec $name echo entered 2>/dev/null || echo $?); done
                netns-rs exec foreign true; kill $P $O",
            );
            // Also not where it is ours: the process can change that after a look. The control: ip follows both.
            outcome.stdout_is("foreign 1 125\nown 1 125\n").stderr_has("netns-rs: cannot follow the link foreign: user 54321 can change where it leads, at /proc/");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a name that is a link is not followed if another user can change where it leads",
        &[UNSHARE, IP, SETPRIV, Need::NetworkNamespaces],
        |world| {
            // The user's link is replaced after root has made the one that leads through it.
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; mkdir /run/user /run/ours; mkdir -m 1777 /run/tmp; chown 54321 /run/user
                unshare -n sleep 100 & P=$!; until [ ! /proc/$P/ns/net -ef /proc/self/ns/net ]; do sleep 0.02; done; ip netns add a; ip netns attach own $$
                user() { setpriv --reuid 54321 --regid 54321 --clear-groups \"$@\"; }
                user ln -s /run/netns/a /run/user/x; user ln -s /run/netns/own /run/tmp/x; ln -s /proc/$P/ns/net /run/tmp/ours
                ln -s /run/user/x /run/netns/dir; ln -s /run/tmp/x /run/netns/sticky; ln -s ../tmp/ours /run/netns/ours; ln -s /run/ours/../netns/ours /run/netns/twice
                user ln -sfn /run/netns/own /run/user/x
                for name in dir sticky ours twice; do
                    echo $name $(ip netns exec $name readlink /proc/self/ns/net | grep -c .) $(netns-rs exec $name echo entered 2>/dev/null || echo $?) \
                        $(netns-rs pids $name 2>/dev/null | grep -c .) $(nsenter-rs -t netns:$name -n -- echo entered 2>/dev/null || echo $?); done
                netns-rs connect dir --bridge box0 --address 10.97.9.2/24; netns-rs list 2>/dev/null | sort | tr '\\n' ' '; netns-rs identify $$
                netns-rs delete dir; netns-rs delete sticky; ls /run/user /run/tmp; kill $P",
            );
            // The control: ip follows all of them.
            let expected = "dir 1 125 0 125\nsticky 1 125 0 125\nours 1 entered 1 entered\ntwice 1 entered 1 entered\n\
                a dir ours own sticky twice own\n/run/tmp:\nours\nx\n\n/run/user:\nx\n";
            outcome.stdout_is(expected).stderr_is(
                "netns-rs: cannot follow the link dir: user 54321 can change where it leads, at /run/user\n\
                 netns-rs: remedy: attach the name to a process instead: netns-rs attach dir PID\n",
            );
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "netns-rs reports in JSON, marks stale names, and prints each event at once",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; ip netns add a; ip netns attach b $$; ip netns attach c $$; touch /run/netns/stale
                netns-rs -json list | sed 's/,/\\n/g' | grep -c stale; netns-rs list 2>&1 >/dev/null
                netns-rs identify $$ | sort; netns-rs -json identify $$ | grep -o name | wc -l
                netns-rs pids b | grep -cx $$; netns-rs pids --json b | grep -c \"{\\\"pid\\\":$$}\"
                mkfifo events; netns-rs monitor >events & M=$!; exec 7<events
                until [ -n \"$(ls -l /proc/$M/fd 2>/dev/null | grep inotify)\" ]; do sleep 0.02; done
                netns-rs add d; read -r event <&7; echo $event; netns-rs delete d; read -r event <&7; echo $event; kill $M; wait $M
                netns-rs monitor --json >events & M=$!; exec 7<events
                until [ -n \"$(ls -l /proc/$M/fd 2>/dev/null | grep inotify)\" ]; do sleep 0.02; done
                netns-rs add d; read -r event <&7; echo $event; kill $M; wait $M 2>/dev/null",
            );
            let said = "netns-rs: stale is stale: no network namespace is mounted on it\n";
            let expected = format!("2\n{said}b\nc\n2\n1\n1\nadd d\ndelete d\n{}\n", "{\"event\":\"add\",\"name\":\"d\"}");
            outcome.stdout_is(&expected);
        },
    )
    .root_only(),
    Row::new(
        "netns-rs -batch names the line that failed, and with --dry-run changes nothing",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let script = "mount -t tmpfs none /run; printf 'netns add a\\n\\nnetns \\\\\\nadd a\\nadd b\\n' >f
                netns-rs -b f --dry-run; echo $? $(ls /run); netns-rs -b f; echo $? $(ls /run/netns); netns-rs -b f -force; echo $? $(ls /run/netns)
                mkfifo fifo; netns-rs -b fifo; echo $?";
            apart(world, script)
                .stdout_is("0\n125 a\n125 a b\n125\n")
                .stderr_has("netns-rs: cannot run line 4 of f: it ended with status 125\n")
                .stderr_has("netns-rs: warning: cannot run line 1 of f: it ended with status 125\n")
                .stderr_has("netns-rs: cannot run 2 lines of f\n")
                .stderr_has("cannot read fifo: it is a FIFO");
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "a name with a namespace of another kind is listed as stale, and the error says of which kind it is",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let script = "mount -t tmpfs none /run; ip netns add net; touch /run/netns/uts; mount --bind /proc/self/ns/uts /run/netns/uts
                netns-rs list --json; for name in net uts; do
                    for line in 'netns-rs exec NAME -- true' 'netns-rs show NAME' 'netns-rs pids NAME' 'nsenter-rs -t netns:NAME --net -- true'; do
                        ${line//NAME/$name} >/dev/null 2>err && ! grep -q stale err && echo works || echo refused; done; done
                netns-rs exec uts -- true; netns-rs delete uts; ls /run/netns";
            let outcome = apart(world, script);
            // The control: the first four lines, of a network namespace.
            let named = "[{\"name\":\"uts\",\"stale\":true},{\"name\":\"net\"}]\n".to_owned();
            outcome.stdout_is(&(named + &"works\n".repeat(4) + &"refused\n".repeat(4) + "net\n")).stderr_has(
                "netns-rs: cannot open the network namespace uts: a namespace of another kind is mounted on it (uts)\n\
                 netns-rs: remedy: nsenter-rs --uts=/run/netns/uts enters it\n",
            );
        },
    )
    .root_only(),
    Row::new(
        "exec --etc mounts what ip netns exec mounts, and exec alone mounts nothing",
        &[UNSHARE, IP, Need::NetworkNamespaces],
        |world| {
            let outcome = apart(
                world,
                "mount -t tmpfs none /run; mkdir -p etc/netns/a; cp -r /etc/passwd etc/; echo inside >etc/netns/a/hosts; echo lost >etc/netns/a/none
                echo outside >etc/hosts; mount --bind etc /etc; ip netns add a; ip -n a link add only type bridge
                look='cat /etc/hosts; ls /sys/class/net | grep -c only'
                ip netns exec a sh -c \"$look\" 2>/dev/null; netns-rs exec --etc a sh -c \"$look\" 2>/dev/null; netns-rs exec a sh -c \"$look\"
                netns-rs exec --etc a true 2>&1 | grep -c 'netns-rs: .*none'; cat /etc/hosts",
            );
            outcome.succeeds().stdout_is("inside\n1\ninside\n1\noutside\n0\n1\noutside\n");
        },
    )
    .root_only(),
];
