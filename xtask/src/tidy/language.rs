//! Words that make a sentence hard to read, in documents, in the options' help, in manual pages, and in the source of the
//! tools: comments, errors, remedies and the reasons of `--explain`. Each of them has a plain word that says the same;
//! CONTRIBUTING.md, "Rules".
//!
//! Exempt are `code` everywhere, and in documents quotations in "double quotes" and fenced blocks.

use clap::Command;
use plumbing::command_line::manual::Manual;

use super::numbered;
use crate::man::{Declared, manual_of};

/// Each word in lower case, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("tell", PRINT),
    ("tells", PRINT),
    ("telling", PRINT),
    ("told", PRINT),
    ("whom", WHICH),
    ("whoever", "any process that, the user who"),
    ("shall", "must, can or may"),
    ("anew", "again, or new"),
    ("for ever", "always"),
    ("beside", "next to, with, or other than"),
    ("stands", "is"),
];
const PRINT: &str = "print, show, report, return or say why";
const WHICH: &str = "which, or the user who";

/// Checks a document, except code and quotations.
pub fn document(name: &str, text: &str, findings: &mut Vec<String>) {
    let mut is_fenced = false;
    for (number, line) in numbered(text) {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if !is_fenced && !is_fence {
            report(&format!("{name}:{number}"), line, findings);
        }
    }
}

/// A source file of a tool: its comments and its texts. A name that is such a word is found as well.
pub fn source(name: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in numbered(text) {
        let words = words(line.split('`').step_by(2), |letter| letter.is_alphanumeric() || letter == '_');
        report_words(&format!("{name}:{number}"), &words, findings);
    }
}

/// Checks the texts of `--help` and the manual pages of these command lines.
pub fn help(commands: &[Declared], findings: &mut Vec<String>) -> anyhow::Result<()> {
    for (name, command) in commands {
        of_command(name, &command(), findings);
        of_manual(name, manual_of(name)?, findings);
    }
    Ok(())
}

fn of_command(name: &str, command: &Command, findings: &mut Vec<String>) {
    let about = [command.get_about(), command.get_long_about(), command.get_after_help()];
    for text in about.into_iter().flatten() {
        report(&format!("{name} --help"), &text.to_string(), findings);
    }
    for argument in command.get_arguments() {
        let values = argument.get_possible_values();
        let values = values.iter().filter_map(|value| value.get_help());
        for text in argument.get_help().into_iter().chain(values).chain(argument.get_long_help()) {
            report(&format!("{name} --help, {}", argument.get_id()), &text.to_string(), findings);
        }
    }
    for subcommand in command.get_subcommands() {
        of_command(&format!("{name} {}", subcommand.get_name()), subcommand, findings);
    }
}

fn of_manual(name: &str, manual: &Manual, findings: &mut Vec<String>) {
    let calls = manual.calls.iter().map(|call| call.why);
    let examples = manual.examples.iter().map(|example| example.what);
    in_literals(&format!("{name}.1"), std::iter::once(manual.description).chain(calls).chain(examples), findings);
}

/// Checks texts of the tools, as they are in the source.
fn in_literals<'a>(place: &str, texts: impl Iterator<Item = &'a str>, findings: &mut Vec<String>) {
    texts.for_each(|text| report(place, text, findings));
}

fn report(place: &str, text: &str, findings: &mut Vec<String>) {
    report_words(place, &plain(text), findings);
}

fn report_words(place: &str, prose: &str, findings: &mut Vec<String>) {
    for (word, instead) in WORDS.iter().filter(|(word, _)| prose.contains(&format!(" {word} "))) {
        findings.push(format!("{place}: {word:?} is hard to read here; write {instead}"));
    }
}

/// Returns the words of a text in lower case with a blank around each, without code and quotations.
fn plain(text: &str) -> String {
    let outside = |text: &str, mark: char| text.split(mark).step_by(2).collect::<Vec<_>>().join(" ");
    words(std::iter::once(outside(&outside(text, '`'), '"').as_str()), char::is_alphanumeric)
}

/// Returns the words of these parts in lower case with a blank around each; words are made of letters that `is_letter`.
fn words<'a>(parts: impl Iterator<Item = &'a str>, is_letter: impl Fn(char) -> bool) -> String {
    let prose = parts.collect::<Vec<_>>().join(" ").to_lowercase();
    let words = prose.split(|letter: char| !is_letter(letter)).filter(|word| !word.is_empty());
    words.fold(" ".to_owned(), |all, word| all + word + " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn found(text: &str) -> usize {
        let mut findings = Vec::new();
        document("README.md", text, &mut findings);
        findings.len()
    }

    #[test]
    fn in_a_source_file_texts_are_no_quotations() {
        let mut findings = Vec::new();
        source("a.rs", "// Tell it.\nfail(\"it is told\"); // `tell` is code\nlet told = told_by;", &mut findings);
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn a_word_is_found_whole_and_in_any_case() {
        assert_eq!(found("Tell it.\nIt lasts for ever, and told us so."), 3);
        assert_eq!(found("a teller, a standstill, besides, forever, whomsoever"), 0);
    }

    #[test]
    fn code_and_quotations_are_exempt() {
        assert_eq!(found("The words \"tell\" and `told.rs` are quoted.\n```sh\ntell whom\n```\nwhom"), 1);
    }

    #[test]
    fn the_help_of_an_option_and_of_a_subcommand_is_read() {
        let help = |text: &'static str| Command::new("tool").arg(Arg::new("json").long("json").help(text));
        let mut findings = Vec::new();
        of_command("tool", &Command::new("tool").subcommand(help("Tell it as JSON")), &mut findings);
        of_command("tool", &help("Print JSON"), &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
