//! Splits a condition into tokens; `scols-filter(5)`.
//!
//! Operators have a name and a sign. A name counts only as a whole word: `nothing` does not begin with `not`.

use std::fmt::{self, Display};

use super::Comparison;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Open,
    Close,
    Compare(Comparison),
    /// `=~`, or `!~` if false.
    Match(bool),
    Number(u64),
    /// The bits of the number.
    Float(u64),
    Text(String),
    Truth(bool),
    Name(String),
}

/// The signs; a sign comes before those with which it begins.
const SIGNS: [(&str, Token); 13] = [
    ("&&", Token::And),
    ("||", Token::Or),
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::Unequal)),
    ("<=", Token::Compare(Comparison::LessOrEqual)),
    (">=", Token::Compare(Comparison::GreaterOrEqual)),
    ("=~", Token::Match(true)),
    ("!~", Token::Match(false)),
    ("<", Token::Compare(Comparison::Less)),
    (">", Token::Compare(Comparison::Greater)),
    ("!", Token::Not),
    ("(", Token::Open),
    (")", Token::Close),
];

/// Splits the text into tokens.
pub(super) fn split(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' | '\'' => quoted(rest, first)?,
            '0'..='9' => number(rest)?,
            'a'..='z' | 'A'..='Z' => word(rest),
            _ => sign(rest).ok_or_else(|| format!("unexpected character {first:?}"))?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn sign(rest: &str) -> Option<(Token, usize)> {
    SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)).map(|(sign, token)| (token.clone(), sign.len()))
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let text = rest[1..].split(quote).next().filter(|text| text.len() + 1 < rest.len() && !text.contains('\n'));
    let text = text.ok_or_else(|| format!("the closing {quote} of a text is missing"))?;
    Ok((Token::Text(text.to_owned()), text.len() + 2))
}

fn word(rest: &str) -> (Token, usize) {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "_.%:/-".contains(letter);
    let length = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
    let token = match &rest[..length] {
        "and" | "AND" => Token::And,
        "or" | "OR" => Token::Or,
        "not" | "NOT" => Token::Not,
        "eq" | "EQ" => Token::Compare(Comparison::Equal),
        "ne" | "NE" => Token::Compare(Comparison::Unequal),
        "lt" | "LT" => Token::Compare(Comparison::Less),
        "le" | "LE" => Token::Compare(Comparison::LessOrEqual),
        "gt" | "GT" => Token::Compare(Comparison::Greater),
        "ge" | "GE" => Token::Compare(Comparison::GreaterOrEqual),
        "true" | "TRUE" => Token::Truth(true),
        "false" | "FALSE" => Token::Truth(false),
        name => Token::Name(name.to_owned()),
    };
    (token, length)
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let digits = |text: &str| text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(rest);
    let too_large = || format!("the number {} is too large", &rest[..whole]);
    let after = &rest[whole..];
    let fraction = after.strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        let length = whole + 1 + fraction;
        let number: f64 = rest[..length].parse().map_err(|_| too_large())?;
        return Ok((Token::Float(number.to_bits()), length));
    }
    let power = after.chars().next().and_then(|letter| "KMGTPEZY".find(letter)).map_or(0, |place| place + 1);
    let suffix = if power > 0 { 1 + 2 * usize::from(after[1..].starts_with("iB")) } else { 0 };
    let number: u128 = rest[..whole].parse().map_err(|_| too_large())?;
    let number = number.checked_mul(1 << (10 * power)).and_then(|number| u64::try_from(number).ok());
    Ok((Token::Number(number.ok_or_else(too_large)?), whole + suffix))
}

impl Token {
    /// Returns the comparison, if the token is one.
    pub(super) fn as_comparison(&self) -> Option<Comparison> {
        match self {
            Token::Compare(comparison) => Some(*comparison),
            _ => None,
        }
    }

    /// Returns whether a pattern must match, if the token is `=~` or `!~`.
    pub(super) fn as_match(&self) -> Option<bool> {
        match self {
            Token::Match(is_match) => Some(*is_match),
            _ => None,
        }
    }
}

impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Number(number) => write!(f, "{number}"),
            Token::Float(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Token::Text(text) => write!(f, "{text:?}"),
            Token::Truth(truth) => write!(f, "{truth}"),
            Token::Name(name) => f.write_str(name),
            token => f.write_str(SIGNS.iter().find(|(_, known)| known == token).map_or("?", |(sign, _)| sign)),
        }
    }
}
