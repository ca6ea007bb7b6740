//! What a `--list` command line asks for: which namespaces, which columns, in which format.
//!
//! The defaults are those of `lsns(8)`, which depend on each other: NAMESPACE and `--type net` have other default
//! columns, and `--output-all` prints a list instead of a tree.

use plumbing::process::namespace::{Kind, KindSet};

use super::column::Column;
use super::filter::Expression;
use super::line::Relation;
use super::options::{ColumnList, Options};

/// What to list, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) kinds: KindSet,
    pub(crate) task: Option<i32>,
    pub(crate) only_persistent: bool,
    pub(crate) filter: Option<Expression>,
    pub(crate) rows: Rows,
    pub(crate) columns: Vec<Column>,
    pub(crate) tree: Option<Relation>,
    pub(crate) style: Style,
    pub(crate) has_headings: bool,
    pub(crate) may_cut: bool,
    pub(crate) may_wrap: bool,
}

/// What the lines are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    Namespaces,
    /// The processes in this namespace.
    ProcessesIn(u64),
    /// The available columns.
    Columns,
}

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Table,
    Raw,
    /// One object with an array, as lsns prints it.
    Json,
    /// One object per line.
    JsonLines,
    /// A picture of the tree.
    Svg,
}

impl Listing {
    /// Fills in the defaults, without I/O.
    pub(crate) fn of(options: Options) -> Listing {
        let all: KindSet = Kind::ALL.into_iter().collect();
        let asked: KindSet = options.types.iter().copied().collect();
        let default = default_columns(options.namespace, asked.contains(Kind::Net));
        let base = if options.output_all { Column::all().collect() } else { default };
        let as_list = options.flat || options.json;
        let is_tree = options.namespace.is_some() || !options.output_all;
        Listing {
            kinds: if asked.is_empty() { all } else { asked },
            task: options.task,
            only_persistent: options.persistent,
            filter: options.filter,
            rows: match (options.list_columns, options.namespace) {
                (true, _) => Rows::Columns,
                (false, Some(inode)) => Rows::ProcessesIn(inode),
                (false, None) => Rows::Namespaces,
            },
            columns: match options.output {
                Some(ColumnList { is_addition: true, columns }) => base.into_iter().chain(columns).collect(),
                Some(ColumnList { columns, .. }) => columns,
                None => base,
            },
            tree: match options.tree {
                None if options.svg && options.namespace.is_none() => Some(Relation::Owner),
                None if as_list || !is_tree => None,
                None => Some(Relation::Process),
                asked => asked,
            },
            style: if options.svg {
                Style::Svg
            } else if options.json {
                Style::JsonLines
            } else if options.lsns_json {
                Style::Json
            } else if options.raw {
                Style::Raw
            } else {
                Style::Table
            },
            has_headings: !options.noheadings,
            may_cut: !options.notruncate,
            may_wrap: !options.nowrap && !options.raw,
        }
    }
}

fn default_columns(namespace: Option<u64>, is_about_net: bool) -> Vec<Column> {
    use Column::{Command, Netnsid, Nprocs, Ns, Nsfs, Pid, Ppid, Type, User};
    match (namespace, is_about_net) {
        (Some(_), _) => vec![Pid, Ppid, User, Command],
        (None, false) => vec![Ns, Type, Nprocs, Pid, User, Command],
        (None, true) => vec![Ns, Type, Nprocs, Pid, User, Netnsid, Nsfs, Command],
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use plumbing::Fault;
    use plumbing::process::startup::Parsed;

    use super::super::options;
    use super::*;

    fn listing(words: &str) -> Result<Listing, Fault> {
        let words = std::iter::once("nsenter-rs --list").chain(words.split_whitespace()).map(OsString::from).collect();
        match options::parse(words)? {
            Parsed::Plan(options) => Ok(Listing::of(options)),
            Parsed::Text(text) => panic!("a listing, not {text}"),
        }
    }

    fn names(listing: &Listing) -> String {
        listing.columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn the_defaults_are_those_of_lsns() {
        for (words, columns, tree) in [
            ("", "NS,TYPE,NPROCS,PID,USER,COMMAND", Some(Relation::Process)),
            ("-l -T", "NS,TYPE,NPROCS,PID,USER,COMMAND", Some(Relation::Owner)),
            ("-l", "NS,TYPE,NPROCS,PID,USER,COMMAND", None),
            ("--json", "NS,TYPE,NPROCS,PID,USER,COMMAND", None),
            ("-t net", "NS,TYPE,NPROCS,PID,USER,NETNSID,NSFS,COMMAND", Some(Relation::Process)),
            ("4026531837", "PID,PPID,USER,COMMAND", Some(Relation::Process)),
            ("-T -o ns", "NS", Some(Relation::Owner)),
            ("-Tparent -o ns,Type", "NS,TYPE", Some(Relation::Parent)),
            ("-o +path", "NS,TYPE,NPROCS,PID,USER,COMMAND,PATH", Some(Relation::Process)),
        ] {
            let listing = listing(words).unwrap();
            assert_eq!((names(&listing).as_str(), listing.tree), (columns, tree), "{words}");
        }
        assert_eq!(listing("--output-all").unwrap().tree, None);
        assert!(!listing("-r").unwrap().may_wrap);
    }

    #[test]
    fn what_lsns_refuses_is_refused() {
        for words in ["-J -r", "-P -p 1", "-t foo", "-o foo", "-o NS,,PID", "-p 0", "-p x", "x", "-p 1 5", "-Tx"] {
            assert!(listing(words).is_err(), "{words}");
        }
        for words in ["-Q", "-Q =", "-Q (NS", "-Q NS==", "--json -J", "--json -T"] {
            assert!(listing(words).is_err(), "{words}");
        }
    }
}
