//! Containers of LXC (also those of LXD and Incus): the parent of each is a monitor whose command line names it, `[lxc
//! monitor] DIRECTORY NAME`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::claim::{Claim, Group};
use super::getopt::Grammar;
use super::getopt::Takes::{Nothing, Value};
use super::processes::{LXC_MONITOR, Process};
use super::stopped::{End, Stopped};
use super::{Runtime, Search};
use crate::text::Text;

/// Returns the claims of the monitors.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    search.processes.iter().filter_map(of_monitor).collect()
}

/// Returns the containers that have a configuration.
pub(super) fn stored(search: &Search) -> Vec<Stopped> {
    let mut places = vec![PathBuf::from("/var/lib/lxc")];
    if search.own != 0
        && let Some(home) = std::env::var_os("HOME")
    {
        places.push(PathBuf::from(home).join(".local/share/lxc"));
    }
    let mut found = Vec::new();
    for place in places {
        let Some(dir) = search.directory(&place).filter(|dir| search.trusts(dir.author)) else { continue };
        for name in search.usable(dir.names()).unwrap_or_default() {
            let Some(text) = search.usable(dir.read(Path::new(&name).join("config"))) else { continue };
            let source = Some(Text::from(place.join(&name).join("config").as_path()));
            found.push(Stopped {
                runtime: Runtime::Lxc,
                names: vec![name],
                id: None,
                image: None,
                author: dir.author,
                end: End { source, ..End::default() },
                layers: root(&String::from_utf8_lossy(&text)),
            });
        }
    }
    found
}

/// Returns the directories of `lxc.rootfs.path`: a directory, or `overlay:LOWER:UPPER`; `lxc.container.conf(5)`.
fn root(config: &str) -> Result<Vec<PathBuf>, String> {
    let values = config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["lxc.rootfs.path", "lxc.rootfs"].contains(&key.trim()).then(|| value.trim())
    });
    let value = values.reduce(|_, last| last).ok_or("its configuration names no root")?;
    let directory = value.strip_prefix("dir:").unwrap_or(value);
    if directory.starts_with('/') {
        return Ok(vec![directory.into()]);
    }
    let overlay = value.strip_prefix("overlay:").or_else(|| value.strip_prefix("overlayfs:"));
    let overlay = overlay.ok_or_else(|| format!("its root is not a directory: {value}"))?;
    Ok(overlay.split(':').rev().map(PathBuf::from).collect())
}

fn of_monitor(monitor: &Process) -> Option<Claim> {
    let name: OsString = match monitor.program {
        LXC_MONITOR => {
            // A name contains no space; a directory can.
            let title = monitor.argv.first()?.to_str()?;
            title.strip_prefix(LXC_MONITOR)?.rsplit_once(' ')?.1.into()
        }
        "lxc-start" => named(&STARTING, monitor)?,
        "lxc-execute" => named(&EXECUTING, monitor)?,
        _ => return None,
    };
    let child = monitor.contained_child()?;
    let start_time = Some(child.start_time().ok()?);
    let group = name.to_str().map(|name: &str| Group::Component(format!("lxc.payload.{name}")));
    Some(Claim { start_time, group, ..Claim::new(Runtime::Lxc, name, child.pid(), monitor.author) })
}

/// Returns the name: that of the option, or else the first word.
fn named(grammar: &Grammar, monitor: &Process) -> Option<OsString> {
    let line = grammar.read(&monitor.argv);
    if line.has(&["name", "n"]) { line.value(&["name", "n"]) } else { line.words.first().cloned() }
}

/// The options of lxc-start(1).
const STARTING: Grammar = Grammar {
    letters: "n:dFp:f:c:L:Cs:o:l:qP:?",
    longs: &[
        ("name", Value),
        ("daemon", Nothing),
        ("foreground", Nothing),
        ("pidfile", Value),
        ("rcfile", Value),
        ("console", Value),
        ("console-log", Value),
        ("close-all-fds", Nothing),
        ("define", Value),
        ("share-net", Value),
        ("share-ipc", Value),
        ("share-uts", Value),
        ("share-pid", Value),
        ("logfile", Value),
        ("logpriority", Value),
        ("quiet", Nothing),
        ("lxcpath", Value),
        ("help", Nothing),
        ("usage", Nothing),
        ("version", Nothing),
    ],
    stops_at_word: false,
};

/// The options of lxc-execute(1).
const EXECUTING: Grammar = Grammar {
    letters: "n:df:s:u:g:o:l:qP:?",
    longs: &[
        ("name", Value),
        ("daemon", Nothing),
        ("rcfile", Value),
        ("define", Value),
        ("uid", Value),
        ("gid", Value),
        ("logfile", Value),
        ("logpriority", Value),
        ("quiet", Nothing),
        ("lxcpath", Value),
        ("help", Nothing),
        ("usage", Nothing),
        ("version", Nothing),
    ],
    stops_at_word: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_directory_or_an_overlay() {
        let of = |text: &str| root(text);
        assert_eq!(of("lxc.rootfs.path = dir:/a b\n"), Ok(vec!["/a b".into()]));
        assert_eq!(
            of("# x\nlxc.rootfs=/a\nlxc.rootfs.path=overlay:/lower:/upper"),
            Ok(vec!["/upper".into(), "/lower".into()])
        );
        assert!(of("").is_err() && of("lxc.rootfs.path = zfs:tank/x").is_err());
    }

    #[test]
    fn a_name_is_an_option_or_the_first_word() {
        for (line, expected) in [
            ("lxc-start -Fn m42", "m42"),
            ("lxc-start -F --nam m42", "m42"),
            ("lxc-start -FP /p m42", "m42"),
            ("lxc-start m42 -F", "m42"),
            ("lxc-start -F -s lxc.x=-n -nm42", "m42"),
        ] {
            let argv: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let read = STARTING.read(&argv);
            let name = read.value(&["name", "n"]).or_else(|| read.words.first().cloned());
            assert_eq!(name, Some(expected.into()), "{line}");
        }
    }
}
