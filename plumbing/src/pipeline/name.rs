//! Names that users give to what the tools make: a container, a cgroup, a network namespace. Each becomes a file name
//! or part of a line of output, so one rule holds for all. `path_resolution(7)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::Fault;
use crate::kernel::look;

/// Checks a name of at most `longest` bytes; the error says what is valid.
pub fn check(name: &OsStr, longest: usize) -> Result<(), String> {
    let bytes = name.as_bytes();
    let is_valid = (1..=longest).contains(&bytes.len())
        && !matches!(bytes, b"." | b"..")
        && !bytes.iter().any(|byte| *byte == b'/' || byte.is_ascii_control());
    is_valid
        .then_some(())
        .ok_or_else(|| format!("expected 1 to {longest} bytes without / and control characters, other than . and .."))
}

/// Returns a random number, for a part of a name that nobody can have taken before us. `getrandom(2)`.
pub fn random() -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    // The kernel fills so few bytes completely.
    look("choose a name", "getrandom(8)", || getrandom(&mut bytes, GetRandomFlags::empty()))?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_of_a_path_and_one_word_of_a_line() {
        for name in ["web", "-x", "a b", "...", "..a", "é", "123456789"] {
            assert_eq!(check(OsStr::new(name), 9), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/", "a\nb", "\u{1b}[2J", "\u{7f}", "1234567890"] {
            assert!(check(OsStr::new(name), 9).is_err(), "{name:?}");
        }
        assert_eq!(check(OsStr::from_bytes(b"\xff\xfe"), 9), Ok(()));
    }
}
