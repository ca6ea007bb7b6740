//! Extended regular expressions, for `=~`; `regex(7)`.
//!
//! All ways through the pattern are followed at once, so that none makes the search take longer than text times pattern:
//! what is searched are names that others chose. Back references would need more, and are not accepted.

use std::iter::Peekable;
use std::str::Chars;

/// As many steps as a pattern may have, once repetitions are written out.
const STEPS: usize = 4096;
/// As often as a part may be repeated; `RE_DUP_MAX` of POSIX.
const REPEATS: usize = 255;

/// A pattern, ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    One(Letters),
    Begin,
    End,
    /// Goes on at both places, relative to this one.
    Fork(isize, isize),
}

/// Which letters fit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Letters {
    Any,
    Among { is_inverted: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads it.
    pub(super) fn read(text: &str) -> Result<Pattern, String> {
        let mut letters = text.chars().peekable();
        let steps = alternatives(&mut letters, 0)?;
        match letters.next() {
            None => Ok(Pattern(steps)),
            Some(_) => Err(format!("the pattern {text:?} has a ) too many")),
        }
    }

    /// Whether it fits anywhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut at: Vec<usize> = Vec::new();
        let mut letters = text.chars();
        let mut is_begin = true;
        loop {
            let next = letters.clone().next();
            // It may begin at every letter.
            at.push(0);
            let mut seen = vec![false; self.0.len()];
            let mut ones = Vec::new();
            while let Some(place) = at.pop() {
                let Some(step) = self.0.get(place) else { return true };
                if std::mem::replace(&mut seen[place], true) {
                    continue;
                }
                match step {
                    Step::One(_) => ones.push(place),
                    Step::Begin if is_begin => at.push(place + 1),
                    Step::End if next.is_none() => at.push(place + 1),
                    Step::Begin | Step::End => {}
                    Step::Fork(one, other) => at.extend([*one, *other].map(|way| place.saturating_add_signed(way))),
                }
            }
            let Some(letter) = letters.next() else { return false };
            is_begin = false;
            let fits = |place: &usize| matches!(&self.0[*place], Step::One(letters) if letters.have(letter));
            at.extend(ones.into_iter().filter(fits).map(|place| place + 1));
        }
    }
}

impl Letters {
    fn have(&self, letter: char) -> bool {
        match self {
            Letters::Any => true,
            Letters::Among { is_inverted, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)) != *is_inverted
            }
        }
    }
}

type Rest<'a> = Peekable<Chars<'a>>;

fn alternatives(rest: &mut Rest<'_>, depth: usize) -> Result<Vec<Step>, String> {
    let mut steps = sequence(rest, depth)?;
    while rest.next_if_eq(&'|').is_some() {
        let other = sequence(rest, depth)?;
        let mut both = vec![Step::Fork(1, steps.len() as isize + 2)];
        both.append(&mut steps);
        both.push(Step::Fork(other.len() as isize + 1, other.len() as isize + 1));
        both.extend(other);
        steps = both;
    }
    Ok(steps)
}

fn sequence(rest: &mut Rest<'_>, depth: usize) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    while rest.peek().is_some_and(|letter| *letter != '|' && *letter != ')') {
        let mut part = atom(rest, depth)?;
        while let Some((least, most)) = repetition(rest)? {
            part = repeated(&part, least, most)?;
        }
        steps.extend(part);
        if steps.len() > STEPS {
            return Err("the pattern is too large".to_owned());
        }
    }
    Ok(steps)
}

fn atom(rest: &mut Rest<'_>, depth: usize) -> Result<Vec<Step>, String> {
    let step = match rest.next() {
        Some('(') if depth < 64 => {
            let inner = alternatives(rest, depth + 1)?;
            return rest.next_if_eq(&')').map(|_| inner).ok_or_else(|| "the pattern has a ( too many".to_owned());
        }
        Some('(') => return Err("the pattern is too deep".to_owned()),
        Some('^') => Step::Begin,
        Some('$') => Step::End,
        Some('.') => Step::One(Letters::Any),
        Some('[') => Step::One(bracket(rest)?),
        Some(letter @ ('*' | '+' | '?' | '{')) => {
            return Err(format!("the pattern has nothing to repeat before {letter}"));
        }
        Some('\\') => match rest.next() {
            Some(letter) if !letter.is_ascii_alphanumeric() => Step::One(exactly(letter)),
            _ => return Err("a \\ in a pattern comes before a sign that would mean something".to_owned()),
        },
        Some(letter) => Step::One(exactly(letter)),
        None => return Err("the pattern ends early".to_owned()),
    };
    Ok(vec![step])
}

fn exactly(letter: char) -> Letters {
    Letters::Among { is_inverted: false, ranges: vec![(letter, letter)] }
}

