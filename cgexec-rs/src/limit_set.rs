//! The limits that were asked for: which controllers they need, and which writes set them. The kernel's
//! `Documentation/admin-guide/cgroup-v2.rst`.

mod outer;

use std::path::PathBuf;

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::units::Limit;

use crate::device;
use crate::device_rules::Devices;
use crate::limit_options::LimitOptions;
use crate::limits::{Kind, ROWS, Row, row_of};
use crate::memory;
use crate::net_rate::NetRate;
use crate::oci::{self, OfBundle};
use crate::programs::Program;
use crate::setting::{self, Reads, Setting};
use crate::value::Value;

/// The limits, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    rows: Vec<(&'static Row, Value)>,
    /// `--set`: files, and what to write to them as it is.
    raw: Vec<(String, String)>,
    /// `--oci`, whose limits are read when they are needed.
    bundle: Option<PathBuf>,
    /// `--devices`, `--device-allow`
    devices: Option<Devices>,
    /// `--net-rate`
    net_rate: Option<NetRate>,
    /// `--oom-guard`
    is_guarded: bool,
}

/// Files of a group that move processes, which `--set` does not write to.
const NOT_SET: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];

const WHY_RAW: &str = "as --set asks";

impl Limits {
    /// Reads the given options; pure.
    pub(crate) fn parse(options: &LimitOptions) -> Result<Limits, Fault> {
        let mut limits = Limits::default();
        for (option, text) in options.given() {
            match row_of(option) {
                Some(row) => {
                    let value = Value::parse(row.kind, text)
                        .map_err(|valid| Fault::usage(format!("invalid value '{text}' for '--{option}': {valid}")))?;
                    limits.rows.push((row, value));
                }
                None => limits.raw.push(raw(text)?),
            }
        }
        limits.bundle = options.oci.clone();
        limits.devices = Devices::parse(options.devices.as_deref(), &options.device_allow)?;
        let rate = |text| {
            NetRate::parse(text)
                .map_err(|valid| Fault::usage(format!("invalid value '{text}' for '--net-rate': {valid}")))
        };
        limits.net_rate = options.net_rate.as_deref().map(rate).transpose()?;
        limits.require_sense()?;
        Ok(limits)
    }

    /// Refuses limits that exclude each other.
    fn require_sense(&self) -> Result<(), Fault> {
        for (one, other, why) in [
            ("cpu-idle", "cpu-weight", "an idle group has no weight"),
            ("cpu-idle", "cpu-weight-nice", "an idle group has no weight"),
            ("cpu-weight", "cpu-weight-nice", "both set the same weight"),
        ] {
            if self.has(one) && self.has(other) {
                return Err(Fault::usage(format!("--{one} cannot be used with --{other}: {why}")));
            }
        }
        Ok(())
    }

    /// Adds `memory.high` for `--oom-guard`, when the limits are resolved.
    pub(crate) fn guarded(self) -> Result<Limits, Fault> {
        if !self.has("memory") && !self.has("memory-high") && self.bundle.is_none() {
            return Err(Fault::usage("--oom-guard needs --memory or --memory-high"));
        }
        Ok(Limits { is_guarded: true, ..self })
    }

    /// Sets `memory.high` a sixteenth below the limit, unless it was given.
    fn set_high(&mut self) -> Result<(), Fault> {
        if self.amount("memory-high").is_some() {
            return Ok(());
        }
        let Some(memory) = self.amount("memory") else {
            return Err(Fault::new("cannot guard against running out of memory (--oom-guard): memory is not limited"));
        };
        self.rows.retain(|(row, _)| row.option != "memory-high");
        self.rows.extend(row_of("memory-high").map(|row| (row, Value::Limit(Limit::Amount(memory - memory / 16)))));
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        let place = |row: &Row| ROWS.iter().position(|known| known == row);
        self.rows.sort_by_key(|(row, _)| place(row));
    }

    fn has(&self, option: &str) -> bool {
        self.rows.iter().any(|(row, _)| row.option == option)
    }

