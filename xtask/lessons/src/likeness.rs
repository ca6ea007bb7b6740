//! Comparing what a document shows with what was printed: `…` in a line matches anything, on a line of its own any lines.

/// Reports whether the printed lines are like the shown ones.
pub fn is_like(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|skipped| is_like(rest, &printed[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => is_line_like(line, first) && is_like(rest, others),
        _ => false,
    }
}

fn is_line_like(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((start, rest)) => printed.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| is_line_like(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_matches_anything_within_its_line_or_any_lines() {
        assert!(is_like(&["a … c", "…", "d"], &["a b b c", "x", "y", "d"]));
        assert!(is_like(&["…"], &[]));
        assert!(!is_like(&["a … c"], &["a b d"]));
        assert!(!is_like(&["a"], &["a", "b"]));
    }
}
