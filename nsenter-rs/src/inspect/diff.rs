//! The comparison of two processes, member by member of what is inspected.
//!
//! Members that differ between any two processes are left out: pids, inodes, paths of groups, and current usage.

use plumbing::Fault;
use plumbing::command_line::columns;
use plumbing::pipeline::record::Record;
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde_json::{Map, Value, json};

use super::Isolation;
use super::page::capped;
use super::subject::Subject;

/// Members that identify or measure something, and do not say how it is isolated; for `namespaces`, those of each kind.
const LEFT_OUT: &[&str] = &[
    "pid",
    "host_pid",
    "namespaces.inode",
    "namespaces.with",
    "cgroup.path",
    "cgroup.paths",
    "cgroup.memory",
    "cgroup.pids",
    "cgroup.cpu",
    "capabilities.more_than_docker",
    "capabilities.less_than_docker",
    "mounts.total",
    "findings.count",
    "findings.reason",
];

/// One of the two processes.
pub(super) struct Side {
    name: String,
    record: Value,
    isolation: Value,
}

/// A member that differs.
struct Difference {
    what: String,
    one: Value,
    other: Value,
}

impl Side {
    /// Inspects one of the two.
    pub(super) fn of(subject: &Subject, json: bool) -> Result<Side, Fault> {
        let (record, target) = subject.open(json)?;
        let isolation = Isolation::of(&record, &target)?;
        let isolation = serde_json::to_value(&isolation).map_err(wrong)?;
        Ok(Side { name: name(subject, &record, &target), record: identity(&record), isolation })
    }
}

/// Returns the differences, as a table or as one line of JSON.
pub(super) fn comparison(one: &Side, other: &Side, json: bool) -> Result<String, Fault> {
    let mut differences = Vec::new();
    compare("", &one.isolation, &other.isolation, &mut differences);
    if json {
        let line =
            |difference: &Difference| json!({"what": difference.what, "a": difference.one, "b": difference.other});
        let differences: Vec<_> = differences.iter().map(line).collect();
        let all = json!({"a": one.record, "b": other.record, "differences": differences});
        return plumbing::json::line("the differences", &all);
    }
    if differences.is_empty() {
        return Ok("nothing differs\n".to_owned());
    }
    let rows = std::iter::once([String::new(), one.name.clone(), other.name.clone()]);
    let rows: Vec<_> = rows.chain(differences.iter().flat_map(Difference::rows)).collect();
    let widest = |column: usize| rows.iter().map(|row| columns::width(&row[column])).max().unwrap_or(0).min(60);
    let widths = [widest(0), widest(1), 0];
    let line = |row: &[String; 3]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| columns::padded(cell, width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    Ok(rows.iter().map(line).collect())
}

fn compare(what: &str, one: &Value, other: &Value, found: &mut Vec<Difference>) {
    if one == other {
        return;
    }
    if let (Some(one), Some(other)) = (entries(one), entries(other)) {
        let only = |these: &[Value], those: &[Value]| {
            let those: Vec<_> = those.iter().map(|entry| compared(what, entry)).collect();
            these.iter().map(|entry| compared(what, entry)).filter(|entry| !those.contains(entry)).collect::<Vec<_>>()
        };
        let (of_one, of_other) = (only(one, other), only(other, one));
        if !of_one.is_empty() || !of_other.is_empty() {
            found.push(Difference { what: what.to_owned(), one: of_one.into(), other: of_other.into() });
        }
        return;
    }
    match (members(one), members(other)) {
        (Some(members), Some(others)) => {
            let keys = members.keys().chain(others.keys().filter(|key| !members.contains_key(*key)));
            for key in keys.filter(|key| !is_left_out(what, key)) {
                let what = if what.is_empty() { key.clone() } else { format!("{what}.{key}") };
                let of = |members: &Map<String, Value>| members.get(key).cloned().unwrap_or(Value::Null);
                compare(&what, &of(&members), &of(&others), found);
            }
        }
        _ => found.push(Difference { what: what.to_owned(), one: compared(what, one), other: compared(what, other) }),
    }
}

/// Returns the entries of a list; of a longer list, those that are shown.
fn entries(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(entries) => Some(entries),
        Value::Object(members) => members.get("shown")?.as_array().map(Vec::as_slice),
        _ => None,
    }
}

