//! The lines for a person, of at most 80 columns, and commands that a shell reads as they are meant.
//!
//! The surprise: an interface may be named `;reboot`. A command with such a name will be pasted into a shell.

use plumbing::command_line::columns::letter_width;
use plumbing::text::{on_one_line, steers};
use serde::Serializer;

use super::Report;

const WIDTH: usize = 80;

/// Writes the words of a command as one line.
pub fn line<S: Serializer>(words: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&words.join(" "))
}

/// Returns the word as a shell reads it.
pub fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_./:@%+=,-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.chars().any(steers) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let escaped = |letter: char| match letter {
        '\\' | '\'' => format!("\\{letter}"),
        letter if steers(letter) => format!("\\U{:08x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>())
}

/// Returns the report for a person.
pub fn of(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let problem = on_one_line(&format!("{}: {}", finding.check, finding.problem));
        text.push_str(&wrapped(problem.split(' '), "", "    ", ""));
        text.push_str(&wrapped(finding.fix.iter().map(String::as_str), "  fix: ", "      ", " \\"));
    }
    for part in &report.unexamined {
        text.push_str(&wrapped(on_one_line(&format!("not examined: {part}")).split(' '), "", "    ", ""));
    }
    if text.is_empty() { "nothing wrong was found\n".to_owned() } else { text }
}

/// Joins the words to lines. A word that is longer than a line is left whole: a part of it would mean something else.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, first: &str, next: &str, end: &str) -> String {
    let width = |text: &str| text.chars().map(letter_width).sum::<usize>();
    let (mut text, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in words {
        if !is_empty && width(&line) + 1 + width(word) + end.len() > WIDTH {
            text.push_str(&format!("{line}{end}\n"));
            (line, is_empty) = (next.to_owned(), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_hostile_name_as_one_word() {
        assert_eq!(quoted("veth1a2b"), "veth1a2b");
        assert_eq!(quoted(";reboot"), "';reboot'");
        assert_eq!(quoted("$(a'b)"), r"'$(a'\''b)'");
        assert_eq!(quoted("a\u{1b}'"), r"$'a\U0000001b\''");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_line_has_at_most_eighty_columns_and_loses_no_word() {
        let words = vec!["0123456789"; 20];
        let text = wrapped(words.iter().copied(), "  fix: ", "      ", " \\");
        assert!(text.lines().all(|line| line.len() <= WIDTH) && text.lines().count() == 4, "{text}");
        assert_eq!(text.replace("\\\n", " ").split_whitespace().count(), 21);
    }
}
