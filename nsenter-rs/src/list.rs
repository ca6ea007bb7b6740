//! `--list`: the namespaces of the machine, as `lsns(8)` lists them. `namespaces(7)`.
//!
//! The inventory finds the namespaces, then their lines are put in order, and only then is the kernel asked for the facts
//! that are shown. Without `listns(2)` the kernel has no list of namespaces: a namespace to which no process, mount or
//! descriptor that we may inspect leads is not found.

mod cell;
mod column;
pub(crate) mod containers;
mod filter;
mod holder;
mod inventory;
mod json;
mod line;
mod listed;
pub mod manual;
mod mount;
mod mount_table_limits;
pub(crate) mod options;
mod parent_and_owner;
mod print;
mod process;
mod request;

use plumbing::process::{missing_proc, startup};
use plumbing::{Fault, Status};

use cell::{Cell, View};
use column::{Column, Type};
use inventory::{Depth, Inventory};
use json::Object;
use line::{Drawn, Lines, Relation};
pub use options::command;
use print::{Table, TextLine};
pub(crate) use request::Listing;
use request::{Rows, Style};

/// Gives a failure the exit status that it has in lsns.
pub(crate) fn with_status_of_lsns(fault: Fault) -> Fault {
    const EXIT_FAILURE: Status = Status(1);
    fault.with_status(EXIT_FAILURE)
}

impl Listing {
    /// Prints the listing to stdout.
    pub(crate) fn print(&self) -> Result<Status, Fault> {
        let subject = match self.rows {
            Rows::Columns => return startup::print(&self.columns_text()),
            Rows::Namespaces => None,
            Rows::ProcessesIn(inode) => Some(inode),
        };
        missing_proc::remark_hidden();
        let inventory = self.inventory()?;
        let view = View::new(&inventory, self.filter.as_ref());
        let mut lines = Lines::new(&view, self.tree);
        match subject {
            Some(inode) => {
                if !inventory.namespaces.contains_key(&inode) {
                    return Err(Fault::new(format!(
                        "cannot find the namespace {inode}: nothing that we may inspect refers to it"
                    )));
                }
                inventory
                    .processes_in(inode)
                    .for_each(|pid| lines.add_process(inode, pid, |pid| inventory.is_in(pid, inode)));
            }
            None => {
                let wanted = inventory.namespaces.iter().filter(|(inode, namespace)| {
                    let is_persistent = namespace.processes == 0;
                    (!self.only_persistent || is_persistent)
                        && self.task.is_none_or(|task| inventory.is_in(task, **inode))
                });
                wanted.for_each(|(inode, _)| lines.add_namespace(*inode));
            }
        }
        let drawn = if self.tree_column().is_some() { lines.drawn() } else { lines.flat() };
        if self.columns.contains(&Column::Command) {
            view.read_commands(drawn.iter().filter_map(|drawn| drawn.line.pid))?;
        }
        startup::print(&self.text(&view, &drawn))
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        // The namespaces of one process, and the processes in one namespace, are found by looking at processes alone.
        let (depth, kinds) = match (self.task, self.rows) {
            (Some(_), _) | (_, Rows::ProcessesIn(_)) => (Depth::Processes, self.kinds),
            _ => (Depth::Everything, self.kinds),
        };
        let mut inventory = Inventory::take(kinds, depth)?;
        if let Rows::ProcessesIn(inode) = self.rows
            && !inventory.namespaces.contains_key(&inode)
        {
            inventory = Inventory::take(kinds, Depth::Everything)?;
        }
        let follows_namespaces = matches!(self.tree, Some(Relation::Owner | Relation::Parent));
        let descendants =
            inventory.namespaces.iter().filter(|(_, namespace)| follows_namespaces || namespace.processes == 0);
        let descendants: Vec<_> = descendants.map(|(inode, _)| *inode).collect();
        descendants.into_iter().for_each(|inode| parent_and_owner::add_ancestors(&mut inventory, inode));
        Ok(inventory)
    }

    /// Returns the position of the column in which the tree is drawn; `None` if that column is not shown.
    fn tree_column(&self) -> Option<usize> {
        let column = match self.tree? {
            Relation::Process => Column::Command,
            Relation::Owner | Relation::Parent => Column::Ns,
        };
        self.columns.iter().position(|shown| *shown == column)
    }

    fn text(&self, view: &View<'_>, drawn: &[Drawn]) -> String {
        let cells = |drawn: &Drawn| -> Vec<Cell> {
            self.columns.iter().map(|column| view.cell(*column, drawn.line.namespace, drawn.line.pid)).collect()
        };
        let separator = if self.may_wrap { b'\n' } else { b',' };
        let objects = || drawn.iter().map(|drawn| Object { depth: drawn.depth, cells: cells(drawn) }).collect();
        let entries = || -> Vec<TextLine> {
            let texts = |cell| match cell {
                Cell::Empty => Vec::new(),
                Cell::Number(number) => vec![number.to_string().into_bytes()],
                Cell::Text(text) => vec![text],
                Cell::Lines(lines) if self.may_wrap => lines,
                Cell::Lines(lines) => vec![lines.join(&separator)],
            };
            let entry = |drawn: &Drawn| TextLine {
                depth: drawn.depth,
                is_last: drawn.is_last,
                cells: cells(drawn).into_iter().map(texts).collect(),
            };
            drawn.iter().map(entry).collect()
        };
        match self.style {
            Style::JsonLines => json::lines(&self.columns, objects()),
            Style::Json => json::document("namespaces", &self.columns, objects(), separator),
            Style::Raw => print::raw(&self.columns, self.has_headings, &entries()),
            Style::Svg => print::picture(&self.columns, &entries()),
            Style::Table => self.table(&self.columns, self.tree_column()).text(&entries()),
        }
    }

    fn columns_text(&self) -> String {
        let facts = Column::all().map(|column| {
            let holds = if column.holds() == Type::Number { "<integer>" } else { "<string>" };
            [column.name(), holds, column.meaning()].map(str::to_owned)
        });
        match self.style {
            Style::Table | Style::Svg => {
                facts.map(|[name, holds, meaning]| format!("{name:>9} {holds:<9} {meaning}\n")).collect()
            }
            Style::Raw => facts.map(|fact| fact.map(|text| print::word(text.as_bytes())).join(" ") + "\n").collect(),
            Style::Json => json::facts(facts, false),
            Style::JsonLines => json::facts(facts, true),
        }
    }

    fn table<'a>(&self, columns: &'a [Column], tree: Option<usize>) -> Table<'a> {
        Table {
            columns,
            has_headings: self.has_headings,
            width: self.may_cut.then(terminal_width).flatten(),
            is_utf8: is_utf8_locale(),
            tree,
        }
    }
}

/// Returns the width of the terminal; `None` if stdout is not a terminal.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|width| *width > 0)
}

/// Returns whether the locale uses UTF-8, judging by its name; `locale(7)`.
fn is_utf8_locale() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let chosen = names.map(|name| name.to_string_lossy().to_ascii_lowercase()).find(|name| !name.is_empty());
    chosen.is_some_and(|name| name.contains("utf-8") || name.contains("utf8"))
}
