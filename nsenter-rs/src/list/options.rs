//! The options of `--list`: those of `lsns(8)`, word for word, with a parser of their own.
//!
//! `-t`, `-p`, `-n`, `-r`, `-u` mean something else to nsenter(1). So `--list` has to be the first word, and from there
//! on lsns's options hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Parser;
use plumbing::Fault;
use plumbing::namespace::Kind;
use plumbing::options::Narration;
use plumbing::startup::Parsed;

use super::column::{self, Column};
use super::filter::Expression;
use super::line::Relation;
use super::plan::Listing;

const EXAMPLES: &str = "\
Examples:
  nsenter-rs --list                                     every namespace, with the first process in it
  nsenter-rs --list -t net -o +CONTAINER                networks: whose, and by which name they are mounted
  nsenter-rs --list -p 4242                             the namespaces of one process
  nsenter-rs --list 4026531837                          the processes in one namespace
  nsenter-rs --list -P -o NS,TYPE,HOLDER,USER           what lives without a process, and what keeps it alive
  nsenter-rs --list --tree                              which user namespace owns what
  nsenter-rs --list -Q 'NPROCS > 1 and USER != \"root\"'  only what a condition holds for
  nsenter-rs --list --json --output-all                 one JSON object a line, with all that there is to know

All options mean what they mean to lsns(8). Exit status: 0, or 125 for our own failure.";

/// List the namespaces of this machine: who is in them, who owns them, and what keeps them alive
#[derive(Debug, Parser)]
#[command(name = "nsenter-rs --list", bin_name = "nsenter-rs --list", display_name = "nsenter-rs", version, after_help = EXAMPLES,
          args_override_self = true)]
pub struct Options {
    /// Namespaces of this type: mnt, net, ipc, user, pid, uts, cgroup or time; may be repeated
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = kind, action = clap::ArgAction::Append,
          help_heading = "Which namespaces")]
    pub(crate) types: Vec<Kind>,
    /// The namespaces of this process
    #[arg(short = 'p', long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..),
          conflicts_with = "namespace", help_heading = "Which namespaces")]
    pub(crate) task: Option<i32>,
    /// Namespaces without a process: kept alive by a mount, descriptor, socket or relative
    #[arg(short = 'P', long, conflicts_with = "task", help_heading = "Which namespaces")]
    pub(crate) persistent: bool,
    /// Lines for which this holds; with == != < <= > >= =~ !~ and or not ( ) "text"
    #[arg(short = 'Q', long, value_name = "EXPRESSION", value_parser = Expression::read,
          help_heading = "Which namespaces")]
    pub(crate) filter: Option<Expression>,
    /// Instead of namespaces, the processes in the one with this inode number
    #[arg(value_name = "NAMESPACE", help_heading = "Which namespaces")]
    pub(crate) namespace: Option<u64>,

    /// These columns, separated by commas; +LIST adds to the default ones
    #[arg(short = 'o', long, value_name = "LIST", value_parser = columns, help_heading = "What of them")]
    pub(crate) output: Option<Asked>,
    /// Every column
    #[arg(long, help_heading = "What of them")]
    pub(crate) output_all: bool,
    /// Tell which columns there are
    #[arg(short = 'H', long, help_heading = "What of them")]
    pub(crate) list_columns: bool,

    /// As a list, not as a tree, unless --tree asks for one
    #[arg(short = 'l', long = "list", help_heading = "How")]
    pub(crate) flat: bool,
    /// As a tree by owner, parent or process [without --tree: process]
    #[arg(short = 'T', long, value_name = "RELATION", num_args = 0..=1, require_equals = true,
          default_missing_value = "owner", value_parser = Relation::read, help_heading = "How")]
    pub(crate) tree: Option<Relation>,
    /// One JSON object a line
    #[arg(long, conflicts_with_all = ["lsns_json", "raw", "tree"], help_heading = "How")]
    pub(crate) json: bool,
    /// One JSON object with an array, as lsns prints it
    #[arg(short = 'J', conflicts_with = "raw", help_heading = "How")]
    pub(crate) lsns_json: bool,
    /// Columns separated by single blanks, for scripts; implies --nowrap
    #[arg(short = 'r', long, help_heading = "How")]
    pub(crate) raw: bool,
    /// No line with the columns' names
    #[arg(short = 'n', long, help_heading = "How")]
    pub(crate) noheadings: bool,
    /// Lines may be longer than the terminal is wide
    #[arg(short = 'u', long, help_heading = "How")]
    pub(crate) notruncate: bool,
    /// Several mounts of a namespace on one line, separated by commas
    #[arg(short = 'W', long, help_heading = "How")]
    pub(crate) nowrap: bool,

    #[command(flatten)]
    pub(crate) narration: Narration,
}

/// What `--output` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `+LIST`
    pub(crate) is_addition: bool,
    pub(crate) columns: Vec<Column>,
}

fn kind(word: &str) -> Result<Kind, String> {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.proc_name()).collect();
    Kind::of_proc_name(word).ok_or_else(|| format!("valid is one of {}", names.join(", ")))
}

fn columns(list: &str) -> Result<Asked, String> {
    let (is_addition, names) = match list.strip_prefix('+') {
        Some(names) => (true, names),
        None => (false, list),
    };
    let known = |name: &str| {
        Column::of_name(name.trim()).ok_or_else(|| format!("{name:?} is no column; valid are {}", column::names()))
    };
    Ok(Asked { is_addition, columns: names.split(',').map(known).collect::<Result<_, _>>()? })
}

/// Reads the words from `--list` on. Pure.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Parsed<(Narration, Listing)>, Fault> {
    let words = words.into_iter().map(with_equals).collect();
    plumbing::options::parse_by_clap::<Options>(words)?
        .and_then(|options| Ok((options.narration, Listing::of(options))))
}

/// `-Tparent` means `--tree=parent` to getopt(3); clap wants the `=`.
fn with_equals(word: OsString) -> OsString {
    match place_of_relation(&word) {
        Some(at) => OsString::from_vec([&word.as_bytes()[..at], b"=", &word.as_bytes()[at..]].concat()),
        None => word,
    }
}

/// Where in a cluster of short options the relation follows a `T`.
fn place_of_relation(word: &OsStr) -> Option<usize> {
    let flags = word.as_bytes().strip_prefix(b"-").filter(|flags| !flags.starts_with(b"-"))?;
    let at = flags.iter().position(|flag| !b"JlPnruWH".contains(flag))?;
    let next = flags.get(at + 1)?;
    (flags[at] == b'T' && *next != b'=').then_some(at + 2)
}

/// The command line of `--list`, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attached_relation_is_spelled_out() {
        for (word, spelled) in [
            ("-Tparent", "-T=parent"),
            ("-nTowner", "-nT=owner"),
            ("-T=owner", "-T=owner"),
            ("-T", "-T"),
            ("-oTYPE", "-oTYPE"),
            ("-pT5", "-pT5"),
            ("--Tx", "--Tx"),
            ("4026531837", "4026531837"),
        ] {
            assert_eq!(with_equals(word.into()), OsString::from(spelled));
        }
    }
}
