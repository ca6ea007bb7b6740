//! `linux.resources.devices` of a bundle: rules for devices. <https://github.com/opencontainers/runtime-spec>,
//! config-linux.md.

use serde::Deserialize;

use crate::device_rules::{Access, Devices, Kind, Rule};

#[derive(Debug, Deserialize)]
pub(super) struct Device {
    allow: bool,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    access: Option<String>,
}

/// Reads the list, in which the last entry that matches decides. After it, the devices are allowed without which hardly a
/// program runs, as other runtimes do.
pub(super) fn devices(list: &[Device]) -> Result<Devices, String> {
    let mut devices = Devices::all();
    for (number, Device { allow, kind, major, minor, access }) in list.iter().enumerate() {
        let wrong = |what: &str| format!("devices[{number}]: {what}");
        let of_number = |text: Option<i64>| match text {
            None | Some(-1) => Ok(None),
            Some(text) => u32::try_from(text).map(Some).map_err(|_| wrong("a number is negative")),
        };
        let (major, minor) = (of_number(*major)?, of_number(*minor)?);
        let access = match access.as_deref() {
            None | Some("") => Access::ALL,
            Some(text) => Access::parse(text).ok_or_else(|| wrong("its access is none of r, w and m"))?,
        };
        let kinds: &[Kind] = match kind.as_deref() {
            None | Some("" | "a") => &[Kind::Block, Kind::Character],
            Some("b") => &[Kind::Block],
            Some("c" | "u") => &[Kind::Character],
            Some(other) => return Err(wrong(&format!("{other:?} is no type of a device"))),
        };
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == Access::ALL {
            devices = if *allow { Devices::all() } else { Devices::none() };
            continue;
        }
        kinds.iter().for_each(|kind| devices.push(Rule { allow: *allow, kind: *kind, major, minor, access }));
    }
    if !devices.allows_all() {
        devices.push_usual();
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::super::tests::parsed;
    use super::*;

    #[test]
    fn a_list_of_devices_begins_anywhere_and_ends_with_the_usual_ones() {
        let list = r#"{"devices":[{"allow":true,"type":"c","major":9,"minor":9},{"allow":false,"access":"rwm"},
                       {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}"#;
        let mut expected = Devices::none();
        let access = Access::parse("rw").unwrap();
        expected.push(Rule { allow: true, kind: Kind::Character, major: Some(10), minor: Some(229), access });
        expected.push_usual();
        assert_eq!(parsed(list).unwrap().devices, Some(expected));
        assert!(parsed(r#"{"devices":[{"allow":true}]}"#).unwrap().devices.is_some_and(|it| it.allows_all()));
    }
}
