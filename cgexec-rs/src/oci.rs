//! `--oci`: the limits of an OCI bundle, `linux.resources` in its `config.json`.
//! <https://github.com/opencontainers/runtime-spec>, config-linux.md.
//!
//! Each member becomes the limit of an option, and what has no option becomes a write as with `--set`. The surprise: the
//! specification has the units of v1. Swap there includes memory, and weights have other ranges, so they are converted
//! where the group is one of v2.

mod block_io;
mod cpu;
mod devices;
mod known;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;

use plumbing::command_line::named_file;
use plumbing::command_line::units::Limit;
use plumbing::json::{self, members};
use plumbing::{Fault, narrate};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::device_rules::Devices;
use crate::limits::{Row, row_of};
use crate::value::Value;

pub(crate) use block_io::OF_BLKIO;

use block_io::BlockIo;
use cpu::Cpu;
use devices::{Device, devices};
use known::KNOWN;
use memory::Memory;

/// The limits of a bundle.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OfBundle {
    pub(crate) rows: Vec<(&'static Row, Value)>,
    pub(crate) raw: Vec<(String, String)>,
    pub(crate) devices: Option<Devices>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outer {
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    resources: Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    memory: Memory,
    cpu: Cpu,
    pids: Pids,
    #[serde(rename = "blockIO")]
    block_io: BlockIo,
    #[serde(rename = "hugepageLimits")]
    hugepage_limits: Vec<HugePages>,
    network: Network,
    rdma: BTreeMap<String, Rdma>,
    unified: BTreeMap<String, String>,
    devices: Option<Vec<Device>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    limit: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HugePages {
    page_size: String,
    limit: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "classID")]
    class_id: u32,
    priorities: Vec<Priority>,
}

#[derive(Debug, Deserialize)]
struct Priority {
    name: String,
    priority: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rdma {
    hca_handles: Option<u64>,
    hca_objects: Option<u64>,
}

/// Reads the limits of a bundle: its directory, or its `config.json`.
pub(crate) fn read(bundle: &Path) -> Result<OfBundle, Fault> {
    let file = if bundle.is_dir() { bundle.join("config.json") } else { bundle.to_owned() };
    let shown = file.to_string_lossy();
    let goal = format!("read {shown}");
    let text = named_file::read("--oci", &goal, &file)?;
    let wrong = |wrong: String| Fault::new(format!("cannot use {shown}: {wrong}"));
    let (found, unknown) = parse(&text).map_err(wrong)?;
    for member in unknown {
        let why = "this version does not know such a member";
        narrate::caution(Fault::new(format!("cannot do what {member} of {shown} says: {why}")))?;
    }
    Ok(found)
}

/// Parses the file; returns the unknown members of `linux.resources`, too.
fn parse(text: &[u8]) -> Result<(OfBundle, Vec<String>), String> {
    let config: Json = json::read(text).map_err(|error| error.to_string())?;
    let version = config.get("ociVersion").and_then(Json::as_str).unwrap_or_default();
    if !version.starts_with("1.") {
        return Err(format!("its ociVersion is {version:?}, only version 1 is supported"));
    }
    // The other members of both objects are chroot-rs's.
    let Outer { linux: Linux { resources } } =
        members::read(config, "", &[("", &["linux"]), ("linux", &["resources"])])?.0;
    if resources.is_null() {
        return Ok((OfBundle::default(), Vec::new()));
    }
    let (resources, unknown) = members::read::<Resources>(resources, "linux.resources", &KNOWN)?;
    let found = resources.limits().map_err(|wrong| format!("its member linux.resources.{wrong}"))?;
    Ok((found, unknown))
}

/// Returns a limit of the specification, in which -1 is none; `None` for 0, which engines write for an absent one.
fn limit(number: i64) -> Option<Limit> {
    match number {
        0 => None,
        number => Some(u64::try_from(number).map_or(Limit::Max, Limit::Amount)),
    }
}

impl OfBundle {
    fn set(&mut self, option: &str, value: Value) {
        self.rows.extend(row_of(option).map(|row| (row, value)));
    }

