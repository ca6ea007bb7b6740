//! The results of a bench as a chart: SVG without fonts, scripts or files of others, so that a page can show it as it is.
//!
//! A bar for each command is as long as its median, with a line from the tenth to the ninetieth percentile.

use std::fmt::Write;

use serde_json::Value;

use super::results::{median_of, name, rows, title};

const WIDTH: f64 = 760.0;
/// Where the bars begin.
const LEFT: f64 = 270.0;
/// The room for the number behind the longest bar.
const RIGHT: f64 = 90.0;
const LINE: f64 = 24.0;

/// Draws one table; `None` if nothing in it was measured.
pub fn svg(results: &Value, wanted: &str) -> Option<String> {
    let measured: Vec<_> = rows(results)
        .filter(|(table, _)| title(table) == wanted)
        .filter_map(|(_, row)| Some((name(row), median_of(row)?, spread_of(row))))
        .collect();
    let longest = measured.iter().map(|(_, median, (_, high))| median.max(*high)).reduce(f64::max)?;
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let height = LINE * (measured.len() as f64 + 2.5);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut put = |line: String| writeln!(svg, "{line}").unwrap_or_default();
    let heading = format!("{wanted}: milliseconds from start to end, median and 10th to 90th percentile");
    put(text(10.0, LINE * 0.8, "start", &heading));
    for (place, (name, median, (low, high))) in measured.iter().enumerate() {
        let top = LINE * (place as f64 + 1.3);
        let (middle, end) = (top + LINE * 0.4, LEFT + median * scale);
        put(text(LEFT - 8.0, top + LINE * 0.6, "end", name));
        let (bar, thick) = (median * scale, LINE * 0.8);
        put(format!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{bar:.1}\" height=\"{thick:.1}\" fill=\"{}\"/>",
            color(name)
        ));
        let (from, to) = (LEFT + low * scale, LEFT + high * scale);
        put(format!("<path d=\"M{from:.1} {middle:.1}H{to:.1}\" stroke=\"#333\"/>"));
        put(text(end.max(to) + 6.0, top + LINE * 0.6, "start", &format!("{median:.1}")));
    }
    let foot = format!(
        "{}; {}",
        results["machine"].as_str().unwrap_or_default(),
        results["commit"].as_str().unwrap_or_default()
    );
    put(text(10.0, height - LINE * 0.4, "start", &foot));
    svg.push_str("</svg>\n");
    Some(svg)
}

fn spread_of(row: &Value) -> (f64, f64) {
    let of = |name: &str| row["wall_ms"][name].as_f64();
    let median = median_of(row).unwrap_or_default();
    (of("p10").unwrap_or(median), of("p90").unwrap_or(median))
}

/// Ours, the floor, and the peers.
fn color(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("floor") => "#9e9e9e",
        _ if name.contains("-rs") || name.starts_with("chain") || name.starts_with("pipe") => "#2e7d32",
        _ => "#90a4ae",
    }
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_measured_row_is_a_bar_and_names_are_escaped() {
        let wall = |median: f64| json!({ "median": median, "p10": median - 1.0, "p90": median + 1.0 });
        let rows = json!([
            { "name": "chain of three", "wall_ms": wall(5.0) },
            { "name": "a <b> & c", "wall_ms": wall(10.0) },
            { "name": "crun run", "not": "not installed" },
        ]);
        let results =
            json!({ "commit": "a1", "machine": "here", "tables": [{ "title": "a container", "rows": rows }] });
        let svg = svg(&results, "a container").unwrap();
        assert_eq!((svg.matches("<rect").count(), svg.matches("<path").count()), (3, 2), "{svg}");
        assert!(svg.contains("a &lt;b> &amp; c") && !svg.contains("crun"), "{svg}");
        assert!(super::svg(&results, "another").is_none());
    }
}
