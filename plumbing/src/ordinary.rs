//! The short way from argv to options. Most command lines are ordinary: known options, whole names, plain values. To read
//! one of those, clap first builds a description of every option with its help, in hundreds of thousands of
//! instructions and hundreds of allocations: more than a tool takes for everything else before its first kernel call.
//!
//! The short way reads from the same declaration (`#[derive(Ordinary)]` beside clap's own derive), and it never judges:
//! whatever it does not know, an abbreviation, a repetition, a wrong value, `--help`, it leaves to clap, who then reads
//! the line from its beginning. So all texts are clap's. That both read the same from the same line, `proof` finds out
//! on thousands of generated ones.

use std::ffi::{OsStr, OsString};
use std::slice;

pub use plumbing_derive::Ordinary;

mod proof;

pub use proof::{disagreement, left_to_clap};

/// Options that the short way can read; beginning with none given.
pub trait Ordinary: Default {
    /// The option of this name, where it is one for the short way.
    fn declared(name: Name<'_>) -> Option<&'static Declared>;
    /// Gives it to us. `None` where the value is not a plain one.
    fn set(&mut self, id: &str, value: Option<&OsStr>) -> Option<()>;
    /// Whether all is given that has to be: where nothing has to, it is.
    fn has_required(_is_given: &dyn Fn(&str) -> bool) -> bool {
        true
    }
    /// Takes the rest of the line, from the first word that is no option on, and tells clap's name of it.
    fn take_rest(&mut self, words: &[OsString]) -> Option<&'static str>;
}

/// A subcommand.
pub trait Choice: Sized {
    /// Reads the one that the first word names, and its options.
    fn choose(words: &[OsString]) -> Option<Self>;
}

/// What an option is called on the line.
#[derive(Clone, Copy)]
pub enum Name<'a> {
    /// Behind two dashes.
    Long(&'a str),
    /// Behind one, alone or with others.
    Short(char),
}

/// What there is to know before it is taken.
pub struct Declared {
    /// clap's name of it.
    pub id: &'static str,
    /// What stands behind it.
    pub takes: Takes,
    /// Which others have to be given.
    pub requires: &'static [&'static [&'static str]],
    /// Which others must not be.
    pub conflicts: &'static [&'static [&'static str]],
}

/// What stands behind an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// It is a switch.
    Nothing,
    /// The next word, or what follows `=`.
    Value,
    /// The same, as often as it is given.
    Values,
    /// What follows `=`, if anything does.
    MayTake,
}

/// Reads an ordinary line. `None` where it is not, and clap has to.
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

struct Line<'a, O> {
    options: O,
    given: Vec<&'static Declared>,
    words: slice::Iter<'a, OsString>,
}

impl<'a, O: Ordinary> Line<'a, O> {
    /// Takes options until there are no more; what is left are operands.
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

    /// `-fpm`; only the last one may take the next word.
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
        // It may be an option.
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
