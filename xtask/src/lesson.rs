//! `cargo xtask lesson`: the lessons of `docs/lessons`, walked through in the terminal. Each command runs for real, in a place
//! that undoes itself (`lessons::place`).

use std::env;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use lessons::catalog::{LESSONS, Language, Source};
use lessons::likeness::is_like;
use lessons::place::{self, Place};
use lessons::text::{self, Part};
use nix::sys::signal::Signal;
use plumbing::kernel;

use crate::vm::comparison;
use crate::{static_build, workspace};

/// A command that a lesson shows ends long before this.
const LIMIT: Duration = Duration::from_secs(120);

/// The options of `cargo xtask lesson`.
#[derive(Args)]
pub struct Options {
    /// Number of the lesson; without it, the lessons are listed
    number: Option<u32>,
    /// Open a shell in the place where the commands of the lesson run, for trying things and for the exercises
    #[arg(long, requires = "number")]
    shell: bool,
    /// Check what was built for the exercises in the shell that is open in another terminal
    #[arg(long, requires = "number", conflicts_with = "shell")]
    check: bool,
    /// Print the solutions of the exercises
    #[arg(long, requires = "number", conflicts_with_all = ["shell", "check"])]
    solution: bool,
    /// Run the part that needs a virtual machine: lesson 0 compares one with a container
    #[arg(long, requires = "number", conflicts_with_all = ["shell", "check", "solution"])]
    vm: bool,
    /// Do not wait for Enter before each command
    #[arg(long)]
    all: bool,
    /// Language of the text; by default that of LANG, else English
    #[arg(long, value_enum)]
    language: Option<Word>,
    /// Use the five tools in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    tools: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    En,
    Zh,
}

/// Lists the lessons, or does with one what the options say.
pub fn run(options: &Options) -> Result<ExitCode> {
    // A reader such as head(1) that has seen enough ends us; println would panic. The place of a lesson ends with us.
    kernel::set_disposition(Signal::SIGPIPE, false)?;
    let language = language(options);
    let Some(number) = options.number else { return list(language) };
    let source = LESSONS.iter().find(|source| source.number == number);
    let source = source.with_context(|| format!("there is no lesson {number}; `cargo xtask lesson` lists them"))?;
    if options.solution {
        return solutions(source);
    }
    ensure!(!options.vm || number == 0, "only lesson 0 has a part that needs a virtual machine");
    let tools = tools(options)?;
    if options.vm {
        print!("{}", comparison::compare(&tools)?);
        return Ok(ExitCode::SUCCESS);
    }
    if options.check {
        check(source, &tools, language)
    } else if options.shell {
        shell(source, &tools)
    } else {
        walk(source, &tools, language, options.all)
    }
}

fn language(options: &Options) -> Language {
    let is_chinese = |name: &str| env::var(name).is_ok_and(|value| value.starts_with("zh"));
    match options.language {
        Some(Word::En) => Language::English,
        Some(Word::Zh) => Language::Chinese,
        None if is_chinese("LC_ALL") || is_chinese("LANG") => Language::Chinese,
        None => Language::English,
    }
}

/// Returns the folder of the tools.
fn tools(options: &Options) -> Result<PathBuf> {
    match &options.tools {
        Some(tools) => fs::canonicalize(tools).with_context(|| tools.display().to_string()),
        None => static_build::build(),
    }
}

fn list(language: Language) -> Result<ExitCode> {
    for source in LESSONS {
        println!("{}", source.lesson(language)?.title);
    }
    Ok(ExitCode::SUCCESS)
}

