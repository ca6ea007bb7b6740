//! Containers of systemd-nspawn: those registered with systemd-machined are in /run/systemd/machines; the others
//! (`--register=no`) are children of a systemd-nspawn whose command line names them. `systemd-nspawn(1)`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::claim::{Claim, Group};
use super::processes::Process;
use super::{Runtime, Search};

/// Returns the claims of systemd-machined.
pub(super) fn registered(search: &Search) -> Vec<Claim> {
    let Some(machines) = search.directory("/run/systemd/machines".as_ref()) else { return Vec::new() };
    let names = search.usable(machines.names()).unwrap_or_default();
    // For each NAME, there is also a link `unit:UNIT` to it.
    let names = names.iter().filter_map(|name| name.to_str()).filter(|name| !name.starts_with("unit:"));
    names.filter_map(|name| of_machine(name, &search.usable(machines.read(name))?, machines.author)).collect()
}

fn of_machine(name: &str, text: &[u8], author: u32) -> Option<Claim> {
    let text = String::from_utf8_lossy(text);
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    if fields.get("CLASS") != Some(&"container") {
        return None;
    }
    let unit = fields.get("SCOPE").or_else(|| fields.get("UNIT")).map(|unit| unit.trim_matches('"'));
    Some(Claim {
        // All zeros if no id was given.
        id: fields.get("ID").filter(|id| id.bytes().any(|byte| byte != b'0')).map(|id| (*id).to_owned()),
        group: Some(Group::Component(unit.unwrap_or_default().to_owned())).filter(|_| unit.is_some()),
        ..Claim::new(Runtime::Nspawn, name, fields.get("LEADER")?.parse().ok()?, author)
    })
}

/// Returns the claims of systemd-nspawn itself.
pub(super) fn unregistered(search: &Search) -> Vec<Claim> {
    let spawners = search.processes.iter().filter(|process| process.program == "systemd-nspawn");
    spawners.filter_map(of_spawner).collect()
}

fn of_spawner(spawner: &Process) -> Option<Claim> {
    let child = spawner.contained_child()?;
    let name = spawner.option(&["--machine", "-M"]).or_else(|| named_after_root(spawner))?;
    let start_time = Some(child.start_time().ok()?);
    Some(Claim { start_time, ..Claim::new(Runtime::Nspawn, name, child.pid(), spawner.author) })
}

/// Returns the name of the directory or image, which is the default name without `--machine`.
fn named_after_root(spawner: &Process) -> Option<OsString> {
    if let Some(image) = spawner.option(&["--image", "-i"]) {
        return Path::new(&image).file_stem().map(OsString::from);
    }
    let directory = spawner.option(&["--directory", "-D"]).map(PathBuf::from);
    directory?.file_name().map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_file_of_machined_is_parsed() {
        let text = "# This is private data. Do not parse.\nNAME=web\nSCOPE=machine-web.scope\nSERVICE=systemd-nspawn\n\
            ROOT=/var/lib/machines/web\nID=a68be8a0b2a84cbaa1a52b0d1c2d3e4f\nLEADER=4242\nCLASS=container\nREALTIME=1\n";
        let claim = of_machine("web", text.as_bytes(), 0).unwrap();
        assert_eq!((claim.pid, claim.id.as_deref()), (4242, Some("a68be8a0b2a84cbaa1a52b0d1c2d3e4f")));
        assert_eq!(claim.group, Some(Group::Component("machine-web.scope".into())));
        assert!(of_machine("vm", text.replace("container", "vm").as_bytes(), 0).is_none());
    }
}
