//! `--capabilities` and `--capability-set`: the capabilities that the command keeps. `capabilities(7)`.

use plumbing::confinement::privilege::{
    DEFAULT_CAPABILITIES, DOCKER_CAPABILITIES, PODMAN_CAPABILITIES, SET_NAMES, capability_names, capability_set,
};
use plumbing::kernel::look;
use plumbing::pipeline::record::{FiveSets, Process};
use plumbing::{Fault, narrate};
use rustix::thread::CapabilitySet;

/// The value of `--capabilities`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Capabilities {
    /// These capabilities only.
    Only(Vec<String>),
    /// All capabilities of the caller.
    Unchanged,
}

/// Parses `all`, `none`, or a list of capabilities and presets, as in `docker` or `default,NET_RAW`.
pub(crate) fn parse(text: &str) -> Result<Capabilities, String> {
    match text {
        "all" => Ok(Capabilities::Unchanged),
        "none" => Ok(Capabilities::Only(Vec::new())),
        listed => {
            let names: Vec<_> = listed.split(',').flat_map(preset).collect();
            let set = capability_set(&names).map_err(|fault| format!("{fault}; {VALID}"))?;
            Ok(Capabilities::Only(capability_names(set)))
        }
    }
}

const VALID: &str = "expected all, none, or a list of default, docker, podman and names, as in default,NET_RAW";

/// Returns the names for a word of the list.
fn preset(word: &str) -> Vec<&str> {
    match word {
        "default" => DEFAULT_CAPABILITIES.to_vec(),
        "docker" => DOCKER_CAPABILITIES.to_vec(),
        "podman" => PODMAN_CAPABILITIES.to_vec(),
        name => vec![name],
    }
}

/// One of the five capability sets, with its capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneSet {
    name: String,
    capabilities: Vec<String>,
}

/// Parses `ambient=NET_RAW`.
pub(crate) fn parse_one_set(text: &str) -> Result<OneSet, String> {
    let valid = || format!("expected SET=NAMES, where SET is one of {}", SET_NAMES.join(", "));
    let (name, names) = text.split_once('=').filter(|(name, _)| SET_NAMES.contains(name)).ok_or_else(valid)?;
    match parse(names)? {
        Capabilities::Only(capabilities) => Ok(OneSet { name: name.to_owned(), capabilities }),
        Capabilities::Unchanged => {
            let all = capability_names(all());
            Ok(OneSet { name: name.to_owned(), capabilities: all })
        }
    }
}

/// Returns all capabilities that have a name: the type has room for more.
fn all() -> CapabilitySet {
    CapabilitySet::all().iter_names().map(|(_, capability)| capability).collect()
}

/// Returns the sets that these options name; `None` without one.
pub(crate) fn five_sets(named: &[OneSet]) -> Option<FiveSets> {
    let mut five = FiveSets::default();
    for OneSet { name, capabilities } in named {
        five.named(name).map(|set| *set = Some(capabilities.clone())).unwrap_or_default();
    }
    (!named.is_empty()).then_some(five)
}

/// Reports the capabilities that were asked for and that the command does not get: those that we do not have ourselves, and
/// those of the ambient set that are not permitted and inheritable, too. `of_bundle`: a list of all capabilities is meant
/// literally.
pub(crate) fn report_missing(process: &Process, of_bundle: bool) -> Result<(), Fault> {
    let held = look("read our capabilities", "capget(0)", || rustix::thread::capabilities(None))?.permitted;
    let (missing, not_ambient) = missing(process, held, of_bundle)?;
    if !missing.is_empty() {
        let names = capability_names(missing).join(", ");
        let fault = Fault::new(format!("cannot give the command {names}: this process does not have it"));
        narrate::caution(
            fault.with_remedy("run as a user, or in a container, with these capabilities, or do not ask for them"),
        )?;
    }
    if !not_ambient.is_empty() {
        let names = capability_names(not_ambient).join(", ");
        let why = "what is ambient must be permitted and inheritable";
        let fault = Fault::new(format!("cannot put {names} into the ambient set: {why}"));
        narrate::caution(fault.with_remedy("add them to the permitted and the inheritable set"))?;
    }
    Ok(())
}

