//! Short options with an attached value: `-n/run/netns/blue` means `-n=/run/netns/blue`. `nsenter(1)`.
//!
//! clap reads `-nu` as two options; getopt(3) would read it as `-n` with the file `u`. With this module, both read
//! `-n/path` the same way.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Command;

/// Inserts the `=` between a short option and its attached optional value. Words of the command stay unchanged. Pure.
pub(crate) fn spell_out(argv: Vec<OsString>, declared: fn() -> Command) -> Vec<OsString> {
    // Building the declaration of all options takes longer than everything else before the first kernel call.
    if !argv.iter().any(|word| may_have_value(word)) {
        return argv;
    }
    let declared = &declared();
    let mut words = argv.into_iter();
    let mut spelled: Vec<OsString> = words.next().into_iter().collect();
    while let Some(word) = words.next() {
        let is_option = word.len() > 1 && word.as_bytes().starts_with(b"-");
        if !is_option || word == "--" {
            spelled.push(word);
            break;
        }
        let takes_next = takes_next(&word, declared);
        spelled.push(with_equals(word, declared));
        if takes_next {
            spelled.extend(words.next());
        }
    }
    spelled.extend(words);
    spelled
}

/// Reports whether a word is one dash, a letter, and something after it.
fn may_have_value(word: &OsStr) -> bool {
    matches!(word.as_bytes(), [b'-', letter, _, ..] if *letter != b'-')
}

fn with_equals(word: OsString, declared: &Command) -> OsString {
    let bytes = word.as_bytes();
    let Some(at) = value_at(bytes, declared).filter(|at| bytes.get(*at).is_some_and(|byte| *byte != b'=')) else {
        return word;
    };
    OsString::from_vec([&bytes[..at], b"=", &bytes[at..]].concat())
}

/// Returns where, in a cluster of short options, the attached value of an option with an optional value begins.
fn value_at(word: &[u8], declared: &Command) -> Option<usize> {
    if word.starts_with(b"--") {
        return None;
    }
    for at in 1..word.len() {
        let option = declared.get_arguments().find(|option| option.get_short() == Some(word[at].into()))?;
        let next = word.get(at + 1)?;
        if requires_value(option) {
            return None;
        }
        // A directory may have any name. A namespace must look like a path or an id; otherwise it is the next option.
        let looks_like_value = b"/.:".contains(next) || b"rwW".contains(&word[at]);
        if option.get_action().takes_values() && looks_like_value {
            return Some(at + 1);
        }
    }
    None
}

/// Reports whether the next word is this option's value.
fn takes_next(word: &OsStr, declared: &Command) -> bool {
    let bytes = word.as_bytes();
    let option = match bytes.strip_prefix(b"--") {
        Some(name) => {
            declared.get_arguments().find(|option| option.get_long().is_some_and(|long| long.as_bytes() == name))
        }
        None => bytes.last().and_then(|last| {
            let earlier = &bytes[1..bytes.len() - 1];
            let of = |byte: u8| declared.get_arguments().find(move |option| option.get_short() == Some(byte.into()));
            let is_flag = |byte: &u8| of(*byte).is_some_and(|option| !requires_value(option));
            earlier.iter().all(is_flag).then(|| of(*last)).flatten()
        }),
    };
    option.is_some_and(requires_value)
}

fn requires_value(option: &clap::Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attached_values_of_our_own_options_are_spelled_out() {
        for (words, spelled) in [
            (&["-n/run/netns/blue", "-u"][..], &["-n=/run/netns/blue", "-u"][..]),
            (&["-t", "1", "-nu", "-Fm./x"], &["-t", "1", "-nu", "-Fm=./x"]),
            (&["-n=/x", "-wtmp", "-r/"], &["-n=/x", "-w=tmp", "-r=/"]),
            (&["-t1", "-S", "-n/x", "-m/y"], &["-t1", "-S", "-n/x", "-m=/y"]),
            (&["--target", "-n/x", "-n/x"], &["--target", "-n/x", "-n=/x"]),
            (&["sh", "-n/x"], &["sh", "-n/x"]),
            (&["--", "-n/x"], &["--", "-n/x"]),
            (&["-a", "--mount=-n/x", "-"], &["-a", "--mount=-n/x", "-"]),
        ] {
            let argv = |words: &[&str]| std::iter::once(&"nsenter-rs").chain(words).map(OsString::from).collect();
            assert_eq!(spell_out(argv(words), crate::options::command), argv(spelled));
        }
    }
}
