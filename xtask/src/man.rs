//! `cargo xtask man`: manual pages and completions, from the declaration that parses the options.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Command};
use clap_complete::Shell;
use plumbing::command_line::manual::{EXIT_STATUS, Manual};

use crate::workspace::{self, TOOLS};

mod page;

/// A tool's name and its declared command line.
pub type Declared = (&'static str, fn() -> Command);

/// The five tools; an option with its own command line has a page, too.
pub const COMMANDS: &[Declared] = &[
    ("unshare-rs", unshare_rs::command),
    ("cgexec-rs", cgexec_rs::command),
    ("chroot-rs", chroot_rs::command),
    ("netns-rs", netns_rs::command),
    ("nsenter-rs", nsenter_rs::command),
    ("nsenter-rs-list", nsenter_rs::list::command),
];

/// Returns the texts of a tool's page in addition to the options.
pub fn manual_of(tool: &str) -> Result<&'static Manual> {
    Ok(match tool {
        "unshare-rs" => &unshare_rs::manual::MANUAL,
        "cgexec-rs" => &cgexec_rs::manual::MANUAL,
        "chroot-rs" => &chroot_rs::manual::MANUAL,
        "netns-rs" => &netns_rs::manual::MANUAL,
        "nsenter-rs" => &nsenter_rs::manual::MANUAL,
        "nsenter-rs-list" => &nsenter_rs::list::manual::MANUAL,
        tool => bail!("{tool} has no manual"),
    })
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// The options of `cargo xtask man`.
#[derive(Args)]
pub struct Options {
    /// Write nothing; fail if a page is incomplete
    #[arg(long)]
    check: bool,
    /// Folder to write to [default: target/man]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes or checks the pages.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.check {
        check()?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = match &options.out {
        Some(folder) => folder.clone(),
        None => workspace::target()?.join("man"),
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, bytes) in pages()? {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("written to {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Fails if a page cannot be made, or if it lacks something that every page has.
pub fn check() -> Result<()> {
    let mut lacks: Vec<String> =
        COMMANDS.iter().flat_map(|(name, command)| lacking(name, &built(name, *command))).collect();
    for (name, bytes) in pages()?.iter().filter(|(name, _)| name.ends_with(".1")) {
        lacks.extend(page::lacking(name, &String::from_utf8_lossy(bytes)));
    }
    let documented = fs::read_to_string(workspace::root()?.join("docs/exit-status.md"))?;
    for (status, meaning) in EXIT_STATUS {
        if !documented.contains(&format!("| {status} | {meaning} |")) {
            lacks.push(format!("docs/exit-status.md: does not say of {status}: {meaning}"));
        }
    }
    ensure!(lacks.is_empty(), "\n  {}", lacks.join("\n  "));
    Ok(())
}

/// Returns every file name with the file's content.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    for (name, command) in COMMANDS {
        manual(name, &built(name, *command), &mut pages)?;
        if !TOOLS.contains(name) {
            continue;
        }
        for shell in SHELLS {
            let mut completion = Vec::new();
            clap_complete::generate(shell, &mut command(), *name, &mut completion);
            pages.push((format!("{name}.{shell}"), completion));
        }
    }
    Ok(pages)
}

/// Adds the pages of a command and of its subcommands, named like those of git: `netns-rs-exec.1`.
fn manual(name: &str, command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let subcommands: Vec<&Command> = command.get_subcommands().filter(|it| !it.is_hide_set()).collect();
    let page = page::of_tool(name, command, manual_of(name)?).with_context(|| format!("{name}.1"))?;
    pages.push((format!("{name}.1"), page));
    for subcommand in subcommands {
        let whole = format!("{name}-{}", subcommand.get_name());
        let page = page::of_subcommand(name, subcommand, manual_of(name)?).with_context(|| format!("{whole}.1"))?;
        pages.push((format!("{whole}.1"), page));
    }
    Ok(())
}

/// Returns the command with everything that clap adds by itself, except `help` subcommands.
pub fn built(name: &'static str, command: fn() -> Command) -> Command {
    let mut command = command().name(name).disable_help_subcommand(true);
    command.build();
    command
}

fn lacking(name: &str, command: &Command) -> Vec<String> {
    let mut lacks = Vec::new();
    if command.get_about().is_none() {
        lacks.push(format!("{name}: does not say what it is for; give its clap command an `about`"));
    }
    let after = [command.get_after_help(), command.get_after_long_help()].into_iter().flatten();
    if !after.map(ToString::to_string).any(|text| text.contains("xample")) && !name.contains(' ') {
        lacks.push(format!("{name}: --help has no examples at its end; give its clap command an `after_help`"));
    }
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        if argument.get_help().is_none() && argument.get_long_help().is_none() {
            lacks.push(format!("{name}: {argument} has no help; give it a doc comment"));
        }
    }
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        lacks.extend(lacking(&format!("{name} {}", subcommand.get_name()), subcommand));
    }
    lacks
}
