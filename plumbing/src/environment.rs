//! The environment that a command gets: the one inherited, or a list of its own; `environ(7)`.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// `NAME=VALUE` entries, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What this process inherited.
    pub fn inherited() -> Self {
        Environment(std::env::vars_os().collect())
    }

    /// Nothing at all.
    pub fn empty() -> Self {
        Environment::default()
    }

    /// Sets a variable, in place where it exists.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// The entries for `execve(2)`. An entry with a NUL byte cannot exist in a real environment and is left out.
    pub fn entries(&self) -> Vec<CString> {
        let entry = |(name, value): &(OsString, OsString)| {
            let mut bytes = name.clone().into_vec();
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            CString::new(bytes).ok()
        };
        self.0.iter().filter_map(entry).collect()
    }
}