fn missing(process: &Process, held: CapabilitySet, of_bundle: bool) -> Result<(CapabilitySet, CapabilitySet), Fault> {
    let none = FiveSets::default();
    let five = process.capability_sets.as_ref().unwrap_or(&none);
    let set = |names: &Option<Vec<String>>| names.as_deref().map(capability_set).transpose();
    let lists =
        [&process.capabilities, &five.bounding, &five.permitted, &five.effective, &five.inheritable, &five.ambient];
    let mut asked = CapabilitySet::empty();
    for list in lists {
        let named = set(list)?.unwrap_or(CapabilitySet::empty());
        // The word `all` means what there is.
        if of_bundle || named != all() {
            asked |= named;
        }
    }
    let ambient = set(&five.ambient)?.unwrap_or(CapabilitySet::empty());
    let permitted = set(&five.permitted)?.or(set(&process.capabilities)?).unwrap_or(held);
    let inheritable = set(&five.inheritable)?.unwrap_or(ambient);
    Ok((asked - held, (ambient & held) - (permitted & inheritable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_presets_or_names() {
        assert_eq!(parse("all"), Ok(Capabilities::Unchanged));
        assert_eq!(parse("none"), Ok(Capabilities::Only(Vec::new())));
        assert!(parse("docker,fly").unwrap_err().contains("expected"));
        assert!(parse("all,chown").unwrap_err().contains("expected"));
        assert_eq!(parse("default,net_raw,mknod"), parse("docker"));
        assert!(matches!(parse("default"), Ok(Capabilities::Only(names)) if names.len() == 12));
        assert!(matches!(parse("podman"), Ok(Capabilities::Only(names)) if names.len() == 11));
    }

    #[test]
    fn what_was_asked_for_and_is_not_there_is_found() {
        let names = |text: &str| Some(text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let held = CapabilitySet::CHOWN | CapabilitySet::KILL;
        let of = |process: &Process| missing(process, held, true).unwrap();
        let list = Process { capabilities: names("CAP_CHOWN,CAP_SYS_RESOURCE"), ..Process::default() };
        assert_eq!(of(&list), (CapabilitySet::SYS_RESOURCE, CapabilitySet::empty()));
        let five = |five: FiveSets| Process { capability_sets: Some(five), ..Process::default() };
        let ambient = || FiveSets { ambient: names("CAP_KILL,CAP_CHOWN"), ..FiveSets::default() };
        assert_eq!(of(&five(ambient())).1, CapabilitySet::empty());
        let empty = Some(Vec::new());
        assert_eq!(of(&five(FiveSets { permitted: empty, ..ambient() })).1, held);
        assert_eq!(of(&five(FiveSets { inheritable: names("CAP_KILL"), ..ambient() })).1, CapabilitySet::CHOWN);
        let all = five(FiveSets { ambient: Some(capability_names(all())), ..FiveSets::default() });
        assert!(missing(&all, held, false).unwrap().0.is_empty() && !of(&all).0.is_empty());
    }

    #[test]
    fn a_set_has_a_name_and_capabilities() {
        let five =
            five_sets(&[parse_one_set("ambient=kill").unwrap(), parse_one_set("bounding=none").unwrap()]).unwrap();
        assert_eq!((five.ambient, five.bounding), (Some(vec!["CAP_KILL".to_owned()]), Some(Vec::new())));
        let all = parse_one_set("ambient=all").unwrap();
        assert!(capability_set(&all.capabilities).is_ok_and(|set| set.contains(CapabilitySet::SYS_ADMIN)));
        for wrong in ["kill", "fly=kill", "ambient=fly", "ambient"] {
            assert!(parse_one_set(wrong).is_err(), "{wrong}");
        }
    }
}
