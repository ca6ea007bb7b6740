//! What a group has used: CPU time, memory, processes, disks, and pressure. The kernel's
//! `Documentation/admin-guide/cgroup-v2.rst`, `Documentation/accounting/psi.rst`.
//!
//! The counters of a group outlive its processes, and count all of them: a daemon that the command left behind is in
//! none of the figures of wait4(2). Each file is optional. The surprise: where v1 has the controllers, an otherwise empty
//! v2 group still counts CPU time and pressure.

use std::collections::BTreeMap;
use std::fs;

use crate::Fault;
use crate::cgroup::group::Group;
use crate::cgroup::usage::{Member, field, number, text};
use crate::command_line::units;
use serde::Serialize;

/// What a group has used; members that this kernel does not count are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Disks that were read or written.
    pub io: Vec<Disk>,
    /// What sockets have sent, if the rate is limited; for the caller to fill in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// The time in which tasks waited for a resource; by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pressure: BTreeMap<&'static str, Pressure>,
}

/// CPU time, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// The whole time.
    pub usage_usec: u64,
    /// In user mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_usec: Option<u64>,
    /// In the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_usec: Option<u64>,
    /// Periods of the group's own CPU limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nr_periods: Option<u64>,
    /// Periods in which the limit stopped the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nr_throttled: Option<u64>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_usec: Option<u64>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The most at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// The most swap at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_peak: Option<u64>,
    /// Processes that the kernel killed because memory ran out.
    pub oom_kills: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// The most at one time.
    pub peak: u64,
}

/// What was read from a disk and written to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// `MAJOR:MINOR`.
    pub device: String,
    /// Its name, such as `sda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes read.
    pub rbytes: u64,
    /// Bytes written.
    pub wbytes: u64,
    /// Read operations.
    pub rios: u64,
    /// Write operations.
    pub wios: u64,
}

/// The time in which tasks waited for a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// At least one task waited.
    pub some_usec: u64,
    /// All tasks waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_usec: Option<u64>,
}

/// What the program of `cgexec-rs --net-rate` has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Net {
    /// The rate, in bits per second.
    pub rate: u64,
    /// What was sent.
    pub sent_bytes: u64,
    /// The packets of it.
    pub sent_packets: u64,
    /// What was dropped.
    pub dropped_bytes: u64,
    /// The packets of it.
    pub dropped_packets: u64,
    /// The time for which packets had to wait, or came too early.
    pub limited_usec: u64,
}

impl Net {
    /// Reads the numbers of the program's map.
    pub fn of(numbers: [u64; 7]) -> Net {
        let [_, sent_bytes, sent_packets, dropped_bytes, dropped_packets, limited, rate] = numbers;
        Net { rate, sent_bytes, sent_packets, dropped_bytes, dropped_packets, limited_usec: limited / 1000 }
    }

    /// Formats it for the report.
    pub fn text(&self) -> String {
        let Net { sent_bytes, sent_packets, dropped_packets, .. } = self;
        let dropped = match dropped_packets {
            0 => String::new(),
            packets => format!(", {packets} dropped"),
        };
        let limited = match self.limited_usec {
            0 => String::new(),
            time => format!(", at the limit for {}", units::seconds(time)),
        };
        let (sent, rate) = (units::bytes(*sent_bytes), units::bit_rate_text(self.rate));
        format!("sent {sent} ({sent_packets}){dropped}{limited} of {rate}")
    }
}

impl Counters {
    /// Reads the counters of a group.
    pub fn of<'m>(members: impl Iterator<Item = &'m Member>) -> Result<Counters, Fault> {
        let mut counters = Counters::default();
        for member in members {
            counters.add(member)?;
        }
        Ok(counters)
    }

    fn add(&mut self, member: &Member) -> Result<(), Fault> {
        let group = &member.group;
        if group.version == 2 {
            self.cpu = cpu_v2(group)?.map(|cpu| self.cpu.take().unwrap_or_default().merged(cpu)).or(self.cpu.take());
            for (resource, file) in [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("io", "io.pressure")] {
                self.pressure.extend(pressure(group, file)?.map(|pressure| (resource, pressure)));
            }
            if let Some(stat) = text(group, "io.stat")? {
                self.io = stat.lines().filter_map(disk).filter(Disk::was_used).collect();
            }
        }
        let serves = |controller: &str| group.version == 1 && member.serves(controller);
        if serves("cpuacct") {
            let mut cpu = self.cpu.take().unwrap_or_default();
            // v2 has counted it more exactly.
            if cpu.usage_usec == 0 {
                let micro = |file| Ok::<_, Fault>(number(group, file)?.map(|nanoseconds| nanoseconds / 1000));
                cpu.usage_usec = micro("cpuacct.usage")?.unwrap_or(0);
                cpu.user_usec = micro("cpuacct.usage_user")?;
                cpu.system_usec = micro("cpuacct.usage_sys")?;
            }
            self.cpu = Some(cpu);
        }
        if serves("cpu")
            && let Some(stat) = text(group, "cpu.stat")?
        {
            let throttled_usec = field(&stat, "throttled_time").map(|nanoseconds| nanoseconds / 1000);
            let (nr_periods, nr_throttled) = (field(&stat, "nr_periods"), field(&stat, "nr_throttled"));
            let limited = Cpu { nr_periods, nr_throttled, throttled_usec, ..Cpu::default() };
            self.cpu = Some(self.cpu.take().unwrap_or_default().merged(limited));
        }
        if serves("blkio") {
            self.io = disks_v1(
                &text(group, "blkio.throttle.io_service_bytes")?.unwrap_or_default(),
                &text(group, "blkio.throttle.io_serviced")?.unwrap_or_default(),
            );
        }
        self.memory = memory(member)?.or(self.memory.take());
        if member.serves("pids") {
            self.pids = number(group, "pids.peak")?.map(|peak| Pids { peak }).or(self.pids.take());
        }
        Ok(())
    }
}

