//! Checks of documents: a link leads to a file, and an option that is named exists.

use std::path::Path;

use clap::Command;

use super::numbered;
use crate::man::Declared;

/// Checks that relative links lead to files of the checkout.
pub fn links(path: &Path, name: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in numbered(text) {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split(['#', ' ']).next().unwrap_or_default();
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:") || file.is_empty();
            if !is_elsewhere && !path.parent().is_some_and(|folder| folder.join(file).exists()) {
                findings.push(format!("{name}:{number}: the link to {file} leads nowhere; correct it"));
            }
        }
    }
}

/// Checks options in code: a long option after a tool's name must be an option of that tool. The tool's part of a command
/// line ends at `--`, at the next tool, and where the shell ends a command.
pub fn options(name: &str, text: &str, commands: &[Declared], findings: &mut Vec<String>) {
    let mut tool = None;
    let mut is_fenced = false;
    for (number, line) in numbered(text) {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            tool = None;
            continue;
        }
        let spans = if is_fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for span in spans {
            for word in span.split_whitespace() {
                // `--memory]` in a synopsis and `--memory=256M` are the option `--memory`.
                let bare = word.trim_matches(|letter: char| "[](){},;:'\"…".contains(letter));
                if let Some(found) = commands.iter().find(|(command, _)| bare.rsplit('/').next() == Some(command)) {
                    tool = Some(found);
                } else if matches!(word, "--" | "|" | "||" | "&&" | ";" | "&" | "#") || word.ends_with(';') {
                    tool = None;
                } else if let (Some((tool, command)), Some(option)) = (tool, bare.strip_prefix("--")) {
                    let option = option.split(['=', '[']).next().unwrap_or_default();
                    // A separate page describes the options that follow one of its options.
                    let parts = commands
                        .iter()
                        .filter(|(part, _)| part.strip_prefix(*tool).is_some_and(|rest| rest.starts_with('-')));
                    if !has_option(&command(), option) && !parts.clone().any(|(_, part)| has_option(&part(), option)) {
                        findings.push(format!(
                            "{name}:{number}: {tool} has no option --{option}; correct the document, or end the tool's part with `--`"
                        ));
                    }
                }
            }
            if !is_fenced || !line.trim_end().ends_with('\\') {
                tool = None;
            }
        }
    }
}

fn has_option(command: &Command, option: &str) -> bool {
    let own = command.get_arguments().any(|argument| {
        argument.get_long() == Some(option) || argument.get_all_aliases().is_some_and(|all| all.contains(&option))
    });
    own || ["help", "version"].contains(&option) || command.get_subcommands().any(|below| has_option(below, option))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn tool() -> Command {
        Command::new("netns-rs").subcommand(Command::new("exec").arg(Arg::new("new").long("new").alias("fresh")))
    }

    fn found(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        options("README.md", text, &[("netns-rs", tool)], &mut findings);
        findings
    }

    #[test]
    fn an_option_that_a_tool_lacks_is_found() {
        assert_eq!(found("run `netns-rs exec --old`").len(), 1);
        assert_eq!(found("```sh\nnetns-rs exec \\\n  --new --old=1 -- ls --color\n```\n").len(), 1);
    }

    #[test]
    fn options_of_the_tool_and_of_other_programs_are_not_found() {
        assert_eq!(found("`netns-rs exec [--new]` and `--old`, `ls --color`, `netns-rs --fresh | jq --raw`"), [""; 0]);
    }

    #[test]
    fn a_link_must_lead_to_a_file() {
        let mut findings = Vec::new();
        let text = "[a](Cargo.toml#top) [b](https://example.org) [c](#here) [d](missing.md)";
        links(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), "README.md", text, &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
