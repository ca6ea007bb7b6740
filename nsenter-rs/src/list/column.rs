//! The columns: name, type, alignment and description, in one table; `lsns(8)`.
//!
//! The first thirteen are the columns of `lsns`, under the same names; the others are ours.

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Ns,
    Type,
    Path,
    Nprocs,
    Pid,
    Ppid,
    Command,
    Uid,
    User,
    Netnsid,
    Nsfs,
    Pns,
    Ons,
    Holder,
    Container,
}

/// The type of the values in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Number,
    Text,
}

struct Row {
    column: Column,
    name: &'static str,
    holds: Type,
    is_right: bool,
    meaning: &'static str,
}

const fn row(column: Column, name: &'static str, holds: Type, is_right: bool, meaning: &'static str) -> Row {
    Row { column, name, holds, is_right, meaning }
}

/// The columns, in the order of `Column`.
const ROWS: [Row; 15] = [
    row(Column::Ns, "NS", Type::Number, true, "the namespace, by its inode number"),
    row(Column::Type, "TYPE", Type::Text, false, "kind of namespace"),
    row(Column::Path, "PATH", Type::Text, false, "path to the namespace in /proc"),
    row(Column::Nprocs, "NPROCS", Type::Number, true, "number of processes in it"),
    row(Column::Pid, "PID", Type::Number, true, "lowest pid in it"),
    row(Column::Ppid, "PPID", Type::Number, true, "parent process of that process"),
    row(Column::Command, "COMMAND", Type::Text, false, "command line of that process"),
    row(
        Column::Uid,
        "UID",
        Type::Number,
        true,
        "uid of that process, or else of the creator of the owning user namespace",
    ),
    row(Column::User, "USER", Type::Text, false, "name of that user"),
    row(Column::Netnsid, "NETNSID", Type::Text, true, "id of the namespace in our network namespace"),
    row(Column::Nsfs, "NSFS", Type::Text, false, "where it is mounted in our mount namespace"),
    row(Column::Pns, "PNS", Type::Number, true, "parent namespace, by its inode number"),
    row(Column::Ons, "ONS", Type::Number, true, "user namespace that owns it, by its inode number"),
    row(
        Column::Holder,
        "HOLDER",
        Type::Text,
        false,
        "what keeps it alive: a process, thread, descriptor, socket, mount, or relative",
    ),
    row(Column::Container, "CONTAINER", Type::Text, false, "container of the process"),
];

impl Column {
    /// Returns all columns, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Column> {
        ROWS.iter().map(|row| row.column)
    }

    /// Returns the column with this name, ignoring case.
    pub(crate) fn of_name(name: &str) -> Option<Column> {
        ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.column)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns the name, such as `NPROCS`.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the name of the JSON member, such as `nprocs`.
    pub(crate) fn key(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// Returns the type of the values.
    pub(crate) fn holds(self) -> Type {
        self.row().holds
    }

    /// Returns whether the column is aligned to the right.
    pub(crate) fn is_right(self) -> bool {
        self.row().is_right
    }

    /// Returns a short description.
    pub(crate) fn meaning(self) -> &'static str {
        self.row().meaning
    }
}

/// Returns the names of all columns, separated by commas.
pub(crate) fn names() -> String {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_at_its_own_row() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(row.column as usize, place, "{}", row.name);
            assert_eq!(Column::of_name(&row.column.key()), Some(row.column));
        }
    }
}
