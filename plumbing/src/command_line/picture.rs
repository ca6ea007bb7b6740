//! A tree as a picture: a box for each line, indented below the one that it belongs to. SVG.
//!
//! The file needs nothing else: no script, no style sheet, no font of its own. It is readable on a light and on a dark page.
//! Every text is escaped: names come from containers.

use std::fmt::Write;

use crate::text::on_one_line;

/// A line of the tree.
#[derive(Debug, Default)]
pub struct TreeLine {
    /// Its distance from the root.
    pub depth: usize,
    /// What is in the box.
    pub text: String,
    /// What is to the right of the box.
    pub note: String,
    /// How full it is, in percent: a bar in the box.
    pub share: Option<u64>,
}

const WIDTH: usize = 760;
const PITCH: usize = 34;
const HEIGHT: usize = 26;
const INDENT: usize = 26;
const MARGIN: usize = 10;
const BOX: usize = 300;
/// The depth from which on lines are not indented further.
const DEEPEST: usize = 10;
/// The most letters in a box, and to the right of it.
const LETTERS: usize = 35;
const NOTE_LETTERS: usize = 64;

const STYLE: &str = "<style>\ntext { font: 13px sans-serif; fill: #1f2328 }\n.note { font-size: 12px; fill: #57606a }\n\
    .box { fill: #f6f8fa; stroke: #57606a }\n.bar { fill: #9ec5fe }\n.full { fill: #ffb3ab }\n\
    .line { fill: none; stroke: #57606a }\n@media (prefers-color-scheme: dark) {\ntext { fill: #e6edf3 } \
    .note { fill: #9198a1 }\n.box { fill: #161b22; stroke: #9198a1 } .bar { fill: #1f4f8f } .full { fill: #8e1519 }\n\
    .line { stroke: #9198a1 }\n}\n</style>\n";

/// Draws a tree whose lines are in the order of a depth-first walk.
pub fn tree(title: &str, lines: &[TreeLine]) -> String {
    let height = lines.len() * PITCH + 2 * MARGIN;
    let title = escaped(title, usize::MAX);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{title}</title>\n{STYLE}"
    );
    // The row of the last line of each depth on the way to the root.
    let mut above: Vec<usize> = Vec::new();
    for (row, line) in lines.iter().enumerate() {
        above.truncate(line.depth.min(DEEPEST));
        if let Some(parent) = above.last() {
            branch(&mut picture, *parent, row, above.len() - 1);
        }
        draw(&mut picture, line, row, above.len());
        above.push(row);
    }
    picture + "</svg>\n"
}

/// Draws the line from a box to one that belongs to it.
fn branch(picture: &mut String, parent: usize, row: usize, depth: usize) {
    let x = MARGIN + depth * INDENT + INDENT / 2;
    let (from, to) = (MARGIN + parent * PITCH + HEIGHT, MARGIN + row * PITCH + HEIGHT / 2);
    let end = MARGIN + (depth + 1) * INDENT;
    add(picture, format_args!("<path class=\"line\" d=\"M{x} {from} V{to} H{end}\"/>\n"));
}

fn draw(picture: &mut String, line: &TreeLine, row: usize, depth: usize) {
    let (x, y) = (MARGIN + depth * INDENT, MARGIN + row * PITCH);
    add(
        picture,
        format_args!("<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{BOX}\" height=\"{HEIGHT}\" rx=\"5\"/>\n"),
    );
    if let Some(share) = line.share.filter(|share| *share > 0) {
        let class = if share >= 90 { "full" } else { "bar" };
        let width = (usize::try_from(share.min(100)).unwrap_or(100) * (BOX - 2)).div_ceil(100);
        let (x, y, height) = (x + 1, y + 1, HEIGHT - 2);
        add(
            picture,
            format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>\n"
            ),
        );
    }
    let (text, note) = (escaped(&line.text, LETTERS), escaped(&line.note, NOTE_LETTERS));
    let (left, right, base) = (x + 8, x + BOX + 8, y + 18);
    add(picture, format_args!("<text x=\"{left}\" y=\"{base}\">{text}</text>\n"));
    if !note.is_empty() {
        add(picture, format_args!("<text class=\"note\" x=\"{right}\" y=\"{base}\">{note}</text>\n"));
    }
}

fn add(picture: &mut String, shape: std::fmt::Arguments<'_>) {
    // Formatting into a string cannot fail.
    picture.write_fmt(shape).ok();
}

/// Returns a text for XML, without what would begin a tag or what XML forbids, and cut after so many letters.
pub fn escaped(text: &str, letters: usize) -> String {
    let text = on_one_line(text);
    let cut: String = text.chars().take(letters).collect();
    let rest = if cut.len() < text.len() { "…" } else { "" };
    cut.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;") + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_begin_a_tag() {
        assert_eq!(escaped("<script>&\u{1}", 54), "&lt;script&gt;&amp;\\u{1}");
        assert_eq!(escaped("abcdef", 3), "abc…");
        let line = |depth, text: &str| TreeLine { depth, text: text.to_owned(), ..TreeLine::default() };
        let drawn = tree("<t>", &[line(0, "<a>"), line(1, "b"), line(400, "c")]);
        assert!(!drawn.contains("<a>") && !drawn.contains("<t>") && drawn.contains("&lt;a&gt;"), "{drawn}");
        assert_eq!(drawn.matches("class=\"line\"").count(), 2, "{drawn}");
    }

    #[test]
    fn a_bar_is_as_wide_as_its_share_and_no_wider_than_the_box() {
        let line = |share| TreeLine { share: Some(share), ..TreeLine::default() };
        let drawn = tree("t", &[line(50), line(900), line(0)]);
        assert!(drawn.contains("class=\"bar\" x=\"11\" y=\"11\" width=\"149\""), "{drawn}");
        assert!(drawn.contains("class=\"full\" x=\"11\" y=\"45\" width=\"298\""), "{drawn}");
        assert_eq!(drawn.matches("height=\"24\"").count(), 2, "{drawn}");
    }
}
