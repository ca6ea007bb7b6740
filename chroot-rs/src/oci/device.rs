//! A device of `config.json`, as an entry of our list: made by `mknod(2)`, or in a user namespace bound from the host. No I/O here.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::config;
use crate::entry::{Bind, Device, Entry, What};
use crate::facts::Facts;
use crate::mount_options::place;

/// Returns the place of a device, and the device.
pub(super) fn read(device: &config::Device) -> Result<(PathBuf, Device), String> {
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        other => return Err(format!("unknown device type {other:?}")),
    };
    let config::Device { major, minor, .. } = *device;
    let mode = match device.file_mode.unwrap_or(0o666) {
        mode @ ..=0o7777 => mode,
        // Some engines copy the whole mode of a device of the host.
        mode if FileType::from_raw_mode(mode) == kind && mode & !0o177_777 == 0 => mode & 0o7777,
        mode => return Err(format!("the fileMode {mode} of its device {:?} is not a mode of it", device.path)),
    };
    let owner = (device.uid, device.gid);
    Ok((place(device.path.as_os_str())?, Device { kind, major, minor, mode, owner }))
}

/// Returns the entry that makes it, or that binds the host's.
pub(super) fn entry(facts: &Facts, path: &Path, device: &Device) -> Entry {
    let why = "one of the bundle's devices; mknod(2)";
    if facts.makes_devices || device.kind == FileType::Fifo {
        Entry::new(path, What::Device(*device), why)
    } else {
        let bind = Bind { source: path.to_owned(), ..Bind::device("null", (device.major, device.minor)) };
        Entry::new(path, What::Bind(bind), "no device can be made in a user namespace, so the host's is bound")
    }
}
