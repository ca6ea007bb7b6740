//! The links of pages: those of Markdown are rewritten for the place that a page has in the book, those of HTML are checked.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Returns the text with every link's target replaced by what `place` returns; where that is `None`, the link's words stay and
/// the link goes. Text in code is left alone.
pub fn rewritten(text: &str, place: impl Fn(&str) -> Option<String>) -> String {
    let mut in_block = false;
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if in_block {
            lines.push_str(line);
        } else {
            lines.push_str(&rewritten_line(line, &place));
        }
        lines.push('\n');
    }
    lines
}

/// A link may begin in a line and end in the next one: then only its target is in this line, after `](`.
fn rewritten_line(line: &str, place: &impl Fn(&str) -> Option<String>) -> String {
    let mut done = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((target, tail)) = after.split_once(')') else { break };
        let is_code = (done.matches('`').count() + before.matches('`').count()) % 2 == 1;
        match place(target) {
            _ if is_code => done.push_str(&format!("{before}]({target})")),
            Some(placed) => done.push_str(&format!("{before}]({placed})")),
            None => match before.rsplit_once('[') {
                Some((plain, words)) => done.push_str(&format!("{}{words}", plain.strip_suffix('!').unwrap_or(plain))),
                None => done.push_str(&format!("{before}]({target})")),
            },
        }
        rest = tail;
    }
    done + rest
}

/// Resolves a relative path of a page: `docs/lessons/a.md` and `../b.md` give `docs/b.md`.
pub fn resolved(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Lists the links and pictures below a folder of HTML whose files do not exist.
pub fn dead(site: &Path) -> Result<Vec<String>> {
    let mut dead = Vec::new();
    for page in pages(site)? {
        let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        let folder = page.parent().context("a page is in a folder")?;
        for target in targets(&text) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                dead.push(format!("{}: {target}", page.strip_prefix(site)?.display()));
            }
        }
    }
    Ok(dead)
}

fn pages(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the relative targets of `href` and `src`.
fn targets(html: &str) -> impl Iterator<Item = &str> {
    let of = |attribute: &'static str| {
        html.split(attribute).skip(1).filter_map(|rest| rest.split_once('"').map(|(target, _)| target))
    };
    of(" href=\"").chain(of(" src=\"")).filter(|target| !target.contains(':') && !target.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_or_becomes_its_words() {
        let place = |target: &str| (target == "a.md").then(|| "b.md".to_owned());
        assert_eq!(rewritten("see [A](a.md) and [`c.rs`](c.rs).", place), "see [A](b.md) and `c.rs`.\n");
        assert_eq!(rewritten("![picture](c.svg)", place), "picture\n");
        assert_eq!(rewritten("`f[i](x)` [A](a.md)", place), "`f[i](x)` [A](b.md)\n");
        assert_eq!(rewritten("```\n[A](a.md)\n```\n[A](a.md)", place), "```\n[A](a.md)\n```\n[A](b.md)\n");
    }

    #[test]
    fn relative_paths_are_resolved() {
        assert_eq!(resolved("docs/lessons/a.md", "../b.md"), "docs/b.md");
        assert_eq!(resolved("README.md", "./docs/b.md"), "docs/b.md");
    }

    #[test]
    fn targets_of_other_hosts_and_addresses_are_left_out() {
        let html = "<a href=\"a.html#x\"> <img src=\"p.svg\"> <a href=\"https://kernel.org\"> <a href=\"mailto:a@b\">";
        assert_eq!(targets(html).collect::<Vec<_>>(), ["a.html#x", "p.svg"]);
    }
}
