//! Command lines of other programs by their own grammar, as getopt_long(3) reads it: letters that follow each other, values
//! that are attached, long options that are cut short. No I/O here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whether a long option has a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// In the same word after `=`, or else the next word.
    Value,
    /// Only in the same word after `=`.
    ValueIfAttached,
}

/// The options of a program.
pub(crate) struct Grammar {
    /// The letters; `:` follows those with a value.
    pub(crate) letters: &'static str,
    pub(crate) longs: &'static [(&'static str, Takes)],
    /// Whether the first word that is no option ends them.
    pub(crate) stops_at_word: bool,
}

/// A command line that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Names of options, a letter or a whole long name, with their values.
    options: Vec<(String, Option<OsString>)>,
    /// The other words.
    pub(crate) words: Vec<OsString>,
}

impl Grammar {
    /// Reads the words after the program's name.
    pub(crate) fn read(&self, argv: &[OsString]) -> Read {
        let mut read = Read::default();
        let mut words = argv.iter().skip(1);
        while let Some(word) = words.next() {
            match word.as_bytes() {
                b"--" => {
                    read.words.extend(words.cloned());
                    break;
                }
                [b'-', b'-', long @ ..] => self.long(&mut read, long, &mut words),
                [b'-', letters @ ..] if !letters.is_empty() => self.letters(&mut read, letters, &mut words),
                _ => {
                    read.words.push(word.clone());
                    if self.stops_at_word {
                        read.words.extend(words.cloned());
                        break;
                    }
                }
            }
        }
        read
    }

    fn long<'a>(&self, read: &mut Read, text: &[u8], rest: &mut impl Iterator<Item = &'a OsString>) {
        let equals = text.iter().position(|byte| *byte == b'=');
        let name = &text[..equals.unwrap_or(text.len())];
        let attached = equals.map(|equals| OsStr::from_bytes(&text[equals + 1..]).to_owned());
        let mut same = self.longs.iter().filter(|(long, _)| long.as_bytes().starts_with(name));
        let exact = self.longs.iter().find(|(long, _)| long.as_bytes() == name);
        // A beginning of several options is an error of the program, which then does not run.
        let Some((long, takes)) = exact.or_else(|| same.next()) else { return };
        let value = if *takes == Takes::Value { attached.or_else(|| rest.next().cloned()) } else { attached };
        read.options.push(((*long).to_owned(), value));
    }

    fn letters<'a>(&self, read: &mut Read, letters: &[u8], rest: &mut impl Iterator<Item = &'a OsString>) {
        for (at, letter) in letters.iter().enumerate() {
            let place = self.letters.bytes().position(|known| known == *letter && known != b':');
            let takes = place.is_some_and(|place| self.letters.as_bytes().get(place + 1) == Some(&b':'));
            if takes {
                let attached = &letters[at + 1..];
                let value = if attached.is_empty() {
                    rest.next().cloned()
                } else {
                    Some(OsStr::from_bytes(attached).to_owned())
                };
                return read.options.push((char::from(*letter).to_string(), value));
            }
            read.options.push((char::from(*letter).to_string(), None));
        }
    }
}

impl Read {
    /// Returns the value of the last of these options.
    pub(crate) fn value(&self, names: &[&str]) -> Option<OsString> {
        self.options.iter().rev().find(|(name, _)| names.contains(&name.as_str())).and_then(|(_, value)| value.clone())
    }

    /// Reports whether one of these options is there.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|(name, _)| names.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRAMMAR: Grammar = Grammar {
        letters: "qD:n:F",
        longs: &[("name", Takes::Value), ("net", Takes::Nothing), ("volatile", Takes::ValueIfAttached)],
        stops_at_word: true,
    };

    fn read(line: &str) -> Read {
        let argv: Vec<OsString> = std::iter::once("program").chain(line.split(' ')).map(OsString::from).collect();
        GRAMMAR.read(&argv)
    }

    #[test]
    fn values_are_attached_or_the_next_word() {
        for line in ["-qDr", "-D r", "-Dr -q", "-FqDr x -D y", "--net -Dr", "--volatile -Dr", "-Dx -Dr"] {
            assert_eq!(read(line).value(&["D"]), Some("r".into()), "{line}");
        }
        for line in ["--name=r", "--name r", "--nam r", "--na=r", "-nr", "-Fn r"] {
            assert_eq!(read(line).value(&["name", "n"]), Some("r".into()), "{line}");
        }
        assert_eq!(read("-D -n r").value(&["n"]), None);
        assert_eq!(read("-- -nr").value(&["n"]), None);
        assert_eq!(read("sh -c -nr").words, ["sh", "-c", "-nr"]);
        let permuting = Grammar { stops_at_word: false, ..GRAMMAR };
        assert_eq!(permuting.read(&["p", "web", "-nr"].map(OsString::from)).value(&["n"]), Some("r".into()));
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in prop::collection::vec("[-=Dnqa-c\u{e9}]{0,6}", 0..6)) {
            let argv: Vec<OsString> = line.into_iter().map(OsString::from).collect();
            GRAMMAR.read(&argv);
        }
    }
}
