//! `doctor`: each finding is provoked, and its command mends it; the control is the same namespace without the finding.

use super::attacks::apart;
use crate::harness::need::{BUSYBOX, IP, JQ, NFT, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[UNSHARE, IP, JQ, NFT, Need::NetworkNamespaces];

/// A host with an uplink, and `d-web`, connected behind NAT. `seen` prints the checks that found something, `mend` runs the
/// commands until nothing is found, with values for the words in capital letters, and prints what is left.
const HOST: &str = r#"mount -t tmpfs none /run; mount -t tmpfs none /etc; echo nameserver 192.0.2.53 >/etc/resolv.conf
    ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up; ip address add 192.0.2.1/24 dev up0
    ip address add 198.51.100.1/32 dev up1; ip route add default via 192.0.2.9 dev up0
    netns-rs add d-web; netns-rs connect d-web --bridge dbox0 --address 10.97.9.2/24 --gateway 10.97.9.1 --nat
    V=$(ip -o link show master dbox0 | sed 's/^[0-9]*: //; s/@.*//'); N='netns-rs exec d-web'
    doctor() { netns-rs doctor --json "${1:-d-web}" 2>/dev/null; }; seen() { doctor "$@" | jq -r '[.findings[].check] | unique | join(" ")'; }
    mend() { for round in 1 2 3; do doctor "$@" | jq -r '.findings[].fix' | sed 's,ADDRESS/PREFIX,10.97.9.2/24,; s/ADDRESS/192.0.2.53/; s/BRIDGE/dbox0/' >fix; . ./fix >/dev/null; done; seen "$@"; }
    "#;

fn host(world: &World, lines: &str) -> Outcome {
    apart(world, &format!("{HOST}\n{lines}"))
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new(
        "doctor finds what is wrong inside and on the host, and the commands that it prints mend it",
        NEEDS,
        |world| {
            let outcome = host(
                world,
                r#"netns-rs doctor d-web; echo $?
                try() { "$@"; echo "$(seen):$(mend)"; }
                try $N ip link set lo down
                try $N ip link set eth0 down
                try ip link set $V down
                try ip link set $V nomaster
                try ip link set dbox0 down
                try $N ip address flush dev eth0
                try $N ip route del default
                ip address del 10.97.9.1/24 dev dbox0; try $N ip neigh replace 10.97.9.1 dev eth0 nud failed
                try $N ip neigh replace 10.97.9.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
                try ip neigh replace 10.97.9.2 lladdr 02:00:00:00:00:98 dev dbox0 nud permanent
                for name in dbox0 up0; do echo 0 >/proc/sys/net/ipv4/conf/$name/forwarding; try true; done
                nft add table ip filter; try nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'
                try nft delete table inet netns-rs
                try ip link set up0 mtu 1400
                echo nameserver 127.0.0.53 >/etc/resolv.conf; try true
                echo nameserver 2001:db8::53 >/etc/netns/d-web/resolv.conf; try true
                touch /run/netns/d-stale; seen d-stale; mend d-stale; ls /run/netns"#,
            );
            let found = [
                "link", "link route", "link", "link", "link", "address", "route", "gateway", "neighbor", "neighbor",
                "forwarding", "forwarding", "policy", "masquerade", "mtu", "dns", "dns",
            ];
            let found: String = found.map(|check| format!("{check}:\n")).concat();
            outcome.stdout_is(&format!("nothing wrong was found\n0\n{found}name\nd-web\n"));
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "no command that doctor prints runs a container's shell with more rights than the container, or gives the host an address that the container chose",
        NEEDS,
        |world| {
            let outcome = host(
                world,
                r#"fixes() { doctor "$@" | jq -r '.findings[] | .check + ": " + .fix'; }
                # The control: a gateway that the bridge lost is one for the host to mend.
                ip address del 10.97.9.1/24 dev dbox0; $N ip neigh replace 10.97.9.1 dev eth0 nud failed; fixes
                ip address add 10.97.9.1/24 dev dbox0
                for own in 192.0.2.9/24:192.0.2.53 203.0.113.9/24:203.0.113.1; do
                    $N ip address flush dev eth0; $N ip address add ${own%:*} dev eth0; $N ip route replace default via ${own#*:}
                    $N ip neigh replace ${own#*:} dev eth0 nud failed; fixes | grep gateway
                done
                ip address flush dev dbox0; fixes | grep gateway
                unshare -m -p -f --mount-proc --kill-child bash -c 'mount -t tmpfs none /etc; echo nameserver 127.0.0.1 >/etc/resolv.conf; exec sleep 86490' & child=$!
                until pid=$(pgrep -x -P $child sleep); do sleep 0.02; done; fixes $pid | grep -c 'dns: nsenter-rs --target [0-9]* --all --like-target -- sh'; kill -9 $child; wait $child 2>/dev/null; true"#,
            );
            outcome.stdout_is(
                "gateway: ip address add 10.97.9.1/24 dev dbox0\n\
                 gateway: netns-rs exec d-web ip route replace default via 10.97.9.1 dev eth0\n\
                 gateway: netns-rs exec d-web ip route replace default via 10.97.9.1 dev eth0\n\
                 gateway: netns-rs exec d-web ip route replace default via GATEWAY dev eth0\n\
                 1\n",
            );
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "doctor quotes hostile names in its commands, keeps to 80 columns, and reads no hostile file to its end",
        NEEDS,
        |world| {
            let outcome = host(
                world,
                r#"I=';touch${IFS}bad'; bash -c "ip link set dev $I up" 2>/dev/null; ls bad; rm bad
                $N ip link set eth0 down; $N ip link set eth0 name "$I"; seen; mend; ls bad 2>&1 | grep -c 'No such file'; netns-rs doctor --json d-web | jq -c .
                netns-rs add d-red; ip link add r0 netns d-red type veth peer name r1 netns d-web; $N ip link set r1 up; $N ip link set lo down; echo >/etc/resolv.conf
                nft delete table inet netns-rs; nft add table ip a-long-name-of-a-table; nft add chain ip a-long-name-of-a-table a-chain-that-drops '{ type filter hook forward priority 0; policy drop; }'
                seen; netns-rs doctor d-web >text 2>/dev/null; echo $?; grep '.\{81\}' text; grep -c '^  fix: ' text; grep -c 'r1 has no carrier' text
                netns-rs exec d-red ip link set r0 up; until ! netns-rs doctor d-web 2>/dev/null | grep -q 'r1 has no carrier'; do sleep 0.02; done; $N ip link del r1
                ip link add d1 type veth peer name eth1 netns d-web; ip link set d1 up; ip address add fd00:97::9/64 dev d1 nodad; $N ip link set eth1 up; $N ip address add fd00:97::9/64 dev eth1
                until $N ip -6 address show dadfailed | grep -q fd00; do sleep 0.02; done; netns-rs doctor d-web 2>/dev/null | grep -A1 '^address'; ip link del d1; netns-rs doctor d-web 2>/dev/null | grep -c '^address'
                echo nameserver 192.0.2.53 >/etc/aim; unshare -n --mount bash -c 'mount -t tmpfs none /etc; echo nameserver 127.0.0.53 >/etc/aim; ln -s /etc/aim /etc/resolv.conf; ip link add x0 type veth peer name x1; touch ready; exec sleep 100' & P=$!
                until [ -e ready ]; do sleep 0.02; done; netns-rs doctor $P | grep -c '^dns: the name server is 127.0.0.53'
                for kind in 'mkfifo' 'ln -s /dev/zero'; do nsenter -t $P -m bash -c "rm /etc/resolv.conf; $kind /etc/resolv.conf"; netns-rs doctor $P 2>&1 | grep -c 'not a regular file'; done; kill $P; wait"#,
            );
            outcome.stdout_is(
                "bad\nlink route\n\n1\n{\"findings\":[],\"unexamined\":[]}\naddress dns link masquerade policy\n1\n6\n1\n\
                 address: another host has fd00:97::9/64 of eth1, too: it is not used\n  fix: netns-rs exec d-web ip address del fd00:97::9/64 dev eth1\n0\n1\n1\n1\n",
            );
        },
    )
    .root_only()
    .host_only(),
    Row::new(
        "doctor and connect name a policy of the old iptables that drops, and the commands that they print mend it",
        &[UNSHARE, IP, JQ, NFT, BUSYBOX, Need::Program("iptables-legacy", "iptables"), Need::NetworkNamespaces],
        |world| {
            let outcome = host(
                world,
                r#"seen; iptables-legacy -t filter -P FORWARD DROP; ip6tables-legacy -t mangle -P FORWARD DROP; ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:97 dev up0
                dropped() { iptables-legacy -Z FORWARD; $N busybox ping -c 1 -W 1 192.0.2.9 >/dev/null; iptables-legacy -nvxL FORWARD | head -1; }; dropped
                netns-rs doctor --json d-web | jq -r '.findings[].fix'; seen; mend; dropped
                netns-rs add d-two; netns-rs connect d-two --bridge dbox0 --address 10.97.9.3/24 --gateway 10.97.9.1 --nat 2>&1 | grep -o 'chain FORWARD of [^,]*'"#,
            );
            let fix = |by| format!("iptables-legacy -t filter -I FORWARD {by} dbox0 -j ACCEPT");
            let warned = "chain FORWARD of the iptables-legacy table filter drops what it does not know\n\
                chain FORWARD of the ip6tables-legacy table mangle drops what it does not know\n";
            outcome.stdout_is(&format!(
                "\nChain FORWARD (policy DROP 1 packets, 84 bytes)\n{} ; {}\npolicy\n\nChain FORWARD (policy DROP 0 packets, 0 bytes)\n{warned}",
                fix("-i"),
                fix("-o")
            ));
        },
    )
    .root_only()
    .host_only(),
];
