//! What is shown of a container that `--hold` made: the command that runs in it is inspected, because its init is
//! confined in another way and is not in its cgroup.

use serde_json::Value;

use crate::harness::held::Held;
use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::nsenter::inspect::dangers;

const NEEDS: &[Need] = &[
    Need::Program("busybox", "busybox-static"),
    Need::Program("jq", "jq"),
    Need::UserNamespaces,
    Need::NetworkNamespaces,
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "the container of the README's pipe is shown by its command, and by its init only while there is no command",
    NEEDS,
    |world| {
        let held = Held::new(world, "inspect-pipe");
        let before: Value =
            serde_json::from_str(&world.sh("nsenter-rs --inspect inspect-pipe --json").succeeds().stdout)
                .expect("a record");
        assert_eq!(before["isolation"]["pid"], held.pid, "{before}");
        assert_eq!(before["isolation"]["confinement"]["seccomp"], "filter", "{before}");
        assert_eq!(before["isolation"]["capabilities"]["effective"]["names"][0], "CAP_SYS_ADMIN", "{before}");
        world
            .sh("nsenter-rs --inspect inspect-pipe")
            .succeeds()
            .stdout_has("command                   none found: this is the init of a hold");
        let limit = if world.is_root { "cgexec-rs --pipe --memory 64M |" } else { "" };
        let looks = "nsenter-rs --inspect inspect-pipe --json; nsenter-rs --find inspect-pipe --json | nsenter-rs --pipe --inspect; \
             nsenter-rs --find inspect-pipe --json | cgexec-rs --pipe --show; \
             nsenter-rs --list --containers --type hold --json | jq -c 'select(.name == \"inspect-pipe\")'; \
             nsenter-rs --diff inspect-pipe host --json | jq -c '{init:.a.init,whats:[.differences[].what]}'";
        let root = world.busybox_root().display();
        let script = format!(
            "{{ {limit} chroot-rs --pipe --std {root} | \
             nsenter-rs --pipe --rm -- sh -c 'while ! [ -e /tmp/end ]; do sleep 0.1; done'; }} <&0 & \
             until nsenter-rs --find inspect-pipe --json | nsenter-rs --pipe --inspect | jq -e '.isolation.pid != .init.pid'; \
             do sleep 0.05; done >/dev/null; {looks}; nsenter-rs --target inspect-pipe -a --root -- /bin/touch /tmp/end; wait"
        );
        let outcome = world.script(&script).stdin(held.record.clone()).run().succeeds();
        let records: Vec<Value> =
            outcome.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [inspected, piped, shown, listed, differences] = &records[..] else { panic!("{outcome}") };
        for record in [inspected, piped] {
            assert_eq!(record["init"]["pid"], held.pid, "{record}");
            assert_ne!(record["isolation"]["pid"], held.pid, "{record}");
            assert_eq!(record["isolation"]["confinement"]["seccomp"], "filter", "{record}");
            assert!(dangers(&record["isolation"]).is_empty(), "{record}");
        }
        assert!(differences["whats"].as_array().expect("a list").contains(&"confinement.seccomp".into()), "{outcome}");
        if world.is_root {
            assert_eq!(inspected["isolation"]["cgroup"]["effective"]["memory.max"], 64 << 20, "{inspected}");
            assert_eq!(shown["cgroup"]["memory"]["max"], 64 << 20, "{shown}");
            let group = listed["container"]["cgroup"].as_str().expect("a path");
            assert!(group.ends_with("cgexec-rs-inspect-pipe"), "{listed}");
        }
    },
)];
