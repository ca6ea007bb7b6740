//! The short way from argv to options. Most command lines are ordinary: known options, whole names, plain values. To
//! read one of those, clap first builds a description of every option with its help, in hundreds of thousands of
//! instructions and hundreds of allocations: more than a tool takes for everything else before its first kernel call.
//!
//! The short way reads from the same declaration (`#[derive(Ordinary)]` next to clap's own derive), and it never
//! reports an error: whatever it does not know (an abbreviation, a repetition, a wrong value, `--help`) it leaves to
//! clap, which then reads the line from its beginning. So all texts are clap's. Whether both read the same from the
//! same line is tested by `proof` on thousands of generated lines.

use std::ffi::{OsStr, OsString};
use std::slice;

use clap::ArgMatches;
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
pub use plumbing_derive::Ordinary;

mod proof;

pub use proof::{disagreement, left_to_clap};

/// Options that the short way can read; in the beginning none is given.
pub trait Ordinary: Default {
    /// Returns the option of this name, if the short way can read it.
    fn declared(name: Name<'_>) -> Option<&'static Declared>;
    /// Sets the option. `None` if the value is not a plain one.
    fn set(&mut self, id: &str, value: Option<&OsStr>) -> Option<()>;
    /// Returns whether all required options are given: always, if none is required.
    fn has_required(_is_given: &dyn Fn(&str) -> bool) -> bool {
        true
    }
    /// Takes the rest of the line, from the first word that is not an option, and returns clap's name for it.
    fn take_rest(&mut self, words: &[OsString]) -> Option<&'static str>;
}

/// A subcommand.
pub trait Choice: Sized {
    /// Reads the subcommand that the first word names, and its options.
    fn choose(words: &[OsString]) -> Option<Self>;
}

/// The name of an option on the command line.
#[derive(Clone, Copy)]
pub enum Name<'a> {
    /// After two dashes.
    Long(&'a str),
    /// After one dash, alone or with others.
    Short(char),
}

/// The facts about an option that are needed to read it.
pub struct Declared {
    /// clap's name for it.
    pub id: &'static str,
    /// Which values follow it.
    pub takes: Takes,
    /// The other options that it requires.
    pub requires: &'static [&'static [&'static str]],
    /// The other options that exclude it.
    pub conflicts: &'static [&'static [&'static str]],
}

/// The values that an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// No value: the option is a switch.
    Nothing,
    /// The next word, or what follows `=`.
    Value,
    /// A value, every time that the option is given.
    Values,
    /// What follows `=`, if anything does.
    MayTake,
}

/// Reads an ordinary line. `None` if it is not ordinary, so that clap has to read it.
pub fn read<O: Ordinary>(argv: &[OsString]) -> Option<O> {
    let mut line = Line { options: O::default(), given: Vec::new(), words: argv.get(1..)?.iter() };
    let operands = line.take_options()?;
    let Line { mut options, given, .. } = line;
    let is_given = |id: &&str| given.iter().any(|option| option.id == *id);
    let rest = match operands {
        [] => None,
        words => Some(options.take_rest(words)?),
    };
    let is_there = |id: &&str| is_given(id) || rest == Some(*id);
    let fits = |option: &&Declared| {
        option.requires.iter().copied().flatten().all(is_there)
            && !option.conflicts.iter().copied().flatten().any(is_there)
    };
    (given.iter().all(fits) && O::has_required(&|id| is_given(&id))).then_some(options)
}

/// Returns the options of these ids from a line that clap has read, for options whose order decides: calls
/// [`Ordinary::set`] for each in the order of the line, as [`read`] does.
pub fn in_order<O: Ordinary>(matches: &ArgMatches, ids: &[&str]) -> Result<O, Error> {
    let mut given = Vec::new();
    // A switch that is not on the line has a value as well.
    for id in ids.iter().filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine)) {
        let places = matches.indices_of(id).unwrap_or_default();
        given.extend(places.zip(matches.get_raw(id).unwrap_or_default()).map(|(place, value)| (place, *id, value)));
    }
    given.sort_by_key(|(place, ..)| *place);
    let mut options = O::default();
    for (_, id, value) in given {
        let refused = || Error::raw(ErrorKind::ValueValidation, format!("invalid value {value:?} for {id}"));
        options.set(id, Some(value)).ok_or_else(refused)?;
    }
    Ok(options)
}

struct Line<'a, O> {
    options: O,
    given: Vec<&'static Declared>,
    words: slice::Iter<'a, OsString>,
}

impl<'a, O: Ordinary> Line<'a, O> {
    /// Takes options until there are no more; returns the operands that are left.
    fn take_options(&mut self) -> Option<&'a [OsString]> {
        loop {
            let rest = self.words.as_slice();
            let Some(word) = self.words.next() else { return Some(rest) };
            let word = word.to_str()?;
            if word == "--" {
                return Some(self.words.as_slice());
            } else if let Some(long) = word.strip_prefix("--") {
                self.take_long(long)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                self.take_letters(letters)?;
            } else {
                return Some(rest);
            }
        }
    }

    fn take_long(&mut self, word: &str) -> Option<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(OsStr::new(value))),
            None => (word, None),
        };
        let option = O::declared(Name::Long(name))?;
        match (option.takes, value) {
            (Takes::Nothing, Some(_)) => None,
            (Takes::Value | Takes::Values, None) => {
                let value = self.next_value()?;
                self.take(option, Some(value))
            }
            _ => self.take(option, value),
        }
    }

    /// Takes letters such as `-fpm`; only the last one may take the next word.
    fn take_letters(&mut self, letters: &str) -> Option<()> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let option = O::declared(Name::Short(letter))?;
            let value = match option.takes {
                Takes::Nothing | Takes::MayTake => None,
                Takes::Value | Takes::Values if letters.as_str().is_empty() => Some(self.next_value()?),
                Takes::Value | Takes::Values => return None,
            };
            self.take(option, value)?;
        }
        Some(())
    }

    fn next_value(&mut self) -> Option<&'a OsStr> {
        let value = self.words.next()?;
        // The word may be an option.
        (!value.as_encoded_bytes().starts_with(b"-")).then_some(value)
    }

    fn take(&mut self, option: &'static Declared, value: Option<&OsStr>) -> Option<()> {
        let is_repeated = self.given.iter().any(|given| given.id == option.id);
        if (is_repeated && option.takes != Takes::Values) || value.is_some_and(OsStr::is_empty) {
            return None;
        }
        self.given.push(option);
        self.options.set(option.id, value)
    }
}
