//! Refuses parameters of a new file system that the kernel would ignore, wrap or cut. No I/O. `tmpfs(5)`.
//!
//! The surprise: `fsconfig(2)` refuses an unknown word, but not a number that is too large. A size above 64 bits wraps, one
//! just below has the effect of no limit, the upper bits of a mode are dropped, and ramfs ignores every word that it does
//! not know.

use plumbing::command_line::units::{Limit, size};

/// The highest share of the memory, in percent: the kernel multiplies it by the memory without looking for an overflow.
const MOST_PERCENT: u64 = 1000;

/// Checks a parameter `key=text` for a file system of this kind, and returns its value in the notation of the kernel.
pub(crate) fn value(kind: &str, key: &str, text: &str) -> Result<String, String> {
    let named = |wrong: String| format!("{key}={text}: {wrong}");
    match (kind, key) {
        ("ramfs", "mode") | ("tmpfs" | "devpts", "mode") | ("devpts", "ptmxmode") => mode(text).map_err(named),
        ("ramfs", _) => Err(named("ramfs ignores it; it takes only mode=, and tmpfs has size=".to_owned())),
        ("tmpfs", "size") => share(text).unwrap_or_else(|| amount(text)).map_err(named),
        ("tmpfs", "nr_inodes" | "nr_blocks") => amount(text).map_err(named),
        _ => Ok(text.to_owned()),
    }
}

fn mode(text: &str) -> Result<String, String> {
    let is_octal = text.bytes().all(|digit| digit.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o7777 => Ok(text.to_owned()),
        _ => Err("expected octal permissions, 0 to 7777".to_owned()),
    }
}

/// Parses a share of the memory, as in `50%`; `None` if it has no percent sign.
fn share(text: &str) -> Option<Result<String, String>> {
    let percent = text.strip_suffix('%')?;
    let is_fit = percent.bytes().all(|digit| digit.is_ascii_digit())
        && percent.parse().is_ok_and(|percent: u64| percent <= MOST_PERCENT);
    if !is_fit {
        return Some(Err(format!("expected a share of the memory, 0% to {MOST_PERCENT}%")));
    }
    // The kernel would read a number that begins with 0 as octal.
    let digits = percent.trim_start_matches('0');
    Some(Ok(format!("{}%", if digits.is_empty() { "0" } else { digits })))
}

/// Parses an amount. The kernel adds to it and counts with signed numbers, so that one close to 64 bits is no limit.
fn amount(text: &str) -> Result<String, String> {
    let fits = |amount: &u64| *amount <= i64::MAX.cast_unsigned();
    match size(text)? {
        // The kernel's word for "no limit".
        Limit::Max => Ok("0".to_owned()),
        Limit::Amount(0) if text.bytes().any(|digit| matches!(digit, b'1'..=b'9')) => {
            Err("it is less than one, and 0 would mean that there is no limit".to_owned())
        }
        Limit::Amount(amount) if fits(&amount) => {
            Ok(if is_the_kernels(text) { text.to_owned() } else { amount.to_string() })
        }
        Limit::Amount(_) => Err(format!("the highest is {}", i64::MAX)),
    }
}

/// Reports whether the kernel reads the same from the text: a whole number that is not octal, and perhaps one letter.
fn is_the_kernels(text: &str) -> bool {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let is_whole = digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    is_whole && (unit.is_empty() || unit.len() == 1 && !unit.eq_ignore_ascii_case("b"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_fits_is_kept_or_written_as_the_kernel_reads_it() {
        for (key, text, kernels) in [
            ("size", "64m", "64m"),
            ("size", "65536k", "65536k"),
            ("size", "0", "0"),
            ("size", "1.5G", "1610612736"),
            ("size", "64MiB", "67108864"),
            ("size", "010", "10"),
            ("size", "max", "0"),
            ("size", "50%", "50%"),
            ("size", "050%", "50%"),
            ("size", "0%", "0%"),
            ("nr_inodes", "9223372036854775807", "9223372036854775807"),
            ("nr_blocks", "1k", "1k"),
            ("mode", "1777", "1777"),
            ("mode", "0755", "0755"),
            ("huge", "never", "never"),
        ] {
            assert_eq!(value("tmpfs", key, text), Ok(kernels.to_owned()), "{key}={text}");
        }
        assert_eq!(value("devpts", "gid", "5"), Ok("5".to_owned()));
    }

    #[test]
    fn a_value_that_the_kernel_would_cut_or_ignore_is_refused() {
        for (kind, key, text) in [
            ("tmpfs", "size", "18446744073709551617"),
            ("tmpfs", "size", "18446744073709551615"),
            ("tmpfs", "size", "9223372036854775808"),
            ("tmpfs", "size", "16777217T"),
            ("tmpfs", "size", "4611686018427387904%"),
            ("tmpfs", "size", "1001%"),
            ("tmpfs", "size", "1.5%"),
            ("tmpfs", "size", "%"),
            ("tmpfs", "size", "0.1"),
            ("tmpfs", "size", "-1"),
            ("tmpfs", "size", ""),
            ("tmpfs", "nr_inodes", "18446744073709551617"),
            ("tmpfs", "nr_inodes", "50%"),
            ("tmpfs", "nr_blocks", "4611686018427387904k"),
            ("tmpfs", "mode", "100755"),
            ("tmpfs", "mode", "+755"),
            ("tmpfs", "mode", "rwx"),
            ("tmpfs", "mode", ""),
            ("devpts", "ptmxmode", "10666"),
            ("ramfs", "mode", "10755"),
            ("ramfs", "size", "64m"),
            ("ramfs", "", ""),
        ] {
            assert!(value(kind, key, text).is_err(), "{kind} {key}={text}");
        }
    }
}
