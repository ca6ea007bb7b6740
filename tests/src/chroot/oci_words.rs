//! The OCI runtime in shell: what a bundle says becomes no other argument, and its state is where nobody else writes.

use std::fs;

use serde_json::json;

use crate::chroot::oci::{SCRIPT, bundle, within, write_runtime};
use crate::harness::need::{self, Need};
use crate::harness::row::Row;

/// What the runtime needs, and a terminal.
const RUNTIME_AND_SCRIPT: &[Need] = &[need::SCRIPT, need::JQ, need::BUSYBOX];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("no word of a bundle becomes an option or another argument of the runtime in shell", SCRIPT, |world| {
        let at = world.directory("oci-words");
        write_runtime(&at);
        let own = world.as_root();
        let named =
            |key: &str, value: &str| json!({"linux": {"namespaces": [{"type": "network", "path": "/x", key: value}]}});
        let control =
            format!("IFS='\n'; unshare-rs {own} --uts $(jq -r '\"--hostname\", .hostname' config.json); unset IFS");
        for (config, said, read) in [
            (
                json!({"hostname": "x\n--\nsh\n-c\n>ran", "linux": {"namespaces": [{"type": "uts"}]}}),
                "control character",
                control.as_str(),
            ),
            (named("path", "/x\n--\nsh\n-c\n>ran"), "control character", ":"),
            (named("path", "web"), "is no absolute path", ":"),
            (named("type", "target"), "is no kind of namespace", ":"),
        ] {
            fs::write(at.join("config.json"), config.to_string()).expect("a configuration");
            // A line by itself, read word by word, runs what the host name says.
            let line = format!(
                "cd $B; rm -f ran; {read}; ls ran 2>/dev/null; rm -f ran; sh ./runtime --root $B/state create --bundle $B c || echo refused; ls ran state 2>/dev/null"
            );
            let before = if read == ":" { "" } else { "ran\n" };
            within(world, &line, &at).run().stdout_is(&format!("{before}refused\nstate:\n")).stderr_has(said);
        }
        for id in ["'a b'", "'a\nb'", ".", "x/y", "'$x'"] {
            within(world, &format!("cd $B; sh ./runtime --root $B/state state {id}"), &at)
                .run()
                .fails_with(1)
                .stderr_has("is no container id");
        }
    })
    .host_only(),
    Row::new("a container of the runtime in shell does not share the terminal at which it was created", RUNTIME_AND_SCRIPT, |world| {
        let look = "cut -d' ' -f6 /proc/self/stat; (: </dev/tty) 2>/dev/null && echo opened; echo end";
        let at = bundle(world, "oci-terminal", json!(["/bin/sh", "-c", look]), |_| {});
        write_runtime(&at);
        let line = "cd $B; export B; at() { script -qec \"$1\" /dev/null </dev/null | tr -d '\\r' | grep -v warning; }
            runtime() { sh ./runtime --root $B/state \"$@\"; }
            at 'sh ./runtime --root $B/state create --bundle $B c && sh ./runtime --root $B/state start c; until [ $(sh ./runtime --root $B/state state c | jq -r .status) = stopped ]; do sleep 0.02; done'
            runtime delete c
            # The control: the same bundle in the foreground.
            at 'unshare-rs --pid --mount --fork -- chroot-rs --oci=$B'";
        within(world, line, &at).run().stdout_is("1\nend\n0\nopened\nend\n");
    })
    .root_only()
    .host_only(),
    Row::new("the runtime in shell ends the container, and no process of the host, where a namespace was joined", SCRIPT, |world| {
        let at = bundle(world, "oci-joined", json!(["/bin/sleep", "86473"]), |_| {});
        write_runtime(&at);
        let line = "cd $B; unshare-rs --pid --net --fork --pid-file first -- sleep 86474 & until [ -s $B/first ]; do sleep 0.02; done
            cd $B; first=/proc/$(cat first)/ns; runtime() { sh ./runtime --root $B/state \"$@\"; }
            jq --arg pid $first/pid --arg net $first/net '.linux.namespaces = [{type: \"mount\"}, {type: \"pid\", path: $pid}, {type: \"network\", path: $net}]' config.json >new && mv new config.json
            runtime create --bundle $B c && runtime start c; pid=$(runtime state c | jq .pid)
            [ \"$(readlink /proc/$pid/ns/pid)\" = \"$(readlink $first/pid)\" ] && echo found
            until tr '\\0' ' ' </proc/$pid/cmdline | grep '^/bin/sleep 86473'; do sleep 0.02; done
            [ \"$(sed -n 's/^NSpid:.*\t//p' /proc/$pid/status)\" != $pid ] && echo another number inside
            runtime delete --force c; until [ ! -e /proc/$pid ] || grep -qs '^State:.*Z' /proc/$pid/status; do sleep 0.02; done; echo ended
            [ -e $first/pid ] && echo the other runs; ls state
            kill -KILL $(cat first); wait";
        let expected = "found\n/bin/sleep 86473 \nanother number inside\nended\nthe other runs\n";
        within(world, line, &at).run().stdout_is(expected);
    })
    .root_only()
    .host_only(),
    Row::new("the runtime in shell refuses limits that no tool keeps, by name", SCRIPT, |world| {
        let at = world.directory("oci-limits");
        write_runtime(&at);
        let create = |resources: serde_json::Value| {
            let config = json!({"ociVersion": "1.0.2", "linux": {"namespaces": [], "resources": resources}});
            fs::write(at.join("config.json"), config.to_string()).expect("a configuration");
            let line = "cd $B; mkdir -p bin; printf '#!/bin/sh\\necho limits: \"$@\" >&2' >bin/cgexec-rs; chmod 755 bin/cgexec-rs; \
                        PATH=$B/bin:$PATH sh ./runtime --root $B/state create --bundle $B c || echo refused";
            within(world, line, &at).run().stdout_is("refused\n")
        };
        // The control: what cgexec-rs reads, and what asks for nothing, gets through to the tools.
        let kept = json!({"memory": {"limit": 100, "swap": 150, "swappiness": null, "disableOOMKiller": false}, "cpu": {"shares": 0, "mems": "", "cpus": "0"},
            "pids": {"limit": -1}, "devices": [{"allow": false, "access": "rwm"}], "unified": {"memory.high": "1"}, "hugepageLimits": []});
        create(kept).stderr_has("limits: --error-fd=8 --oci=").stderr_has("/config.json -- unshare-rs");
        for nothing in [json!({}), json!({"cpu": {"shares": 1024}, "pids": {"limit": -1}, "memory": {"limit": 0}})] {
            create(nothing).stderr_has("missing field");
        }
        for (resources, named) in [
            (json!({"memory": {"limit": 100, "reserved": 50}}), r#"limits "memory.reserved" of"#),
            (json!({"cpu": {"quota": 5, "cpu": "0"}, "network": {"classId": 1}}), r#"limits "cpu.cpu", "network.classId" of"#),
            (json!({"blockIO": {"wait": 10}, "pidz": {"limit": 5}}), r#""blockIO.wait", "pidz" of"#),
            (json!({"hugepageLimit": [{"pageSize": "2MB", "limit": 1}], "devises": [1], "strict": true}), r#""hugepageLimit", "devises", "strict""#),
        ] {
            let refused = create(resources).stderr_has(named);
            assert!(!refused.stderr.contains("limits: "), "{refused}");
        }
    })
    .host_only(),
    Row::new("the runtime in shell allows a container the devices and the limits of its bundle", SCRIPT, |world| {
        let run = "cd /dev; for d in 'c 10 229' 'c 1 5'; do mknod x $d && { (: <x) 2>/dev/null && echo opened $d; rm x; }; done >/tmp/log; echo end >>/tmp/log";
        let at = bundle(world, "oci-devices", json!(["/bin/sh", "-c", run]), |config| {
            for set in ["bounding", "permitted", "effective"] {
                config["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
            }
            config["mounts"] = json!([{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/tmp", "type": "bind", "source": config["root"]["path"].as_str().map(|root| format!("{root}/tmp")), "options": ["bind"]}]);
            config["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
        });
        write_runtime(&at);
        let line = "cd $B; runtime() { sh ./runtime --root $B/state \"$@\"; }; look() { cat rootfs/tmp/log; rm rootfs/tmp/log; }
            run() { runtime create --bundle $B c && runtime start c && until [ $(runtime state c | jq -r .status) = stopped ]; do sleep 0.02; done; look; runtime delete c; }
            run
            # Controls: the tools without the rules, and a limit that cgexec-rs refuses.
            unshare-rs --mount --pid --ipc --uts --net --fork -- chroot-rs --oci $B; look
            jq '.linux.resources.devices[1] = {allow: true, type: \"c\", major: 10, minor: 229}' config.json >new && mv new config.json; run
            jq '.linux.resources.memory = {limit: 100, swap: 50}' config.json >new && mv new config.json
            runtime create --bundle $B c || echo refused; ls state";
        let outcome = within(world, line, &at).run();
        outcome
            .stdout_is("opened c 1 5\nend\nopened c 10 229\nopened c 1 5\nend\nopened c 10 229\nopened c 1 5\nend\nrefused\n")
            .stderr_has("memory.swap: 50 is the sum");
    })
    .root_only()
    .host_only(),
    Row::new("the runtime in shell keeps its state where no other user can write", SCRIPT, |world| {
        let at = world.directory("oci-state");
        write_runtime(&at);
        let line = "cd $B; export XDG_RUNTIME_DIR=$B/x; \
            plant() { mkdir -p $1/$2; echo \"cgroup='' about='\\\"id\\\":1'\" >$1/$2/vars; }; plant x/oci-runtime planted; \
            sh ./runtime --root x/oci-runtime state planted | jq -r .status; \
            for mode in 775 757 777; do chmod $mode x/oci-runtime; sh ./runtime --root x/oci-runtime state planted; done; chmod 755 x/oci-runtime; \
            ln -s oci-runtime x/link; sh ./runtime --root x/link state planted; \
            for mode in 777 700; do chmod $mode x; sh ./runtime state planted | jq -r .status; done";
        let refused = "x/oci-runtime is no directory, or others than its owner can write to it\noci-runtime.sh: x/link is no directory";
        let outcome = within(world, line, &at).run();
        if world.is_root {
            outcome.stdout_is("stopped\n").stderr_has("container \"planted\" does not exist").stderr_has(refused);
        } else {
            outcome
                .stdout_is("stopped\nstopped\n")
                .stderr_has(refused)
                .stderr_has("XDG_RUNTIME_DIR is no directory of yours with mode 700");
        }
    })
    .host_only(),
];
