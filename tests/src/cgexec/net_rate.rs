//! `--net-rate`: how fast the sockets of a group send, measured by what arrives in another network namespace.

use serde_json::Value;

use crate::harness::need::{BASH, BUSYBOX, IP, Need};
use crate::harness::row::Row;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BASH, BUSYBOX, IP];

/// Sends for `$TIME` hundredths of a second after the first 400 KB, with `$TOOL` before the sender, and prints how much arrived
/// per second.
const SEND: &str = r#"
unshare --net sleep 600 & P=$!
until [ "$(readlink /proc/$P/ns/net)" != "$(readlink /proc/$$/ns/net)" ] && grep -q ^sleep /proc/$P/comm; do sleep 0.02; done
there() { nsenter --net=/proc/$P/ns/net "$@"; }
ip link add rate-a type veth peer name rate-b netns $P || exit 1
ip address add 10.91.7.1/24 dev rate-a; ip link set rate-a up
there ip address add 10.91.7.2/24 dev rate-b; there ip link set rate-b up
[ -z "$FQ" ] || tc qdisc replace dev rate-a root fq || exit 1
# nc ends when its input does, or that of its peer. This pipe never ends.
exec 9<> <(:)
there busybox nc -l -p 7777 <&9 >/dev/null & R=$!
until there grep -q ':1E61 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done
arrived() { there awk '/rate-b:/ { sub(/.*:/, ""); print $1 }' /proc/net/dev; }
# By one program, so that bytes and time are of the same moment.
both() { there awk 'FILENAME ~ "uptime" { time = int($1 * 100) } /rate-b:/ { sub(/.*:/, ""); print $1, time }' /proc/uptime /proc/net/dev; }
$TOOL busybox nc 10.91.7.2 7777 </dev/zero & S=$!
until [ $(arrived) -gt 400000 ]; do sleep 0.02; done
read -r a t <<<"$(both)"; now=$t
until [ $now -ge $((t + TIME)) ]; do sleep 0.1; read -r all now <<<"$(both)"; done
echo $(((all - a) * 100 / (now - t)))
kill $S; wait $S; kill $R $P 2>/dev/null; wait; true
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("sockets of a group send at the rate of --net-rate, and the report counts it", NEEDS, |world| {
        // On the host there may be no fq, and the program drops what comes too early.
        let fq = if world.in_vm { "yes" } else { "" };
        // The control: without a limit.
        let (free, _) = send(world, "", fq);
        assert!(free > 2_000_000, "{free}");
        let (rate, report) = send(world, "cgexec-rs --report=json --net-rate 8mbit --", fq);
        assert!((850_000..=1_150_000).contains(&rate), "{rate} {report}");
        let net = &report["net"];
        assert_eq!(net["rate"], 8_000_000, "{report}");
        assert!(net["limited_usec"].as_u64() >= Some(2_000_000), "{report}");
        assert!(net["sent_bytes"].as_u64() >= Some(3_000_000), "{report}");
        let verdict = report["verdict"]["text"].as_str().expect("a verdict");
        assert!(verdict.starts_with("slowed: net-rate 8mbit of /"), "{verdict}");
    })
    .root_only()
    .host_only(),
    Row::new("with the packet scheduler fq, packets leave at the time that --net-rate gives them", NEEDS, |world| {
        let send = |fq, time| send_for(time, world, "cgexec-rs --report=json --net-rate 8mbit --", fq);
        let (rate, report) = send("yes", "200");
        assert!((700_000..=1_080_000).contains(&rate), "{rate} {report}");
        assert_eq!(report["net"]["dropped_packets"], 0, "{report}");
        // The control: without fq, packets leave too early, and some are lost.
        let (rate, report) = send("", "20");
        assert!(report["net"]["dropped_packets"].as_u64() > Some(0), "{rate} {report}");
    })
    .root_only()
    .vm_only(),
    Row::new("a group inside a group with --net-rate sends no faster", NEEDS, |world| {
        // On v2 the second group is next to the first one, because that has a process.
        let outer = "cgexec-rs --net-rate 8mbit -- cgexec-rs --report=json";
        let (rate, report) = send(world, &format!("{outer} --net-rate 80mbit --pids 9 --"), "");
        assert!(rate <= 1_300_000, "{rate} {report}");
        // The control: the inner limit alone.
        let (rate, report) = send(world, "cgexec-rs --net-rate 80mbit --pids 9 --report=json --", "");
        assert!(rate >= 1_500_000, "{rate} {report}");
    })
    .root_only()
    .host_only(),
];

/// Returns how many bytes arrived per second, and the report.
fn send(world: &World, tool: &str, fq: &str) -> (u64, Value) {
    send_for("300", world, tool, fq)
}

fn send_for(time: &str, world: &World, tool: &str, fq: &str) -> (u64, Value) {
    let script = format!("exec unshare --net bash <<'NET'\n{SEND}\nNET");
    let outcome =
        world.script(&script).variable("TOOL", tool).variable("FQ", fq).variable("TIME", time).run().succeeds();
    let report = outcome.stderr.lines().rfind(|line| line.starts_with('{'));
    let report = report.map_or(Value::Null, |line| serde_json::from_str(line).expect("JSON"));
    let rate = outcome.stdout.trim().parse().unwrap_or_else(|_| panic!("no rate\n{outcome}"));
    (rate, report)
}
