//! The OCI runtime in shell: a `create` that is killed leaves nothing after `delete --force`, and no option of `exec` or
//! `update` is ignored.

use serde_json::json;

use crate::chroot::oci::{bundle, within, write_runtime};
use crate::harness::need::{self, Need};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[need::BUSYBOX, need::JQ, Need::NetworkNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("delete --force of the runtime in shell ends a container whose create was killed, and no other process", NEEDS, |world| {
        let at = bundle(world, "oci-killed", json!(["/bin/sleep", "86475"]), |config| {
            // Its parent is the runtime.
            config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -KILL $PPID"]}]});
            config["linux"]["cgroupsPath"] = json!("/suite-oci-killed");
        });
        write_runtime(&at);
        let line = "cd $B; rt() { sh ./runtime --root $B/state \"$@\"; }; runs() { grep -qs '^State:.[^ZX]' /proc/$1/status; }
            group() { for at in /sys/fs/cgroup/suite-oci-killed /sys/fs/cgroup/*/suite-oci-killed; do [ ! -d $at ] || { echo $1; break; }; done; }
            rt create --bundle $B c 2>/dev/null; rt state c | jq -r .status; pid=$(cat state/c/pid)
            # Controls: it waits, and is not deleted without --force.
            runs $pid && echo waits; group grouped; rt delete c 2>/dev/null || echo kept
            # A pid that is another process's by now.
            sleep 86476 & other=$!; cp state/c/pid $B/real; echo $other >state/c/pid
            cp -r state other; rm other/c/facts; sh ./runtime --root $B/other delete --force c 2>/dev/null; runs $other && echo spared; kill -KILL $other
            cp real state/c/pid; rt delete --force c; echo $?
            for i in $(seq 200); do runs $pid || { echo ended; break; }; sleep 0.02; done; group left; ls state; kill -KILL $pid 2>/dev/null; wait";
        within(world, line, &at).run().stdout_is("creating\nwaits\ngrouped\nkept\nspared\n0\nended\n");
    })
    .root_only()
    .host_only(),
    Row::new("exec of the runtime in shell applies each of its options or refuses it", NEEDS, |world| {
        let at = bundle(world, "oci-exec", json!(["/bin/sleep", "86477"]), |config| {
            config["process"]["noNewPrivileges"] = json!(false);
        });
        write_runtime(&at);
        let line = "cd $B; rt() { sh ./runtime --root $B/state \"$@\"; }; rt create --bundle $B c && rt start c
            look() { rt exec \"$@\" c /bin/sh -c 'grep -E \"^(CapEff|CapBnd|NoNewPrivs)\" /proc/self/status | cut -f2 | paste -sd\" \"'; }
            # The control: the process of the bundle.
            look; look --no-new-privs; look --cap CAP_NET_RAW --cap=CAP_SYS_TIME
            for option in '--cap CAP_NOPE' '--apparmor suite-none' '--process-label suite:none' --tty; do
                rt exec $option c /bin/true </dev/null || echo refused
            done; rt delete --force c; ls state";
        let (few, more) = ("0000000000000421", "0000000002002421");
        let expected = format!("{few} {few} 0\n{few} {few} 1\n{more} {more} 0\n{}", "refused\n".repeat(4));
        let outcome = within(world, line, &at).run().stdout_is(&expected);
        let said = ["CAP_NOPE", "suite-none", "suite:none", "a terminal as stdin"];
        said.iter().fold(outcome, |outcome, said| outcome.stderr_has(said));
    })
    .root_only()
    .host_only(),
    Row::new("update of the runtime in shell refuses limits that no tool keeps, and hands on warnings", NEEDS, |world| {
        let at = bundle(world, "oci-update", json!(["/bin/sleep", "86478"]), |config| {
            config["linux"]["cgroupsPath"] = json!("/suite-oci-update");
        });
        write_runtime(&at);
        let line = "cd $B; rt() { sh ./runtime --root $B/state \"$@\"; }; rt create --bundle $B c && rt start c
            update() { echo \"$1\" | rt --log $B/log update --resources - c && echo updated || echo refused; }
            look() { cgexec-rs --show --json $(rt state c | jq .pid) | jq .pids.max; }
            update '{\"pids\": {\"limit\": 5}, \"pidz\": {\"limit\": 6}}'; look
            # The control: a limit that is kept.
            update '{\"pids\": {\"limit\": 7}, \"memory\": {}}'; look
            mkdir warns; printf '#!/bin/sh\\necho cgexec-rs: warning: careful >&2' >warns/cgexec-rs; chmod 755 warns/cgexec-rs
            (PATH=$B/warns:$PATH; update '{\"pids\": {\"limit\": 7}}'); grep -o 'level=warning.*careful' log; grep -o '\"pidz\" of linux.resources' log
            rt delete --force c; ls state";
        let expected = "refused\nnull\nupdated\n7\nupdated\nlevel=warning msg=\"cgexec-rs: warning: careful\n\
                        \"pidz\" of linux.resources\n";
        within(world, line, &at).run().stdout_is(expected);
    })
    .root_only()
    .host_only(),
];
