//! Lines as text: a table, or words for scripts; `lsns(8)`.
//!
//! Names come from processes, which can put anything into them: only visible characters reach a terminal.

use std::fmt::Write;

use plumbing::command_line::columns::{letter_width, width};
use plumbing::command_line::picture::{self, TreeLine};
use plumbing::text::steers;

use super::column::Column;

/// The form of a table: its columns, and how its lines are cut and drawn.
pub(crate) struct Table<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) has_headings: bool,
    /// The width of the terminal, if lines must not be wider.
    pub(crate) width: Option<usize>,
    /// Whether characters beyond ASCII can be shown.
    pub(crate) is_utf8: bool,
    /// The position of the column in which the tree is drawn, if it is drawn.
    pub(crate) tree: Option<usize>,
}

/// A line of a table.
pub(crate) struct TextLine {
    pub(crate) depth: usize,
    pub(crate) is_last: bool,
    /// The texts of each cell, one below the other; none for an empty cell.
    pub(crate) cells: Vec<Vec<Vec<u8>>>,
}

/// The cells of one printed line, with the branches of the tree.
type Shown = Vec<String>;

impl Table<'_> {
    /// Returns the whole table; an empty text if it has no lines.
    pub(crate) fn text(&self, entries: &[TextLine]) -> String {
        if entries.is_empty() {
            return String::new();
        }
        let mut lines: Vec<Shown> = Vec::new();
        if self.has_headings {
            lines.push(self.columns.iter().map(|column| column.name().to_owned()).collect());
        }
        let mut path = Vec::new();
        for entry in entries {
            path.truncate(entry.depth.saturating_sub(1));
            if entry.depth > 0 {
                path.push(entry.is_last);
            }
            self.add(entry, &path, &mut lines);
        }
        self.aligned(&lines)
    }

    fn add(&self, entry: &TextLine, path: &[bool], lines: &mut Vec<Shown>) {
        let height = entry.cells.iter().map(Vec::len).max().unwrap_or_default().max(1);
        for row in 0..height {
            let cell = |(place, cell): (usize, &Vec<Vec<u8>>)| {
                let text = cell.get(row).map(|text| shown(text, self.is_utf8)).unwrap_or_default();
                match self.tree {
                    Some(tree) if tree == place => self.branches(path, row == 0) + &text,
                    _ => text,
                }
            };
            lines.push(entry.cells.iter().enumerate().map(cell).collect());
        }
    }

    /// Returns the branches in front of a line, or in front of the further rows of its cells.
    fn branches(&self, path: &[bool], is_first: bool) -> String {
        let [branch, past, last, passed] =
            if self.is_utf8 { ["├─", "│ ", "└─", "  "] } else { ["|-", "| ", "`-", "  "] };
        let Some((own, above)) = path.split_last() else { return String::new() };
        let mut drawn: String = above.iter().map(|is_last| if *is_last { passed } else { past }).collect();
        drawn.push_str(match (is_first, own) {
            (true, false) => branch,
            (true, true) => last,
            (false, false) => past,
            (false, true) => passed,
        });
        drawn
    }

    fn aligned(&self, lines: &[Shown]) -> String {
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|place| lines.iter().map(|line| width(&line[place])).max().unwrap_or_default())
            .collect();
        let is_cut = self.cut(&mut widths);
        let mut text = String::new();
        for line in lines {
            let start = text.len();
            for (place, cell) in line.iter().enumerate() {
                let cell = if is_cut[place] { cut(cell, widths[place]) } else { cell };
                let gap = widths[place].saturating_sub(width(cell));
                let is_right = self.columns[place].is_right() && self.tree != Some(place);
                let (before, after) = if is_right { (gap, 0) } else { (0, gap) };
                text.extend(std::iter::repeat_n(' ', before));
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', after + 1));
            }
            text.truncate(start + text[start..].trim_end().len());
            text.push('\n');
        }
        text
    }

    /// Makes the command column narrower if lines are wider than the terminal; returns which columns are cut.
    fn cut(&self, widths: &mut [usize]) -> Vec<bool> {
        let mut is_cut = vec![false; widths.len()];
        let Some(limit) = self.width else { return is_cut };
        let mut excess = (widths.iter().sum::<usize>() + widths.len().saturating_sub(1)).saturating_sub(limit);
        for (place, width) in widths.iter_mut().enumerate().rev() {
            let least = Column::Command.name().len();
            if self.columns[place] == Column::Command && excess > 0 && *width > least {
                let less = excess.min(*width - least);
                *width -= less;
                excess -= less;
                is_cut[place] = true;
            }
        }
        is_cut
    }
}

/// Returns lines of words separated by single blanks; blanks within a word are written as `\x20`.
pub(crate) fn raw(columns: &[Column], has_headings: bool, entries: &[TextLine]) -> String {
    let headings = (has_headings && !entries.is_empty())
        .then(|| columns.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>());
    let rows = entries
        .iter()
        .map(|entry| entry.cells.iter().map(|cell| word(cell.first().map_or(&b""[..], Vec::as_slice))).collect());
    headings.into_iter().chain(rows).fold(String::new(), |text, words: Vec<_>| text + &words.join(" ") + "\n")
}

