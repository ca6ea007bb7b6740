//! For the remedy of a name that no container has: containers with a similar name.
//!
//! Only names of root's containers and our own are shown: another user could choose a name to be taken for theirs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{Container, Reference};

/// The longest name that is compared, in bytes: the time grows with the square of the length.
const LONGEST: usize = 255;

/// Describes the containers with similar names.
pub(super) fn described(reference: &Reference, containers: &[Container]) -> Vec<String> {
    let own = rustix::process::geteuid().as_raw();
    let may_be_meant = |it: &&Container| {
        reference.means_author(it.author, own) && reference.runtime.is_none_or(|runtime| runtime == it.runtime)
    };
    let is_similar = |it: &&Container| it.names.iter().any(|name| are_similar(name, &reference.word));
    containers.iter().filter(may_be_meant).filter(is_similar).map(|it| it.described(own)).collect()
}

/// Reports whether one name is likely a slip of the other: it contains the other, or one in four letters differs.
fn are_similar(name: &OsStr, word: &OsStr) -> bool {
    let [name, word] = [name, word].map(|text| text.as_bytes().to_ascii_lowercase());
    if name.len() > LONGEST || word.len() > LONGEST {
        return false;
    }
    let contains = |long: &[u8], short: &[u8]| short.len() >= 3 && long.windows(short.len()).any(|part| part == short);
    contains(&name, &word) || contains(&word, &name) || distance(&name, &word) <= word.len().div_ceil(4)
}

/// Returns the number of letters to insert, delete, replace or exchange with their neighbor, to get one text from the
/// other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        (before, last) = (last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_a_part_of_a_name_is_similar() {
        for (name, word) in [("web", "wbe"), ("web", "wen"), ("Web", "web"), ("shop-web-1", "web"), ("web", "web-1")] {
            assert!(are_similar(name.as_ref(), word.as_ref()), "{name} {word}");
        }
        for (name, word) in [("web", "db"), ("a", "b-container"), ("queue", "proxy"), ("ab", "xaby")] {
            assert!(!are_similar(name.as_ref(), word.as_ref()), "{name} {word}");
        }
        assert!(!are_similar("w".repeat(300).as_ref(), "web".as_ref()));
    }

    #[test]
    fn a_distance_counts_single_slips() {
        for (one, other, expected) in
            [("", "", 0), ("", "ab", 2), ("abc", "acb", 1), ("abc", "axc", 1), ("abc", "bc", 1)]
        {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        }
    }
}
