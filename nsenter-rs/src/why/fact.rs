//! The page: facts, each with the file that it comes from. As text of at most 80 columns, or as JSON.

use plumbing::Fault;
use plumbing::command_line::folding::fold;
use plumbing::fault::errno_text;
use plumbing::text::on_one_line;
use serde_json::{Value, json};

/// The width of the text.
const WIDTH: usize = 80;

/// What `--why` says.
pub(super) struct Page {
    name: Option<String>,
    pid: Option<i32>,
    facts: Vec<Fact>,
}

/// One line.
struct Fact {
    label: &'static str,
    /// The text and the value; or why it cannot be read.
    said: Result<(String, Value), String>,
    /// The file that says it.
    source: String,
}

impl Page {
    /// Begins the page about a container, a process or both.
    pub(super) fn new(name: Option<String>, pid: Option<i32>) -> Page {
        Page { name, pid, facts: Vec::new() }
    }

    /// Adds a fact.
    pub(super) fn say(
        &mut self,
        label: &'static str,
        source: impl Into<String>,
        text: impl Into<String>,
        value: Value,
    ) {
        self.facts.push(Fact { label, said: Ok((text.into(), value)), source: source.into() });
    }

    /// Adds that something cannot be read.
    pub(super) fn cannot(&mut self, label: &'static str, source: impl Into<String>, why: impl Into<String>) {
        self.facts.push(Fact { label, said: Err(why.into()), source: source.into() });
    }

    /// Adds that something cannot be read because a call failed.
    pub(super) fn failed(&mut self, label: &'static str, source: impl Into<String>, fault: &Fault) {
        self.cannot(label, source, fault.errno().map_or_else(|| fault.to_string(), errno_text));
    }

    /// Returns the page as text.
    pub(super) fn text(&self) -> String {
        let pid = self.pid.map(|pid| format!("process {pid}"));
        let subject: Vec<_> = self.name.iter().cloned().chain(pid).collect();
        let mut text = format!("{}\n", on_one_line(&subject.join(", ")));
        for Fact { label, said, source } in &self.facts {
            let said = match said {
                Ok((said, _)) => said.clone(),
                Err(why) => format!("not readable: {why}"),
            };
            let line = on_one_line(&format!("{label:<14}  {said} [{source}]"));
            text.push_str(&fold(&with_short_ids(&line), WIDTH));
            text.push('\n');
        }
        text
    }

    /// Returns the page as JSON on one line.
    pub(super) fn json(&self) -> Result<String, Fault> {
        let mut facts = serde_json::Map::new();
        for Fact { label, said, source } in &self.facts {
            let fact = match said {
                Ok((text, value)) => json!({"value": value, "text": text, "source": source}),
                Err(why) => json!({"unreadable": why, "source": source}),
            };
            facts.insert(label.replace(' ', "_"), fact);
        }
        plumbing::json::line("the page", &json!({"name": self.name, "pid": self.pid, "facts": facts}))
    }
}

/// Shortens ids of 64 hexadecimal digits, as runtimes do: a path with one is wider than the page.
fn with_short_ids(line: &str) -> String {
    let is_digit = |letter: char| letter.is_ascii_hexdigit();
    let mut short = String::new();
    let mut rest = line;
    while let Some(begin) = rest.find(is_digit) {
        let length = rest[begin..].find(|letter| !is_digit(letter)).unwrap_or(rest.len() - begin);
        let shown = if length == 64 { 12 } else { length };
        short.push_str(&rest[..begin + shown]);
        if shown < length {
            short.push('…');
        }
        rest = &rest[begin + length..];
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_shortened() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(
            with_short_ids(&format!("/docker/{id}/x {id}1 face")),
            format!("/docker/0123456789ab…/x {id}1 face")
        );
    }

    #[test]
    fn no_name_controls_the_terminal() {
        let mut page = Page::new(None, Some(7));
        page.cannot("other groups", "/proc/7/cgroup", "cannot open /a\x1b[2J\nb: ENOENT");
        let expected = "process 7\nother groups    not readable: cannot open /a\\u{1b}[2J\\nb: ENOENT\n                [/proc/7/cgroup]\n";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn no_line_is_wider_than_80_columns_and_what_is_hidden_is_said() {
        let mut page = Page::new(Some("web (docker)".to_owned()), Some(7));
        page.say("limits", "/sys/fs/cgroup/memory/docker/web", "word ".repeat(40), json!(null));
        page.cannot("OOM kills", "memory.events", "EACCES");
        let text = page.text();
        assert!(
            text.starts_with("web (docker), process 7\n") && text.lines().all(|line| line.len() <= WIDTH),
            "{text}"
        );
        assert!(text.contains("OOM kills       not readable: EACCES [memory.events]\n"), "{text}");
        assert!(page.json().unwrap().contains(r#""OOM_kills":{"unreadable":"EACCES","source":"memory.events"}"#));
    }
}
