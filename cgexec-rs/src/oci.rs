//! `--oci`: the limits of an OCI bundle, `linux.resources` in its `config.json`.
//! <https://github.com/opencontainers/runtime-spec>, config-linux.md.
//!
//! Each member becomes the limit of an option, and what has no option becomes a write as with `--set`. The surprise: the
//! specification has the units of v1. Swap there includes memory, and weights have other ranges, so they are converted
//! where the group is one of v2.

mod known;

use std::collections::BTreeMap;
use std::path::Path;

use plumbing::command_line::named_file;
use plumbing::command_line::units::Limit;
use plumbing::json::{self, members};
use plumbing::{Fault, narrate};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::device_rules::{Access, Devices, Kind, Rule};
use crate::limits::{Row, row_of};
use crate::value::{Numbers, Value};

use known::KNOWN;

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
#[serde(default, rename_all = "camelCase")]
struct Memory {
    limit: i64,
    swap: i64,
    reservation: i64,
    kernel: i64,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: i64,
    swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    disable_oom_killer: bool,
    // Groups always include those below them, and a new one has no usage to check.
    #[serde(rename = "useHierarchy")]
    _use_hierarchy: Option<bool>,
    #[serde(rename = "checkBeforeUpdate")]
    _check_before_update: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cpu {
    shares: u64,
    quota: i64,
    period: u64,
    burst: u64,
    realtime_runtime: i64,
    realtime_period: u64,
    cpus: String,
    mems: String,
    idle: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    limit: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BlockIo {
    weight: u16,
    leaf_weight: u16,
    weight_device: Vec<WeightDevice>,
    throttle_read_bps_device: Vec<Throttle>,
    throttle_write_bps_device: Vec<Throttle>,
    #[serde(rename = "throttleReadIOPSDevice")]
    throttle_read_iops_device: Vec<Throttle>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    throttle_write_iops_device: Vec<Throttle>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WeightDevice {
    major: u32,
    minor: u32,
    weight: u16,
    leaf_weight: u16,
}

#[derive(Debug, Deserialize)]
struct Throttle {
    major: u32,
    minor: u32,
    rate: u64,
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

#[derive(Debug, Deserialize)]
struct Device {
    allow: bool,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    access: Option<String>,
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

impl Memory {
    fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        for (member, number) in [("kernel", self.kernel), ("kernelTCP", self.kernel_tcp)] {
            if number > 0 {
                return Err(format!("memory.{member}: kernels no longer have this limit"));
            }
        }
        found.set_limit("memory", self.limit);
        match (limit(self.limit), limit(self.swap)) {
            (_, None) => {}
            (_, Some(Limit::Max)) => found.set("swap", Value::Limit(Limit::Max)),
            // In the specification, swap is the sum of both.
            (Some(Limit::Amount(memory)), Some(Limit::Amount(sum))) if sum >= memory => {
                found.set("swap", Value::Limit(Limit::Amount(sum - memory)));
            }
            (_, Some(Limit::Amount(sum))) => {
                return Err(format!(
                    "memory.swap: {sum} is the sum of memory and swap, and must not be below memory.limit"
                ));
            }
        }
        found.set_limit("memory-low", self.reservation);
        if let Some(swappiness) = self.swappiness {
            found.write("memory.swappiness", swappiness.to_string());
        }
        if self.disable_oom_killer {
            found.write("memory.oom_control", "1");
        }
        Ok(())
    }
}

impl Cpu {
    fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        const PERIOD: u64 = 100_000;
        let period = if self.period == 0 { PERIOD } else { self.period };
        match (limit(self.quota), self.period) {
            (None, 0) => {}
            (quota, _) => found.set("cpus", Value::Quota(quota.unwrap_or(Limit::Max), period)),
        }
        if self.burst > 0 {
            let burst = i64::try_from(self.burst).map_err(|_| "cpu.burst: it is too large")?;
            found.set("cpu-max-burst", Value::Number(burst));
        }
        match (self.idle, self.shares) {
            // An idle group has no weight.
            (1, _) => found.set("cpu-idle", Value::Number(1)),
            (_, 0) => {}
            (_, shares) => found.set("cpu-weight", Value::Shares(shares)),
        }
        for (option, list) in [("cpuset-cpus", &self.cpus), ("cpuset-mems", &self.mems)] {
            if list.is_empty() {
                continue;
            }
            if Numbers::parse(list).is_none() {
                return Err(format!("cpu: {list:?} is no list such as 0-3,8"));
            }
            found.set(option, Value::Text(list.clone()));
        }
        if self.realtime_period > 0 {
            found.write("cpu.rt_period_us", self.realtime_period.to_string());
        }
        if self.realtime_runtime > 0 {
            found.write("cpu.rt_runtime_us", self.realtime_runtime.to_string());
        }
        Ok(())
    }
}

impl BlockIo {
    fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        if self.leaf_weight > 0 || self.weight_device.iter().any(|device| device.leaf_weight > 0) {
            return Err("blockIO.leafWeight: kernels no longer have this weight".to_owned());
        }
        let own = (self.weight > 0).then(|| ("default".to_owned(), self.weight));
        let of_devices = self.weight_device.iter().filter(|device| device.weight > 0);
        let of_devices = of_devices.map(|device| (format!("{}:{}", device.major, device.minor), device.weight));
        for (object, weight) in own.into_iter().chain(of_devices) {
            if !(10..=1000).contains(&weight) {
                return Err(format!("blockIO: the weight {weight} is not from 10 to 1000"));
            }
            found.set("io-weight", of(&object, &[(OF_BLKIO, Limit::Amount(weight.into()))]));
        }
        for (key, throttles) in [
            ("rbps", &self.throttle_read_bps_device),
            ("wbps", &self.throttle_write_bps_device),
            ("riops", &self.throttle_read_iops_device),
            ("wiops", &self.throttle_write_iops_device),
        ] {
            for Throttle { major, minor, rate } in throttles.iter().filter(|throttle| throttle.rate > 0) {
                found.set("io-max", of(&format!("{major}:{minor}"), &[(key, Limit::Amount(*rate))]));
            }
        }
        Ok(())
    }
}

/// The key of a weight from 10 to 1000, as v1 has it.
pub(crate) const OF_BLKIO: &str = "blkio";

fn of(object: &str, numbers: &[(&str, Limit)]) -> Value {
    let numbers = numbers.iter().map(|(key, limit)| ((*key).to_owned(), *limit)).collect();
    Value::Of { object: object.to_owned(), numbers }
}

/// Reads the list, in which the last entry that matches decides. After it, the devices are allowed without which hardly a
/// program runs, as other runtimes do.
fn devices(list: &[Device]) -> Result<Devices, String> {
    let mut devices = Devices::all();
    for (number, Device { allow, kind, major, minor, access }) in list.iter().enumerate() {
        let wrong = |what: &str| format!("devices[{number}]: {what}");
        let of_number = |text: Option<i64>| match text {
            None | Some(-1) => Ok(None),
            Some(text) => u32::try_from(text).map(Some).map_err(|_| wrong("a number is negative")),
        };
        let (major, minor) = (of_number(*major)?, of_number(*minor)?);
        let access = match access.as_deref() {
            None | Some("") => Access::ALL,
            Some(text) => Access::parse(text).ok_or_else(|| wrong("its access is none of r, w and m"))?,
        };
        let kinds: &[Kind] = match kind.as_deref() {
            None | Some("" | "a") => &[Kind::Block, Kind::Character],
            Some("b") => &[Kind::Block],
            Some("c" | "u") => &[Kind::Character],
            Some(other) => return Err(wrong(&format!("{other:?} is no type of a device"))),
        };
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == Access::ALL {
            devices = if *allow { Devices::all() } else { Devices::none() };
            continue;
        }
        kinds.iter().for_each(|kind| devices.push(Rule { allow: *allow, kind: *kind, major, minor, access }));
    }
    if !devices.allows_all() {
        devices.push_usual();
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(resources: &str) -> Result<OfBundle, String> {
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

    #[test]
    fn a_list_of_devices_begins_anywhere_and_ends_with_the_usual_ones() {
        let list = r#"{"devices":[{"allow":true,"type":"c","major":9,"minor":9},{"allow":false,"access":"rwm"},
                       {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}"#;
        let mut expected = Devices::none();
        let access = Access::parse("rw").unwrap();
        expected.push(Rule { allow: true, kind: Kind::Character, major: Some(10), minor: Some(229), access });
        expected.push_usual();
        assert_eq!(parsed(list).unwrap().devices, Some(expected));
        assert!(parsed(r#"{"devices":[{"allow":true}]}"#).unwrap().devices.is_some_and(|it| it.allows_all()));
    }
}
