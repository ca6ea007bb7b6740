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
pub const ROWS: &[Row] = &[
    Row::new("the limits of a bundle are those of the group, and an option comes before them", &[BASH], |world| {
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
    .root_only(),
    Row::new("a member of a bundle's limits that is unknown is named at any depth, and one of the wrong type is refused", &[BASH], |world| {
        let bundle = world.directory("cgexec-oci-members");
        let run = |linux: &str, options: &str| {
            let text = format!(r#"{{"ociVersion":"1.0.2","root":{{"path":"rootfs"}},"linux":{linux}}}"#);
            fs::write(bundle.join("config.json"), text).expect("a file");
            world.sh(&format!("cgexec-rs {options} --oci {} -- echo started", bundle.display()))
        };
        for (resources, member) in [
            (r#"{"pids":{"max":3}}"#, "pids.max"),
            (r#"{"memory":{"limitt":5}}"#, "memory.limitt"),
            (r#"{"devices":[{"allow":true,"acces":"r"}]}"#, "devices[0].acces"),
            (r#"{"blockIO":{"weightDevice":[{"major":7,"minor":0,"weigth":9}]}}"#, "blockIO.weightDevice[0].weigth"),
        ] {
            let (linux, named) = (format!(r#"{{"resources":{resources}}}"#), format!("linux.resources.{member} of "));
            let outcome = run(&linux, "--pids 50").stdout_is("started\n");
            outcome.stderr_has(&named).stderr_has("does not know such a member");
        }
        for (linux, member) in [
            (r#"[]"#, "linux"),
            (r#"{"resources":{"memory":[]}}"#, "linux.resources.memory"),
            (r#"{"resources":{"memory":{"limit":"5"}}}"#, "linux.resources.memory.limit"),
        ] {
            run(linux, "--pids 50").fails_with(125).stdout_is("").stderr_has(&format!("its member {member}: invalid type"));
        }
        // The control: members that are known, or absent, are no reason for a word.
        run(r#"{"resources":{"pids":{"limit":33},"memory":{"limit":null},"cpu":null}}"#, "").stdout_is("started\n").stderr_is("");
        // The same reader, in the other tool that takes a bundle.
        let other = world.sh("printf '{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"/\"},\"linux\":[]}' >config.json && chroot-rs --oci .");
        other.fails_with(125).stderr_has("its member linux: invalid type");
    })
    .root_only()
    .host_only(),
];