impl Cpu {
    /// Adds what the other one knows.
    fn merged(self, other: Cpu) -> Cpu {
        Cpu {
            usage_usec: self.usage_usec.max(other.usage_usec),
            user_usec: self.user_usec.or(other.user_usec),
            system_usec: self.system_usec.or(other.system_usec),
            nr_periods: self.nr_periods.or(other.nr_periods),
            nr_throttled: self.nr_throttled.or(other.nr_throttled),
            throttled_usec: self.throttled_usec.or(other.throttled_usec),
        }
    }
}

impl Disk {
    fn was_used(&self) -> bool {
        self.rios + self.wios + self.rbytes + self.wbytes > 0
    }
}

fn cpu_v2(group: &Group) -> Result<Option<Cpu>, Fault> {
    Ok(text(group, "cpu.stat")?.and_then(|stat| {
        Some(Cpu {
            usage_usec: field(&stat, "usage_usec")?,
            user_usec: field(&stat, "user_usec"),
            system_usec: field(&stat, "system_usec"),
            nr_periods: field(&stat, "nr_periods"),
            nr_throttled: field(&stat, "nr_throttled"),
            throttled_usec: field(&stat, "throttled_usec"),
        })
    }))
}

fn memory(member: &Member) -> Result<Option<Memory>, Fault> {
    let group = &member.group;
    if group.version == 2 {
        let Some(events) = text(group, "memory.events")? else { return Ok(None) };
        return Ok(Some(Memory {
            peak: number(group, "memory.peak")?,
            swap_peak: number(group, "memory.swap.peak")?,
            oom_kills: field(&events, "oom_kill").unwrap_or(0),
        }));
    }
    if !member.serves("memory") {
        return Ok(None);
    }
    let control = text(group, "memory.oom_control")?.unwrap_or_default();
    Ok(Some(Memory {
        peak: number(group, "memory.max_usage_in_bytes")?,
        swap_peak: None,
        oom_kills: field(&control, "oom_kill").unwrap_or(0),
    }))
}

/// Reads the totals of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn pressure(group: &Group, file: &str) -> Result<Option<Pressure>, Fault> {
    // EOPNOTSUPP: pressure is switched off.
    Ok(text(group, file)?.and_then(|text| {
        let total =
            |kind: &str| text.lines().find(|line| line.starts_with(kind))?.rsplit_once("total=")?.1.parse().ok();
        Some(Pressure { some_usec: total("some")?, full_usec: total("full") })
    }))
}

/// Returns the share of the last ten seconds in which a task of the group waited, in percent.
pub fn waiting(v2: Option<&Group>) -> Result<BTreeMap<&'static str, f64>, Fault> {
    let mut waiting = BTreeMap::new();
    let Some(group) = v2 else { return Ok(waiting) };
    for (resource, file) in [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("io", "io.pressure")] {
        let text = text(group, file)?.unwrap_or_default();
        let some = text.lines().find_map(|line| line.strip_prefix("some avg10=")?.split(' ').next()?.parse().ok());
        waiting.extend(some.map(|share| (resource, share)));
    }
    Ok(waiting)
}

/// Reads `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn disk(line: &str) -> Option<Disk> {
    let (device, numbers) = line.split_once(' ')?;
    let number = |key: &str| {
        let value = numbers.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
        value.unwrap_or(0)
    };
    let (rbytes, wbytes, rios, wios) = (number("rbytes"), number("wbytes"), number("rios"), number("wios"));
    Some(Disk { device: device.to_owned(), name: name(device), rbytes, wbytes, rios, wios })
}

/// Reads lines such as `8:0 Read 4096` of two files.
fn disks_v1(bytes: &str, operations: &str) -> Vec<Disk> {
    let mut disks: BTreeMap<String, Disk> = BTreeMap::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(device), Some(what), Some(Ok(number))) =
                (words.next(), words.next(), words.next().map(str::parse::<u64>))
            else {
                continue;
            };
            let disk = disks.entry(device.to_owned()).or_insert_with(|| Disk {
                device: device.to_owned(),
                name: name(device),
                ..Disk::default()
            });
            match (what, is_bytes) {
                ("Read", true) => disk.rbytes = number,
                ("Write", true) => disk.wbytes = number,
                ("Read", false) => disk.rios = number,
                ("Write", false) => disk.wios = number,
                _ => {}
            }
        }
    }
    disks.into_values().filter(Disk::was_used).collect()
}

/// Returns the name of a disk: `sda`.
fn name(device: &str) -> Option<String> {
    let link = fs::read_link(format!("/sys/dev/block/{device}")).ok()?;
    link.file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_in_both_notations() {
        let v2 = disk("4095:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0").unwrap();
        let v1 = disks_v1(
            "4095:0 Read 4096\n4095:0 Write 8192\n4095:0 Total 12288\n4095:1 Read 0\nTotal 12288",
            "4095:0 Read 1\n4095:0 Write 2\nTotal 3",
        );
        assert_eq!(v1, [v2]);
    }
}
