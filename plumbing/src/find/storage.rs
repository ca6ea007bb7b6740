//! Containers of podman and CRI-O, which use the same kind of store: `DRIVER-containers/containers.json` contains the
//! names, `DRIVER-containers/ID/userdata` the configuration and the pid; `containers-storage.conf(5)`.
//!
//! The parent of each podman container is a monitor, conmon, whose command line contains the container's name and the
//! directories of the store. So containers of another user can be found without reading that user's files.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::json;

use super::claim::Claim;
use super::kubernetes::{self, Annotations};
use super::state_directory::StateDirectory;
use super::stopped::{self, End, Stopped};
use super::{Runtime, Search, oci};
use crate::text::Text;

/// One store: a directory of permanent files, and one of files that do not outlive a reboot.
#[derive(Debug, PartialEq, Eq)]
struct Store {
    graph: PathBuf,
    run: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    names: Option<Vec<String>>,
    /// The metadata: JSON in a string.
    metadata: Option<String>,
    /// The topmost layer of its files.
    #[serde(default)]
    layer: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image: Option<String>,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Annotations,
}

/// The content of CRI-O's `state.json`.
#[derive(Deserialize)]
struct State {
    #[serde(default)]
    pid: i32,
    status: Option<String>,
    #[serde(rename = "exitCode")]
    exit_code: Option<i64>,
    #[serde(rename = "oomKilled")]
    oom_killed: Option<bool>,
    error: Option<String>,
    started: Option<String>,
    finished: Option<String>,
}

/// Returns the claims of the stores.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    let states = oci::roots(search);
    stores(search).iter().flat_map(|store| of_store(search, store, &states)).collect()
}

/// Returns what the stores have on each container.
pub(super) fn stored(search: &Search) -> Vec<Stopped> {
    let mut found = Vec::new();
    for store in stores(search) {
        let Some(graph) = search.directory(&store.graph).filter(|graph| search.trusts(graph.author)) else { continue };
        let drivers = search.usable(graph.names()).unwrap_or_default();
        for driver in drivers.iter().filter_map(|name| name.to_str()?.strip_suffix("-containers")) {
            let entries = search.usable(graph.json::<Vec<Entry>>(format!("{driver}-containers/containers.json")));
            let of_entry = |entry| stored_entry(search, &graph, driver, entry);
            found.extend(entries.unwrap_or_default().into_iter().filter_map(of_entry));
        }
    }
    found
}

fn stored_entry(search: &Search, graph: &StateDirectory, driver: &str, entry: Entry) -> Option<Stopped> {
    let Entry { id, names, metadata, layer } = entry;
    if id.contains('/') || id.starts_with('.') {
        return None;
    }
    let data = format!("{driver}-containers/{id}/userdata");
    let config: Config = search.usable(graph.json(format!("{data}/config.json"))).unwrap_or_default();
    let is_crio = config.annotations.get("io.container.manager").is_some_and(|manager| manager == "cri-o");
    let metadata: Metadata = metadata.and_then(|text| json::of_text(&text).ok()).unwrap_or_default();
    let names = names.unwrap_or_default();
    let names = if names.is_empty() { vec![id.clone().into()] } else { names.iter().map(Into::into).collect() };
    let layers = match driver {
        "overlay" | "vfs" => graph.below(driver).map_err(|_| "the store has no layers".to_owned()),
        other => Err(format!("its files are in the store \"{other}\", which is not read")),
    };
    Some(Stopped {
        runtime: if is_crio { Runtime::CriO } else { Runtime::Podman },
        names,
        image: metadata.image.filter(|image| !image.is_empty()),
        author: graph.author,
        end: end(search, graph, &data, &config),
        layers: layers.and_then(|store| stopped::layers(&store, driver, &layer)),
        id: Some(id),
    })
}

/// Returns how it ended: CRI-O writes a file. Podman has it in its database, and only conmon's mark of an OOM kill in a
/// file.
fn end(search: &Search, graph: &StateDirectory, data: &str, config: &Config) -> End {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| Text::from(text.as_str()));
    let restarts = config.annotations.get("io.kubernetes.container.restartCount").and_then(|count| count.parse().ok());
    let file = format!("{data}/state.json");
    let source = |file: &str| Some(Text::from(graph.path.join(file).as_path()));
    match search.usable(graph.json::<State>(&file)) {
        Some(state) => End {
            status: text(state.status),
            exit_code: state.exit_code,
            oom_killed: state.oom_killed,
            error: text(state.error),
            started: text(state.started),
            finished: text(state.finished),
            restarts,
            source: source(&file),
        },
        None => {
            let oom_killed = graph.read(format!("{data}/oom")).is_ok().then_some(true);
            End { oom_killed, restarts, source: source(data), ..End::default() }
        }
    }
}

/// Returns the claims of the monitors.
pub(super) fn monitored(search: &Search) -> Vec<Claim> {
    let of_monitor = |monitor: &super::Process| {
        let (id, name) = (monitor.option(&["-c", "--cid"])?, monitor.option(&["-n", "--name"])?);
        // Not the runtime, which makes the container, nor the process that cleans up after it: those are programs of
        // the host, and entering one of them would lead to the host.
        let child = monitor.child_elsewhere()?;
        // The names of CRI-O's containers are composed from the fields of Kubernetes.
        let is_crio = name.to_str().is_some_and(|name| name.starts_with("k8s_"));
        let runtime = if is_crio { Runtime::CriO } else { Runtime::Podman };
        Some(Claim {
            id: id.into_string().ok(),
            start_time: Some(child.start_time().ok()?),
            ..Claim::new(runtime, name, child.pid(), monitor.author)
        })
    };
    // With --exec, conmon monitors another command in a container, which is not its first process.
    let monitors = search.processes.iter().filter(|it| it.program == "conmon");
    let monitors = monitors.filter(|it| !it.argv.iter().any(|word| word == "-e" || word == "--exec"));
    monitors.filter_map(of_monitor).collect()
}

