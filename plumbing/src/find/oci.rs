//! The state that runc, crun and compatible runtimes keep of a running container: its pid, and the start time of that
//! process.
//!
//! runc writes `/run/runc/ID/state.json`, crun `/run/crun/ID/status`; the files of a user are in /run/user/UID.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::claim::Claim;
use super::state_directory::{StateDirectory, Unusable};
use super::{Runtime, Search};

/// The state that one of the runtimes recorded.
pub(super) struct State {
    pub(super) pid: i32,
    pub(super) start_time: Option<u64>,
}

#[derive(Deserialize)]
struct Runc {
    init_process_pid: i32,
    /// A number; a string before runc 1.0.
    init_process_start: Value,
}

#[derive(Deserialize)]
struct Crun {
    pid: i32,
    #[serde(rename = "process-start-time")]
    start_time: Option<u64>,
}

/// Reads the state of a container from a runtime's directory.
pub(super) fn state(root: &StateDirectory, id: &str) -> Result<State, Unusable> {
    match root.json::<Crun>(format!("{id}/status")) {
        Err(Unusable::Absent) => {}
        state => return state.map(|Crun { pid, start_time }| State { pid, start_time }),
    }
    let Runc { init_process_pid: pid, init_process_start: start } = root.json(format!("{id}/state.json"))?;
    let start_time = start.as_u64().or_else(|| start.as_str()?.parse().ok());
    Ok(State { pid, start_time })
}

/// Returns the directories in which both runtimes keep their containers, those of root and of each user.
pub(super) fn roots(search: &Search) -> Vec<(Runtime, StateDirectory)> {
    let kinds = [(Runtime::Crun, "crun"), (Runtime::Runc, "runc")];
    let mut roots = Vec::new();
    for (runtime, name) in kinds {
        let system = search.directory(&PathBuf::from("/run").join(name));
        roots.extend(system.map(|dir| (runtime, dir)));
    }
    for user in users(search) {
        roots.extend(kinds.iter().filter_map(|(runtime, name)| Some((*runtime, search.usable(user.below(name))?))));
    }
    roots
}

/// Returns each user's directory for files that last only as long as the user is logged in.
fn users(search: &Search) -> Vec<StateDirectory> {
    let of_user = |name: std::ffi::OsString| {
        let uid = name.to_str()?.parse().ok()?;
        if uid == 0 || (search.own != 0 && search.own != uid) {
            return None;
        }
        search.directory_of(uid, &PathBuf::from("/run/user").join(name))
    };
    let names = search.directory("/run/user".as_ref()).and_then(|dir| search.usable(dir.names()));
    let mut users: Vec<_> = names.unwrap_or_default().into_iter().filter_map(of_user).collect();
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|_| search.own != 0);
    if let Some(own) = own.filter(|own| users.iter().all(|user| user.path != *own)) {
        users.extend(search.directory_of(search.own, &own));
    }
    users
}

/// Returns the claims of runc and crun.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (runtime, root) in roots(search) {
        let ids = match search.one_of(root.author) {
            Some(wanted) => wanted.ids(|| search.usable(root.names()).unwrap_or_default()),
            None => search.usable(root.names()).unwrap_or_default(),
        };
        for id in ids.iter().filter_map(|id| id.to_str()) {
            let Some(state) = search.usable(state(&root, id)) else { continue };
            claims.push(Claim {
                id: Some(id.to_owned()),
                start_time: state.start_time,
                ..Claim::new(runtime, id, state.pid, root.author)
            });
        }
    }
    claims
}
