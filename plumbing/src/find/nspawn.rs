//! Containers of systemd-nspawn: those registered with systemd-machined are in /run/systemd/machines; the others
//! (`--register=no`) are children of a systemd-nspawn whose command line names them. `systemd-nspawn(1)`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::claim::{Claim, Group};
use super::getopt::Takes::{Nothing, Value, ValueIfAttached};
use super::getopt::{Grammar, Read};
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
    let line = GRAMMAR.read(&spawner.argv);
    let name = line.value(&["machine", "M"]).or_else(|| named_after_root(&line, || working_directory(spawner)))?;
    let start_time = Some(child.start_time().ok()?);
    Some(Claim { start_time, ..Claim::new(Runtime::Nspawn, name, child.pid(), spawner.author) })
}

/// The options of systemd-nspawn(1).
const GRAMMAR: Grammar = Grammar {
    letters: "hD:u:abL:M:jS:Z:qi:xp:nUE:P",
    longs: &[
        ("help", Nothing),
        ("version", Nothing),
        ("no-pager", Nothing),
        ("quiet", Nothing),
        ("settings", Value),
        ("directory", Value),
        ("template", Value),
        ("ephemeral", Nothing),
        ("image", Value),
        ("image-policy", Value),
        ("oci-bundle", Value),
        ("read-only", Nothing),
        ("volatile", ValueIfAttached),
        ("root-hash", Value),
        ("root-hash-sig", Value),
        ("verity-data", Value),
        ("pivot-root", Value),
        ("as-pid2", Nothing),
        ("boot", Nothing),
        ("chdir", Value),
        ("setenv", Value),
        ("user", Value),
        ("kill-signal", Value),
        ("notify-ready", Value),
        ("suppress-sync", Value),
        ("machine", Value),
        ("hostname", Value),
        ("uuid", Value),
        ("slice", Value),
        ("property", Value),
        ("register", Value),
        ("keep-unit", Nothing),
        ("share-system", Nothing),
        ("private-users", ValueIfAttached),
        ("private-users-chown", Nothing),
        ("private-users-ownership", Value),
        ("private-network", Nothing),
        ("network-interface", Value),
        ("network-macvlan", Value),
        ("network-ipvlan", Value),
        ("network-veth", Nothing),
        ("network-veth-extra", Value),
        ("network-bridge", Value),
        ("network-zone", Value),
        ("network-namespace-path", Value),
        ("port", Value),
        ("capability", Value),
        ("drop-capability", Value),
        ("ambient-capability", Value),
        ("no-new-privileges", Value),
        ("system-call-filter", Value),
        ("selinux-context", Value),
        ("selinux-apifs-context", Value),
        ("rlimit", Value),
        ("oom-score-adjust", Value),
        ("cpu-affinity", Value),
        ("personality", Value),
        ("resolv-conf", Value),
        ("timezone", Value),
        ("link-journal", Value),
        ("bind", Value),
        ("bind-ro", Value),
        ("inaccessible", Value),
        ("tmpfs", Value),
        ("overlay", Value),
        ("overlay-ro", Value),
        ("bind-user", Value),
        ("console", Value),
        ("pipe", Nothing),
        ("background", Value),
        ("set-credential", Value),
        ("load-credential", Value),
    ],
    stops_at_word: true,
};

/// Returns the name without `--machine`: that of the image, the directory, or the current directory. A copy of `-x` has a
/// random end, which only systemd-nspawn knows.
fn named_after_root(line: &Read, current: impl FnOnce() -> Option<PathBuf>) -> Option<OsString> {
    let name = match (line.value(&["image", "i"]), line.value(&["directory", "D"]), line.value(&["oci-bundle"])) {
        (Some(image), ..) => {
            let name = Path::new(&image).file_name()?.as_bytes();
            OsStr::from_bytes(name.strip_suffix(b".raw").unwrap_or(name)).to_owned()
        }
        (_, Some(directory), None) => {
            // The text of the path counts, without `.` at its end; links are followed later.
            let directory = current()?.join(directory);
            directory.components().next_back().and_then(|last| match last {
                Component::Normal(name) => Some(name.to_owned()),
                _ => None,
            })?
        }
        (None, None, None) => current()?.file_name()?.to_owned(),
        _ => return None,
    };
    Some(cleaned(&name)).filter(|name| !name.is_empty())
}

/// Returns a name as systemd makes a host name of it: letters, digits, hyphens, and dots between them, at most 64 of them.
fn cleaned(name: &OsStr) -> OsString {
    let mut kept = Vec::new();
    for byte in name.as_bytes() {
        let last = kept.last().copied();
        let is_kept = match byte {
            b'.' => !matches!(last, None | Some(b'.' | b'-')),
            b'-' => !matches!(last, None | Some(b'.')),
            other => other.is_ascii_alphanumeric(),
        };
        if is_kept && kept.len() < 64 {
            kept.push(*byte);
        }
    }
    while matches!(kept.last(), Some(b'.' | b'-')) {
        kept.pop();
    }
    OsString::from_vec(kept)
}

fn working_directory(spawner: &Process) -> Option<PathBuf> {
    let path = rustix::fs::readlinkat(spawner.target.dir(), "cwd", Vec::new()).ok()?;
    Some(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_machine_without_a_name_is_named_after_its_root() {
        let name = |line: &str| {
            let argv: Vec<OsString> =
                std::iter::once("systemd-nspawn").chain(line.split(' ')).map(Into::into).collect();
            let line = GRAMMAR.read(&argv);
            line.value(&["machine", "M"]).or_else(|| named_after_root(&line, || Some("/srv/m42".into())))
        };
        for (line, expected) in [
            ("-D /srv/web -x", "web"),
            ("-qDr42dir -b", "r42dir"),
            ("-qaD /srv/my_root.d/ sh", "myroot.d"),
            ("-bD.", "m42"),
            ("-q sh -c true", "m42"),
            ("-i /img/web.raw", "web"),
            ("--imag=/img/web.img", "web.img"),
            ("-D /srv/a --mach=b", "b"),
            ("-D /srv/a --private-users -Mb", "b"),
            ("-D /srv/a -- --machine=c", "a"),
            ("-D /srv/a sh -Mc", "a"),
        ] {
            assert_eq!(name(line), Some(expected.into()), "{line}");
        }
        assert_eq!(name("-D /"), None);
    }

    proptest! {
        #[test]
        fn a_state_file_is_read_between_lines_of_any_bytes(odd in prop::collection::vec(any::<u8>(), 0..60)) {
            of_machine("web", &odd, 0);
            // A line of the file with such a key would count.
            let odd: Vec<u8> = odd.into_iter().filter(|byte| *byte != b'=').collect();
            let text = [&odd[..], b"\nCLASS=container\nLEADER=4242\n", &odd].concat();
            prop_assert_eq!(of_machine("web", &text, 0).map(|claim| claim.pid), Some(4242));
        }
    }
}
