//! The notation for a container on the command line: `NAME`, or if that is ambiguous `RUNTIME:NAME` or
//! `RUNTIME@UID:NAME`.
//!
//! Users can name their containers as they like, for example `web`. So a plain name means only containers of root and
//! our own; another user's container must be named with the user.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::Fault;

use super::{Container, Runtime};

/// The name of one container, or of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Only containers of this runtime.
    pub runtime: Option<Runtime>,
    /// Only containers of this user; otherwise those of root and ourselves.
    pub user: Option<u32>,
    /// A name, an id, or the beginning of an id.
    pub word: OsString,
}

impl Reference {
    /// Parses a reference from the command line.
    pub fn read(text: &OsStr) -> Result<Reference, String> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':');
        let kind = colon.and_then(|colon| std::str::from_utf8(&bytes[..colon]).ok());
        let (runtime, user, word) = match (kind, colon) {
            (Some(kind), Some(colon)) => {
                let (runtime, user) = read_kind(kind)?;
                (runtime, user, &bytes[colon + 1..])
            }
            _ => (None, None, bytes),
        };
        // Docker's own notation of a name, as `docker inspect` prints it.
        let word = match word {
            [b'/', name @ ..] if !name.is_empty() && !name.contains(&b'/') => name,
            other => other,
        };
        if word.is_empty() {
            return Err("expected a container's name, its id, or the beginning of its id".to_owned());
        }
        Ok(Reference { runtime, user, word: OsStr::from_bytes(word).to_owned() })
    }

    /// Restricts the reference to the runtime of option `--type`.
    pub fn of_runtime(self, wanted: Option<Runtime>) -> Result<Reference, Fault> {
        match (self.runtime, wanted) {
            (Some(named), Some(wanted)) if named != wanted => Err(Fault::usage(format!(
                "'{}:{}' contradicts '--type {}'",
                named.name(),
                self.word.to_string_lossy(),
                wanted.name()
            ))),
            (named, wanted) => Ok(Reference { runtime: wanted.or(named), ..self }),
        }
    }

    /// Reports whether this container has the name, whichever user gave it.
    pub fn names(&self, container: &Container) -> bool {
        self.runtime.is_none_or(|runtime| runtime == container.runtime)
            && (container.names.contains(&self.word) || self.is_id(container.id.as_deref()))
    }

    /// Reports whether the reference includes names that this user gave.
    pub fn means_author(&self, author: u32, own: u32) -> bool {
        match self.user {
            Some(user) => user == author,
            None => author == 0 || author == own,
        }
    }

    /// Returns the ids that the reference can mean in a directory whose names are its containers' ids; calls `list` for
    /// the names only if the reference can be the beginning of an id.
    pub(super) fn ids(&self, list: impl FnOnce() -> Vec<OsString>) -> Vec<OsString> {
        let word = self.word.as_bytes();
        let mut ids = Vec::new();
        if !word.contains(&b'/') && !word.starts_with(b".") {
            ids.push(self.word.clone());
        }
        if word.len() >= 4 && word.len() < 64 && word.iter().all(u8::is_ascii_hexdigit) {
            ids.extend(list().into_iter().filter(|id| self.is_id(id.to_str())));
        }
        ids
    }

    pub(super) fn is_id(&self, id: Option<&str>) -> bool {
        let (Some(id), Some(word)) = (id, self.word.to_str()) else { return false };
        // Only random ids can be abbreviated, because nobody chose their beginning.
        id == word || word.len() >= 4 && is_random(id) && id.starts_with(word)
    }

    /// Returns the notation, for messages.
    pub fn shown(&self) -> String {
        let word = self.word.to_string_lossy().escape_debug().to_string();
        match (self.runtime, self.user) {
            (None, None) => word,
            (runtime, None) => format!("{}:{word}", kind_name(runtime)),
            (runtime, Some(user)) => format!("{}@{user}:{word}", kind_name(runtime)),
        }
    }
}

/// Parses `docker`, `podman@1000`, `name` or `name@1000`.
fn read_kind(text: &str) -> Result<(Option<Runtime>, Option<u32>), String> {
    let (runtime, user) = match text.split_once('@') {
        Some((runtime, uid)) => {
            let uid = uid.parse().map_err(|_| format!("'{uid}' is not a user id; expected RUNTIME@UID:NAME"))?;
            (runtime, Some(uid))
        }
        None => (text, None),
    };
    match runtime {
        "name" => Ok((None, user)),
        runtime => Ok((Some(Runtime::read(runtime)?), user)),
    }
}

fn kind_name(runtime: Option<Runtime>) -> &'static str {
    runtime.map_or("name", Runtime::name)
}

/// Reports whether an id has 64 hexadecimal digits, as docker, podman and CRI make them.
pub fn is_random(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_every_form_are_parsed() {
        let read = |text: &str| Reference::read(OsStr::new(text));
        assert_eq!(read("web"), Ok(Reference { runtime: None, user: None, word: "web".into() }));
        assert_eq!(
            read("docker:web:1"),
            Ok(Reference { runtime: Some(Runtime::Docker), user: None, word: "web:1".into() })
        );
        assert_eq!(read("name:7"), Ok(Reference { runtime: None, user: None, word: "7".into() }));
        assert_eq!(
            read("podman@1000:a"),
            Ok(Reference { runtime: Some(Runtime::Podman), user: Some(1000), word: "a".into() })
        );
        assert_eq!(read("getty@tty1.service").map(|it| it.word), Ok("getty@tty1.service".into()));
        for docker in ["/web", "docker:/web", "name:/web"] {
            assert_eq!(read(docker).map(|it| it.word), Ok("web".into()));
        }
        assert_eq!(read("/run/web").map(|it| it.word), Ok("/run/web".into()));
        for wrong in ["", "docker:", "rkt:web", "1:x", "docker@root:web", ":web"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read("podman@1000:a").map(|it| it.shown()), Ok("podman@1000:a".into()));
    }
}
