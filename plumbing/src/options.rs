//! The options that all five tools share, and the way from argv to a plan: clap reads it, one line tells what is wrong.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Parser};

use crate::Fault;
use crate::ordinary::{self, Ordinary};
use crate::startup::Parsed;

/// `--explain` and `--dry-run`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args, Ordinary)]
pub struct Narration {
    /// Print each kernel call and its reason to stderr before making it
    #[arg(long, help_heading = "Narration")]
    pub explain: bool,
    /// Print the kernel calls without making them
    #[arg(long, help_heading = "Narration")]
    pub dry_run: bool,
}

impl Narration {
    /// Makes it so, for the whole process.
    pub fn begin(self) {
        crate::narrate::set(self.explain, self.dry_run);
    }
}

/// The command line that `O` declares, with help of one line an option: a group fits a screen.
pub fn command<O: Parser>() -> clap::Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).global(true);
    // Under no heading: that of the last group of options would hold for it, too.
    O::command().disable_help_flag(true).arg(help.help("Print this help").help_heading(None))
}

/// A `value_parser` for values that may be any bytes, as names of files are.
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

/// As [`parse`], for lines that are not ordinary.
pub fn parse_by_clap<O: Parser>(argv: Vec<OsString>) -> Result<Parsed<O>, Fault> {
    let read = command::<O>().try_get_matches_from(&argv).and_then(|matches| O::from_arg_matches(&matches));
    match read {
        Ok(options) => Ok(Parsed::Plan(options)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => Err(Fault::usage(not_text(&argv))),
        Err(error) => Err(Fault::usage(one_line(&error.to_string()))),
    }
}

/// clap does not say which option it was. Values that may be any bytes are never refused for it, so look for the word
/// in front of the first one that is no text.
fn not_text(argv: &[OsString]) -> String {
    let place = argv.iter().position(|word| word.to_str().is_none()).unwrap_or_default();
    let shown = argv.get(place).map(|word| word.to_string_lossy()).unwrap_or_default();
    match argv[..place].last().filter(|word| word.as_encoded_bytes().starts_with(b"-")) {
        Some(option) => format!("invalid value '{shown}' for '{}': valid is UTF-8 text", option.to_string_lossy()),
        None => format!("invalid argument '{shown}': valid is UTF-8 text"),
    }
}

impl<P> Parsed<P> {
    /// Goes on from options to a plan, where there are options.
    pub fn and_then<Q>(self, plan: impl FnOnce(P) -> Result<Q, Fault>) -> Result<Parsed<Q>, Fault> {
        match self {
            Parsed::Plan(options) => Ok(Parsed::Plan(plan(options)?)),
            Parsed::Text(text) => Ok(Parsed::Text(text)),
        }
    }
}

/// What clap adds for a screen of its own.
const NOISE: [&str; 2] = ["For more information", "tip: to pass"];

/// clap's message without its usage block: `unexpected argument '--mnt' found; a similar argument exists: '--mount'`.
fn one_line(message: &str) -> String {
    let told = message.strip_prefix("error: ").unwrap_or(message);
    told.lines()
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
        // Behind a colon a list follows, a line for each.
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
    fn a_value_that_is_no_text_is_told_with_its_option() {
        let not_text = std::os::unix::ffi::OsStringExt::from_vec(vec![b'1', 0xff]);
        let argv = vec!["tool".into(), "--size".into(), not_text];
        let Err(fault) = parse::<Options>(argv) else { panic!("a fault") };
        assert_eq!(fault.to_string(), "invalid value '1\u{fffd}' for '--size': valid is UTF-8 text");
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
