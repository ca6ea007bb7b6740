//! `--filter`: conditions on the columns of a line, in the language of `scols-filter(5)`.
//!
//! As in `scols-filter(5)`, `and` and `or` have the same precedence and associate from the left. Comparisons bind
//! tighter, and `not` binds tightest.

mod evaluate;
mod pattern;
mod token;

use super::column::Column;
use pattern::Pattern;
use token::Token;

/// The maximum length of a condition in bytes; `scols-filter(5)` has the same limit.
const LONGEST: usize = 1024;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Both(Box<Expression>, Box<Expression>),
    Either(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Compared(Comparison, Box<Expression>, Box<Expression>),
    Matched(Box<Expression>, Pattern),
    Column(Column),
    Number(u64),
    /// The bits of the number, so that a plan can be compared.
    Float(u64),
    Text(String),
    Truth(bool),
}

/// The ways to compare two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    /// Parses a condition, which must be the whole text.
    pub(crate) fn read(text: &str) -> Result<Expression, String> {
        if text.len() > LONGEST {
            return Err(format!("at most {LONGEST} bytes are allowed"));
        }
        let mut reader = Reader { tokens: token::split(text)?, next: 0 };
        let expression = reader.logical()?;
        match reader.take() {
            None => Ok(expression),
            Some(token) => Err(format!("an operator is missing before {token}")),
        }
    }
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
}

impl Reader {
    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// Takes the next token if `wanted` returns a value for it, and returns that value.
    fn take_if<T>(&mut self, wanted: impl FnOnce(&Token) -> Option<T>) -> Option<T> {
        let made = self.tokens.get(self.next).and_then(wanted);
        self.next += usize::from(made.is_some());
        made
    }

    fn logical(&mut self) -> Result<Expression, String> {
        let mut left = self.comparison()?;
        loop {
            let is_and = self.take_if(|token| match token {
                Token::And => Some(true),
                Token::Or => Some(false),
                _ => None,
            });
            left = match is_and {
                Some(true) => Expression::Both(Box::new(left), Box::new(self.comparison()?)),
                Some(false) => Expression::Either(Box::new(left), Box::new(self.comparison()?)),
                None => return Ok(left),
            };
        }
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let mut left = self.operand()?;
        loop {
            if let Some(is_match) = self.take_if(Token::as_match) {
                let Some(Token::Text(pattern)) = self.take() else {
                    return Err("a pattern in quotes is missing after =~ or !~".to_owned());
                };
                let matched = Expression::Matched(Box::new(left), Pattern::read(&pattern)?);
                left = if is_match { matched } else { Expression::Not(Box::new(matched)) };
            } else if let Some(comparison) = self.take_if(Token::as_comparison) {
                left = Expression::Compared(comparison, Box::new(left), Box::new(self.operand()?));
            } else {
                return Ok(left);
            }
        }
    }

    fn operand(&mut self) -> Result<Expression, String> {
        match self.take() {
            Some(Token::Not) => Ok(Expression::Not(Box::new(self.operand()?))),
            Some(Token::Open) => {
                let inner = self.logical()?;
                match self.take() {
                    Some(Token::Close) => Ok(inner),
                    _ => Err("a ) is missing".to_owned()),
                }
            }
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Float(bits)) => Ok(Expression::Float(bits)),
            Some(Token::Text(text)) => Ok(Expression::Text(text)),
            Some(Token::Truth(truth)) => Ok(Expression::Truth(truth)),
            Some(Token::Name(name)) => Column::of_name(&name)
                .map(Expression::Column)
                .ok_or_else(|| format!("{name:?} is not a column; valid columns: {}", super::column::names())),
            Some(token) => Err(format!("a column, number or \"text\" is missing before {token}")),
            None => Err("a column, number or \"text\" is missing at the end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::cell::Cell;

    fn holds(text: &str) -> bool {
        let expression = Expression::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        expression.holds(&|column| match column {
            Column::Ns => Cell::Number(4026531837),
            Column::Nprocs => Cell::Number(0),
            Column::Type => Cell::Text(b"net".to_vec()),
            Column::Netnsid => Cell::Text(b"7".to_vec()),
            Column::Nsfs => Cell::Lines(vec![b"/run/netns/a".to_vec(), b"/srv/b".to_vec()]),
            _ => Cell::Empty,
        })
    }

    #[test]
    fn conditions_hold_as_in_scols_filter() {
        for text in [
            "NS == 4026531837",
            "ns eq 4026531837 && NPROCS lt 1",
            "TYPE == 'net' and NETNSID == 7",
            "NETNSID == \"7\" AND NS > 3G",
            "NS < 4GiB",
            "!NPROCS and TYPE",
            "not PID",
            "TYPE =~ '^n.t$' and TYPE !~ \"^u\"",
            "NSFS =~ '/srv/'",
            "NPROCS < 0.5",
            "NETNSID >= 6.5",
            "(TYPE != 'net' or NS) and true",
            // From the left: (true or true) and false would not hold.
            "false and true or true",
            "COMMAND != 'x'",
            "COMMAND < 'x'",
            "NETNSID != 'unassigned'",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "true or true and false",
            "NPROCS",
            "PID == 0",
            "PID != 5",
            "TYPE == 5",
            "COMMAND",
            "NSFS == '/run/netns/a'",
            "!NS == 4026531837",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn errors_name_the_mistake() {
        for (text, named) in [
            ("", "missing at the end"),
            ("NS ==", "missing at the end"),
            ("NS == == 5", "missing before =="),
            ("NS 5", "operator is missing before 5"),
            ("(NS", "a ) is missing"),
            ("NS == 'x", "closing ' of a text"),
            ("FOO == 5", "not a column"),
            ("TYPE =~ NS", "pattern in quotes"),
            ("TYPE =~ '('", "pattern"),
            ("NS = 5", "unexpected character"),
            ("NS == 99999999999999999999", "too large"),
        ] {
            let error = Expression::read(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
        assert!(Expression::read(&"(".repeat(2000)).is_err());
    }
}
