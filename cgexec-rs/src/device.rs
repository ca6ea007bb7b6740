//! The disk on which a path is, as the io controller names it: `MAJOR:MINOR`. `sysfs(5)`, `stat(2)`.
//!
//! The surprise: the controller accepts whole disks only. A partition, and a file system without a disk of its own
//! (overlay, tmpfs, btrfs), are refused with a bare ENODEV; so the disk is looked up here, or the reason is given.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use plumbing::process::{kernel_text, mountinfo};

/// Nested file systems that are looked through, at most.
const NESTED: usize = 8;

/// Returns the disk of `MAJOR:MINOR`, of a device node, or of the file system that a path is in.
pub(crate) fn disk(text: &str) -> Result<String, String> {
    if let Some(numbers) = numbers(text) {
        return whole(numbers);
    }
    let mut path = PathBuf::from(text);
    for _ in 0..NESTED {
        let metadata = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let device = if metadata.file_type().is_block_device() { metadata.rdev() } else { metadata.dev() };
        let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
        // File systems without a disk of their own have numbers of major 0.
        if numbers.0 != 0 {
            return whole(numbers);
        }
        path = below(numbers, &path)?;
    }
    Err(format!("more than {NESTED} file systems lie on each other"))
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns the disk of a device, which may be a partition of it.
fn whole((major, minor): (u32, u32)) -> Result<String, String> {
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if !device.exists() {
        return Err(format!("there is no block device {major}:{minor} ({})", device.display()));
    }
    if !device.join("partition").exists() {
        return Ok(format!("{major}:{minor}"));
    }
    // The directory of a partition is in that of its disk.
    let file = fs::canonicalize(&device).map(|partition| partition.join("../dev"));
    let text = file.and_then(kernel_text::read).map_err(|error| format!("{}: {error}", device.display()))?;
    Ok(text.trim_end().to_owned())
}

/// Returns where a file system without a disk keeps its files.
fn below(device: (u32, u32), path: &Path) -> Result<PathBuf, String> {
    let mounts = mountinfo::own().map_err(|fault| fault.to_string())?;
    let Some(mount) = mounts.iter().find(|mount| mount.device == device) else {
        return Err(format!("the file system of {} has no disk of its own", path.display()));
    };
    let option = |name: &str| mount.super_options.split(',').find_map(|option| option.strip_prefix(name));
    match mount.fs_type.as_str() {
        // Whatever is written goes there.
        "overlay" => match option("upperdir=") {
            Some(upper) if Path::new(upper).exists() => Ok(PathBuf::from(upper)),
            Some(upper) => Err(format!(
                "it is on an overlay, whose upper directory {upper} is not visible from here; name the disk"
            )),
            None => Err("it is on an overlay without an upper directory, so nothing is written to a disk".to_owned()),
        },
        "btrfs" => match fs::metadata(&mount.source) {
            Ok(node) if node.file_type().is_block_device() => Ok(PathBuf::from(&mount.source)),
            _ => {
                Err(format!("it is on btrfs, and its device {} is not visible from here; name the disk", mount.source))
            }
        },
        other => Err(format!("it is on {other}, which has no disk of its own; name the disk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_disk_is_refused_with_the_reason() {
        assert!(disk("/proc").unwrap_err().contains("proc"));
        assert!(disk("/no/such/file").unwrap_err().contains("/no/such/file"));
        assert!(disk("4095:1048575").unwrap_err().contains("4095:1048575"));
    }
}
