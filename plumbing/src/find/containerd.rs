//! Tasks of containerd: `io.containerd.runtime.v2.task/NAMESPACE/ID` in its state directory, with the container's
//! `config.json` and the pid of its first process. The names that Kubernetes and nerdctl use are annotations in
//! `config.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::claim::{Claim, Group};
use super::kubernetes::{self, Annotations};
use super::state_directory::StateDirectory;
use super::{Runtime, Search, oci};

/// The default state directory, and those of distributions that bundle a containerd of their own.
const STATES: &[&str] = &["/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd"];

/// The directory in which containerd's shim makes runc keep its state, with a subdirectory for each namespace.
const RUNC: &str = "/run/containerd/runc";

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Annotations,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroup: Option<String>,
}

/// Returns the claims of containerd.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    states(search).iter().flat_map(|state| of_state(search, state)).collect()
}

fn states(search: &Search) -> Vec<PathBuf> {
    let mut states: Vec<_> = STATES.iter().map(PathBuf::from).collect();
    for daemon in search.trusted("containerd") {
        let config = daemon.option(&["--config", "-c"]).map(PathBuf::from);
        let state = daemon.option(&["--state"]).map(PathBuf::from).or_else(|| configured(search, &config?));
        states.extend(state.filter(|state| !states.contains(state)));
    }
    states
}

/// Reads `state = "DIRECTORY"`, which comes before the first table.
fn configured(search: &Search, file: &Path) -> Option<PathBuf> {
    let dir = search.directory(file.parent()?)?;
    let text = search.usable(dir.read(file.file_name()?))?;
    let text = String::from_utf8(text).ok()?;
    super::storage::setting(text.lines().take_while(|line| !line.trim_start().starts_with('[')), "state")
}

fn of_state(search: &Search, state: &Path) -> Vec<Claim> {
    let tasks = StateDirectory::of_system(&state.join("io.containerd.runtime.v2.task"));
    let Some(tasks) = search.usable(tasks) else { return Vec::new() };
    let mut claims = Vec::new();
    for namespace in search.usable(tasks.names()).unwrap_or_default() {
        let Some(tasks) = search.usable(tasks.below(&namespace)) else { continue };
        let runc = search.directory(&Path::new(RUNC).join(&namespace));
        let ids = search.usable(tasks.names()).unwrap_or_default();
        claims.extend(ids.iter().filter_map(|id| of_task(search, &tasks, id.to_str()?, runc.as_ref())));
    }
    claims
}

fn of_task(search: &Search, tasks: &StateDirectory, id: &str, runc: Option<&StateDirectory>) -> Option<Claim> {
    let task = search.usable(tasks.below(id))?;
    let pid = search.usable(task.pid("init.pid"))?;
    let config: Config = search.usable(task.json("config.json")).unwrap_or_default();
    let state = runc.and_then(|runc| search.usable(oci::state(runc, id))).filter(|state| state.pid == pid);
    let mut claim = Claim {
        id: Some(id.to_owned()),
        start_time: state.and_then(|state| state.start_time),
        group: config.linux.and_then(|linux| linux.cgroup).as_deref().and_then(group),
        ..Claim::new(Runtime::Containerd, id, pid, task.author)
    };
    if let Some(name) = config.annotations.get("nerdctl/name") {
        claim.names.insert(0, name.into());
    }
    kubernetes::describe(&mut claim, &config.annotations, &kubernetes::CONTAINERD);
    Some(claim)
}

/// Parses `/NAMESPACE/ID`, or for systemd `SLICE:PREFIX:ID`.
fn group(path: &str) -> Option<Group> {
    let parts: Vec<_> = path.split(':').collect();
    match parts[..] {
        [_, prefix, name] => Some(Group::Component(format!("{prefix}-{name}.scope"))),
        _ => path.starts_with('/').then(|| Group::Path(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_path_has_two_forms() {
        assert_eq!(group("/default/web"), Some(Group::Path("/default/web".into())));
        let scope = group("kubepods-besteffort-pod1.slice:cri-containerd:ab");
        assert_eq!(scope, Some(Group::Component("cri-containerd-ab.scope".into())));
        assert_eq!(group("web"), None);
    }
}