    fn set_limit(&mut self, option: &str, number: i64) {
        if let Some(limit) = limit(number) {
            self.set(option, Value::Limit(limit));
        }
    }

    fn write(&mut self, file: &str, value: impl Into<String>) {
        self.raw.push((file.to_owned(), value.into()));
    }
}

impl Resources {
    fn limits(&self) -> Result<OfBundle, String> {
        let mut found = OfBundle::default();
        self.memory.add(&mut found)?;
        found.set_limit("pids", self.pids.limit);
        self.cpu.add(&mut found)?;
        self.block_io.add(&mut found)?;
        for HugePages { page_size, limit } in &self.hugepage_limits {
            let number = ["KB", "MB", "GB"].iter().find_map(|unit| page_size.strip_suffix(unit));
            if number.is_none_or(|number| number.parse::<u32>().is_err()) {
                return Err(format!("hugepageLimits: {page_size:?} is no size such as 2MB"));
            }
            found.set("hugetlb-max", of(page_size, &[("", Limit::Amount(*limit))]));
        }
        for (device, Rdma { hca_handles, hca_objects }) in &self.rdma {
            let numbers = [("hca_handle", hca_handles), ("hca_object", hca_objects)];
            let numbers: Vec<_> = numbers.iter().filter_map(|(key, it)| Some((*key, Limit::Amount((**it)?)))).collect();
            found.set("rdma-max", of(device, &numbers));
        }
        if self.network.class_id > 0 {
            found.write("net_cls.classid", self.network.class_id.to_string());
        }
        for Priority { name, priority } in &self.network.priorities {
            found.write("net_prio.ifpriomap", format!("{name} {priority}"));
        }
        for (file, value) in &self.unified {
            // One write for each line: the kernel takes one device at a time.
            for line in value.lines().filter(|line| !line.is_empty()) {
                let pair = crate::limit_set::raw(&format!("{file}={line}"));
                found.raw.push(pair.map_err(|fault| format!("unified: {fault}"))?);
            }
        }
        found.devices = self.devices.as_deref().filter(|list| !list.is_empty()).map(devices).transpose()?;
        Ok(found)
    }
}

fn of(object: &str, numbers: &[(&str, Limit)]) -> Value {
    let numbers = numbers.iter().map(|(key, limit)| ((*key).to_owned(), *limit)).collect();
    Value::Of { object: object.to_owned(), numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parsed(resources: &str) -> Result<OfBundle, String> {
        let text = format!(r#"{{"ociVersion":"1.0.2","linux":{{"resources":{resources}}}}}"#);
        parse(text.as_bytes()).map(|(found, _)| found)
    }

    #[test]
    fn each_member_becomes_the_limit_of_an_option() {
        let found = parsed(
            r#"{"memory":{"limit":268435456,"swap":268435457,"reservation":-1,"kernel":-1},"pids":{"limit":7},
                "cpu":{"shares":512,"quota":50000,"period":20000,"cpus":"0-1","mems":null},"devices":null,
                "blockIO":{"weight":500,"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":9}]},
                "hugepageLimits":[{"pageSize":"2MB","limit":3}],"rdma":{"mlx":{"hcaHandles":2}},
                "unified":{"io.max":"8:0 rbps=1\n8:16 rbps=2"}}"#,
        );
        let found = found.unwrap();
        let rows: Vec<_> = found.rows.iter().map(|(row, value)| (row.option, value.clone())).collect();
        let amount = |amount| Value::Limit(Limit::Amount(amount));
        let expected = [
            ("memory", amount(268_435_456)),
            ("swap", amount(1)),
            ("memory-low", Value::Limit(Limit::Max)),
            ("pids", amount(7)),
            ("cpus", Value::Quota(Limit::Amount(50_000), 20_000)),
            ("cpu-weight", Value::Shares(512)),
            ("cpuset-cpus", Value::Text("0-1".into())),
            ("io-weight", of("default", &[(OF_BLKIO, Limit::Amount(500))])),
            ("io-max", of("8:0", &[("riops", Limit::Amount(9))])),
            ("hugetlb-max", of("2MB", &[("", Limit::Amount(3))])),
            ("rdma-max", of("mlx", &[("hca_handle", Limit::Amount(2))])),
        ];
        assert_eq!(rows, expected);
        let lines =
            [("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2")].map(|(file, line)| (file.into(), line.into()));
        assert_eq!((found.raw, found.devices), (lines.to_vec(), None));
    }

