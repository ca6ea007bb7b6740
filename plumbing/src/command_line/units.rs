//! Quantities in everyday notation: `256M`, `1.5G` (binary), `50%`, `1.5` CPUs, `10mbit`, `250ms`, `max`.

/// A limit: an amount, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This amount.
    Amount(u64),
    /// The word `max` (or `none`): no limit.
    Max,
}

/// Reads a size in bytes: a number, optionally with a fraction, then K, M, G or T (powers of 1024; `KiB`, `kb` and `B`
/// mean the same as in everyday use), or `max`.
pub fn size(text: &str) -> Result<Limit, String> {
    if matches!(text, "max" | "none") {
        return Ok(Limit::Max);
    }
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(size_forms()),
    };
    scaled(number, factor).map(Limit::Amount).ok_or_else(size_forms)
}

fn size_forms() -> String {
    "expected bytes such as 1048576, 256M, 1.5G (powers of 1024), or max".to_owned()
}

/// Reads a count: a whole number, or `max`.
pub fn count(text: &str) -> Result<Limit, String> {
    if matches!(text, "max" | "none") {
        return Ok(Limit::Max);
    }
    text.parse().map(Limit::Amount).map_err(|_| "expected a whole number such as 100, or max".to_owned())
}

/// Reads CPU time as thousandths of one CPU: `1.5` CPUs or `150%`.
pub fn cpus(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let thousandths = match unit {
        "" => scaled(number, 1000),
        "%" => scaled(number, 10),
        _ => None,
    };
    thousandths.filter(|amount| *amount > 0).ok_or_else(|| "expected CPUs such as 1.5, or 150%".to_owned())
}

/// Reads a duration in milliseconds: `250ms`, `10s` or `10`, `1.5m`, `2h`.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "ms" => 1u64,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(duration_forms()),
    };
    scaled(number, factor).ok_or_else(duration_forms)
}

/// Reads a rate of data in bits per second: `500kbit`, `10mbit`, `2.5gbit` or `10M`. The units are decimal.
pub fn bit_rate(text: &str) -> Result<u64, String> {
    let valid = || "expected a rate in bits from 64kbit to 100gbit, such as 500kbit, 10mbit or 2.5gbit".to_owned();
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("bit").unwrap_or(&lower);
    let unit = [('k', 1_000), ('m', 1_000_000), ('g', 1_000_000_000)];
    let unit = unit.into_iter().find_map(|(letter, factor)| Some((number.strip_suffix(letter)?, factor)));
    let (number, factor) = unit.unwrap_or((number, 1));
    scaled(number, factor).filter(|bits| (64_000..=100_000_000_000).contains(bits)).ok_or_else(valid)
}

/// Formats a rate as [`bit_rate`] reads it.
pub fn bit_rate_text(bits: u64) -> String {
    match bits {
        bits if bits % 1_000_000_000 == 0 => format!("{}gbit", bits / 1_000_000_000),
        bits if bits % 1_000_000 == 0 => format!("{}mbit", bits / 1_000_000),
        bits if bits % 1000 == 0 => format!("{}kbit", bits / 1000),
        bits => format!("{bits}bit"),
    }
}

/// Parses how many times something is done.
pub fn repetitions(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a number such as 10".to_owned())
}

fn duration_forms() -> String {
    "expected seconds such as 10 or 1.5s, 250ms, 5m, 2h".to_owned()
}

/// Formats an amount as `1.5G`: one decimal place, powers of 1024.
pub fn bytes(amount: u64) -> String {
    let (mut tenths, mut units) = (u128::from(amount) * 10, "KMGT".chars());
    let mut unit = None;
    while tenths >= 10240
        && let Some(next) = units.next()
    {
        tenths /= 1024;
        unit = Some(next);
    }
    match (tenths % 10, unit) {
        (_, None) => amount.to_string(),
        (0, Some(unit)) => format!("{}{unit}", tenths / 10),
        (fraction, Some(unit)) => format!("{}.{fraction}{unit}", tenths / 10),
    }
}

/// Formats a time.
pub fn seconds(microseconds: u64) -> String {
    format!("{}.{:03}s", microseconds / 1_000_000, microseconds / 1000 % 1000)
}

/// Formats `50000 100000` as a share of one CPU: `50%`.
pub fn percent(cpu_max: &str) -> Option<String> {
    let (quota, period) = cpu_max.split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    let tenths = quota.checked_mul(1000)?.checked_div(period)?;
    Some(if tenths % 10 == 0 { format!("{}%", tenths / 10) } else { format!("{}.{}%", tenths / 10, tenths % 10) })
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// Returns `number` (decimal, up to nine decimal places) times `factor`, rounded down; `None` if it is not a number or
/// too large. Integer arithmetic: 0.1 has no exact binary form, and a limit must be what was written.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let numerator: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let fraction_part = numerator * u128::from(factor) / 10u128.pow(fraction.len() as u32);
    whole.checked_mul(factor)?.checked_add(u64::try_from(fraction_part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("256M"), Ok(Limit::Amount(256 << 20)));
        assert_eq!(size("1.5G"), Ok(Limit::Amount(3 << 29)));
        assert_eq!(size("12"), Ok(Limit::Amount(12)));
        assert_eq!(size("64MiB"), Ok(Limit::Amount(64 << 20)));
        assert_eq!(size("max"), Ok(Limit::Max));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "M", "12Q", "-1", "1..5M", "1e3", "0x10", "99999999999999999999", "16777216T", "."] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_and_percent_agree() {
        assert_eq!(cpus("1.5"), Ok(1500));
        assert_eq!(cpus("150%"), Ok(1500));
        assert!(cpus("0").is_err());
        assert!(cpus("1.5x").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("1.5s"), Ok(1500));
        assert_eq!(milliseconds("2h"), Ok(7_200_000));
        assert!(milliseconds("2d").is_err());
    }

    #[test]
    fn amounts_are_printed_in_everyday_notation() {
        assert_eq!([0, 1023, 1024, 1536, 256 << 20, 3 << 40].map(bytes), ["0", "1023", "1K", "1.5K", "256M", "3T"]);
        assert_eq!(percent("50000 100000").as_deref(), Some("50%"));
        assert_eq!(percent("5000 1000000").as_deref(), Some("0.5%"));
        assert_eq!(percent("max 100000"), None);
    }
}
