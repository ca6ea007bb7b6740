//! Extended regular expressions, for `=~`; `regex(7)`.
//!
//! A library does the matching, in time linear in text and pattern, because the texts are names that others chose. Its
//! syntax is that of POSIX except in brackets, where POSIX has no escapes; brackets are translated.

use regex_lite::{Regex, RegexBuilder};

/// The most memory, in bytes, that a compiled pattern may take.
const SIZE_LIMIT: usize = 1 << 20;

/// A pattern, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with the pattern, as one line.
    pub(super) fn read(text: &str) -> Result<Pattern, String> {
        let mut builder = RegexBuilder::new(&with_escaped_brackets(text));
        let compiled = builder.dot_matches_new_line(true).size_limit(SIZE_LIMIT).build();
        compiled.map(Pattern).map_err(|error| format!("invalid pattern {text:?}: {error}"))
    }

    /// Returns whether the pattern matches anywhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Escapes the characters that have a meaning in brackets for the library only. Classes such as `[:alpha:]` stay as
/// they are.
fn with_escaped_brackets(text: &str) -> String {
    let (mut translated, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(['\\', '[']) {
        let (before, from) = rest.split_at(start);
        translated.push_str(before);
        let length = if from.starts_with('[') {
            bracket(from, &mut translated)
        } else {
            // An escape is two characters; the second may be a bracket.
            let length = from.chars().take(2).map(char::len_utf8).sum();
            translated.push_str(&from[..length]);
            length
        };
        rest = &from[length..];
    }
    translated + rest
}

/// Translates the bracket expression at the beginning of the text, and returns its length in bytes.
fn bracket(text: &str, translated: &mut String) -> usize {
    let opening = if text.starts_with("[^") { "[^" } else { "[" };
    translated.push_str(opening);
    let mut at = opening.len();
    while let Some(letter) = text[at..].chars().next() {
        let is_first = at == opening.len();
        let class = text[at..].starts_with("[:").then(|| text[at + 2..].find(":]")).flatten();
        match (letter, class) {
            (_, Some(length)) => {
                let end = at + 2 + length + 2;
                translated.push_str(&text[at..end]);
                at = end;
                continue;
            }
            (']', None) if !is_first => {
                translated.push(']');
                return at + 1;
            }
            ('\\' | '[' | ']' | '&' | '~', None) => translated.extend(['\\', letter]),
            _ => translated.push(letter),
        }
        at += letter.len_utf8();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_posix() {
        for (pattern, matching, other) in [
            ("sleep", "/bin/sleep 5", "slep"),
            ("^ab*c$", "abbbc", "xac"),
            ("^(ab|c)+$", "abcab", "aba"),
            ("a{2,3}$", "xaaa", "a"),
            ("^a{2}$", "aa", "aaa"),
            ("^a{2,}$", "aaaaa", "a"),
            ("^x?y$", "y", "xxy"),
            ("[^a-c]", "abd", "abc"),
            ("^[]x]+$", "]x]", "y"),
            ("^[^]x]+$", "y", "]"),
            ("^[a-]+$", "a-", "b"),
            ("^[\\]$", "\\", "]"),
            ("^[[a]+$", "[a", "b"),
            ("^[&&~~]+$", "&~", "a"),
            ("[[:digit:]]{3}", "a123", "12"),
            ("^[[:alpha:]_-]+$", "a_-", "a1"),
            ("^\\.\\*$", ".*", "ab"),
            ("^\\[a]$", "[a]", "a"),
            ("^(a|b|)c$", "c", "abc"),
            ("^é.$", "éü", "é"),
            ("^a.b$", "a\nb", "ab"),
            ("^$", "", "a"),
        ] {
            let pattern = Pattern::read(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(pattern.is_in(matching), "{pattern:?}: {matching}");
            assert!(!pattern.is_in(other), "{pattern:?}: {other}");
        }
        assert!(Pattern::read("").unwrap().is_in("anything"));
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for text in ["(", ")", "a)", "[a", "*a", "a{2", "a{3,2}", "\\1", "\\", "[[:odd:]]", "((a{99}){99}){99}"] {
            assert!(Pattern::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_the_search_take_long() {
        let pattern = Pattern::read("(a*)*(a|aa)+b").unwrap();
        assert!(!pattern.is_in(&"a".repeat(4000)));
    }
}
