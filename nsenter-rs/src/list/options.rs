//! The options of `--list`: those of `lsns(8)`, under the same names, with a parser of their own.
//!
//! `-t`, `-p`, `-n`, `-r` and `-u` mean something else in nsenter(1). So `--list` must be the first word, and all words
//! after it are read as lsns reads them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Parser;
use plumbing::Fault;
use plumbing::command_line::options::Narration;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::Parsed;

use super::column::{self, Column};
use super::filter::Expression;
use super::line::Relation;

const EXAMPLES: &str = "\
Examples:
  nsenter-rs --list                                     every namespace, with the first process in it
  nsenter-rs --list -t net -o +CONTAINER                network namespaces, with their containers
  nsenter-rs --list -p 4242                             the namespaces of one process
  nsenter-rs --list 4026531837                          the processes in one namespace
  nsenter-rs --list -P -o NS,TYPE,HOLDER,USER           namespaces without a process, and what keeps them alive
  nsenter-rs --list --tree                              which user namespace owns which namespaces
  nsenter-rs --list -Q 'NPROCS > 1 and USER != \"root\"'  only lines for which a condition is true
  nsenter-rs --list --json --output-all                 one JSON object per line, with all columns

Options that lsns(8) has mean the same as in lsns. Exit status: 0, or 125 for our own failure.";

/// List the namespaces of this machine, their processes and owners, and what keeps them alive
#[derive(Debug, Parser)]
#[command(name = "nsenter-rs --list", bin_name = "nsenter-rs --list", display_name = "nsenter-rs", version, after_help = EXAMPLES,
          args_override_self = true)]
pub struct Options {
    /// Only this type: mnt, net, ipc, user, pid, uts, cgroup or time (repeatable)
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = kind, action = clap::ArgAction::Append,
          help_heading = "Selection")]
    pub(crate) types: Vec<Kind>,
    /// Only the namespaces of this process
    #[arg(short = 'p', long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..),
          conflicts_with = "namespace", help_heading = "Selection")]
    pub(crate) task: Option<i32>,
    /// Only namespaces without a process, kept alive by a mount, descriptor, socket or related namespace
    #[arg(short = 'P', long, conflicts_with = "task", help_heading = "Selection")]
    pub(crate) persistent: bool,
    /// Only lines for which this is true; operators: == != < <= > >= =~ !~ and or not ( ) "text"
    #[arg(short = 'Q', long, value_name = "EXPRESSION", value_parser = Expression::read,
          help_heading = "Selection")]
    pub(crate) filter: Option<Expression>,
    /// List the processes in the namespace with this inode number
    #[arg(value_name = "NAMESPACE", help_heading = "Selection")]
    pub(crate) namespace: Option<u64>,

    /// Columns to print, separated by commas; +LIST adds to the default columns
    #[arg(short = 'o', long, value_name = "LIST", value_parser = columns, help_heading = "Output")]
    pub(crate) output: Option<ColumnList>,
    /// Print all columns
    #[arg(long, help_heading = "Output")]
    pub(crate) output_all: bool,
    /// List the available columns
    #[arg(short = 'H', long, help_heading = "Output")]
    pub(crate) list_columns: bool,

    /// Print a list instead of a tree, unless --tree is given
    #[arg(short = 'l', long = "list", help_heading = "Format")]
    pub(crate) flat: bool,
    /// Print a tree by RELATION: owner (default with -T), parent, or process (default without -T)
    #[arg(short = 'T', long, value_name = "RELATION", num_args = 0..=1, require_equals = true,
          default_missing_value = "owner", value_parser = Relation::read, help_heading = "Format")]
    pub(crate) tree: Option<Relation>,
    /// Print one JSON object per line
    #[arg(long, conflicts_with_all = ["lsns_json", "raw", "tree"], help_heading = "Format")]
    pub(crate) json: bool,
    /// Print one JSON object with an array, like lsns
    #[arg(short = 'J', conflicts_with = "raw", help_heading = "Format")]
    pub(crate) lsns_json: bool,
    /// Print a picture of the tree (SVG), by owner unless --tree says otherwise
    #[arg(long, conflicts_with_all = ["json", "lsns_json", "raw", "flat", "output", "output_all"], help_heading = "Format")]
    pub(crate) svg: bool,
    /// Separate columns by single blanks, for scripts (implies --nowrap)
    #[arg(short = 'r', long, help_heading = "Format")]
    pub(crate) raw: bool,
    /// Do not print the line with the column names
    #[arg(short = 'n', long, help_heading = "Format")]
    pub(crate) noheadings: bool,
    /// Do not cut lines at the width of the terminal
    #[arg(short = 'u', long, help_heading = "Format")]
    pub(crate) notruncate: bool,
    /// Print all mounts of a namespace on one line, separated by commas
    #[arg(short = 'W', long, help_heading = "Format")]
    pub(crate) nowrap: bool,

    #[command(flatten)]
    pub(crate) narration: Narration,
}

