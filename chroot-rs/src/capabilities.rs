//! `--capabilities` and `--capability-set`: the capabilities that the command keeps. Pure. `capabilities(7)`.

use plumbing::confinement::privilege::{
    DEFAULT_CAPABILITIES, DOCKER_CAPABILITIES, PODMAN_CAPABILITIES, SET_NAMES, capability_names, capability_set,
};
use plumbing::pipeline::record::FiveSets;

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

const VALID: &str = "valid are all, none, or a list of default, docker, podman and names, as in default,NET_RAW";

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
    let valid = || format!("valid is SET=NAMES, where SET is one of {}", SET_NAMES.join(", "));
    let (name, names) = text.split_once('=').filter(|(name, _)| SET_NAMES.contains(name)).ok_or_else(valid)?;
    match parse(names)? {
        Capabilities::Only(capabilities) => Ok(OneSet { name: name.to_owned(), capabilities }),
        Capabilities::Unchanged => {
            let all = capability_names(rustix::thread::CapabilitySet::all());
            Ok(OneSet { name: name.to_owned(), capabilities: all })
        }
    }
}

/// Returns the sets that these options name; `None` without one.
pub(crate) fn five_sets(named: &[OneSet]) -> Option<FiveSets> {
    let mut five = FiveSets::default();
    for OneSet { name, capabilities } in named {
        five.named(name).map(|set| *set = Some(capabilities.clone())).unwrap_or_default();
    }
    (!named.is_empty()).then_some(five)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_presets_or_names() {
        assert_eq!(parse("all"), Ok(Capabilities::Unchanged));
        assert_eq!(parse("none"), Ok(Capabilities::Only(Vec::new())));
        assert!(parse("docker,fly").unwrap_err().contains("valid are"));
        assert!(parse("all,chown").unwrap_err().contains("valid are"));
        assert_eq!(parse("default,net_raw,mknod"), parse("docker"));
        assert!(matches!(parse("default"), Ok(Capabilities::Only(names)) if names.len() == 12));
        assert!(matches!(parse("podman"), Ok(Capabilities::Only(names)) if names.len() == 11));
    }

    #[test]
    fn a_set_has_a_name_and_capabilities() {
        let five =
            five_sets(&[parse_one_set("ambient=kill").unwrap(), parse_one_set("bounding=none").unwrap()]).unwrap();
        assert_eq!((five.ambient, five.bounding), (Some(vec!["CAP_KILL".to_owned()]), Some(Vec::new())));
        for wrong in ["kill", "fly=kill", "ambient=fly", "ambient"] {
            assert!(parse_one_set(wrong).is_err(), "{wrong}");
        }
    }
}
