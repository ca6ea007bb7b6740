//! The value of a limit as it was written, read by the notation of its row. Pure.
//!
//! The surprise: the kernel's own notation differs from file to file; some take `64M`, others refuse it, and
//! `io.max` takes no unit at all. So values are read here, and written to the kernel as plain numbers.

use plumbing::command_line::units::{self, Limit};

use crate::limits::Kind;

/// The value of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An amount, or no limit.
    Limit(Limit),
    /// A part of the memory that there is, in thousandths.
    Part(u64),
    /// CPU time, in thousandths of one CPU.
    Thousandths(u64),
    /// CPU time in a period, both in microseconds.
    Quota(Limit, u64),
    /// A share of the CPUs as v1 has it, 1024 by default.
    Shares(u64),
    /// A plain number.
    Number(i64),
    /// A text that the kernel takes as it is.
    Text(String),
    /// Numbers by key for one object: a device, a size of pages, a resource.
    Of { object: String, numbers: Vec<(String, Limit)> },
}

impl Value {
    /// Reads a value; the error says what is valid.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        match kind {
            Kind::Memory if text.ends_with('%') => part(text).map(Value::Part),
            Kind::Memory => {
                units::size(text).map(Value::Limit).map_err(|valid| format!("{valid}, or a part such as 50%"))
            }
            Kind::Size => units::size(text).map(Value::Limit),
            Kind::Count => units::count(text).map(Value::Limit),
            Kind::Cpus if is_max(text) => Ok(Value::Limit(Limit::Max)),
            Kind::Cpus => units::cpus(text).map(Value::Thousandths),
            Kind::Time => microseconds(text).map(Value::Number),
            Kind::Between(least, most) => between(text, least, most).map(Value::Number),
            Kind::Switch => match text {
                "1" => Ok(Value::Number(1)),
                _ => Err("the option takes no value".to_owned()),
            },
            Kind::Percent => percent(text).map(Value::Text),
            Kind::List => {
                Numbers::parse(text).map(|_| Value::Text(text.to_owned())).ok_or_else(|| LIST_FORMS.to_owned())
            }
            Kind::Partition => match text {
                "root" | "isolated" | "member" => Ok(Value::Text(text.to_owned())),
                _ => Err("expected root, isolated and member".to_owned()),
            },
            Kind::DeviceRates => rates(text).ok_or_else(|| RATE_FORMS.to_owned()),
            Kind::DeviceWeight => weight(text),
            Kind::DeviceTime => latency(text),
            Kind::PageSize => pages(text).ok_or_else(|| PAGE_FORMS.to_owned()),
            Kind::DeviceCounts => counts(text).ok_or_else(|| COUNT_FORMS.to_owned()),
            Kind::Resource => amount_of(text, units::count).ok_or_else(|| "expected NAME=N such as sev=4".to_owned()),
            Kind::Region => amount_of(text, units::size)
                .ok_or_else(|| "expected REGION=SIZE such as drm/0000:03:00.0/vram0=1G".to_owned()),
        }
    }
}

const LIST_FORMS: &str = "expected numbers and ranges such as 0-3,8";
const RATE_FORMS: &str =
    "expected DEVICE:RATES with rbps, wbps, riops and wiops above 0, such as /dev/sda:rbps=10M,wiops=100";
const PAGE_FORMS: &str = "expected SIZE=LIMIT such as 2M=64M";
const COUNT_FORMS: &str = "expected NAME:LIMITS such as mlx5_0:hca_handle=2,hca_object=max";

fn is_max(text: &str) -> bool {
    matches!(text, "max" | "none")
}

fn microseconds(text: &str) -> Result<i64, String> {
    let forms = || "expected times such as 20ms, 500us, 1s".to_owned();
    if let Some(number) = text.strip_suffix("us") {
        return number.parse::<u32>().map(i64::from).map_err(|_| forms());
    }
    if !text.ends_with(|letter: char| letter.is_ascii_alphabetic()) {
        return Err(forms());
    }
    let milliseconds = units::milliseconds(text).map_err(|_| forms())?;
    milliseconds.checked_mul(1000).and_then(|time| i64::try_from(time).ok()).ok_or_else(forms)
}