/// `*`, `+`, `?`, `{2}`, `{2,}`, `{2,5}`: how often at least, and at most.
fn repetition(rest: &mut Rest<'_>) -> Result<Option<(usize, Option<usize>)>, String> {
    let Some(sign) = rest.next_if(|letter| "*+?{".contains(*letter)) else { return Ok(None) };
    let bounds = match sign {
        '*' => (0, None),
        '+' => (1, None),
        '?' => (0, Some(1)),
        _ => {
            let inside: String = std::iter::from_fn(|| rest.next_if(|letter| *letter != '}')).collect();
            let number = |digits: &str| digits.parse::<usize>().ok().filter(|number| *number <= REPEATS);
            let bounds = match inside.split_once(',') {
                None => number(&inside).map(|times| (times, Some(times))),
                Some((least, "")) => number(least).map(|least| (least, None)),
                Some((least, most)) => number(least).zip(number(most)).map(|(least, most)| (least, Some(most))),
            };
            let bounds = bounds.filter(|(least, most)| most.is_none_or(|most| *least <= most));
            bounds
                .filter(|_| rest.next() == Some('}'))
                .ok_or_else(|| format!("the pattern repeats {{{inside}}} times; valid are numbers up to {REPEATS}"))?
        }
    };
    Ok(Some(bounds))
}

fn repeated(part: &[Step], least: usize, most: Option<usize>) -> Result<Vec<Step>, String> {
    if part.len() * (most.unwrap_or(least) + 1) > STEPS {
        return Err("the pattern is too large".to_owned());
    }
    let length = part.len() as isize;
    let mut steps: Vec<Step> = (0..least).flat_map(|_| part.to_vec()).collect();
    match most {
        None => {
            steps.push(Step::Fork(1, length + 2));
            steps.extend_from_slice(part);
            steps.push(Step::Fork(-length - 1, -length - 1));
        }
        Some(most) => {
            for _ in least..most {
                steps.push(Step::Fork(1, length + 1));
                steps.extend_from_slice(part);
            }
        }
    }
    Ok(steps)
}

/// `[a-z_]`, `[^[:space:]]`; a `]` that comes first stands for itself.
fn bracket(rest: &mut Rest<'_>) -> Result<Letters, String> {
    let is_inverted = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let early = || "a [ in the pattern has no end".to_owned();
        let first = rest.next().ok_or_else(early)?;
        match first {
            ']' if !ranges.is_empty() => return Ok(Letters::Among { is_inverted, ranges }),
            '[' if rest.next_if_eq(&':').is_some() => {
                let name: String = std::iter::from_fn(|| rest.next_if(|letter| *letter != ':')).collect();
                if (rest.next(), rest.next()) != (Some(':'), Some(']')) {
                    return Err(early());
                }
                ranges.extend(class(&name).ok_or_else(|| format!("the pattern has an unknown class {name:?}"))?);
            }
            _ => {
                let mut ahead = rest.clone();
                let last = match (ahead.next(), ahead.next()) {
                    (Some('-'), Some(last)) if last != ']' => {
                        *rest = ahead;
                        last
                    }
                    _ => first,
                };
                ranges.push((first, last));
            }
        }
    }
}

fn class(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alpha" => &[('a', 'z'), ('A', 'Z')],
        "digit" => &[('0', '9')],
        "alnum" => &[('a', 'z'), ('A', 'Z'), ('0', '9')],
        "upper" => &[('A', 'Z')],
        "lower" => &[('a', 'z')],
        "space" => &[(' ', ' '), ('\t', '\r')],
        "blank" => &[(' ', ' '), ('\t', '\t')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "xdigit" => &[('0', '9'), ('a', 'f'), ('A', 'F')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_regex_has_it() {
        for (pattern, fits, fits_not) in [
            ("sleep", "/bin/sleep 5", "slep"),
            ("^ab*c$", "abbbc", "xac"),
            ("^(ab|c)+$", "abcab", "aba"),
            ("a{2,3}$", "xaaa", "a"),
            ("^a{2}$", "aa", "aaa"),
            ("^a{2,}$", "aaaaa", "a"),
            ("^x?y$", "y", "xxy"),
            ("[^a-c]", "abd", "abc"),
            ("^[]x]+$", "]x]", "y"),
            ("^[a-]+$", "a-", "b"),
            ("[[:digit:]]{3}", "a123", "12"),
            ("^\\.\\*$", ".*", "ab"),
            ("^(a|b|)c$", "c", "abc"),
            ("^é.$", "éü", "é"),
            ("^$", "", "a"),
            ("", "anything", "\u{0}no"),
        ] {
            let pattern = Pattern::read(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(pattern.is_in(fits), "{pattern:?}: {fits}");
            assert!(!pattern.is_in(fits_not) || fits_not.starts_with('\u{0}'), "{pattern:?}: {fits_not}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in
            ["(", ")", "a)", "[a", "*a", "a{2", "a{3,2}", "a{999}", "\\1", "\\", "[[:odd:]]", "((a{99}){99}){99}"]
        {
            assert!(Pattern::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_the_search_take_long() {
        let pattern = Pattern::read("(a*)*(a|aa)+b").unwrap();
        assert!(!pattern.is_in(&"a".repeat(4000)));
    }
}
