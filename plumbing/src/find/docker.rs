//! Docker's containers, found by the files of its daemon: `containers/ID/config.v2.json` in its data directory.
//!
//! The data directory is named by a running daemon's command line, else by its configuration; else it is the default.
//! The file outlives a crash and a reboot; runc's own state has the start time.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::claim::Claim;
use super::reference::is_random;
use super::state_directory::StateDirectory;
use super::stopped::{End, Stopped, layers};
use super::{Runtime, Search, oci};
use crate::text::Text;

#[derive(Default, Deserialize)]
struct Config {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "State")]
    state: State,
    #[serde(rename = "Config")]
    config: Option<Image>,
    #[serde(rename = "Driver", default)]
    driver: String,
    #[serde(rename = "RestartCount")]
    restarts: Option<u64>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(rename = "Pid", default)]
    pid: i32,
    #[serde(rename = "ExitCode")]
    exit_code: Option<i64>,
    #[serde(rename = "OOMKilled")]
    oom_killed: Option<bool>,
    #[serde(rename = "Error")]
    error: Option<String>,
    #[serde(rename = "StartedAt")]
    started: Option<String>,
    #[serde(rename = "FinishedAt")]
    finished: Option<String>,
    #[serde(rename = "Dead", default)]
    is_dead: bool,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "Image")]
    image: Option<String>,
}

/// The configuration file `daemon.json`.
#[derive(Default, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
    #[serde(rename = "exec-root")]
    exec_root: Option<PathBuf>,
}

/// Returns the claims of docker.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    roots(search).iter().flat_map(|(data, exec)| of_root(search, data, exec)).collect()
}

/// Returns what the daemons' files have on each container.
pub(super) fn stored(search: &Search) -> Vec<Stopped> {
    let mut found = Vec::new();
    for (data, _) in roots(search) {
        let Some(data) = search.directory(&data).filter(|data| search.trusts(data.author)) else { continue };
        for directory in container_directories(search, &data) {
            let Some(dir) = search.usable(data.below(&directory)) else { continue };
            let ids = search.usable(dir.names()).unwrap_or_default();
            let ids = ids.iter().filter_map(|id| id.to_str()).filter(|id| is_random(id));
            found.extend(ids.filter_map(|id| of_store(search, &data, &directory, id)));
        }
    }
    found
}

fn of_store(search: &Search, data: &StateDirectory, directory: &str, id: &str) -> Option<Stopped> {
    let file = format!("{directory}/{id}/config.v2.json");
    let config: Config = search.usable(data.json(&file))?;
    let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| Text::from(text.as_str()));
    // Docker writes the first instant of its calendar for "never".
    let time = |time: Option<String>| text(time.filter(|time| !time.starts_with("0001-")));
    let state = config.state;
    let (started, finished) = (time(state.started), time(state.finished));
    let status = match (&finished, state.is_dead) {
        (_, true) => "dead",
        (Some(_), _) => "exited",
        (None, _) => "created",
    };
    let end = End {
        status: Some(Text::from(status)),
        exit_code: state.exit_code.filter(|_| finished.is_some()),
        oom_killed: state.oom_killed,
        error: text(state.error),
        started,
        finished,
        restarts: config.restarts,
        source: Some(Text::from(data.path.join(&file).as_path())),
    };
    let name = config.name.strip_prefix('/').unwrap_or(&config.name);
    Some(Stopped {
        runtime: Runtime::Docker,
        names: vec![name.into()],
        id: Some(id.to_owned()),
        image: config.config.and_then(|config| config.image),
        author: data.author,
        end,
        layers: layers_of(data, directory, id, &config.driver),
    })
}

/// Returns the layers of a container, whose files map the container's id to that of its layer.
fn layers_of(data: &StateDirectory, directory: &str, id: &str, driver: &str) -> Result<Vec<PathBuf>, String> {
    if !["overlay2", "vfs"].contains(&driver) {
        return Err(format!(
            "its files are in the store \"{driver}\", which is not read; with the image store of containerd: \
             ctr -n moby snapshots mounts DIRECTORY {id}"
        ));
    }
    let root = directory.strip_suffix("containers").unwrap_or_default();
    let missing = |_| format!("{}/{root}{driver} has no layer of it", data.path.display());
    let mount = data.read(format!("{root}image/{driver}/layerdb/mounts/{id}/mount-id")).map_err(missing)?;
    let store = data.below(format!("{root}{driver}")).map_err(missing)?;
    layers(&store, driver, String::from_utf8_lossy(&mount).trim())
}

