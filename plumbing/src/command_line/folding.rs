//! Lines that are wider than the terminal, wrapped between words and indented to the column of their explanation.
//! `TIOCGWINSZ(2const)`.
//!
//! The surprise: a line with only a command is not wrapped, since a line that the terminal itself wraps can still be
//! copied whole.

use crate::command_line::columns::letter_width;

/// The number of leading blanks from which on they count as a column to indent to.
const DEEP: usize = 8;
/// The least width that is left for text; with less, the line is not wrapped.
const NARROWEST: usize = 20;

/// Wraps the text if stdout is a terminal.
pub fn for_terminal(text: &str) -> String {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => fold(text, size.ws_col.into()),
        _ => text.to_owned(),
    }
}

/// Wraps the text at this width.
pub fn fold(text: &str, width: usize) -> String {
    text.split('\n').map(|line| fold_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn fold_line(line: &str, width: usize) -> String {
    let shown = shown(line);
    let (true, Some(place)) = (cells(&shown) > width, column(&shown)) else { return line.to_owned() };
    let column = cells(&shown[..place]);
    if column + NARROWEST > width {
        return line.to_owned();
    }
    let (label, text) = line.split_at(shown[place].0);
    let (mut folded, mut at) = (label.to_owned(), column);
    for word in text.split(' ') {
        let length = cells(&self::shown(word));
        if at > column && at + 1 + length > width {
            folded.push('\n');
            folded.push_str(&" ".repeat(column));
            at = column;
        } else if at > column {
            folded.push(' ');
            at += 1;
        }
        folded.push_str(word);
        at += length;
    }
    folded
}

/// Returns the characters that take up room, with their positions in the line: escape sequences of colors take none.
fn shown(line: &str) -> Vec<(usize, char)> {
    let mut is_escape = false;
    let takes_room = |&(_, c): &(usize, char)| {
        let was_escape = is_escape;
        is_escape = c == '\x1b' || is_escape && c != 'm';
        !was_escape && c != '\x1b'
    };
    line.char_indices().filter(takes_room).collect()
}

/// Returns how many cells of a terminal these characters take.
fn cells(shown: &[(usize, char)]) -> usize {
    shown.iter().map(|(_, letter)| letter_width(*letter)).sum()
}

/// Returns where the text begins that follows a label after two blanks, or that is indented without a label.
fn column(shown: &[(usize, char)]) -> Option<usize> {
    let is_blank = |place: usize| shown.get(place).is_some_and(|(_, c)| *c == ' ');
    let first = (0..shown.len()).find(|place| !is_blank(*place))?;
    let gap = (first..shown.len()).find(|place| is_blank(*place) && is_blank(place + 1));
    let after = gap.and_then(|gap| (gap..shown.len()).find(|place| !is_blank(*place)));
    after.or((first >= DEEP).then_some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_wide_continues_below_its_explanation() {
        let help = "  -m, --mount[=<FILE>]  Own mount table; bind it there\nOptions:";
        let folded = "  -m, --mount[=<FILE>]  Own mount table; bind it\n                        there\nOptions:";
        assert_eq!(fold(help, 48), folded);
        assert_eq!(fold(help, 80), help);
        let reason = "          the first of two layers";
        assert_eq!(fold(reason, 34), "          the first of two layers");
        assert_eq!(fold(&format!("{reason} and more"), 34), "          the first of two layers\n          and more");
    }

    #[test]
    fn a_command_and_a_word_that_is_too_long_stay_whole() {
        let command = "  netns-rs exec --new --bridge box0 --address 10.88.0.2/24 --nat -- bash";
        assert_eq!(fold(command, 40), command);
        let path = format!("path  {}", "x".repeat(60));
        assert_eq!(fold(&path, 40), path);
        let narrow = format!("{}  a b c d e f g h", "x".repeat(30));
        assert_eq!(fold(&narrow, 40), narrow);
    }

    #[test]
    fn colors_take_no_room() {
        let line = "\x1b[1mlabel\x1b[0m  one two three four five six";
        assert_eq!(fold(line, 34), line);
        assert_eq!(fold(line, 33), "\x1b[1mlabel\x1b[0m  one two three four five\n       six");
    }
}
