//! Subordinate ids: the ranges that /etc/subuid and /etc/subgid assign to a user. `subuid(5)`, `subgid(5)`.
//!
//! A user can have several lines, by name and by number, and all are used.

use plumbing::Fault;
use plumbing::kernel::look;

use crate::accounts;
use crate::id_map::Span;

/// Returns the ranges of user `uid` in `file`.
pub(crate) fn ranges(file: &str, uid: u32) -> Result<Vec<Span>, Fault> {
    let name = accounts::user_name(uid)?;
    let who = name.clone().unwrap_or_else(|| uid.to_string());
    let text =
        look(format!("find subordinate ids of {who}"), format!("open({file:?})"), || std::fs::read_to_string(file))?;
    let found = parse(&text, name.as_deref(), uid);
    if found.is_empty() {
        return Err(Fault::new(format!("cannot find subordinate ids of {who}: {file} has no line for this user"))
            .with_remedy(format!("run as root: usermod {} 100000-165535 {who}", add_option(file))));
    }
    Ok(found)
}

/// Returns the option of `usermod(8)` that adds a range to `file`.
fn add_option(file: &str) -> &'static str {
    if file.ends_with("subgid") { "--add-subgids" } else { "--add-subuids" }
}

/// Parses lines of `who:first:count`. Malformed lines are ignored, as `newuidmap(1)` ignores them.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<Span> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (who, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            let is_ours = Some(who) == name || who.parse() == Ok(uid);
            let range = Span::of(first.trim().parse().ok()?, count.trim().parse().ok()?);
            (is_ours && range.first < range.end && range.end <= u64::from(u32::MAX)).then_some(range)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_user_is_used() {
        let text = "root:1:2\nweb:100000:65536\n900:300000:10\nweb:x:1\nweb:5\nwebber:7:7\nweb:400000:0\n";
        let found = parse(text, Some("web"), 900);
        assert_eq!(found, [Span::of(100_000, 65536), Span::of(300_000, 10)]);
        assert_eq!(parse(text, None, 900), [Span::of(300_000, 10)]);
        assert!(parse(text, Some("nobody"), 1).is_empty());
    }
}
