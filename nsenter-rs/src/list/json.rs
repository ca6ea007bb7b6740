//! Lines as JSON: one object with nested lines, as `lsns --json` prints it, or one object per line.
//!
//! In the single object, the lines below a line are its `children`. In the stream they are not nested: its reader joins
//! lines by `pns`, `ons` and `ppid`.

use plumbing::json::escaped;
use plumbing::text::Text;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cell::Cell;
use super::column::Column;
use super::print::shown;

/// A line, and its distance from the root of its tree.
pub(crate) struct Object {
    pub(crate) depth: usize,
    pub(crate) cells: Vec<Cell>,
}

/// Returns one object per line. Text that is not UTF-8 is `{"bytes":"<base64>"}`; several mounts are an array.
pub(crate) fn lines(columns: &[Column], objects: Vec<Object>) -> String {
    let text = |text: Vec<u8>| serde_json::to_value(Text(std::os::unix::ffi::OsStringExt::from_vec(text)));
    let value = |cell| match cell {
        Cell::Empty => Value::Null,
        Cell::Number(number) => number.into(),
        Cell::Text(bytes) => text(bytes).unwrap_or_default(),
        Cell::Lines(all) => all.into_iter().map(|bytes| text(bytes).unwrap_or_default()).collect(),
    };
    objects.into_iter().fold(String::new(), |text, Object { cells, .. }| {
        text + &escaped(Value::Object(members(columns, cells, value)).to_string()) + "\n"
    })
}

/// Returns one object with an array of this name, as `lsns` prints it; several mounts are one text.
pub(crate) fn document(name: &str, columns: &[Column], objects: Vec<Object>, separator: u8) -> String {
    let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => shown(error.as_bytes(), true).into(),
    };
    let value = |cell| match cell {
        Cell::Empty => Value::Null,
        Cell::Number(number) => number.into(),
        Cell::Text(bytes) => text(bytes),
        Cell::Lines(all) => text(all.join(&separator)),
    };
    let nodes = objects.into_iter().map(|Object { depth, cells }| (depth, members(columns, cells, value)));
    let mut document = Map::new();
    document.insert(name.to_owned(), nested(nodes.collect()).into());
    pretty(&document.into())
}

/// Returns the facts about columns: name, type and description.
pub(crate) fn facts(facts: impl Iterator<Item = [String; 3]>, is_stream: bool) -> String {
    let objects = facts.map(|[name, holds, meaning]| json!({"holder": name, "type": holds, "description": meaning}));
    if is_stream {
        objects.fold(String::new(), |text, object| text + &escaped(object.to_string()) + "\n")
    } else {
        pretty(&json!({"lsns-columns": objects.collect::<Vec<_>>()}))
    }
}

/// Formats a value with line breaks and indentation.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter));
    // Writing a Value to memory cannot fail.
    written.map(|()| escaped(String::from_utf8_lossy(&bytes).into_owned()) + "\n").unwrap_or_default()
}

fn members(columns: &[Column], cells: Vec<Cell>, value: impl Fn(Cell) -> Value) -> Map<String, Value> {
    columns.iter().zip(cells).map(|(column, cell)| (column.key(), value(cell))).collect()
}

/// Makes each line a child of the last line before it that is less deep.
fn nested(nodes: Vec<(usize, Map<String, Value>)>) -> Vec<Value> {
    // Backwards: when a line is reached, its children have been collected already, the last one first.
    let mut waiting: Vec<(usize, Value)> = Vec::new();
    for (depth, mut members) in nodes.into_iter().rev() {
        let mut children = Vec::new();
        while waiting.last().is_some_and(|(below, _)| *below > depth) {
            children.extend(waiting.pop().map(|(_, child)| child));
        }
        if !children.is_empty() {
            members.insert("children".to_owned(), children.into());
        }
        waiting.push((depth, members.into()));
    }
    waiting.into_iter().rev().map(|(_, root)| root).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<Object> {
        [(0, 1), (1, 2), (2, 3), (1, 4), (0, 5)]
            .map(|(depth, number)| Object { depth, cells: vec![Cell::Number(number), Cell::Empty] })
            .into()
    }

    #[test]
    fn a_document_nests_the_lines_below_a_line() {
        let text = document("namespaces", &[Column::Ns, Column::Nsfs], objects(), b'\n');
        let value: Value = serde_json::from_str(&text).unwrap();
        let compact = r#"{"namespaces":[{"ns":1,"nsfs":null,"children":[{"ns":2,"nsfs":null,"children":[{"ns":3,"nsfs":null}]},{"ns":4,"nsfs":null}]},{"ns":5,"nsfs":null}]}"#;
        assert_eq!(value.to_string(), compact);
    }

    #[test]
    fn a_stream_has_a_line_for_each_object() {
        let mut all = objects();
        all[4].cells = vec![Cell::Text(b"\xff\n".to_vec()), Cell::Lines(vec![b"/a".to_vec(), b"/b\n".to_vec()])];
        let text = lines(&[Column::Type, Column::Nsfs], all);
        assert_eq!(text.lines().count(), 5);
        assert_eq!(text.lines().last(), Some(r#"{"type":{"bytes":"/wo="},"nsfs":["/a","/b\n"]}"#));
    }
}