/// Returns the data and run directories of each daemon.
fn roots(search: &Search) -> Vec<(PathBuf, PathBuf)> {
    let mut roots = vec![root(search, Path::new("/etc/docker/daemon.json"), None, None)];
    if search.own != 0
        && let Some(home) = std::env::var_os("HOME")
    {
        // The rootless docker of our own user.
        let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let run = run.unwrap_or_else(|| format!("/run/user/{}", search.own).into());
        roots.push((PathBuf::from(home).join(".local/share/docker"), run.join("docker")));
    }
    for daemon in search.trusted("dockerd") {
        let file = daemon.option(&["--config-file"]).map_or_else(|| "/etc/docker/daemon.json".into(), PathBuf::from);
        let data = daemon.option(&["--data-root", "--graph", "-g"]).map(PathBuf::from);
        let exec = daemon.option(&["--exec-root"]).map(PathBuf::from);
        let root = root(search, &file, data, exec);
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

fn root(search: &Search, config: &Path, data: Option<PathBuf>, exec: Option<PathBuf>) -> (PathBuf, PathBuf) {
    let dir = config.parent().and_then(|parent| search.directory(parent));
    let configured: Option<Daemon> = match (dir, config.file_name()) {
        (Some(dir), Some(name)) if [0, search.own].contains(&dir.author) => search.usable(dir.json(name)),
        _ => None,
    };
    let configured = configured.unwrap_or_default();
    let data = data.or(configured.data_root).unwrap_or_else(|| "/var/lib/docker".into());
    let exec = exec.or(configured.exec_root).unwrap_or_else(|| "/run/docker".into());
    (data, exec)
}

fn of_root(search: &Search, data: &Path, exec: &Path) -> Vec<Claim> {
    let Some(dir) = search.directory(data) else { return Vec::new() };
    let directories = container_directories(search, &dir);
    directories.iter().flat_map(|directory| of_directory(search, &dir, directory, exec)).collect()
}

/// Returns the directories of containers in a data directory.
fn container_directories(search: &Search, dir: &StateDirectory) -> Vec<String> {
    let names = search.usable(dir.names()).unwrap_or_default();
    // With --userns-remap, everything is in a directory that is named after the ids, such as 100000.100000.
    let is_remapped = |name: &str| {
        name.split_once('.').is_some_and(|(uid, gid)| uid.parse::<u32>().is_ok() && gid.parse::<u32>().is_ok())
    };
    let remapped = names.iter().filter_map(|name| name.to_str()).filter(|name| is_remapped(name));
    remapped.map(|name| format!("{name}/containers")).chain(["containers".to_owned()]).collect()
}

fn of_directory(search: &Search, data: &StateDirectory, directory: &str, exec: &Path) -> Vec<Claim> {
    let Some(dir) = search.usable(data.below(directory)) else { return Vec::new() };
    let ids = search.usable(dir.names()).unwrap_or_default();
    let ids = ids.iter().filter_map(|id| id.to_str()).filter(|id| is_random(id));
    let of_container = |id: &str| {
        let config: Config = search.usable(dir.json(format!("{id}/config.v2.json")))?;
        if config.state.pid == 0 {
            return None;
        }
        let name = config.name.strip_prefix('/').unwrap_or(&config.name);
        let runc = search.directory(&exec.join("runtime-runc/moby"));
        let state = runc.and_then(|runc| search.usable(oci::state(&runc, id)));
        // The state of another process, or one from before a restart, says nothing about this process.
        let start_time = state.filter(|state| state.pid == config.state.pid).and_then(|state| state.start_time);
        Some(Claim {
            id: Some(id.to_owned()),
            start_time,
            image: config.config.and_then(|config| config.image),
            ..Claim::new(Runtime::Docker, name, config.state.pid, dir.author)
        })
    };
    ids.filter_map(of_container).collect()
}
