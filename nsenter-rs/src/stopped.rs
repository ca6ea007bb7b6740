//! `--find NAME --stopped` and `--list --containers --all`: containers that do not run, with a command that opens their
//! files. `overlayfs` in the kernel's documentation.

use plumbing::process::startup;
use plumbing::text::Text;
use plumbing::{Fault, Status};
use serde_json::json;

use crate::find::{self, Reference, Stopped};

/// Prints how to open the files of a container that does not run, or its description as JSON.
pub(crate) fn print(reference: &Reference, json: bool) -> Result<Status, Fault> {
    let found = find::stopped(Some(reference))?;
    let name = reference.shown();
    let only = match &found[..] {
        [only] => only,
        [] => {
            return Err(Fault::new(format!(
                "cannot find a stopped container named \"{name}\": no store of docker, podman, CRI-O or LXC that we may \
                 read has one that does not run"
            ))
            .with_remedy("--list --containers --all lists them; containerd keeps its list in a database: ctr containers ls"));
        }
        several => {
            let described: Vec<_> = several
                .iter()
                .map(|it| format!("{} ({} {})", it.shown(), it.runtime.name(), it.id.as_deref().unwrap_or("-")))
                .collect();
            let text = format!("cannot decide which container \"{name}\" means: {}", described.join("; "));
            return Err(Fault::new(text).with_remedy("use its id, or RUNTIME:NAME"));
        }
    };
    if json {
        return startup::print(&line(only)?);
    }
    let command = only.command().map_err(|why| Fault::new(format!("cannot open the files of {name}: {why}")))?;
    startup::print(&format!("{command}\n"))
}

/// Returns its description as JSON on one line.
pub(crate) fn line(stopped: &Stopped) -> Result<String, Fault> {
    let name = Text(stopped.names.first().cloned().unwrap_or_default());
    let files = match stopped.command() {
        Ok(command) => {
            let layers = stopped.layers.iter().flatten().map(|layer| Text::from(layer.as_path()));
            json!({"layers": layers.collect::<Vec<_>>(), "command": command})
        }
        Err(why) => json!({"unreadable": why}),
    };
    let (runtime, user) = (stopped.runtime.name(), stopped.author);
    let container = json!({"runtime": runtime, "id": stopped.id, "image": stopped.image, "user": user});
    plumbing::json::line(
        "the container",
        &json!({"stopped": true, "name": name, "container": container, "end": stopped.end, "files": files}),
    )
}

/// Returns the cells of the table of containers.
pub(crate) fn cells(stopped: &Stopped) -> [String; 9] {
    let end = &stopped.end;
    let status = end.status.as_ref().map_or_else(|| "stopped".to_owned(), Text::shown);
    let code = end.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
    let time =
        end.finished.as_ref().or(end.started.as_ref()).map(|time| format!(" {}", time.shown())).unwrap_or_default();
    let runtime = match stopped.author {
        0 => stopped.runtime.name().to_owned(),
        user => format!("{}@{user}", stopped.runtime.name()),
    };
    let image = stopped.image.as_deref().map_or_else(|| "-".to_owned(), |image| Text::from(image).shown());
    let [pid, own, shared, users, cgroup] = std::array::from_fn(|_| "-".to_owned());
    [stopped.shown(), runtime, pid, image, own, shared, users, cgroup, format!("{status}{code}{time}")]
}