fn solutions(source: &Source) -> Result<ExitCode> {
    for (number, exercise) in source.exercises.iter().enumerate() {
        println!("# {}\n{}", number + 1, exercise.solution.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the prose, and runs each command after Enter.
fn walk(source: &Source, tools: &Path, language: Language, all: bool) -> Result<ExitCode> {
    let lesson = source.lesson(language)?;
    let is_root = workspace::is_root()?;
    let mut place = Place::start(tools, source, is_root)?;
    println!("# {}\n", lesson.title);
    for part in &lesson.parts {
        match part {
            Part::Prose(text) => println!("{}\n", without_pictures(text)),
            Part::Command(command) => {
                step(command, &mut place, (is_root, all))?;
                println!();
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A terminal shows no pictures.
fn without_pictures(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.starts_with("!["));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

fn step(command: &text::Command, place: &mut Place, (is_root, all): (bool, bool)) -> Result<()> {
    let typed = command.typed.replace('\n', "\n> ");
    let is_terminal = std::io::stdout().is_terminal();
    if is_terminal {
        print!("\x1b[1m$ {typed}\x1b[m")
    } else {
        print!("$ {typed}")
    }
    std::io::stdout().flush()?;
    if command.needs_root && !is_root {
        println!("\n(only root can run this; the lesson shows)\n{}", command.printed.join("\n"));
        return Ok(());
    }
    if !all && is_terminal && std::io::stdin().is_terminal() {
        let mut line = String::new();
        ensure!(std::io::stdin().read_line(&mut line)? > 0, "the end of the input, and so of the lesson");
    } else {
        println!();
    }
    let outcome = place.run(&command.typed, LIMIT)?;
    print!("{}", outcome.printed);
    let shown: Vec<_> = command.printed.iter().map(String::as_str).collect();
    if !is_like(&shown, &outcome.printed.lines().collect::<Vec<_>>()) {
        println!("(on the machine where this lesson was written, it printed)\n{}", shown.join("\n"));
    }
    Ok(())
}

/// Becomes a shell in the place, after noting for [`open_shell`] which process that is.
fn shell(source: &Source, tools: &Path) -> Result<ExitCode> {
    let line = format!("/bin/sh -c 'cd {}; exec /bin/sh -i'", place::DIRECTORY);
    let mut command = place::command(tools, source, workspace::is_root()?, &line)?;
    let pid = std::process::id();
    let note = note(source.number)?;
    fs::write(&note, format!("{pid} {}", start_time(pid)?)).with_context(|| note.display().to_string())?;
    Err(command.exec()).context("/bin/sh")
}

/// Returns the file that says which process opened the shell of a lesson. It is in the checkout: a container, whose processes
/// may have any names and variables, cannot write there.
fn note(number: u32) -> Result<PathBuf> {
    Ok(workspace::target()?.join(format!("lesson-{number}.shell")))
}

/// Runs the checks in the shell that is open.
fn check(source: &Source, tools: &Path, language: Language) -> Result<ExitCode> {
    let number = source.number;
    let Some(pid) = open_shell(number)? else {
        bail!("no shell of this lesson is open; open one in another terminal: cargo xtask lesson {number} --shell");
    };
    let mut failed = 0;
    for (index, exercise) in source.exercises.iter().enumerate() {
        let script = format!("cd {} || exit\n{}", place::DIRECTORY, exercise.check_in(language));
        let mut enter = Command::new(tools.join("nsenter-rs"));
        enter.args(["--target", &pid.to_string(), "--all", "--"]);
        let status = enter
            .args(["/bin/sh", "-c", &script])
            .env("PATH", "/mnt/.tools:/usr/sbin:/usr/bin:/sbin:/bin")
            .status()
            .context("nsenter-rs")?;
        println!("{}: {}", index + 1, if status.success() { "done" } else { "not yet" });
        failed += usize::from(!status.success());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds the shell of `--shell`: among the descendants of the process that opened it, the first that is pid 1 in a pid namespace.
fn open_shell(number: u32) -> Result<Option<u32>> {
    let Ok(noted) = fs::read_to_string(note(number)?) else { return Ok(None) };
    let Some((pid, start)) = noted.split_once(' ') else { return Ok(None) };
    let pid: u32 =
        pid.parse().with_context(|| note(number).map(|note| note.display().to_string()).unwrap_or_default())?;
    if start_time(pid).ok().as_deref() != Some(start) {
        return Ok(None);
    }
    let mut generation = vec![pid];
    while !generation.is_empty() {
        if let Some(found) = generation.iter().find(|pid| is_init(**pid)) {
            return Ok(Some(*found));
        }
        generation = generation.into_iter().flat_map(children).collect();
    }
    Ok(None)
}

/// Returns when a process started, in ticks since boot: field 22 of proc_pid_stat(5). The name before it may contain anything.
fn start_time(pid: u32) -> Result<String> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    Ok(rest.split(' ').nth(19).context("/proc/PID/stat is too short")?.to_owned())
}

/// A process that has ended meanwhile has no children, and is no init.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn is_init(pid: u32) -> bool {
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    status.lines().any(|line| line.strip_prefix("NSpid:").is_some_and(|pids| pids.ends_with("\t1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_start_time_and_its_children() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        let (own, its) = (start_time(std::process::id()).unwrap(), start_time(child.id()).unwrap());
        assert!(own.parse::<u64>().unwrap() <= its.parse::<u64>().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(start_time(child.id()).is_err());
    }
}
