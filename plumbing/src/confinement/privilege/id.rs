//! User and group IDs as numbers. `credentials(7)`, `setresuid(2)`.
//!
//! The surprise: the highest number is not an ID. `setresuid(2)`, `setresgid(2)` and `chown(2)` take it to mean "leave
//! this one unchanged", so root who changes to it stays root.

use serde::{Deserialize, Deserializer};

use crate::Fault;

/// The number that means "unchanged" to the kernel.
const UNCHANGED: u32 = u32::MAX;

/// Returns whether this number is an ID.
pub fn is_id(number: u32) -> bool {
    number != UNCHANGED
}

/// Refuses a number that is not an ID. `goal` completes "cannot …".
pub fn require(goal: impl std::fmt::Display, number: u32) -> Result<(), Fault> {
    if is_id(number) {
        Ok(())
    } else {
        Err(Fault::new(format!("cannot {goal}: {UNCHANGED} is not an ID, it means \"unchanged\" to the kernel")))
    }
}

/// An ID in JSON.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Id(u32);

impl TryFrom<u32> for Id {
    type Error = String;

    fn try_from(number: u32) -> Result<Id, String> {
        if is_id(number) {
            Ok(Id(number))
        } else {
            Err(format!("{number} is not a user or group ID: the highest is {}", UNCHANGED - 1))
        }
    }
}

/// Reads an ID; for serde's `deserialize_with`.
pub fn of_json<'de, D: Deserializer<'de>>(json: D) -> Result<u32, D::Error> {
    Id::deserialize(json).map(|id| id.0)
}

/// Reads an ID, or null.
pub(crate) fn of_json_if_any<'de, D: Deserializer<'de>>(json: D) -> Result<Option<u32>, D::Error> {
    Option::<Id>::deserialize(json).map(|id| id.map(|id| id.0))
}

/// Reads a list of IDs, or null.
pub(crate) fn list_of_json_if_any<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Vec<u32>>, D::Error> {
    Option::<Vec<Id>>::deserialize(json).map(|list| list.map(|list| list.into_iter().map(|id| id.0).collect()))
}

/// Reads a list of IDs; for serde's `deserialize_with`.
pub fn list_of_json<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<u32>, D::Error> {
    list_of_json_if_any(json).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_is_not_an_id() {
        assert!(require("change to it", u32::MAX - 1).is_ok());
        assert!(
            require("change to it", u32::MAX).unwrap_err().to_string().starts_with("cannot change to it: 4294967295 ")
        );
        assert!(serde_json::from_str::<Id>("4294967294").is_ok() && serde_json::from_str::<Id>("4294967295").is_err());
    }
}
