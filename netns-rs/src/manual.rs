//! What the manual page says beyond the options. Tests hold the calls against the narration, and run the examples.

use plumbing::manual::Who::{Anyone, Root};
use plumbing::manual::{Call, Example, Manual, call, example, shared};

/// The page.
pub const MANUAL: Manual = Manual {
    description: "Makes network namespaces, names them, runs commands in them, connects them to a bridge on the host, and \
                  shows what is in them. What was made for a container on the host goes with the container.",
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
        "Names that are given in /run/netns reach other mount namespaces, too.",
    ),
    call("openat", "O_CREAT", "open(2)", "The name is a file, and O_EXCL finds one that is taken."),
    call(
        "unshare",
        "CLONE_NEWNET",
        "network_namespaces(7)",
        "A network of its own: nothing in it but a loopback that is down.",
    ),
    call("mount", "MS_BIND", "mount(2)", "On the file of that name: it keeps the namespace without a process."),
    call("setns", "", "setns(2)", "Into a named network; or, in a guardian, back to that of the host."),
    call("sendto", "IFF_UP", "rtnetlink(7)", "Up, the loopback first; a route wants its link up."),
    call(
        "clone3",
        "",
        "clone(2)",
        "A guardian, before anything is made on the host: it removes that when the container ends.",
    ),
    call(
        "sendto",
        "RTM_NEWLINK",
        "rtnetlink(7)",
        "The bridge, where it is missing; then a pair of cable ends, one of them made in the container.",
    ),
    call("sendto", "RTM_SETLINK", "rtnetlink(7)", "Whose a link is, and which addresses are taken, in its alias."),
    call(
        "write",
        "/proc/sys/net/",
        "ip_sysctl of the kernel's documentation",
        "What is made ignores routers and redirects, before it is up. With --nat, the bridge and the interfaces that routes \
         lead out by forward, unless the host does already.",
    ),
    call("sendto", "RTM_NEWADDR", "rtnetlink(7)", "The gateway's address on the bridge, the container's on its end."),
    call("sendto", "RTM_NEWROUTE", "rtnetlink(7)", "After the address: a gateway has to be in reach."),
    call(
        "sendto",
        "NFT_MSG_NEWTABLE",
        "nft(8)",
        "Who may send under which address, what is masqueraded, and that only answers come in.",
    ),
    shared::COMMAND,
    call("umount2", "", "umount2(2)", "When a name is deleted: whoever is in the namespace stays there."),
    call("unlink", "", "unlink(2)", "Then the file of the name goes."),
];

const EXAMPLES: &[Example] = &[
    example(
        "a network with loopback and nothing else",
        Root,
        "$ netns-rs exec --new -- ip -brief link\n\
         lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> \n",
    ),
    example(
        "connected to a bridge, behind the host's address",
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
        "a container with a network",
        Root,
        "$ unshare-rs --hold --net --pid | netns-rs connect --pipe --bridge page0 --address 10.97.0.3/24 | nsenter-rs --pipe --rm -- ip -brief address show eth0\n\
         eth0…10.97.0.3/24…\n",
    ),
    example("what is in our own network", Anyone, "$ netns-rs show --json | jq -r type\nobject\n"),
];
