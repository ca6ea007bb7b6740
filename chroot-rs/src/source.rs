//! Where the root comes from: a directory, a descriptor, or a new root that is made. No I/O here, except for the working
//! directory.

use std::path::PathBuf;

use crate::entry::shown;

/// The source of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of the host.
    Directory(PathBuf),
    /// The root of a bundle in an absolute directory, by a path to which no link leads.
    Bundle { directory: PathBuf, root: PathBuf },
    /// A directory or mount that is already open.
    Descriptor(i32),
    /// A new root with the host's programs.
    Host,
    /// A new empty root in memory.
    Tmpfs,
    /// An overlay of directories, the first topmost; changes are kept in `upper`, or discarded with the container.
    Overlay { lower: Vec<PathBuf>, upper: Option<PathBuf> },
}

impl Source {
    /// Makes its paths absolute.
    pub(crate) fn make_absolute(&mut self) -> std::io::Result<()> {
        let absolute = |path: &mut PathBuf| std::path::absolute(&path).map(|named| *path = named);
        match self {
            Source::Directory(path) => absolute(path),
            Source::Overlay { lower, upper } => lower.iter_mut().chain(upper).try_for_each(absolute),
            Source::Bundle { .. } | Source::Descriptor(_) | Source::Host | Source::Tmpfs => Ok(()),
        }
    }

    /// Describes the root for messages.
    pub(crate) fn described(&self) -> String {
        match self {
            Source::Directory(path) => format!("the root {}", shown(path)),
            Source::Bundle { directory, root } => format!("the root {}", shown(&directory.join(root))),
            Source::Descriptor(_) => "the new root".to_owned(),
            Source::Host => "the root made of the host's programs".to_owned(),
            Source::Tmpfs => "the new empty root".to_owned(),
            Source::Overlay { .. } => "the root made of layers".to_owned(),
        }
    }

    /// Reports whether the root existed before: then nothing may be written to it if it is to be read-only.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Source::Directory(_) | Source::Bundle { .. } | Source::Descriptor(_))
    }
}
