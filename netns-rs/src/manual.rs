//! What the manual page says beyond the options. Tests compare the calls with the narration, and run the examples.

use plumbing::command_line::manual::Who::{Anyone, Root};
use plumbing::command_line::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Creates network namespaces, names them, runs commands in them, connects them to a bridge on the \
                  host, and shows their interfaces. Everything that was made on the host for a container is removed \
                  when the container ends.",
    calls: CALLS,
    examples: EXAMPLES,
    see_also: &[
        "ip-netns(8)",
        "network_namespaces(7)",
        "netlink(7)",
        "rtnetlink(7)",
        "veth(4)",
        "nft(8)",
        "unshare-rs(1)",
    ],
};

const CALLS: &[Call] = &[
    call(
        "mount",
        "MS_SHARED",
        "mount_namespaces(7)",
        "So that names in /run/netns appear in other mount namespaces too.",
    ),
    call("openat", "O_CREAT", "open(2)", "The name is a file; O_EXCL fails if the name is in use."),
    call(
        "unshare",
        "CLONE_NEWNET",
        "network_namespaces(7)",
        "A new network namespace: only a loopback interface, which is down.",
    ),
    call("mount", "MS_BIND", "mount(2)", "On the file of the name: it keeps the namespace alive without a process."),
    shared::HIDDEN,
    call(
        "clone3",
        "",
        "clone(2)",
        "With --reach or --publish: a relay, which then has an empty root, no capability and only a few calls.",
    ),
    call("prlimit64", "RLIMIT_NOFILE", "setrlimit(2)", "A relay may need many descriptors."),
    call("unshare", "CLONE_NEWNS", "mount_namespaces(7)", "In the relay: a mount namespace for it alone."),
    call("fsopen", "", "tmpfs(5)", "An empty file system for it."),
    call("fsconfig", "", "fsconfig(2)", "Creates the superblock."),
    call("fsmount", "", "fsmount(2)", "A read-only mount of it, still detached."),
    call("mount", "\"/\"", "mount_namespaces(7)", "Nothing of the next steps propagates to the old mount namespace."),
    call("move_mount", "", "move_mount(2)", "Attaches it, because pivot_root(2) requires that."),
    call("pivot_root", "", "pivot_root(2)", "A process that reaches the relay's mount namespace finds nothing in it."),
    call("umount2", "", "umount2(2)", "Detaches the old root there."),
    call("prctl", "PR_CAPBSET_DROP", "capabilities(7)", "No program could have capabilities again."),
    call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT(2const)", "No capability would be passed on either."),
    call("capset", "", "capabilities(7)", "The relay needs none."),
    call(
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        "PR_SET_NO_NEW_PRIVS(2const)",
        "None can be gained; the filter requires this.",
    ),
    call("seccomp", "", "seccomp(2)", "The relay can only accept, make and join connections of TCP."),
    call("sendto", "RTM_NEWNSID", "rtnetlink(7)", "Assigns an id to a network namespace; the kernel accepts one only."),
    call("setns", "", "setns(2)", "Enters a named network namespace; or, in a guardian, returns to the host's."),
    call(
        "sendto",
        "IFF_UP",
        "rtnetlink(7)",
        "Sets interfaces up, the loopback first; a route needs its link to be up.",
    ),
    call(
        "clone3",
        "",
        "clone(2)",
        "A guardian, before anything is made on the host: it removes everything when the container ends.",
    ),
    call(
        "sendto",
        "RTM_NEWLINK",
        "rtnetlink(7)",
        "The bridge, if it does not exist; then a veth pair, one end of it in the container.",
    ),
    call("sendto", "RTM_SETLINK", "rtnetlink(7)", "Writes the owner of a link and its addresses into its alias."),
    call(
        "write",
        "/proc/sys/net/",
        "ip_sysctl of the kernel's documentation",
        "What is made ignores routers and redirects, before it is up. With --nat, the bridge and the interfaces that \
         routes lead out by forward, unless the host does already.",
    ),
    call(
        "sendto",
        "RTM_NEWADDR",
        "rtnetlink(7)",
        "The gateway's address on the bridge, the container's address on its interface.",
    ),
    call("sendto", "RTM_NEWROUTE", "rtnetlink(7)", "After the address, because a gateway must be reachable."),
    call(
        "sendto",
        "NFT_MSG_NEWTABLE",
        "nft(8)",
        "Which addresses containers may send from, what is masqueraded, and that only answers come in.",
    ),
    call(
        "unshare",
        "CLONE_NEWNS",
        "mount_namespaces(7)",
        "With exec --etc and --dns: the mounts are for the command only.",
    ),
    call("mount", "MS_SLAVE", "mount_namespaces(7)", "Otherwise our mounts would propagate to the host."),
    call(
        "chroot",
        "",
        "chroot(2)",
        "In a chroot, whose / may be no mount: to the root of the mount namespace, and back.",
    ),
    call(
        "mount",
        "sysfs",
        "sysfs(5)",
        "After entering: /sys shows the interfaces of the namespace in which it is mounted.",
    ),
    call("mount", "tmpfs", "tmpfs(5)", "With --dns: a place in memory for a resolv.conf."),
    call("fchmod", "", "chmod(2)", "Every user may read the file, whatever our umask is."),
    call("open_tree", "", "open_tree(2)", "A mount of that file alone."),
    call("move_mount", "", "move_mount(2)", "Over the name /etc/resolv.conf, also if it is a symbolic link."),
    shared::COMMAND,
    call("umount2", "", "umount2(2)", "When a name is deleted: processes in the namespace stay in it."),
    call("unlinkat", "", "unlink(2)", "Then the file of the name is removed."),
];