/// Reads `50%` of the memory.
fn part(text: &str) -> Result<u64, String> {
    // In the notation of CPUs, 100% is 1000 thousandths, too.
    let part = units::cpus(text).ok().filter(|part| *part <= 1000);
    part.ok_or_else(|| "expected a part of the memory from 0.1% to 100%".to_owned())
}

fn between(text: &str, least: i64, most: i64) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("expected numbers from {least} to {most}"))
}

fn percent(text: &str) -> Result<String, String> {
    if is_max(text) {
        return Ok("max".to_owned());
    }
    let number = text.strip_suffix('%').unwrap_or(text);
    let is_percent = number.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number))
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_percent { Ok(number.to_owned()) } else { Err("expected 0% to 100%, or max".to_owned()) }
}

/// Splits `DEVICE:REST`; the device may contain colons, the rest none.
fn split_device(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':').filter(|(device, rest)| !device.is_empty() && !rest.is_empty())
}

fn rates(text: &str) -> Option<Value> {
    let (device, rates) = split_device(text)?;
    let mut numbers: Vec<(String, Limit)> = Vec::new();
    for rate in rates.split(',') {
        let (key, value) = rate.split_once('=')?;
        let value = match key {
            "rbps" | "wbps" => units::size(value).ok()?,
            "riops" | "wiops" => units::count(value).ok()?,
            _ => return None,
        };
        if value == Limit::Amount(0) || numbers.iter().any(|(known, _)| known == key) {
            return None;
        }
        numbers.push((key.to_owned(), value));
    }
    Some(Value::Of { object: device.to_owned(), numbers })
}

fn weight(text: &str) -> Result<Value, String> {
    let (device, number) = split_device(text).unwrap_or(("default", text));
    let number = between(number, 1, 10000).map_err(|valid| format!("{valid}, and DEVICE:N for one disk"))?;
    let numbers = vec![(String::new(), Limit::Amount(number.unsigned_abs()))];
    Ok(Value::Of { object: device.to_owned(), numbers })
}

fn latency(text: &str) -> Result<Value, String> {
    let forms = "expected DEVICE:TIME such as /dev/sda:10ms";
    let (device, time) = split_device(text).ok_or(forms)?;
    let time = microseconds(time).map_err(|_| forms)?;
    let numbers = vec![("target".to_owned(), Limit::Amount(time.unsigned_abs()))];
    Ok(Value::Of { object: device.to_owned(), numbers })
}

