//! Docker's containers, by the files that its daemon keeps: `containers/ID/config.v2.json` in its data directory.
//!
//! Where that directory is, the container's own mount table tells: the daemon binds `containers/ID/hostname` over its
//! /etc/hostname. A container could imitate such a path, so the daemon's file must name this very process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use plumbing::target::Target;
use plumbing::text::Text;
use serde::Deserialize;

/// A container of docker.
pub(crate) struct Container {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Without the slash that docker puts in front.
    pub(crate) name: Text,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "State")]
    state: State,
}

#[derive(Deserialize)]
struct State {
    #[serde(rename = "Pid")]
    pid: i32,
}

/// The docker container whose first process this is.
pub(crate) fn container_of(target: &Target) -> Option<Container> {
    let mountinfo = target.read("mountinfo").ok()?;
    let (directory, id) = mountinfo.lines().find_map(container_directory)?;
    let config = std::fs::read(directory.join("config.v2.json")).ok()?;
    let config: Config = serde_json::from_slice(&config).ok()?;
    let name = config.name.strip_prefix('/').unwrap_or(&config.name);
    (config.state.pid == target.pid()).then(|| Container { id, name: name.into() })
}

/// `DATA/containers/ID` and the id, from a mountinfo line whose root is `DATA/containers/ID/hostname`.
fn container_directory(line: &str) -> Option<(PathBuf, String)> {
    let root = Path::new(line.split(' ').nth(3)?);
    if root.file_name()? != "hostname" {
        return None;
    }
    let directory = root.parent()?;
    let id = directory.file_name()?.to_str()?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && directory.parent()?.file_name()? == "containers").then(|| (directory.to_owned(), id.to_owned()))
}

impl Container {
    /// Whether a person means this one: by its name, its id, or at least four digits of its beginning.
    pub(crate) fn is_called(&self, word: &OsStr) -> bool {
        let by_id = word.to_str().is_some_and(|word| word.len() >= 4 && self.id.starts_with(word));
        self.name.0 == word || by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_table_tells_where_docker_keeps_its_files() {
        let id = "a".repeat(64);
        let line = format!("1 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda1 rw");
        assert_eq!(container_directory(&line), Some((PathBuf::from(format!("/var/lib/docker/containers/{id}")), id)));
        assert_eq!(container_directory("1 2 8:1 /home/containers/x/hostname /etc/hostname rw - ext4 a rw"), None);
    }
}
