//! JSON as the tools print it. JSON itself escapes only the control characters below U+0020; here every character that
//! a terminal could obey, or that changes the direction of writing, is written as `\uXXXX` too. The meaning is the
//! same.

use serde::Serialize;

use crate::Fault;
use crate::text::steers;

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