    #[test]
    fn what_is_absent_null_or_nothing_is_no_limit() {
        for resources in ["null", "{}", r#"{"memory":{"limit":0},"pids":null,"cpu":{"shares":0},"devices":[]}"#] {
            assert_eq!(parsed(resources), Ok(OfBundle::default()), "{resources}");
        }
    }

    #[test]
    fn unknown_members_are_named_at_any_depth() {
        for (resources, member) in [
            (r#"{"new":{"x":1},"old":null}"#, "new"),
            (r#"{"pids":{"max":3}}"#, "pids.max"),
            (r#"{"memory":{"limitt":5,"useHierarchy":true,"checkBeforeUpdate":false}}"#, "memory.limitt"),
            (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weigth":10}]}}"#, "blockIO.weightDevice[0].weigth"),
            (
                r#"{"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":1,"x":1}]}}"#,
                "blockIO.throttleReadIOPSDevice[0].x",
            ),
            (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":3,"x":1}]}"#, "hugepageLimits[0].x"),
            (r#"{"rdma":{"mlx5_0":{"hcaHandles":2,"hcaObject":2}}}"#, "rdma.mlx5_0.hcaObject"),
            (r#"{"network":{"classID":1,"priorities":[{"name":"lo","priority":1,"x":1}]}}"#, "network.priorities[0].x"),
            (r#"{"devices":[{"allow":true,"acces":"r"}]}"#, "devices[0].acces"),
        ] {
            let text = format!(r#"{{"ociVersion":"1.2.0","linux":{{"resources":{resources}}}}}"#);
            assert_eq!(parse(text.as_bytes()).unwrap().1, [format!("linux.resources.{member}")]);
        }
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named() {
        for (linux, member) in [
            ("[]", "linux"),
            (r#"{"resources":[]}"#, "linux.resources"),
            (r#"{"resources":7}"#, "linux.resources"),
            (r#"{"resources":{"memory":[]}}"#, "linux.resources.memory"),
            (r#"{"resources":{"memory":{"limit":"5"}}}"#, "linux.resources.memory.limit"),
            (r#"{"resources":{"devices":{}}}"#, "linux.resources.devices"),
            (r#"{"resources":{"devices":[[true]]}}"#, "linux.resources.devices[0]"),
            (r#"{"resources":{"rdma":{"mlx":[]}}}"#, "linux.resources.rdma.mlx"),
            (r#"{"resources":{"unified":{"io.max":5}}}"#, "linux.resources.unified.io.max"),
        ] {
            let text = format!(r#"{{"ociVersion":"1.2.0","linux":{linux}}}"#);
            let wrong = parse(text.as_bytes()).unwrap_err();
            assert!(wrong.starts_with(&format!("its member {member}: invalid type")), "{linux}: {wrong}");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_an_error_that_names_the_member() {
        for (resources, member) in [
            (r#"{"memory":{"limit":5,"swap":4}}"#, "memory.swap"),
            (r#"{"memory":{"kernel":5}}"#, "memory.kernel"),
            (r#"{"blockIO":{"leafWeight":5}}"#, "blockIO.leafWeight"),
            (r#"{"hugepageLimits":[{"pageSize":"../2MB","limit":3}]}"#, "hugepageLimits"),
            (r#"{"unified":{"cgroup.procs":"1"}}"#, "unified"),
            (r#"{"unified":{"../x.y":"1"}}"#, "unified"),
            (r#"{"devices":[{"allow":true,"type":"p"}]}"#, "devices[0]"),
            (r#"{"memory":{"limit":"5"}}"#, "linux.resources"),
        ] {
            let error = parsed(resources).unwrap_err();
            assert!(error.contains(member), "{resources}: {error}");
        }
    }
}
