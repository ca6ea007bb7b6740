//! From the JSON of an OCI bundle to its members: what is null counts as absent, what is unknown is left out and reported, and
//! an error names the member.
//!
//! Engines are written in Go, which writes an empty list as `null`, and the specification says that unknown members must be
//! ignored. The surprise: serde reads a list as an object, its elements as the members in their order, so an empty
//! list would be an object without any member.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json;

/// The members of each object that are known, by the path of the object; `[]` is an element of an array. `*` is any member.
pub type Known = [(&'static str, &'static [&'static str])];

/// Reads a value; returns the paths of unknown members, too. `place` is the path of the value in the whole file.
pub fn read<T: DeserializeOwned>(mut value: Value, place: &str, known: &Known) -> Result<(T, Vec<String>), String> {
    let mut unknown = Vec::new();
    leave_out(&mut value, ("", place), known, &mut unknown)?;
    // From a text of our own, in which the place of an error leads to the member.
    let text = value.to_string();
    let found = json::of_text(&text).map_err(|error| {
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or_default();
        let member = member_at(&text, error.column());
        let is_below = !member.is_empty() && !member.starts_with('[');
        wrong(&if is_below { below(place, &member) } else { format!("{place}{member}") }, what)
    })?;
    Ok((found, unknown))
}

fn below(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn wrong(member: &str, what: &str) -> String {
    if member.is_empty() { what.to_owned() } else { format!("its member {member}: {what}") }
}

/// Removes members that are null, and those that are unknown. `kind` is the path with `[]` and `*`, `path` the one with
/// numbers and names.
fn leave_out(
    value: &mut Value,
    (kind, path): (&str, &str),
    known: &Known,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let names = known.iter().find(|(object, _)| *object == kind).map(|(_, names)| *names);
    let is_any = names == Some(&["*"]);
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                let is_known = is_any || names.is_none_or(|names| names.contains(&name.as_str()));
                if !value.is_null() && !is_known {
                    unknown.push(below(path, name));
                }
                !value.is_null() && is_known
            });
            for (name, value) in members.iter_mut() {
                let kind = below(kind, if is_any { "*" } else { name });
                leave_out(value, (&kind, &below(path, name)), known, unknown)?;
            }
        }
        _ if names.is_some() => return Err(wrong(path, "invalid type: expected an object")),
        Value::Array(elements) => {
            for (number, element) in elements.iter_mut().enumerate() {
                leave_out(element, (&format!("{kind}[]"), &format!("{path}[{number}]")), known, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A step on the way to a member.
enum Step {
    Member(Option<String>),
    Element(usize),
}

/// Returns the member at a byte of a JSON text without white space, as `process.rlimits[0].soft`.
fn member_at(text: &str, offset: usize) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len().min(offset) {
        match bytes[at] {
            b'{' => steps.push(Step::Member(None)),
            b'[' => steps.push(Step::Element(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Member(name)) => *name = None,
                Some(Step::Element(number)) => *number += 1,
                None => {}
            },
            b'"' => {
                let end = end_of_string(bytes, at);
                if let Some(Step::Member(name @ None)) = steps.last_mut() {
                    *name = Some(String::from_utf8_lossy(&bytes[(at + 1).min(end)..end]).into_owned());
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Member(Some(name)) if path.is_empty() => path = name,
            Step::Member(Some(name)) => path = format!("{path}.{name}"),
            Step::Member(None) => {}
            Step::Element(number) => path = format!("{path}[{number}]"),
        }
    }
    path
}

/// Returns the place of the quotation mark that ends the string beginning at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KNOWN: [(&str, &[&str]); 4] = [("", &["a", "b"]), ("a", &["*"]), ("a.*", &["x"]), ("b[]", &["y"])];

    fn unknown(text: &str) -> Result<Vec<String>, String> {
        read::<BTreeMap<String, Value>>(serde_json::from_str(text).unwrap(), "top", &KNOWN).map(|(_, unknown)| unknown)
    }

    #[test]
    fn members_of_any_name_have_known_members() {
        let text = r#"{"a":{"any.name":{"x":1,"z":2,"n":null}},"b":[{"y":1},{"c":3}]}"#;
        assert_eq!(unknown(text), Ok(vec!["top.a.any.name.z".to_owned(), "top.b[1].c".to_owned()]));
    }

    #[test]
    fn a_list_is_no_object() {
        for (text, member) in [("[]", "top"), (r#"{"a":[]}"#, "top.a"), (r#"{"b":[[1]]}"#, "top.b[0]")] {
            assert_eq!(unknown(text), Err(format!("its member {member}: invalid type: expected an object")));
        }
    }

    proptest! {
        #[test]
        fn any_place_has_a_member_or_none(text in "[\\[\\]{}\",:\\\\a]{0,30}", offset in 0usize..40) {
            member_at(&text, offset);
        }
    }
}
