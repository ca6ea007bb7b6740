//! The map as a picture: our namespace on the left, the others on the right, and a line for each pair. SVG.
//!
//! The file needs nothing else: no script, no style sheet, no font of its own. Every text is escaped.

use std::fmt::Write;

use plumbing::command_line::picture::escaped;

use crate::overview::{Port, Space};

const LINE: usize = 18;
const PADDING: usize = 10;
const WIDTH: usize = 420;
const GAP: usize = 160;
/// The most letters of a line in a box.
const LETTERS: usize = 54;

/// A box: its place, its lines, and the height of the line of each interface.
struct Placed {
    x: usize,
    y: usize,
    lines: Vec<String>,
    /// The line of each interface that is shown.
    ports: Vec<(String, usize)>,
}

/// Draws the namespaces.
pub fn svg(spaces: &[Space]) -> String {
    let placed = place(spaces);
    let height = placed.iter().map(Placed::end).max().unwrap_or(0) + PADDING;
    let width = 2 * WIDTH + GAP + 2 * PADDING;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Network namespaces</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (at, space) in spaces.iter().enumerate() {
        for port in &space.interfaces {
            if let Some(end) = port.peer.as_ref().filter(|end| at < end.namespace)
                && let (Some(from), Some(to)) =
                    (placed[at].anchor(&port.name, true), placed[end.namespace].anchor(&end.interface, false))
            {
                line(&mut picture, from, to);
            }
        }
    }
    for placed in &placed {
        placed.draw(&mut picture);
    }
    picture + "</svg>\n"
}

/// Draws the line of a pair.
fn line(picture: &mut String, from: (usize, usize), to: (usize, usize)) {
    let middle = (from.0 + to.0) / 2;
    let ((x, y), (end_x, end_y)) = (from, to);
    picture.push_str(&format!(
        "<path d=\"M{x} {y} C{middle} {y} {middle} {end_y} {end_x} {end_y}\" fill=\"none\" stroke=\"#2b6cb0\" \
         stroke-width=\"2\"/>\n"
    ));
}

/// Ours is first, and on the left.
fn place(spaces: &[Space]) -> Vec<Placed> {
    let (mut left, mut right) = (PADDING, PADDING);
    let mut placed = Vec::new();
    for space in spaces {
        let (x, y) = if space.own { (PADDING, &mut left) } else { (PADDING + WIDTH + GAP, &mut right) };
        let (lines, ports) = lines(space);
        let next = Placed { x, y: *y, lines, ports };
        *y = next.end() + PADDING;
        placed.push(next);
    }
    placed
}

fn lines(space: &Space) -> (Vec<String>, Vec<(String, usize)>) {
    let mut lines = vec![space.shown(), space.reason()];
    let mut ports = Vec::new();
    let mut add = |lines: &mut Vec<String>, port: &Port, indent: &str| {
        ports.push((port.name.clone(), lines.len()));
        lines.push(format!("{indent}{} {}", port.name, port.addresses.join(" ")));
    };
    for port in space.interfaces.iter().filter(|port| port.name != "lo" && port.bridge.is_none()) {
        add(&mut lines, port, "");
        for member in space.interfaces.iter().filter(|member| member.bridge.as_ref() == Some(&port.name)) {
            add(&mut lines, member, "    ");
        }
    }
    lines.extend(space.listening.iter().take(8).map(|listening| format!("listens on {}", listening.shown())));
    lines.extend(space.unreadable.clone());
    (lines, ports)
}

impl Placed {
    fn end(&self) -> usize {
        self.y + self.lines.len() * LINE + 2 * PADDING
    }

    /// Returns where the line of an interface begins: at the right edge of the box, or at the left one.
    fn anchor(&self, name: &str, is_right: bool) -> Option<(usize, usize)> {
        let (_, line) = self.ports.iter().find(|(port, _)| port == name)?;
        let x = if is_right && self.x == PADDING { self.x + WIDTH } else { self.x };
        Some((x, self.y + PADDING + line * LINE + LINE / 2))
    }

    fn draw(&self, picture: &mut String) {
        let Placed { x, y, .. } = self;
        let height = self.end() - y;
        // Formatting into a string cannot fail.
        writeln!(
            picture,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#f7fafc\" \
             stroke=\"#4a5568\"/>"
        )
        .ok();
        for (number, text) in self.lines.iter().enumerate() {
            let (x, y) = (x + PADDING, y + PADDING + number * LINE + LINE * 3 / 4);
            let style = match number {
                0 => " font-weight=\"bold\"",
                1 => " fill=\"#718096\"",
                _ => "",
            };
            writeln!(
                picture,
                "<text x=\"{x}\" y=\"{y}\" xml:space=\"preserve\"{style}>{}</text>",
                escaped(text, LETTERS)
            )
            .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_begin_a_tag() {
        let port = Port { name: "<a>".to_owned(), ..Port::default() };
        let drawn = svg(&[Space { own: true, interfaces: vec![port], ..Space::default() }]);
        assert!(drawn.contains("&lt;a&gt;") && !drawn.contains("<a>"), "{drawn}");
    }
}
