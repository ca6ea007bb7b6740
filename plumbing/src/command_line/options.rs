//! The options that all five tools share, and the way from argv to a plan: clap reads argv, and an error is one line.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Parser};

use crate::Fault;
use crate::command_line::ordinary::{self, Ordinary};
use crate::process::startup::Parsed;

/// `--explain`, `--dry-run` and `--error-fd`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args, Ordinary)]
pub struct Narration {
    /// Print each kernel call and its reason to stderr before making it
    #[arg(long, help_heading = "Narration")]
    pub explain: bool,
    /// Print the kernel calls without making them
    #[arg(long, help_heading = "Narration")]
    pub dry_run: bool,
    /// Write errors, warnings and --explain to descriptor FD instead of stderr
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..), help_heading = "Narration")]
    pub error_fd: Option<i32>,
}

impl Narration {
    /// Sets the mode of narration, for the whole process.
    pub fn begin(self) {
        if let Some(fd) = self.error_fd {
            crate::fault::write_errors_to(fd);
        }
        crate::narrate::set(self.explain, self.dry_run);
    }
}

/// Returns the command line that `O` declares, with help of one line per option: a group fits on a screen.
pub fn command<O: Parser>() -> clap::Command {
    with_short_help(O::command())
}

fn with_short_help(command: clap::Command) -> clap::Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).global(true);
    // Under no heading: otherwise it would get that of the last group of options.
    command.disable_help_flag(true).arg(help.help("Print this help").help_heading(None))
}

/// Returns a `value_parser` for values that may be any bytes, such as names of files.
pub fn of_os<T>(read: fn(&OsStr) -> Result<T, String>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    OsStringValueParser::new().try_map(move |word| read(&word))
}

/// Reads argv into the declared options `O`, or into the text that `--help` and `--version` ask for.
///
/// Pure: no file, no environment, no descriptor. Errors are one line, status 125.
pub fn parse<O: Parser + Ordinary>(argv: Vec<OsString>) -> Result<Parsed<O>, Fault> {
    match ordinary::read(&argv) {
        Some(options) => Ok(Parsed::Plan(options)),
        None => parse_by_clap(argv),
    }
}

/// Reads argv as [`parse`] does, for lines that are not ordinary.
pub fn parse_by_clap<O: Parser>(argv: Vec<OsString>) -> Result<Parsed<O>, Fault> {
    let read = command::<O>().try_get_matches_from(&argv).and_then(|matches| O::from_arg_matches(&matches));
    parsed(read, &argv)
}

/// Reads argv as [`parse_by_clap`] does, for a command line that is declared by a table instead of a type.
pub fn parse_matches(command: clap::Command, argv: &[OsString]) -> Result<Parsed<clap::ArgMatches>, Fault> {
    parsed(with_short_help(command).try_get_matches_from(argv), argv)
}

fn parsed<O>(read: Result<O, clap::Error>, argv: &[OsString]) -> Result<Parsed<O>, Fault> {
    match read {
        Ok(options) => Ok(Parsed::Plan(options)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => Err(Fault::usage(not_text(argv))),
        Err(error) => Err(Fault::usage(one_line(&error.to_string()))),
    }
}

/// Describes an argument that is not text, since clap does not say which option it belonged to. Values that may be any
/// bytes are never refused for this, so look for the word in front of the first one that is not text.
fn not_text(argv: &[OsString]) -> String {
    let place = argv.iter().position(|word| word.to_str().is_none()).unwrap_or_default();
    let shown = argv.get(place).map(|word| word.to_string_lossy()).unwrap_or_default();
    match argv[..place].last().filter(|word| word.as_encoded_bytes().starts_with(b"-")) {
        Some(option) => format!("invalid value '{shown}' for '{}': expected UTF-8 text", option.to_string_lossy()),
        None => format!("invalid argument '{shown}': expected UTF-8 text"),
    }
}

impl<P> Parsed<P> {
    /// Continues from options to a plan, if there are options.
    pub fn and_then<Q>(self, plan: impl FnOnce(P) -> Result<Q, Fault>) -> Result<Parsed<Q>, Fault> {
        match self {
            Parsed::Plan(options) => Ok(Parsed::Plan(plan(options)?)),
            Parsed::Text(text) => Ok(Parsed::Text(text)),
        }
    }
}

/// Hints that clap adds, which are left out.
const NOISE: [&str; 2] = ["For more information", "tip: to pass"];

/// Returns clap's message without its usage block: `unexpected argument '--mnt' found; a similar argument exists:
/// '--mount'`.
fn one_line(message: &str) -> String {
    let text = message.strip_prefix("error: ").unwrap_or(message);
    text.lines()
        .map(str::trim)
        // The usage may have several lines; it ends with a blank one.
        .scan(false, |is_usage, line| {
            *is_usage = line.starts_with("Usage:") || *is_usage && !line.is_empty();
            Some(if *is_usage { "" } else { line })
        })
        .filter(|line| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise)))
        .map(|line| line.strip_prefix("tip: ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("; ")
        // After a colon a list follows, one line for each item.
        .replace(":; ", ": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Parser, Ordinary)]
    struct Options {
        #[arg(long)]
        mount: bool,
        #[arg(long)]
        size: Option<String>,
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    }

    #[test]
    fn the_rest_of_the_line_belongs_to_the_command() {
        let argv = ["tool", "--mount", "--", "next", "--mount", "--", "sh", "-c", "true"].map(OsString::from);
        let Ok(Parsed::Plan(options)) = parse::<Options>(argv.to_vec()) else { panic!("a plan") };
        assert!(options.mount);
        assert_eq!(options.command, ["next", "--mount", "--", "sh", "-c", "true"].map(OsString::from));
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let argv = ["tool", "next", "--mount"].map(OsString::from);
        let Ok(Parsed::Plan(options)) = parse::<Options>(argv.to_vec()) else { panic!("a plan") };
        assert!(!options.mount);
        assert_eq!(options.command, ["next", "--mount"].map(OsString::from));
    }

    #[test]
    fn a_value_that_is_not_text_is_reported_with_its_option() {
        let not_text = std::os::unix::ffi::OsStringExt::from_vec(vec![b'1', 0xff]);
        let argv = vec!["tool".into(), "--size".into(), not_text];
        let Err(fault) = parse::<Options>(argv) else { panic!("a fault") };
        assert_eq!(fault.to_string(), "invalid value '1\u{fffd}' for '--size': expected UTF-8 text");
    }

    #[test]
    fn a_list_of_what_is_missing_reads_as_one_line() {
        let message = "error: the following required arguments were not provided:\n  --pipe\n\nUsage: tool --pipe\n";
        assert_eq!(one_line(message), "the following required arguments were not provided: --pipe");
    }

    #[test]
    fn a_wrong_option_is_named_on_one_line() {
        let Err(fault) = parse::<Options>(["tool", "--moun"].map(OsString::from).to_vec()) else { panic!("a fault") };
        let text = fault.to_string();
        assert!(text.contains("'--moun'") && text.contains("'--mount'") && !text.contains('\n'), "{text}");
    }
}
