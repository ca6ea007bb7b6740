//! Parsing the values of options; pure. An error says which forms are valid.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;
use plumbing::confinement::privilege::id::is_id;

use crate::id_map::Extent;
use crate::mapping::{Id, Wanted};

/// Parses a signal: `KILL`, `SIGKILL` or `9`.
pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper.clone() } else { format!("SIG{upper}") };
    let by_number = || text.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    name.parse()
        .ok()
        .or_else(by_number)
        .ok_or_else(|| "expected a name such as KILL or SIGTERM, or a number".to_owned())
}

/// The process that started us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// Whichever it is.
    Any,
    /// The process with this pid, otherwise it has ended already.
    Pid(i32),
}

/// Parses the pid of a parent; 0 means any.
pub(crate) fn parent(text: &str) -> Result<Parent, String> {
    match text.parse() {
        Ok(0) => Ok(Parent::Any),
        Ok(pid) if pid > 0 => Ok(Parent::Pid(pid)),
        _ => Err("expected a pid such as $PPID".to_owned()),
    }
}

/// Parses a user or group id.
pub(crate) fn id(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(id) if is_id(id) && is_number(text) => Ok(id),
        _ => Err("expected a number from 0 to 4294967294".to_owned()),
    }
}

/// Parses a number, or the name of a user or group.
pub(crate) fn id_or_name(text: &str) -> Result<Id, String> {
    match text {
        _ if is_number(text) => id(text).map(Id::Number),
        "" => Err("expected a number or a name".to_owned()),
        name => Ok(Id::Name(name.to_owned())),
    }
}

/// Parses two ids, as in `1000:1000`.
pub(crate) fn owner(text: &str) -> Result<(u32, u32), String> {
    let both = text.split_once(':').and_then(|(uid, gid)| Some((id(uid).ok()?, id(gid).ok()?)));
    both.ok_or_else(|| "expected two numbers, UID:GID".to_owned())
}

/// Parses `INNER:OUTER:COUNT`, `OUTER,INNER,COUNT` or a word.
pub(crate) fn range(text: &str) -> Result<Wanted, String> {
    match text {
        "auto" => return Ok(Wanted::Auto),
        "subids" => return Ok(Wanted::Subids),
        "all" => return Ok(Wanted::All),
        _ => {}
    }
    let numbers = |separator| -> Option<[u32; 3]> {
        let numbers: Option<Vec<u32>> =
            text.split(separator).map(|number| number.parse().ok().filter(|_| is_number(number))).collect();
        numbers?.try_into().ok()
    };
    let extent = match (numbers(':'), numbers(',')) {
        (Some([inner, outer, count]), _) | (None, Some([outer, inner, count])) => Extent { inner, outer, count },
        (None, None) => {
            return Err("expected INNER:OUTER:COUNT, OUTER,INNER,COUNT, auto, subids and all".to_owned());
        }
    };
    if extent.is_valid() {
        Ok(Wanted::Exact(extent))
    } else {
        Err("expected ids from 0 to 4294967294, and a COUNT of at least 1 that exceeds this on neither side".to_owned())
    }
}

/// Parses the number of an inherited descriptor.
pub(crate) fn descriptor(text: &str) -> Result<i32, String> {
    match text.parse() {
        Ok(fd) if fd >= 0 && is_number(text) => Ok(fd),
        _ => Err("expected the number of an open descriptor".to_owned()),
    }
}

/// Splits lists such as `HOME,TERM`, ignoring empty words.
pub(crate) fn names(lists: &[OsString]) -> Vec<OsString> {
    let words = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    words.filter(|word| !word.is_empty()).map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect()
}

/// Reports whether a text has only digits: `parse` would also accept a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_forms_or_is_one_of_three_words() {
        let exact = Wanted::Exact(Extent { inner: 0, outer: 100_000, count: 65536 });
        assert_eq!(range("0:100000:65536"), Ok(exact.clone()));
        assert_eq!(range("100000,0,65536"), Ok(exact));
        assert_eq!(
            (range("auto"), range("subids"), range("all")),
            (Ok(Wanted::Auto), Ok(Wanted::Subids), Ok(Wanted::All))
        );
        for wrong in
            ["", "0", "0:1", "0:1:0", "0:1:2:3", "0:1,2", "a:b:c", "+0:1:2", "4294967295:0:1", "0:1:4294967295"]
        {
            assert!(range(wrong).is_err(), "{wrong}");
        }
        assert!(range("0:0:4294967295").is_ok());
    }

    #[test]
    fn ids_names_and_owners_are_parsed() {
        assert_eq!(id_or_name("1000"), Ok(Id::Number(1000)));
        assert_eq!(id_or_name("web"), Ok(Id::Name("web".to_owned())));
        assert!(id_or_name("4294967295").is_err() && id_or_name("").is_err());
        assert_eq!(owner("1:2"), Ok((1, 2)));
        assert!(owner("1").is_err() && owner("1:").is_err() && owner("-1:0").is_err());
    }

    #[test]
    fn a_signal_can_be_a_name_or_a_number() {
        for text in ["KILL", "SIGKILL", "kill", "9"] {
            assert_eq!(signal(text), Ok(Signal::SIGKILL));
        }
        assert!(signal("0").is_err() && signal("NONE").is_err());
    }

    #[test]
    fn lists_of_names_are_joined() {
        assert_eq!(names(&["A,,B".into(), "C".into()]), ["A", "B", "C"].map(OsString::from));
    }
}
