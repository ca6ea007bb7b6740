//! Tables for people: each column is as wide as its widest cell, counted in cells of a terminal, of which a Chinese
//! character takes two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns how many cells of a terminal a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Returns how many cells of a terminal a character takes; a control character takes none.
pub fn letter_width(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// Returns the text with blanks after it, so that it takes at least `cells` cells.
pub fn padded(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// Returns one line for each row; a row ends where its last cell does.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(widest).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Cuts off the end of a line that needs more cells.
pub fn fit(line: &str, cells: usize) -> String {
    if line.chars().map(letter_width).sum::<usize>() <= cells {
        return line.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for letter in line.chars() {
        used += letter_width(letter);
        if used >= cells {
            break;
        }
        cut.push(letter);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_the_width_of_a_terminal() {
        assert_eq!(fit("short", 80), "short");
        assert_eq!(fit(&"x".repeat(90), 80), "x".repeat(79) + "…");
        assert_eq!(fit(&"容".repeat(50), 80), "容".repeat(39) + "…");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["wide", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "A     LONG\nwide  x\n");
    }

    #[test]
    fn a_chinese_name_takes_two_cells_a_character() {
        let rows = [["NAME", "PID"], ["容器", "1"], ["e\u{301}", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "NAME  PID\n容器  1\ne\u{301}     2\n");
    }
}
