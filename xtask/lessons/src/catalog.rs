//! All lessons, in the order of their numbers.

use anyhow::{Context, Result};

use crate::exercise::Exercise;
use crate::text::Lesson;

/// A language of the lessons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese, simplified.
    Chinese,
}

/// A lesson with its exercises, in all languages.
#[derive(Debug)]
pub struct Source {
    /// The number in the title and in the names of the files.
    pub number: u32,
    /// The name of its files, without what follows the language: `04-pid`.
    pub name: &'static str,
    /// The text in English.
    pub english: &'static str,
    /// The text in Chinese.
    pub chinese: &'static str,
    /// Whether its commands make cgroups, so that the place needs one of its own, in which they are, and with which they end.
    pub makes_groups: bool,
    /// The exercises in the order of the text.
    pub exercises: &'static [Exercise],
}

macro_rules! lesson {
    ($number:literal, $name:literal, [$($exercise:literal),*]) => { lesson!($number, $name, false, [$($exercise),*]) };
    ($number:literal, $name:literal, $makes_groups:literal, [$($exercise:literal),*]) => {
        Source {
            number: $number,
            name: $name,
            makes_groups: $makes_groups,
            english: include_str!(concat!("../../../docs/lessons/", $name, ".md")),
            chinese: include_str!(concat!("../../../docs/lessons/", $name, ".zh-CN.md")),
            exercises: &[$(Exercise {
                check: include_str!(concat!("../../../docs/lessons/exercises/", $exercise, ".check.sh")),
                solution: include_str!(concat!("../../../docs/lessons/exercises/", $exercise, ".solution.sh")),
            }),*],
        }
    };
}

/// The lessons.
pub const LESSONS: &[Source] = &[
    lesson!(0, "00-virtual-machines", []),
    lesson!(1, "01-chroot", ["01-1", "01-2"]),
    lesson!(2, "02-uts", ["02-1", "02-2"]),
    lesson!(3, "03-mount", ["03-1", "03-2"]),
    lesson!(4, "04-pid", ["04-1", "04-2"]),
    lesson!(5, "05-ipc", ["05-1"]),
    lesson!(6, "06-net", ["06-1", "06-2"]),
    lesson!(7, "07-user", ["07-1", "07-2"]),
    lesson!(8, "08-cgroup-time", ["08-1"]),
    lesson!(9, "09-cgroups", true, ["09-1"]),
    lesson!(10, "10-privileges", ["10-1"]),
    lesson!(11, "11-chain", ["11-1"]),
    lesson!(12, "12-pipe", ["12-1"]),
    lesson!(13, "13-look-inside", ["13-1"]),
    lesson!(14, "14-errors", ["14-1"]),
    lesson!(15, "15-sandbox", ["15-1"]),
    lesson!(16, "16-oci", ["16-1"]),
];

impl Source {
    /// Returns the path of its text in the checkout.
    pub fn path(&self, language: Language) -> String {
        match language {
            Language::English => format!("docs/lessons/{}.md", self.name),
            Language::Chinese => format!("docs/lessons/{}.zh-CN.md", self.name),
        }
    }

    /// Reads the lesson in a language.
    ///
    /// # Errors
    /// The text is not a lesson.
    pub fn lesson(&self, language: Language) -> Result<Lesson> {
        let text = match language {
            Language::English => self.english,
            Language::Chinese => self.chinese,
        };
        Lesson::read(text).with_context(|| format!("lesson {} ({language:?})", self.number))
    }
}
