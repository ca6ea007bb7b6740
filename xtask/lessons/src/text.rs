//! The text of a lesson: Markdown, in which each command of a `console` block is followed by what it prints.
//!
//! ````text
//! # 4. Processes
//!
//! Prose.
//!
//! <!-- root -->
//! ```console
//! $ unshare-rs --pid --fork -- sh -c 'echo $$'
//! 1
//! ```
//! ````
//!
//! A line that begins with `> ` continues the command above. `…` in the output matches anything, on a line of its own any
//! lines. The comment `<!-- root -->` before a block says that only root can run it.

use anyhow::{Context, Result, bail, ensure};

/// The comment before a block that only root can run.
const ROOT: &str = "<!-- root -->";

/// A lesson in one language.
#[derive(Debug)]
pub struct Lesson {
    /// The first heading, such as `4. Processes`.
    pub title: String,
    /// Prose and commands in their order.
    pub parts: Vec<Part>,
}

/// A part of a lesson.
#[derive(Debug)]
pub enum Part {
    /// Lines of Markdown.
    Prose(String),
    /// A command to run.
    Command(Command),
}

/// A command of a lesson, and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The text for the shell, possibly of several lines.
    pub typed: String,
    /// The lines that the lesson shows, with `…` where they vary.
    pub printed: Vec<String>,
    /// Only root can run it.
    pub needs_root: bool,
}

impl Lesson {
    /// Reads the text of a lesson.
    ///
    /// # Errors
    /// A text without a heading, or with a block that does not begin with a command or does not end.
    pub fn read(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let heading = lines.next().and_then(|line| line.strip_prefix("# "));
        let title = heading.context("a lesson begins with its title, as `# 4. Processes`")?.to_owned();
        let (mut parts, mut prose, mut needs_root) = (Vec::new(), String::new(), false);
        while let Some(line) = lines.next() {
            match line {
                ROOT => needs_root = true,
                "```console" => {
                    let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                    parts.extend(prose_part(&mut prose));
                    let commands = commands(&block, needs_root).with_context(|| title.clone())?;
                    parts.extend(commands.into_iter().map(Part::Command));
                    needs_root = false;
                }
                _ => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        parts.extend(prose_part(&mut prose));
        Ok(Self { title, parts })
    }

    /// Returns the commands in their order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.parts.iter().filter_map(|part| match part {
            Part::Command(command) => Some(command),
            Part::Prose(_) => None,
        })
    }
}

fn prose_part(prose: &mut String) -> Option<Part> {
    let text = std::mem::take(prose);
    let text = text.trim_matches('\n');
    (!text.is_empty()).then(|| Part::Prose(text.to_owned()))
}

fn commands(block: &[&str], needs_root: bool) -> Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::new();
    for line in block {
        if let Some(typed) = line.strip_prefix("$ ") {
            commands.push(Command { typed: typed.to_owned(), printed: Vec::new(), needs_root });
            continue;
        }
        let Some(last) = commands.last_mut() else { bail!("a console block begins with `$ `, not with {line:?}") };
        match line.strip_prefix("> ") {
            Some(more) if last.printed.is_empty() => {
                last.typed.push('\n');
                last.typed.push_str(more);
            }
            _ => last.printed.push((*line).to_owned()),
        }
    }
    ensure!(!commands.is_empty(), "a console block is empty");
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# 1. A\n\nB\n\n```console\n$ c \\\n> d\ne\n$ f\n```\n\n<!-- root -->\n```console\n$ g\n```\nH\n";

    #[test]
    fn commands_have_their_continuation_and_their_output() {
        let lesson = Lesson::read(TEXT).unwrap();
        let commands: Vec<_> =
            lesson.commands().map(|it| (it.typed.as_str(), it.printed.len(), it.needs_root)).collect();
        assert_eq!(commands, [("c \\\nd", 1, false), ("f", 0, false), ("g", 0, true)]);
        assert_eq!(lesson.title, "1. A");
        assert!(
            matches!(&lesson.parts[..], [Part::Prose(first), .., Part::Prose(last)] if first == "B" && last == "H")
        );
    }

    #[test]
    fn a_block_that_begins_with_output_is_refused() {
        assert!(Lesson::read("# 1. A\n```console\nb\n```\n").is_err());
        assert!(Lesson::read("A\n").is_err());
    }
}
