//! `cargo xtask man`: manual pages and completions, from the same declaration that parses the options.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::workspace;

/// A tool's name, and its command line as the tool itself declares it.
pub type Declared = (&'static str, fn() -> Command);

/// The five of them.
pub const COMMANDS: &[Declared] = &[
    ("unshare-rs", unshare_rs::command),
    ("cgexec-rs", cgexec_rs::command),
    ("chroot-rs", chroot_rs::command),
    ("netns-rs", netns_rs::command),
    ("nsenter-rs", nsenter_rs::command),
];

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// What `cargo xtask man` is told.
#[derive(Args)]
pub struct Options {
    /// Write nothing; fail when a page is incomplete
    #[arg(long)]
    check: bool,
    /// The folder to write to [default: target/man]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes, or checks.
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

/// Fails when a page cannot be made, or leaves its reader without what every page has.
pub fn check() -> Result<()> {
    pages()?;
    let lacks: Vec<String> =
        COMMANDS.iter().flat_map(|(name, command)| lacking(name, &built(name, *command))).collect();
    ensure!(lacks.is_empty(), "\n  {}", lacks.join("\n  "));
    Ok(())
}

/// Every file name with what belongs into it.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    for (name, command) in COMMANDS {
        manual(name, &built(name, *command), &mut pages)?;
        for shell in SHELLS {
            let mut completion = Vec::new();
            clap_complete::generate(shell, &mut command(), *name, &mut completion);
            pages.push((format!("{name}.{shell}"), completion));
        }
    }
    Ok(pages)
}

/// The page of a command and those of its subcommands, named as git's are: `netns-rs-exec.1`.
fn manual(name: &str, command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).with_context(|| format!("{name}.1"))?;
    pages.push((format!("{name}.1"), page));
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        manual(&format!("{name}-{}", subcommand.get_name()), subcommand, pages)?;
    }
    Ok(())
}

/// The command with everything that clap adds to it by itself, except its `help` subcommands.
fn built(name: &'static str, command: fn() -> Command) -> Command {
    let mut command = command().name(name).disable_help_subcommand(true);
    command.build();
    command
}

fn lacking(name: &str, command: &Command) -> Vec<String> {
    let mut lacks = Vec::new();
    if command.get_about().is_none() {
        lacks.push(format!("{name}: says nowhere what it is for; give its clap command an `about`"));
    }
    let after = [command.get_after_help(), command.get_after_long_help()].into_iter().flatten();
    if !after.map(ToString::to_string).any(|text| text.contains("xample")) && !name.contains(' ') {
        lacks.push(format!("{name}: --help ends without examples; give its clap command an `after_help`"));
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