/// Returns the members of a value that has some; an absent value has none.
fn members(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) if !members.contains_key("unreadable") => Some(members.clone()),
        Value::Null => Some(Map::new()),
        _ => None,
    }
    .filter(|_| entries(value).is_none())
}

fn is_left_out(what: &str, key: &str) -> bool {
    let part = what.split('.').next().unwrap_or_default();
    let name = if part.is_empty() { key.to_owned() } else { format!("{part}.{key}") };
    LEFT_OUT.contains(&name.as_str())
}

/// Returns a value without the members that are left out.
fn compared(what: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !is_left_out(what, key));
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        value => value.clone(),
    }
}

impl Difference {
    /// Returns one row, or for lists one row for each entry.
    fn rows(&self) -> Vec<[String; 3]> {
        let (one, other) = (self.lines(&self.one), self.lines(&self.other));
        let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
        let what = |at| if at == 0 { self.what.trim_end_matches(".host").to_owned() } else { String::new() };
        (0..one.len().max(other.len())).map(|at| [what(at), line(&one, at), line(&other, at)]).collect()
    }

    fn lines(&self, value: &Value) -> Vec<String> {
        match value {
            Value::Array(entries) if !entries.is_empty() => capped(entries.iter().map(shown).collect(), entries.len()),
            Value::Bool(is_host) if self.what.ends_with(".host") => {
                vec![if *is_host { "the host's" } else { "own" }.to_owned()]
            }
            value => vec![shown(value)],
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => Text::from(text.as_str()).shown(),
        Value::Array(entries) if entries.is_empty() => "-".to_owned(),
        Value::Array(entries) => capped(entries.iter().map(shown).collect(), entries.len()).join(" "),
        Value::Object(members) if members.contains_key("unreadable") => {
            format!("not readable: {}", shown(&members["unreadable"]))
        }
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| match value {
                Value::Bool(false) => None,
                Value::Bool(true) => Some(key.replace('_', "-")),
                value => Some(shown(value)),
            };
            members.iter().filter_map(member).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn name(subject: &Subject, record: &Record, target: &Target) -> String {
    match subject {
        Subject::Host => "host".to_owned(),
        _ => match record.get::<Text>("name") {
            Ok(Some(name)) => name.shown(),
            _ => target.pid().to_string(),
        },
    }
}

/// Returns the members that identify a container, and that are not compared.
fn identity(record: &Record) -> Value {
    let member = |key| record.get::<Value>(key).ok().flatten().map(|value| (key.to_owned(), value));
    Value::Object(["name", "init", "container"].into_iter().filter_map(member).collect())
}

fn wrong(error: serde_json::Error) -> Fault {
    Fault::new(format!("cannot serialize the isolation: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(one: Value, other: Value) -> Vec<[String; 3]> {
        let mut found = Vec::new();
        compare("", &one, &other, &mut found);
        found.iter().flat_map(Difference::rows).collect()
    }

    #[test]
    fn only_differences_are_shown() {
        let one = json!({"namespaces": {"net": {"inode": 1, "host": true}}, "caps": ["A", "B"],
                         "limits": {"max": 5}, "l": {"total": 9, "shown": ["x"]}});
        let other = json!({"namespaces": {"net": {"inode": 2, "host": false}}, "caps": ["B", "C", "D"],
                           "l": {"total": 8, "shown": ["x"]}});
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let found = differences(one.clone(), other);
        let net = row(["namespaces.net", "the host's", "own"]);
        assert_eq!(found, [net, row(["caps", "A", "C"]), row(["", "", "D"]), row(["limits.max", "5", "-"])]);
        assert!(differences(one.clone(), one).is_empty());
    }

    #[test]
    fn an_unreadable_member_is_a_difference() {
        let rows = differences(json!({"x": {"unreadable": "EACCES"}}), json!({"x": {"a": 1, "b": false}}));
        assert_eq!(rows, [["x".to_owned(), "not readable: EACCES".to_owned(), "1".to_owned()]]);
    }

    #[test]
    fn no_name_steers_the_terminal() {
        let rows = differences(json!(["\u{1b}[2J\n"]), json!([]));
        assert_eq!(rows[0][1], "\\u{1b}[2J\\n");
    }
}
