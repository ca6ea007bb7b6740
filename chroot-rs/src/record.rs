//! What is reported of a root in the record: its member `root`. `docs/record.md`, `mount(8)`.

use std::path::{Path, PathBuf};

use plumbing::pipeline::record::{Mount, Process, Root};
use plumbing::text::Text;
use serde::{Deserialize, Serialize};

use crate::entry::{Attributes, Bind, Filesystem, option_names};
use crate::source::Source;

/// The result of building: the root, and the confinement of its commands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) root: Root,
    pub(crate) process: Process,
}

/// Describes a root.
pub(crate) fn root(source: &Source, read_only: bool, covered: &[PathBuf], mounts: Vec<Mount>) -> Root {
    let text = |path: &PathBuf| Text::from(path.as_path());
    let covered = covered.iter().map(text).collect();
    let mut root = Root { read_only, covered, mounts, ..Root::default() };
    match source {
        Source::Directory(path) => root.path = Some(text(path)),
        Source::Bundle { directory, root: inside } => root.path = Some(text(&directory.join(inside))),
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

/// Describes a new file system.
pub(crate) fn fresh(target: &Path, filesystem: &Filesystem) -> Mount {
    let parameter = |(key, value): &(String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    let mut options = option_names(filesystem.attributes);
    options.extend(filesystem.parameters.iter().skip(1).map(parameter));
    Mount { target: target.into(), kind: filesystem.kind.clone(), source: None, options }
}

/// Describes a bind mount.
pub(crate) fn bind(target: &Path, bind: &Bind) -> Mount {
    let mut options = vec![if bind.recursive { "rbind" } else { "bind" }.to_owned()];
    let prefix = if bind.recursive { "r" } else { "" };
    options.extend(option_names(bind.attributes).iter().map(|name| format!("{prefix}{name}")));
    options.extend(option_names(bind.top.set));
    options.extend(bind.idmap.as_ref().map(|map| format!("idmap={}", map.shown())));
    Mount { target: target.into(), kind: "bind".to_owned(), source: Some(bind.source.as_path().into()), options }
}

/// Describes an overlay of directories.
pub(crate) fn overlay(target: &Path, layers: &[PathBuf], attributes: Attributes) -> Mount {
    let mut options = option_names(attributes);
    options.extend(layers.iter().map(|layer| format!("lowerdir+={}", layer.to_string_lossy())));
    Mount { target: target.into(), kind: "overlay".to_owned(), source: None, options }
}

/// Describes a mount that restricts what was there.
pub(crate) fn restricted(target: &Path, attributes: Attributes) -> Mount {
    bind(target, &Bind { attributes, ..Bind::read_only(target) })
}

/// Describes a mask, by the type and the source of the mount that covers the target.
pub(crate) fn mask(target: &Path, kind: &str, source: Option<&str>) -> Mount {
    let options = vec![if source.is_some() { "bind" } else { "ro" }.to_owned()];
    Mount { target: target.into(), kind: kind.to_owned(), source: source.map(Text::from), options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_the_words_of_mount() {
        let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_STRICTATIME;
        let tmpfs = Filesystem::new("tmpfs", &[("mode", "755"), ("newinstance", "")], attributes);
        let options = fresh(Path::new("/dev"), &tmpfs).options;
        assert_eq!(options, ["nosuid", "strictatime", "mode=755", "newinstance"]);
        let options = bind(Path::new("/usr"), &Bind::read_only("/usr")).options;
        assert_eq!(options, ["rbind", "rro", "rnosuid", "rnodev"]);
    }
}
