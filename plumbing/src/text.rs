//! Text in records: JSON strings are UTF-8, but names and paths of the kernel may be anything.
//!
//! UTF-8 is a plain string; anything else is `{"bytes":"<base64>"}`, so that nothing is lost.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name or a path in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub OsString);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Utf8(String),
    Bytes { bytes: String },
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => Wire::Utf8(text.to_owned()),
            None => Wire::Bytes { bytes: STANDARD.encode(self.0.as_bytes()) },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string or {\"bytes\":\"…\"}"))?
        {
            Wire::Utf8(text) => Ok(Text(text.into())),
            Wire::Bytes { bytes } => {
                let bytes = STANDARD.decode(bytes).map_err(D::Error::custom)?;
                Ok(Text(OsString::from_vec(bytes)))
            }
        }
    }
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        Text(text.to_owned())
    }
}

impl From<&Path> for Text {
    fn from(path: &Path) -> Self {
        Text(path.as_os_str().to_owned())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.into())
    }
}

impl Text {
    /// Returns the text as a path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }

    /// Returns the text for printing: escaped, so that no name can control a terminal.
    pub fn shown(&self) -> String {
        self.0.to_string_lossy().escape_debug().to_string()
    }
}

/// Returns a name in quotes, for a system call in a message: escaped as in `Text::shown`.
pub fn quoted(name: impl AsRef<OsStr>) -> String {
    format!("\"{}\"", Text::from(name.as_ref()).shown())
}

/// Returns whether a terminal could obey this character, or it is invisible or changes the direction of writing.
pub fn steers(letter: char) -> bool {
    let is_format = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    letter.is_control() || is_format
}

/// Escapes what could end the line or control the terminal: names come from anywhere, a container among others.
pub fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_survives() {
        for bytes in [&b"web"[..], b"\xff\xfeweb", b"a\nb", "naïve".as_bytes()] {
            let text = Text(OsString::from_vec(bytes.to_vec()));
            let line = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<Text>(&line).unwrap(), text, "{line}");
        }
    }
}
