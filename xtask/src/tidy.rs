//! `cargo xtask tidy`: checks rules of this project that no compiler checks. Each finding names the place and the remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::man::COMMANDS;
use crate::workspace::{self, TOOLS};

mod documents;
mod language;

const MODULE_LIMIT: usize = 400;
const MAIN_LIMIT: usize = 25;
/// The README should fit on one page.
const README_LIMIT: usize = 100;
/// The only crate that may make calls that the compiler cannot check.
const WRAPPERS: &str = "plumbing/kernel/src/lib.rs";
/// The line by which every other crate has the compiler refuse them.
const FORBIDS: &str = "#![forbid(unsafe_code)]";
/// The file that contains the words which no other may contain.
const LANGUAGE: &str = "xtask/src/tidy/language.rs";
// Split, so that this file does not find itself.
const WORKPLACE: &str = concat!("/wor", "k/");

/// Prints the findings.
pub fn run() -> Result<ExitCode> {
    check()?;
    println!("tidy");
    Ok(ExitCode::SUCCESS)
}

/// Fails with all findings.
pub fn check() -> Result<()> {
    let root = workspace::root()?;
    let mut findings = Vec::new();
    for path in files(&root, &workspace::target()?)? {
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        let Ok(text) = String::from_utf8(fs::read(&path).with_context(|| format!("cannot read {name}"))?) else {
            continue; // Not text, so nothing here applies.
        };
        workplace(&name, &text, &mut findings);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                module(&name, &text, &mut findings);
                if name != LANGUAGE {
                    language::source(&name, &text, &mut findings);
                }
            }
            Some("md") => {
                readme(&name, &text, &mut findings);
                documents::links(&path, &name, &text, &mut findings);
                documents::options(&name, &text, COMMANDS, &mut findings);
                language::document(&name, &text, &mut findings);
            }
            _ => {}
        }
    }
    language::help(COMMANDS, &mut findings)?;
    ensure!(findings.is_empty(), "\n  {}", findings.join("\n  "));
    Ok(())
}

/// Lists the files of the checkout, except those of git and what cargo built.
fn files(folder: &Path, target: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        // `.git` is a file if the checkout is a worktree.
        if entry.file_name() == ".git" || path == target {
            continue;
        }
        if entry.file_type()?.is_file() {
            found.push(path);
        } else if entry.file_type()?.is_dir() {
            found.extend(files(&path, target)?);
        }
    }
    found.sort();
    Ok(found)
}

fn workplace(name: &str, text: &str, findings: &mut Vec<String>) {
    for (number, _) in numbered(text).filter(|(_, line)| line.contains(WORKPLACE)) {
        findings.push(format!("{name}:{number}: names a folder of one machine; write it relative to the checkout"));
    }
}

fn readme(name: &str, text: &str, findings: &mut Vec<String>) {
    let length = text.lines().count();
    if name.starts_with("README") && length >= README_LIMIT {
        findings.push(format!("{name}:{README_LIMIT}: has {length} lines; move the rest to docs/"));
    }
}

fn module(name: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{name}:1: open the module with `//!`: its mechanism, its manual page, its surprise"));
    }
    let length = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    if length > MODULE_LIMIT {
        findings.push(format!("{name}:{MODULE_LIMIT}: has {length} lines without its tests; it holds two mechanisms"));
    }
    if TOOLS.iter().any(|tool| name == format!("{tool}/src/main.rs")) && length >= MAIN_LIMIT {
        findings.push(format!("{name}:{MAIN_LIMIT}: has {length} lines; main is only the table of contents"));
    }
    let is_root = name.ends_with("src/lib.rs") || name.ends_with("src/main.rs") || name.contains("/src/bin/");
    if is_root && name != WRAPPERS && !text.lines().any(|line| line == FORBIDS) {
        findings.push(format!("{name}:1: add {FORBIDS}; calls that need it are in plumbing/kernel"));
    }
    reading(name, text, length, findings);
}

/// Refuses calls that read a whole file as UTF-8 or without a limit: one odd byte would make all of it unreadable, and a
/// FIFO or a device in its place would block us. And refuses a second kind of reader for JSON.
fn reading(name: &str, text: &str, length: usize, findings: &mut Vec<String>) {
    const REFUSED: [&str; 4] = ["read_to_string", "std::fs::read(", " fs::read(", "(fs::read("];
    if ["tests/", "xtask/"].iter().any(|folder| name.starts_with(folder)) || name.ends_with("/tests.rs") {
        return;
    }
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    for (number, line) in numbered(text).take(length) {
        if let Some(call) = REFUSED.iter().find(|call| code(line).contains(*call)) {
            findings.push(format!(
                "{name}:{number}: {call}; use plumbing's kernel_text for files of /proc and /sys, and regular or \
                 named_file for all others"
            ));
        }
        if let Some(call) =
            ["serde_json::from_str", "serde_json::from_value"].iter().find(|call| code(line).contains(*call))
        {
            findings.push(format!("{name}:{number}: {call}; use of_text or of_value of plumbing's json.rs"));
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_that_is_too_long_is_found() {
        let mut findings = Vec::new();
        readme("README.md", &"\n".repeat(99), &mut findings);
        readme("docs/record.md", &"\n".repeat(100), &mut findings);
        readme("README.zh-CN.md", &"\n".repeat(100), &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    #[test]
    fn each_rule_about_modules_finds_its_violation() {
        let mut findings = Vec::new();
        module("netns-rs/src/main.rs", &"\n".repeat(401), &mut findings);
        assert_eq!(findings.len(), 4, "{findings:?}");
        module("netns-rs/src/main.rs", &format!("//! fine\n{FORBIDS}\n#[cfg(test)]\n"), &mut findings);
        module(WRAPPERS, "//! fine\n", &mut findings);
        assert_eq!(findings.len(), 4, "{findings:?}");
    }

    #[test]
    fn a_second_kind_of_reader_for_json_is_found() {
        let mut findings = Vec::new();
        module("netns-rs/src/a.rs", "//! fine\nlet a = serde_json::from_str(text); // from_str\n", &mut findings);
        module("netns-rs/src/a.rs", "//! fine\n#[cfg(test)]\nserde_json::from_value(a)\n", &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    #[test]
    fn a_file_that_is_read_as_text_is_found() {
        let mut findings = Vec::new();
        let text =
            "//! fine\nlet a = std::fs::read_to_string(path);\nlet b = fs::read(path); // fs::read(\n// fs::read(\n";
        module("netns-rs/src/name.rs", text, &mut findings);
        module("netns-rs/src/name.rs", &format!("//! fine\n#[cfg(test)]\n{text}"), &mut findings);
        module("tests/src/name.rs", text, &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }
}
