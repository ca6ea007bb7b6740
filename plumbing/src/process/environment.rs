//! The environment that a command gets: the inherited one, or a list of its own; `environ(7)`.
//!
//! An environment is only a list of strings: a name may occur twice, an entry may lack the `=`. Inherited entries are
//! passed on one by one, unchanged.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::kernel;

/// `NAME=VALUE` entries, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(Vec<Cow<'static, CStr>>);

impl Environment {
    /// Returns what this process inherited.
    pub fn inherited() -> Self {
        Environment(kernel::environ().map(Cow::Borrowed).collect())
    }

    /// Returns an environment without entries.
    pub fn empty() -> Self {
        Environment::default()
    }

    /// Sets a variable, in place if it exists. A name or value with a NUL byte cannot be in an environment, and is left
    /// out.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        let entry: OsString = [name, OsStr::new("="), value].into_iter().collect();
        let Ok(entry) = CString::new(entry.into_vec()) else { return };
        match self.0.iter_mut().find(|known| value_of(known, name).is_some()) {
            Some(old) => *old = entry.into(),
            None => self.0.push(entry.into()),
        }
    }

    /// Removes a variable, every time that it occurs.
    pub fn unset(&mut self, name: impl AsRef<OsStr>) {
        self.0.retain(|known| value_of(known, name.as_ref()).is_none());
    }

    /// Returns a variable's value: the first one, if there are several.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find_map(|entry| value_of(entry, OsStr::new(name)))
    }

    /// Returns the reason that the narration gives for executing a command with this environment.
    pub fn summary(&self) -> String {
        let name =
            |entry: &Cow<'static, CStr>| entry.to_string_lossy().split('=').next().unwrap_or_default().to_owned();
        match self {
            inherited if *inherited == Environment::inherited() => "the command takes over".to_owned(),
            Environment(entries) if entries.is_empty() => {
                "the command takes over, with an empty environment; environ(7)".to_owned()
            }
            Environment(entries) => {
                let names: Vec<_> = entries.iter().map(name).collect();
                format!("the command takes over, with {} as its environment; environ(7)", names.join(", "))
            }
        }
    }

    /// Returns the entries for `execve(2)`.
    pub fn entries(&self) -> &[Cow<'static, CStr>] {
        &self.0
    }
}

/// Returns the value in this entry if the entry has this name.
fn value_of<'a>(entry: &'a CStr, name: &OsStr) -> Option<&'a OsStr> {
    let rest = entry.to_bytes().strip_prefix(name.as_bytes())?;
    rest.strip_prefix(b"=").map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_in_place_and_the_first_of_two_counts() {
        let mut environment =
            Environment(["A=1", "AB=2", "A=3", "LONE"].map(|entry| CString::new(entry).unwrap().into()).to_vec());
        assert_eq!(environment.get("A"), Some(OsStr::new("1")));
        assert_eq!(environment.get("LONE"), None);
        environment.set("A", "x=y");
        environment.set("C", "");
        environment.set("GONE", "");
        environment.unset("GONE");
        let entries: Vec<_> = environment.entries().iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(entries, ["A=x=y", "AB=2", "A=3", "LONE", "C="]);
    }
}