/// List the namespaces of this machine: nsenter-rs --list, called by the name lsns
#[derive(Debug, Parser)]
#[command(
    name = "lsns",
    bin_name = "lsns",
    display_name = "nsenter-rs",
    version,
    args_override_self = true,
    infer_long_args = true,
    after_help = "Called by this name, --json means -J, long options may be abbreviated, and a failure exits with 1, as in lsns(8)."
)]
struct AsLsns {
    #[command(flatten)]
    options: Options,
}

/// The value of `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnList {
    /// Whether the value is `+LIST`.
    pub(crate) is_addition: bool,
    pub(crate) columns: Vec<Column>,
}

fn kind(word: &str) -> Result<Kind, String> {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.proc_name()).collect();
    Kind::of_proc_name(word).ok_or_else(|| format!("valid types: {}", names.join(", ")))
}

fn columns(list: &str) -> Result<ColumnList, String> {
    let (is_addition, names) = match list.strip_prefix('+') {
        Some(names) => (true, names),
        None => (false, list),
    };
    let known = |name: &str| {
        Column::of_name(name.trim())
            .ok_or_else(|| format!("{name:?} is not a column; valid columns: {}", column::names()))
    };
    Ok(ColumnList { is_addition, columns: names.split(',').map(known).collect::<Result<_, _>>()? })
}

/// Parses the words from `--list` on, without I/O.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Parsed<Options>, Fault> {
    plumbing::command_line::options::parse_by_clap(words.into_iter().map(with_equals).collect())
}

/// Parses a command line of lsns, without I/O. As in getopt(3), a long option may be abbreviated.
pub(crate) fn parse_as_lsns(argv: Vec<OsString>) -> Result<Parsed<Options>, Fault> {
    let argv = argv.into_iter().map(lsns_json).map(with_equals).collect();
    plumbing::command_line::options::parse_by_clap::<AsLsns>(argv)?.and_then(|AsLsns { options }| Ok(options))
}

/// Replaces `--json`, which prints records here, by what it means to lsns.
fn lsns_json(word: OsString) -> OsString {
    let is_json = word.len() > 2 && word.to_str().is_some_and(|word| "--json".starts_with(word));
    if is_json { "-J".into() } else { word }
}

/// Inserts the `=` that clap requires: `-Tparent` means `--tree=parent` to getopt(3).
fn with_equals(word: OsString) -> OsString {
    match place_of_relation(&word) {
        Some(at) => OsString::from_vec([&word.as_bytes()[..at], b"=", &word.as_bytes()[at..]].concat()),
        None => word,
    }
}

/// Returns the position in a cluster of short options at which the relation follows a `T`.
fn place_of_relation(word: &OsStr) -> Option<usize> {
    let flags = word.as_bytes().strip_prefix(b"-").filter(|flags| !flags.starts_with(b"-"))?;
    let at = flags.iter().position(|flag| !b"JlPnruWH".contains(flag))?;
    let next = flags.get(at + 1)?;
    (flags[at] == b'T' && *next != b'=').then_some(at + 2)
}

/// Returns the clap command of `--list`, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsns_may_be_abbreviated_and_its_json_is_one_object() {
        let parse = |words: &str| parse_as_lsns(words.split_whitespace().map(OsString::from).collect());
        for words in ["lsns --json", "lsns --js", "lsns -J"] {
            let Ok(Parsed::Plan(options)) = parse(words) else { panic!("{words}") };
            assert!(options.lsns_json && !options.json, "{words}");
        }
        let Ok(Parsed::Plan(options)) = parse("lsns --notrunc --noh --output-a --ty=net") else { panic!() };
        assert!(options.notruncate && options.noheadings && options.output_all && options.types == [Kind::Net]);
        assert!(parse("lsns --no").is_err() && parse("lsns --json=x").is_err());
    }

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
