//! The description of a built root, as reported in the record; docs/record.md.

use plumbing::pipeline::record::Process;
use std::path::PathBuf;

use plumbing::text::Text;
use serde::{Deserialize, Serialize};

use crate::entry::Mount;
use crate::source::Source;

/// The record's member `root`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Text>,
    host_root: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overlay: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper: Option<Text>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tmpfs: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    covered: Vec<Text>,
    mounts: Vec<Mount>,
}

impl Root {
    pub(crate) fn of(source: &Source, read_only: bool, covered: &[PathBuf], mounts: Vec<Mount>) -> Root {
        let text = |path: &PathBuf| Text::from(path.as_path());
        let covered = covered.iter().map(text).collect();
        let mut root = Root { read_only, covered, mounts, ..Root::default() };
        match source {
            Source::Directory(path) => root.path = Some(text(path)),
            Source::Host => root.host_root = true,
            Source::Tmpfs => root.tmpfs = true,
            Source::Descriptor(_) => {}
            Source::Overlay { lower, upper } => {
                root.overlay = lower.iter().map(text).collect();
                root.upper = upper.as_ref().map(text);
            }
        }
        root
    }
}

/// The result of building: the root, and the confinement of its commands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) root: Root,
    pub(crate) process: Process,
}
