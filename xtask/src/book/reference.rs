//! The reference of the five tools: a page for each command, from the declaration that parses its options.

use anyhow::Result;
use clap::{Arg, Command};
use plumbing::command_line::manual::{EXIT_STATUS, Example, Manual};

use crate::man;

/// A page of the reference.
pub struct Page {
    /// The path in the book's sources.
    pub path: String,
    /// The command.
    pub title: String,
    /// Before its line in the list of contents: pages of subcommands are below that of their tool.
    pub indent: &'static str,
    /// The page in Markdown.
    pub text: String,
}

/// Makes all pages, in the order of the tools.
pub fn pages() -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (name, command) in man::COMMANDS {
        let command = man::built(name, *command);
        let manual = man::manual_of(name)?;
        pages.push(page(name, (*name).to_owned(), "", of_tool(&command, manual)));
        for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            let title = format!("{name} {}", subcommand.get_name());
            let text = of_subcommand(&title, subcommand, manual);
            pages.push(page(&title.replace(' ', "-"), title, "  ", text));
        }
    }
    Ok(pages)
}

fn page(file: &str, title: String, indent: &'static str, text: String) -> Page {
    let text = format!("# {title}\n\n{text}");
    Page { path: format!("reference/{file}.md"), title, indent, text }
}

fn of_tool(command: &Command, manual: &Manual) -> String {
    let mut text = beginning(command, manual.description) + &options(command);
    text.push_str("## Kernel calls\n\n");
    if manual.calls.is_empty() {
        text.push_str("None that changes anything: the command only reads.\n\n");
    } else {
        text.push_str(
            "In the order in which the kernel requires them; each call is made only if an option asks for it. \
             `--explain` prints each call before it is made.\n\n",
        );
    }
    for call in manual.calls {
        let about = call.about.trim_matches('"');
        let about = if about.is_empty() { String::new() } else { format!(" `{about}`") };
        text.push_str(&format!("- **{}**{about} ({}): {}\n", call.name, plain(call.page), plain(call.why)));
    }
    text.push_str("\n## Exit status\n\n| status | meaning |\n|---|---|\n");
    for (status, meaning) in EXIT_STATUS {
        text.push_str(&format!("| {status} | {meaning} |\n"));
    }
    text.push_str(&examples(&manual.examples.iter().collect::<Vec<_>>()));
    text.push_str(&format!("\n## See also\n\n{}\n", plain(&manual.see_also.join(", "))));
    text
}

fn of_subcommand(typed: &str, command: &Command, manual: &Manual) -> String {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let own: Vec<&Example> = manual.examples.iter().filter(|example| example.typed().contains(typed)).collect();
    beginning(command, &about) + &options(command) + &examples(&own)
}

fn beginning(command: &Command, description: &str) -> String {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    format!("{}\n\n```text\n{usage}\n```\n\n", plain(description))
}

/// Formats the options below the headings that `--help` has.
fn options(command: &Command) -> String {
    let shown: Vec<&Arg> = command.get_arguments().filter(|option| !option.is_hide_set()).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for option in &shown {
        if !headings.contains(&option.get_help_heading()) {
            headings.push(option.get_help_heading());
        }
    }
    let mut text = String::from("## Options\n");
    for heading in headings {
        text.push_str(&format!("\n### {}\n\n", heading.unwrap_or("Others")));
        for option in shown.iter().filter(|option| option.get_help_heading() == heading) {
            let help = option.get_long_help().or(option.get_help()).map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("- **`{}`**: {}\n", names(option), plain(&help.replace('\n', " "))));
        }
    }
    text.push('\n');
    text
}

/// Returns an option as it is typed: `-m, --mount[=FILE]`.
fn names(option: &Arg) -> String {
    let mut shown = option.clone().help(None::<&str>).to_string();
    if let (Some(short), Some(_)) = (option.get_short(), option.get_long()) {
        shown = format!("-{short}, {shown}");
    }
    for alias in option.get_visible_aliases().unwrap_or_default() {
        shown.push_str(&format!(", --{alias}"));
    }
    shown
}

fn examples(shown: &[&Example]) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Examples\n");
    for example in shown {
        text.push_str(&format!("\n{}:\n\n```console\n{}\n```\n", plain(example.what), example.console.trim_end()));
    }
    text
}

/// Escapes what Markdown would take for markup.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '#' | '|') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_named_as_it_is_typed() {
        let option = Arg::new("mount").short('m').long("mount").value_name("FILE").visible_alias("mnt");
        let mut command = Command::new("tool").arg(option);
        command.build();
        assert!(options(&command).contains("- **`-m, --mount <FILE>, --mnt`**"), "{}", options(&command));
    }

    #[test]
    fn words_in_brackets_are_no_markup() {
        assert_eq!(plain("<A> [b] *"), "\\<A\\> \\[b\\] \\*");
    }
}
