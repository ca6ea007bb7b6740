//! `--oci`: the limits of an OCI bundle are those of the group, in the units of the hierarchy.

use std::fs;

use crate::harness::need::BASH;
use crate::harness::row::Row;

use super::SHELL;

const CONFIG: &str = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"linux":{"resources":{
    "memory":{"limit":67108864,"swap":68157440,"reservation":null},"pids":{"limit":77},
    "cpu":{"shares":512,"quota":50000,"period":200000,"cpus":"0"},"newLimit":{"x":1},
    "unified":{"cgroup.max.depth":"3"},
    "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}}}"#;

/// Controller, file and value on v2 and on v1.
const V2: &[(&str, &str, &str)] = &[
    ("memory", "memory.max", "67108864"),
    ("memory", "memory.swap.max", "1048576"),
    ("cpu", "cpu.max", "50000 200000"),
    ("cpu", "cpu.weight", "59"),
];
const V1: &[(&str, &str, &str)] = &[
    ("memory", "memory.limit_in_bytes", "67108864"),
    ("memory", "memory.memsw.limit_in_bytes", "68157440"),
    ("cpu", "cpu.cfs_quota_us", "50000"),
    ("cpu", "cpu.shares", "512"),
];
const BOTH: &[(&str, &str, &str)] =
    &[("pids", "pids.max", "77"), ("cpuset", "cpuset.cpus", "0"), ("v2", "cgroup.max.depth", "3")];

/// The rows of this topic.
pub const ROWS: &[Row] =
    &[Row::new("the limits of a bundle are those of the group, and an option comes before them", &[BASH], |world| {
        let bundle = world.directory("cgexec-oci");
        fs::write(bundle.join("config.json"), CONFIG).expect("a file");
        let sets = [BOTH, if world.in_vm { V2 } else { V1 }].concat();
        let reads: Vec<_> =
            sets.iter().map(|(controller, file, _)| format!("cat \"$(own {controller})/{file}\"")).collect();
        let devices = "(exec 3</dev/kmsg) 2>/dev/null && echo kmsg; (exec 3</dev/zero) && echo zero
                       (exec 3>>/dev/kmsg) 2>/dev/null || echo denied";
        let read = format!("{SHELL}\n{}\n{devices}", reads.join("\n"));
        for (options, pids) in [("--oci .", "77"), ("--oci ./config.json --pids 9", "9")] {
            let line = format!("cd {} && cgexec-rs {options} -- bash -c \"$READ\"", bundle.display());
            let outcome = world.script(&line).variable("READ", read.clone()).run().succeeds();
            let given = |(_, file, value): &(&'static str, &'static str, &'static str)| {
                if *file == "pids.max" { pids } else { value }
            };
            let expected: Vec<_> = sets.iter().map(given).chain(["kmsg", "zero", "denied"]).collect();
            assert_eq!(outcome.lines(), expected, "{options}\n{outcome}");
            outcome.stderr_has("linux.resources.newLimit").stderr_has("does not know such a member");
        }
        // The control: without the bundle, the device is not denied.
        world.sh("cgexec-rs --pids 9 -- bash -c '(exec 3>>/dev/kmsg)'").succeeds();
        fs::write(bundle.join("config.json"), CONFIG.replace("68157440", "5")).expect("a file");
        let refused = world.sh(&format!("cgexec-rs --oci {} -- echo started", bundle.display())).fails_with(125);
        refused.stdout_is("").stderr_has("memory.swap");
        // Other paths may be relative, too.
        world.sh("cd /proc && cgexec-rs --io-max ./self:rbps=3M -- true").fails_with(125).stderr_has("it is on proc");
        world.sh("cgexec-rs --oci /no/such/bundle -- true").fails_with(125).stderr_has("ENOENT");
    })
    .root_only()];