/// Returns a picture of the tree: a namespace in a box, and its processes to the right; or a process in a box.
pub(crate) fn picture(columns: &[Column], entries: &[TextLine]) -> String {
    let line = |entry: &TextLine| {
        let cell = |column: Column| {
            let place = columns.iter().position(|shown| *shown == column)?;
            entry.cells.get(place)?.first().map(|text| shown(text, true))
        };
        let joined =
            |columns: &[Column]| columns.iter().filter_map(|column| cell(*column)).collect::<Vec<_>>().join(" ");
        let (text, note) = match cell(Column::Type) {
            Some(_) => (joined(&[Column::Type, Column::Ns]), namespace_note(cell)),
            None => (joined(&[Column::Pid, Column::Command]), cell(Column::User).unwrap_or_default()),
        };
        TreeLine { depth: entry.depth, text, note, share: None }
    };
    picture::tree("Namespaces", &entries.iter().map(line).collect::<Vec<_>>())
}

fn namespace_note(cell: impl Fn(Column) -> Option<String>) -> String {
    let processes = match cell(Column::Nprocs).as_deref() {
        None | Some("0") => "no process".to_owned(),
        Some("1") => format!("pid {}", cell(Column::Pid).unwrap_or_default()),
        Some(number) => format!("{number} processes, first pid {}", cell(Column::Pid).unwrap_or_default()),
    };
    let rest = [Column::User, Column::Command].into_iter().filter_map(cell);
    std::iter::once(processes).chain(rest).collect::<Vec<_>>().join(", ")
}

/// Returns the text as one word of ASCII.
pub(crate) fn word(text: &[u8]) -> String {
    text.iter().fold(String::new(), |mut word, byte| {
        match byte {
            b'!'..=b'~' if *byte != b'\\' => word.push((*byte).into()),
            _ => escape(&mut word, *byte),
        }
        word
    })
}

/// Returns the text for a terminal: characters that are invisible or reverse the order of the text are written as
/// bytes.
pub(crate) fn shown(text: &[u8], is_utf8: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for (place, letter) in chunk.valid().char_indices() {
            let bytes = &chunk.valid().as_bytes()[place..place + letter.len_utf8()];
            let would_mislead = letter == '\\' && chunk.valid()[place..].starts_with("\\x");
            if !steers(letter) && (is_utf8 || letter.is_ascii()) && !would_mislead {
                shown.push(letter);
            } else {
                bytes.iter().for_each(|byte| escape(&mut shown, *byte));
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut shown, *byte));
    }
    shown
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    write!(text, "\\x{byte:02x}").unwrap_or_default();
}

/// Returns the part of the text that fits.
fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, letter)| {
        used += letter_width(*letter);
        used > width
    });
    end.map_or(text, |(place, _)| &text[..place])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(depth: usize, is_last: bool, cells: &[&[&str]]) -> TextLine {
        let cells = cells.iter().map(|cell| cell.iter().map(|text| text.as_bytes().to_vec()).collect()).collect();
        TextLine { depth, is_last, cells }
    }

    fn table(is_utf8: bool, width: Option<usize>, tree: Option<usize>) -> Table<'static> {
        Table { columns: &[Column::Pid, Column::Command, Column::Type], has_headings: true, width, is_utf8, tree }
    }

    #[test]
    fn columns_are_aligned_and_trees_drawn() {
        let entries = [
            entry(0, true, &[&["1"], &["init"], &["net", "more"]]),
            entry(1, false, &[&["22"], &["a"], &["pid", "x"]]),
            entry(2, true, &[&["333"], &["b"], &[]]),
            entry(1, true, &[&["4"], &["c"], &["uts"]]),
        ];
        let ascii = "PID COMMAND TYPE\n  1 init    net\n            more\n 22 |-a     pid\n    |       x\n333 | `-b\n  4 `-c     uts\n";
        assert_eq!(table(false, None, Some(1)).text(&entries), ascii);
        let drawn = table(true, None, Some(1)).text(&entries);
        assert!(drawn.contains("22 ├─a     pid\n    │       x\n333 │ └─b\n  4 └─c "), "{drawn}");
        assert_eq!(table(true, None, None).text(&[]), "");
    }

    #[test]
    fn commands_are_cut_where_the_terminal_ends() {
        let entries = [entry(0, true, &[&["1"], &["a very long command"], &["net"]])];
        let text = |width| table(true, Some(width), None).text(&entries);
        assert_eq!(
            text(18),
            "PID COMMAND    TYPE\n  1 a very lon net\n".replace("COMMAND    ", "COMMAND   ").replace("lon ", "lo ")
        );
        assert!(text(5).contains("  1 a very  net\n"), "{}", text(5));
        assert!(text(80).contains("a very long command net\n"));
    }

    #[test]
    fn no_name_steers_the_terminal_or_ends_the_line() {
        assert_eq!(shown(b"a\x1b[2J\nb \xffc \\x41 \\d", true), "a\\x1b[2J\\x0ab \\xffc \\x5cx41 \\d");
        assert_eq!(shown("ü\u{202e}".as_bytes(), true), "ü\\xe2\\x80\\xae");
        assert_eq!(shown("ü".as_bytes(), false), "\\xc3\\xbc");
        assert_eq!(word("a b\\ü".as_bytes()), "a\\x20b\\x5c\\xc3\\xbc");
    }
}
