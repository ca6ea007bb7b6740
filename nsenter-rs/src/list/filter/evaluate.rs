//! Evaluates a condition for a line; `scols-filter(5)`.
//!
//! A literal decides the type in which it is compared with a column: a number compares the column as a number, a text
//! compares it as text. Any comparison with a missing number is false.

use std::cmp::Ordering;

use super::{Comparison, Expression};
use crate::list::cell::Cell;
use crate::list::column::{Column, Type};

/// The types in which values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Text,
    Number,
    Float,
    Truth,
}

/// A value that is not missing.
#[derive(Debug, PartialEq)]
enum Value {
    Text(Vec<u8>),
    Number(u64),
    Float(f64),
    Truth(bool),
    /// A text that is no number, where a number is needed.
    NoNumber,
}

impl Expression {
    /// Returns whether the condition holds for a line with these cells.
    pub(crate) fn holds(&self, cells: &dyn Fn(Column) -> Cell) -> bool {
        match self {
            Expression::Both(left, right) => left.holds(cells) && right.holds(cells),
            Expression::Either(left, right) => left.holds(cells) || right.holds(cells),
            Expression::Not(inner) => !inner.holds(cells),
            Expression::Compared(comparison, left, right) => {
                let as_what = common(left, right);
                compare(*comparison, as_what, left.value(cells, as_what), right.value(cells, as_what))
            }
            Expression::Matched(left, pattern) => match left.value(cells, As::Text) {
                Some(Value::Text(text)) => pattern.is_in(&String::from_utf8_lossy(&text)),
                _ => pattern.is_in(""),
            },
            Expression::Column(column) => match cells(*column) {
                Cell::Empty => false,
                Cell::Number(number) => number != 0,
                Cell::Text(text) => !text.is_empty(),
                Cell::Lines(lines) => !lines.is_empty(),
            },
            Expression::Number(number) => *number != 0,
            Expression::Float(bits) => f64::from_bits(*bits) != 0.0,
            Expression::Text(text) => !text.is_empty(),
            Expression::Truth(truth) => *truth,
        }
    }

    fn is(&self) -> As {
        match self {
            Expression::Column(column) if column.holds() == Type::Number => As::Number,
            Expression::Column(_) | Expression::Text(_) => As::Text,
            Expression::Number(_) => As::Number,
            Expression::Float(_) => As::Float,
            _ => As::Truth,
        }
    }

    fn value(&self, cells: &dyn Fn(Column) -> Cell, as_what: As) -> Option<Value> {
        let value = match self {
            Expression::Column(column) => match cells(*column) {
                Cell::Empty => return None,
                Cell::Number(number) => Value::Number(number),
                Cell::Text(text) => Value::Text(text),
                Cell::Lines(lines) => Value::Text(lines.join(&b'\n')),
            },
            Expression::Number(number) => Value::Number(*number),
            Expression::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Expression::Text(text) => Value::Text(text.clone().into_bytes()),
            other => Value::Truth(other.holds(cells)),
        };
        Some(value.cast(as_what))
    }
}

/// Returns the type in which two operands are compared: the type of a literal, if the other one is a column; of two
/// numbers, the one with a fraction.
fn common(left: &Expression, right: &Expression) -> As {
    let (l, r) = (left.is(), right.is());
    let is_column = |side: &Expression| matches!(side, Expression::Column(_));
    let chosen = if is_column(left) && !is_column(right) { r } else { l };
    if chosen == As::Number && (l == As::Float || r == As::Float) { As::Float } else { chosen }
}

impl Value {
    fn cast(self, as_what: As) -> Value {
        match (as_what, self) {
            (As::Text, Value::Number(number)) => Value::Text(number.to_string().into_bytes()),
            (As::Text, Value::Float(number)) => Value::Text(number.to_string().into_bytes()),
            (As::Text, Value::Truth(truth)) => Value::Text(truth.to_string().into_bytes()),
            (As::Number, Value::Text(text)) => parsed(&text).map_or(Value::NoNumber, Value::Number),
            (As::Number, Value::Float(number)) => Value::Number(number as u64),
            (As::Number, Value::Truth(truth)) => Value::Number(truth.into()),
            (As::Float, Value::Text(text)) => parsed(&text).map_or(Value::NoNumber, Value::Float),
            (As::Float, Value::Number(number)) => Value::Float(number as f64),
            (As::Float, Value::Truth(truth)) => Value::Float(u8::from(truth).into()),
            (As::Truth, Value::Text(text)) => {
                Value::Truth(["1", "true", "y", "yes"].iter().any(|yes| text.eq_ignore_ascii_case(yes.as_bytes())))
            }
            (As::Truth, Value::Number(number)) => Value::Truth(number > 0),
            (As::Truth, Value::Float(number)) => Value::Truth(number > 0.0),
            (_, value) => value,
        }
    }
}

fn parsed<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn compare(comparison: Comparison, as_what: As, left: Option<Value>, right: Option<Value>) -> bool {
    let order = match (left, right) {
        // A missing text comes before any other.
        (None, None) if as_what == As::Text => Some(Ordering::Equal),
        (None, Some(_)) if as_what == As::Text => Some(Ordering::Less),
        (Some(_), None) if as_what == As::Text => Some(Ordering::Greater),
        (Some(Value::Text(left)), Some(Value::Text(right))) => Some(left.cmp(&right)),
        (Some(Value::Number(left)), Some(Value::Number(right))) => Some(left.cmp(&right)),
        (Some(Value::Float(left)), Some(Value::Float(right))) => left.partial_cmp(&right),
        (Some(Value::Truth(left)), Some(Value::Truth(right))) => Some(left.cmp(&right)),
        (Some(_), Some(_)) => return comparison == Comparison::Unequal,
        _ => None,
    };
    order.is_some_and(|order| match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