fn stores(search: &Search) -> Vec<Store> {
    let etc = search.directory("/etc/containers".as_ref());
    let text = etc.and_then(|etc| search.usable(etc.read("storage.conf"))).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut stores = vec![Store {
        graph: setting(text.lines(), "graphroot").unwrap_or_else(|| "/var/lib/containers/storage".into()),
        run: setting(text.lines(), "runroot").unwrap_or_else(|| "/run/containers/storage".into()),
    }];
    if search.own != 0
        && let Some(home) = std::env::var_os("HOME")
    {
        let run = format!("/run/user/{}", search.own);
        let run = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| run.into(), PathBuf::from).join("containers");
        stores.push(Store { graph: PathBuf::from(home).join(".local/share/containers/storage"), run });
    }
    for monitor in search.trusted("conmon") {
        let store = monitor.option(&["-b", "--bundle"]).zip(monitor.option(&["-p", "--container-pidfile"]));
        let store = store.and_then(|(graph, run)| Some(Store { graph: above(&graph, 3)?, run: above(&run, 4)? }));
        stores.extend(store.filter(|store| !stores.contains(store)));
    }
    stores
}

fn above(path: &std::ffi::OsStr, steps: usize) -> Option<PathBuf> {
    Path::new(path).ancestors().nth(steps).map(Path::to_owned)
}

/// Reads `KEY = "VALUE"` in a TOML file, as far as paths need the syntax.
pub(super) fn setting<'a>(lines: impl IntoIterator<Item = &'a str>, key: &str) -> Option<PathBuf> {
    let value = lines.into_iter().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))?;
    let quoted = value.trim().strip_prefix(['"', '\''])?;
    let end = quoted.find(['"', '\''])?;
    (end > 0).then(|| PathBuf::from(&quoted[..end]))
}

fn of_store(search: &Search, store: &Store, states: &[(Runtime, StateDirectory)]) -> Vec<Claim> {
    let Some(graph) = search.directory(&store.graph) else { return Vec::new() };
    let Some(run) = search.directory(&store.run) else { return Vec::new() };
    let mut claims = Vec::new();
    let drivers = search.usable(graph.names()).unwrap_or_default();
    for driver in drivers.iter().filter_map(|name| name.to_str()).filter(|name| name.ends_with("-containers")) {
        let entries: Option<Vec<Entry>> = search.usable(graph.json(format!("{driver}/containers.json")));
        let entries = entries.unwrap_or_default();
        let of_entry = |entry: Entry| of_entry(search, [&graph, &run], driver, entry, states);
        claims.extend(entries.into_iter().filter_map(of_entry));
    }
    claims
}

fn of_entry(
    search: &Search,
    [graph, run]: [&StateDirectory; 2],
    driver: &str,
    entry: Entry,
    states: &[(Runtime, StateDirectory)],
) -> Option<Claim> {
    let Entry { id, names, metadata, .. } = entry;
    // It becomes a component of paths.
    if id.contains('/') || id.starts_with('.') {
        return None;
    }
    let data = format!("{driver}/{id}/userdata");
    // Another user could claim anything about a container that is not running.
    let states = states.iter().filter(|(_, root)| [0, graph.author].contains(&root.author));
    let state = states.into_iter().find_map(|(_, root)| search.usable(oci::state(root, &id)));
    let by_file = || search.usable(run.pid(format!("{data}/pidfile")));
    let by_state = || search.usable(graph.json::<State>(format!("{data}/state.json"))).map(|state| state.pid);
    let pid = state.as_ref().map(|state| state.pid).or_else(by_file).or_else(by_state).filter(|pid| *pid != 0)?;
    let config: Option<Config> = search.usable(graph.json(format!("{data}/config.json")));
    let config = config.or_else(|| search.usable(run.json(format!("{data}/config.json")))).unwrap_or_default();
    let is_crio = config.annotations.get("io.container.manager").is_some_and(|manager| manager == "cri-o");
    let metadata: Metadata = metadata.and_then(|text| json::of_text(&text).ok()).unwrap_or_default();
    let mut claim = Claim {
        start_time: state.and_then(|state| state.start_time),
        image: metadata.image.filter(|image| !image.is_empty()),
        ..Claim::new(if is_crio { Runtime::CriO } else { Runtime::Podman }, "", pid, graph.author)
    };
    let names = names.unwrap_or_default();
    claim.names = if names.is_empty() { vec![id.clone().into()] } else { names.iter().map(Into::into).collect() };
    claim.id = Some(id);
    kubernetes::describe(&mut claim, &config.annotations, &kubernetes::CRIO);
    Some(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_quoted_path() {
        let text = "# graphroot = \"/no\"\n[storage]\n  graphroot=\"/a b\" # here\nrunroot = '/c'\nstate = \"\"\n";
        assert_eq!(setting(text.lines(), "graphroot"), Some("/a b".into()));
        assert_eq!(setting(text.lines(), "runroot"), Some("/c".into()));
        assert_eq!(setting(text.lines(), "state"), None);
    }
}