    /// Returns whether no limit was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Returns the option of the first limit.
    pub(crate) fn first(&self) -> Option<&'static str> {
        let row = self.rows.first().map(|(row, _)| row.option).or(self.raw.first().map(|_| "set"));
        row.or(self.bundle.as_ref().map(|_| "oci"))
            .or(self.devices.as_ref().map(|_| "devices"))
            .or(self.net_rate.map(|_| "net-rate"))
    }

    /// Returns the amount of a limit by its option; `None` if it was not asked for, or is no amount.
    pub(crate) fn amount(&self, option: &str) -> Option<u64> {
        self.rows.iter().find(|(row, _)| row.option == option).and_then(|(_, value)| match value {
            Value::Limit(Limit::Amount(amount)) => Some(*amount),
            _ => None,
        })
    }

    /// Returns the controllers that the limits need, in the order of the report; `cgroup` for files of every group,
    /// `devices` and `net` for what v2 does by programs.
    pub(crate) fn controllers(&self) -> Vec<String> {
        let mut controllers: Vec<String> = Vec::new();
        let of_raw = self.raw.iter().filter_map(|(file, _)| file.split('.').next());
        for controller in self.rows.iter().map(|(row, _)| row.controller).chain(of_raw) {
            if !controllers.iter().any(|known| known == controller) {
                controllers.push(controller.to_owned());
            }
        }
        controllers.extend(self.devices.as_ref().map(|_| "devices".to_owned()));
        controllers.extend(self.net_rate.map(|_| "net".to_owned()));
        controllers
    }

    /// Adds the limits of a bundle for which there is no option.
    fn with_bundle(mut self, bundle: OfBundle) -> Limits {
        let OfBundle { rows, raw, devices } = bundle;
        let given = std::mem::take(&mut self.rows);
        let is_given = |row: &Row| given.iter().any(|(known, _)| *known == row);
        self.rows = rows.into_iter().filter(|(row, _)| !is_given(row)).collect();
        self.rows.extend(given);
        self.sort();
        self.raw = [raw, self.raw].concat();
        self.devices = self.devices.or(devices);
        self
    }

    /// Reads the bundle, computes parts of the memory, and finds the disks and devices that paths mean.
    pub(crate) fn resolved(mut self, hierarchies: &Hierarchies) -> Result<Limits, Fault> {
        if let Some(bundle) = self.bundle.take() {
            self = self.with_bundle(oci::read(&bundle)?);
        }
        for (row, value) in &mut self.rows {
            if let Value::Part(thousandths) = value {
                *value = Value::Limit(Limit::Amount(memory::part(*thousandths, hierarchies)?));
            }
            if let (Kind::DeviceRates | Kind::DeviceWeight | Kind::DeviceTime, Value::Of { object, .. }) =
                (row.kind, value)
                && object != "default"
            {
                *object = device::disk(object).map_err(|why| {
                    Fault::new(format!("cannot find the disk of '{object}' (--{}): {why}", row.option))
                })?;
            }
        }
        if let Some(devices) = &mut self.devices {
            devices.resolve()?;
        }
        if self.is_guarded {
            self.set_high()?;
        }
        Ok(self)
    }

    /// Returns the write that takes back earlier rules of a group of v1 that exists.
    pub(crate) fn reset_v1(&self, controller: &str) -> Option<Setting> {
        self.devices.as_ref().filter(|_| controller == "devices").and_then(Devices::reset_v1)
    }

    /// Returns the programs of v2 for one controller.
    pub(crate) fn programs(&self, controller: &str) -> Option<Program> {
        match controller {
            "devices" => self.devices.clone().map(Program::Devices),
            "net" => self.net_rate.map(Program::Net),
            _ => None,
        }
    }

    /// Returns the writes for one controller, in the order in which the kernel accepts them.
    pub(crate) fn settings(&self, controller: &str, version: u8) -> Result<Vec<Setting>, Fault> {
        let memory = self.rows.iter().find(|(row, _)| row.option == "memory").map(|(_, value)| value);
        let mut settings = Vec::new();
        for (row, value) in self.rows.iter().filter(|(row, _)| row.controller == controller) {
            settings.extend(setting::settings(row, value, version, memory)?);
        }
        if let Some(devices) = self.devices.as_ref().filter(|_| version == 1 && controller == "devices") {
            settings.extend(devices.settings_v1()?);
        }
        let of_controller = |file: &str| file.split('.').next() == Some(controller);
        settings.extend(self.raw.iter().filter(|(file, _)| of_controller(file)).map(|(file, value)| Setting {
            reads: Reads::Unknown,
            ..Setting::new(file.clone(), value.clone(), WHY_RAW)
        }));
        Ok(settings)
    }
}

/// Reads `FILE=VALUE`.
pub(crate) fn raw(text: &str) -> Result<(String, String), Fault> {
    let wrong = |valid| Fault::usage(format!("invalid value '{text}' for '--set': {valid}"));
    let (file, value) = text.split_once('=').ok_or_else(|| wrong("expected FILE=VALUE such as memory.max=64M"))?;
    if NOT_SET.contains(&file) {
        return Err(wrong("this file moves processes; expected files that set limits"));
    }
    let is_plain = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let has_controller =
        file.split_once('.').is_some_and(|(controller, rest)| !controller.is_empty() && !rest.is_empty());
    if !is_plain || !has_controller {
        return Err(wrong("FILE is the name of a file of a cgroup, such as memory.max"));
    }
    if value.is_empty() {
        return Err(wrong("VALUE is missing"));
    }
    Ok((file.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn limits(pairs: &[(&str, &str)]) -> Limits {
        let row = |(option, text): &(&str, &str)| {
            let row = row_of(option).unwrap();
            (row, Value::parse(row.kind, text).unwrap())
        };
        Limits { rows: pairs.iter().map(row).collect(), ..Limits::default() }
    }

    #[test]
    fn only_controllers_with_a_limit_are_needed() {
        assert!(Limits::default().controllers().is_empty());
        let limits =
            Limits { raw: vec![("pids.max".into(), "3".into())], ..limits(&[("swap", "max"), ("memory", "1M")]) };
        assert_eq!(limits.controllers(), ["memory", "pids"]);
    }

    #[test]
    fn set_takes_files_of_a_cgroup_only() {
        assert_eq!(raw("memory.max=64M").unwrap(), ("memory.max".into(), "64M".into()));
        for text in ["memory.max", "memory.max=", "max=3", "../memory.max=1", "cgroup.procs=1", "tasks=1", ".x=1"] {
            assert!(raw(text).is_err(), "{text}");
        }
    }
}
