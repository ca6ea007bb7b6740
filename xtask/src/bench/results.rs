//! The results of a bench as JSON, to be kept, and compared with those of another commit.
//!
//! Times of two runs are only comparable on the same machine at rest. The ratios to the floor and to the peers, which were
//! measured in the same run, are comparable further.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::measure::Measured;
use super::table::Table;

/// The results of several tables.
#[derive(Default)]
pub struct Results(Vec<Value>);

impl Results {
    /// Adds a table.
    pub fn add(&mut self, table: &Table, measured: &[Measured]) {
        let row = |(row, measured): (&super::table::Row, &Measured)| match measured {
            Measured::Times { median, p10, p90, user, system } => json!({
                "name": row.name,
                "peer": row.peer,
                "wall_ms": { "median": median, "p10": p10, "p90": p90 },
                "user_ms": user,
                "system_ms": system,
            }),
            Measured::Not(why) => json!({ "name": row.name, "not": why }),
        };
        let rows: Vec<_> = table.rows.iter().zip(measured).map(row).collect();
        self.0.push(json!({ "title": table.title, "floor": table.floor, "rows": rows }));
    }

    /// Returns all that was measured, with the machine; the commit is added later.
    pub fn value(&self, described: &str, rounds: u32) -> Value {
        json!({ "commit": null, "machine": described, "rounds": rounds, "tables": self.0 })
    }
}

/// Returns the commit that was measured; `null` outside of a checkout.
pub fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes the results to a file.
pub fn write(path: &Path, results: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the results of another run.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} has no results of a bench", path.display()))
}

/// Formats a line for each row that both have: its median before and now, and its ratio to the floor before and now.
pub fn compared(before: &Value, now: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{}", line.trim_end()).unwrap_or_default();
    let commit = |results: &Value| results["commit"].as_str().unwrap_or("unknown").to_owned();
    line(format!("\ncompared: {} before, {} now", commit(before), commit(now)));
    let heads = ["before ms", "now ms", "now/before", "floor then", "floor now"];
    line(format!("{:44}{}", "", heads.map(|head| format!("{head:>11}")).concat()));
    for (table, row) in rows(now) {
        let Some(other) = row_of(before, title(table), name(row)) else { continue };
        let (Some(then), Some(median)) = (median_of(other), median_of(row)) else { continue };
        let ratio = |results: &Value, median: f64| {
            let floor = row_of(results, title(table), table["floor"].as_str().unwrap_or_default());
            floor.and_then(median_of).map(|floor| median / floor)
        };
        let cells = [Some(then), Some(median), Some(median / then), ratio(before, then), ratio(now, median)];
        let cell = |cell: Option<f64>| cell.map_or_else(|| format!("{:>11}", "-"), |number| format!("{number:>11.2}"));
        line(format!("{:44}{}", name(row), cells.map(cell).concat()));
    }
    text
}

/// Returns all rows, each with its table.
pub fn rows(results: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let tables = results["tables"].as_array().into_iter().flatten();
    tables.flat_map(|table| table["rows"].as_array().into_iter().flatten().map(move |row| (table, row)))
}

fn row_of<'a>(results: &'a Value, wanted: &str, row: &str) -> Option<&'a Value> {
    rows(results).find(|(table, found)| title(table) == wanted && name(found) == row).map(|(_, row)| row)
}

/// Returns the median of a row that was measured.
pub fn median_of(row: &Value) -> Option<f64> {
    row["wall_ms"]["median"].as_f64()
}

/// Returns the title of a table.
pub fn title(table: &Value) -> &str {
    table["title"].as_str().unwrap_or_default()
}

/// Returns the name of a row.
pub fn name(row: &Value) -> &str {
    row["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(commit: &str, floor: f64, ours: f64) -> Value {
        let row = |name: &str, median: f64| json!({ "name": name, "wall_ms": { "median": median } });
        let rows = [row("floor", floor), row("ours", ours), json!({ "name": "crun run", "not": "not installed" })];
        json!({ "commit": commit, "tables": [{ "title": "a container", "floor": "floor", "rows": rows }] })
    }

    #[test]
    fn rows_that_both_runs_have_are_compared() {
        let text = compared(&results("a1", 2.0, 8.0), &results("b2", 2.0, 6.0));
        assert!(text.contains("a1 before, b2 now"), "{text}");
        let ours = text.lines().find(|line| line.starts_with("ours")).unwrap();
        let cells: Vec<_> = ours.split_whitespace().skip(1).collect();
        assert_eq!(cells, ["8.00", "6.00", "0.75", "4.00", "3.00"]);
        assert!(!text.contains("crun"), "{text}");
    }

    #[test]
    fn other_titles_and_missing_rows_are_left_out() {
        let mut before = results("a1", 2.0, 8.0);
        before["tables"][0]["title"] = json!("listing");
        assert!(!compared(&before, &results("b2", 2.0, 6.0)).contains("ours"));
    }
}
