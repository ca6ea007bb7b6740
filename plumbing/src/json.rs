//! JSON as the tools read and print it.
//!
//! An object that has a member twice is refused: readers differ in which of the two they take, so what a person or
//! another program checked need not be what is done.
//!
//! JSON itself escapes only the control characters below U+0020; here every character that
//! a terminal could obey, or that changes the direction of writing, is written as `\uXXXX` too. The meaning is the
//! same.

pub mod members;

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Fault;
use crate::text::steers;

/// Reads a value; an object that has a member twice, at any depth, is an error.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Unrepeated>(text)?;
    serde_json::from_slice(text)
}

/// Reads a value from text of our own. Not by `serde_json::from_str` or `from_value`: for each kind of reader, the
/// executable has the code of each type once more.
pub fn of_text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text.as_bytes())
}

/// Reads a value from JSON that was read before. The error names no place, which would be one in a text that nobody wrote.
pub fn of_value<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    of_text(&value.to_string()).map_err(|error| {
        let text = error.to_string();
        text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
    })
}

/// Any value in which no object has a member twice.
struct Unrepeated;

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unrepeated, D::Error> {
        deserializer.deserialize_any(Unrepeated)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Unrepeated;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Unrepeated, E> {
        Ok(Unrepeated)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unrepeated, E> {
        Ok(Unrepeated)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unrepeated, E> {
        Ok(Unrepeated)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unrepeated, E> {
        Ok(Unrepeated)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unrepeated, E> {
        Ok(Unrepeated)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unrepeated, A::Error> {
        while list.next_element::<Unrepeated>()?.is_some() {}
        Ok(Unrepeated)
    }

    /// Visits an object; also a long number, which serde_json presents as an object to keep its precision.
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Unrepeated, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Unrepeated)) = object.next_entry::<String, Unrepeated>()? {
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!("an object has its member {name:?} twice")));
            }
        }
        Ok(Unrepeated)
    }
}

/// Returns a value on one line, with its newline. `what` completes "cannot write …".
pub fn line(what: &str, value: &impl Serialize) -> Result<String, Fault> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(escaped(text) + "\n"),
        Err(error) => Err(Fault::new(format!("cannot write {what}: {error}"))),
    }
}

/// Escapes such characters in JSON text. Outside of strings, JSON contains none of them.
pub fn escaped(text: String) -> String {
    let must_be = |letter: char| !letter.is_ascii_control() && steers(letter) || letter == '\u{7f}';
    if !text.contains(must_be) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if must_be(letter) {
            let units =
                letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            escaped.push_str(&units);
        } else {
            escaped.push(letter)
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_member_that_is_there_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"a":{"b":null,"\u0062":[]}}]"#, r#"{"":{},"a":"","":{}}"#] {
            let wrong = read::<Value>(text.as_bytes()).unwrap_err();
            assert!(wrong.to_string().contains("twice at line 1"), "{text}: {wrong}");
        }
        for text in [r#"{"a":{"a":[{"a":1.50},{"a":18446744073709551616}]}}"#, "1e400", "-1", "true", "null", r#""""#] {
            assert_eq!(read::<Value>(text.as_bytes()).unwrap().to_string(), text.replace("1e400", "1e+400"));
        }
        assert!(read::<Value>(b"{} {}").is_err() && read::<Value>(b"[").unwrap_err().is_eof());
    }

    #[test]
    fn characters_that_control_a_terminal_are_escaped_without_changing_the_meaning() {
        let name = "a\u{9b}2J\u{202e}b\u{2028}\u{feff}\u{61c}\u{2066}\u{7f}\u{e0001}\n\u{1b}ü \\u";
        let text = line("it", &name).unwrap();
        let expected = r#""a\u009b2J\u202eb\u2028\ufeff\u061c\u2066\u007f\udb40\udc01\n\u001bü \\u""#;
        assert_eq!(text, format!("{expected}\n"));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
        let pretty = "{\n\t\"a\": 1\r\n}".to_owned();
        assert_eq!(escaped(pretty.clone()), pretty);
    }
}