/// Reads `2M=64M`; the object is the kernel's name for this size, `2MB`.
fn pages(text: &str) -> Option<Value> {
    let (size, limit) = text.split_once('=')?;
    let Ok(Limit::Amount(size)) = units::size(size) else { return None };
    let (unit, name) =
        [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")].into_iter().find(|(unit, _)| size % unit == 0)?;
    let object = (size > 0).then(|| format!("{}{name}", size / unit))?;
    Some(Value::Of { object, numbers: vec![(String::new(), units::size(limit).ok()?)] })
}

fn counts(text: &str) -> Option<Value> {
    let (device, counts) = split_device(text)?;
    let number = |count: &str| {
        let (key, value) = count.split_once('=')?;
        let is_known = matches!(key, "hca_handle" | "hca_object");
        Some((key.to_owned(), units::count(value).ok()?)).filter(|_| is_known)
    };
    let numbers = counts.split(',').map(number).collect::<Option<_>>()?;
    Some(Value::Of { object: device.to_owned(), numbers })
}

fn amount_of(text: &str, read: fn(&str) -> Result<Limit, String>) -> Option<Value> {
    let (name, amount) = text.rsplit_once('=').filter(|(name, _)| !name.is_empty() && !name.contains(' '))?;
    Some(Value::Of { object: name.to_owned(), numbers: vec![(String::new(), read(amount).ok()?)] })
}

/// A set of CPUs or memory nodes, in the kernel's notation `0-3,8`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbers(Vec<u32>);

impl Numbers {
    /// Reads such a list; `None` if it is none, or has no number.
    pub(crate) fn parse(text: &str) -> Option<Numbers> {
        /// More CPUs than a kernel can have.
        const MOST: u32 = 1 << 16;
        let mut numbers = Vec::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= MOST {
                return None;
            }
            numbers.extend(first..=last);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Some(Numbers(numbers))
    }

    /// Returns whether all of them are among `others`.
    pub(crate) fn is_within(&self, others: &Numbers) -> bool {
        self.0.iter().all(|number| others.0.contains(number))
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(object: &str, numbers: &[(&str, Limit)]) -> Value {
        let numbers = numbers.iter().map(|(key, limit)| ((*key).to_owned(), *limit)).collect();
        Value::Of { object: object.to_owned(), numbers }
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        use Limit::{Amount, Max};
        for (kind, text, value) in [
            (Kind::Size, "1.5G", Value::Limit(Amount(3 << 29))),
            (Kind::Memory, "1.5G", Value::Limit(Amount(3 << 29))),
            (Kind::Memory, "12.5%", Value::Part(125)),
            (Kind::Cpus, "max", Value::Limit(Max)),
            (Kind::Cpus, "50%", Value::Thousandths(500)),
            (Kind::Time, "20ms", Value::Number(20_000)),
            (Kind::Time, "500us", Value::Number(500)),
            (Kind::Between(-20, 19), "-5", Value::Number(-5)),
            (Kind::Percent, "12.5%", Value::Text("12.5".into())),
            (Kind::List, "0-3,8", Value::Text("0-3,8".into())),
            (Kind::DeviceRates, "8:0:rbps=10M,wiops=max", of("8:0", &[("rbps", Amount(10 << 20)), ("wiops", Max)])),
            (Kind::DeviceRates, "/srv/a=b:wbps=1K", of("/srv/a=b", &[("wbps", Amount(1024))])),
            (Kind::DeviceWeight, "200", of("default", &[("", Amount(200))])),
            (Kind::DeviceWeight, "/dev/sda:200", of("/dev/sda", &[("", Amount(200))])),
            (Kind::DeviceTime, "8:16:10ms", of("8:16", &[("target", Amount(10_000))])),
            (Kind::PageSize, "2M=64M", of("2MB", &[("", Amount(64 << 20))])),
            (Kind::PageSize, "64K=max", of("64KB", &[("", Max)])),
            (Kind::DeviceCounts, "mlx5_0:hca_handle=2", of("mlx5_0", &[("hca_handle", Amount(2))])),
            (Kind::Resource, "sev=4", of("sev", &[("", Amount(4))])),
            (Kind::Region, "drm/0000:03:00.0/vram0=1G", of("drm/0000:03:00.0/vram0", &[("", Amount(1 << 30))])),
        ] {
            assert_eq!(Value::parse(kind, text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_valid_is_refused_with_what_is() {
        for (kind, text) in [
            (Kind::Size, "64Q"),
            (Kind::Size, "50%"),
            (Kind::Memory, "64Q"),
            (Kind::Memory, "101%"),
            (Kind::Memory, "0%"),
            (Kind::Time, "20"),
            (Kind::Between(1, 10000), "0"),
            (Kind::Percent, "101%"),
            (Kind::Percent, "nan"),
            (Kind::List, ""),
            (Kind::List, "3-1"),
            (Kind::List, "0-4294967295"),
            (Kind::Partition, "all"),
            (Kind::DeviceRates, "/dev/sda"),
            (Kind::DeviceRates, "/dev/sda:rbps=0"),
            (Kind::DeviceRates, "/dev/sda:rbps=1,rbps=2"),
            (Kind::DeviceRates, "/dev/sda:speed=1"),
            (Kind::DeviceRates, ":rbps=1"),
            (Kind::DeviceWeight, "/dev/sda:0"),
            (Kind::DeviceTime, "10ms"),
            (Kind::PageSize, "0=1M"),
            (Kind::PageSize, "2M"),
            (Kind::DeviceCounts, "mlx5_0:handles=2"),
            (Kind::Resource, "=4"),
        ] {
            assert!(Value::parse(kind, text).is_err_and(|valid| valid.contains("expected")), "{text}");
        }
    }

    #[test]
    fn lists_are_compared_as_sets() {
        let list = |text| Numbers::parse(text).unwrap();
        assert_eq!(list("0-3,8\n"), list("8,3,2,1,0-1"));
        assert!(list("1,2").is_within(&list("0-3")) && !list("1,4").is_within(&list("0-3")));
        assert_eq!(list("0-9").count(), 10);
    }
}