const EXAMPLES: &[Example] = &[
    example(
        "a network with only a loopback interface",
        Root,
        "$ netns-rs exec --new -- ip -brief link\n\
         lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> \n",
    ),
    example(
        "one port of 127.0.0.1 leads outside, and nothing else",
        Root,
        "$ netns-rs exec --new --reach 127.0.0.1:3128 -- ip route\n",
    ),
    example(
        "connected to a bridge, behind the host's address (NAT)",
        Root,
        "$ netns-rs exec --new --bridge page0 --address 10.97.0.2/24 --gateway 10.97.0.1 --nat -- ip route\n\
         default via 10.97.0.1 dev eth0 \n\
         10.97.0.0/24 dev eth0 …\n",
    ),
    example(
        "a name that stays",
        Root,
        "$ netns-rs add page\n\
         $ netns-rs exec page -- ip -brief address\n\
         lo…\n\
         $ netns-rs delete page\n",
    ),
    example(
        "as with ip netns: names, ids, the namespace of a process",
        Root,
        "$ netns-rs add page; netns-rs set page 7; netns-rs -json list-id | jq -c '.[] | select(.nsid == 7)'\n\
         {\"nsid\":7,\"name\":\"page\"}\n\
         $ netns-rs exec page sh -c 'netns-rs identify $$'\n\
         page\n\
         $ netns-rs delete page\n",
    ),
    example(
        "a container with a network",
        Root,
        "$ unshare-rs --hold --net --pid | netns-rs connect --pipe --bridge page0 --address 10.97.0.3/24 | nsenter-rs --pipe --rm -- ip -brief address show eth0\n\
         eth0…10.97.0.3/24…\n",
    ),
    example(
        "all network namespaces; what a name, an interface, an address or a port means",
        Root,
        "$ netns-rs map --json 2>/dev/null | jq -c 'map(.own) | index(true)'\n\
         0\n\
         $ netns-rs add page; netns-rs who page 2>/dev/null; netns-rs delete page\n\
         page: net:[…], no process; kept by the name page\n",
    ),
    example(
        "traffic and drops of all network namespaces, for a script",
        Root,
        "$ netns-rs top --json --iterations 2 --delay 100ms 2>/dev/null | jq -c '.namespaces | map(.own) | any'\n\
         true\n\
         true\n",
    ),
    example(
        "what a network namespace lacks, and the command that mends it",
        Root,
        "$ netns-rs add page; netns-rs doctor page; netns-rs delete page\n\
         link: lo is down: not even 127.0.0.1 answers\n\
         \x20 fix: netns-rs exec page ip link set dev lo up\n\
         link: there is no interface but the loopback: it is connected to nothing\n\
         \x20 fix: netns-rs connect NAMESPACE --bridge BRIDGE --address auto:SUBNET\n",
    ),
    example(
        "the interfaces of the current network namespace",
        Anyone,
        "$ netns-rs show . --json | jq -r type\nobject\n",
    ),
];
