//! The guest's whole disk: a cpio archive in the format "newc", which the kernel unpacks at boot. The format is in
//! Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::{Architecture, X86_64, modules, programs};
use crate::suite::Suite;
use crate::workspace::{self, TOOLS};

/// Packs the suite, the tools, busybox, and the files that the kernel needs.
pub fn pack(kernel: &Kernel, architecture: &Architecture, suite: &Suite) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.executable("/init", &suite.programs.join("vm-init"))?;
    archive.executable("/tests/suite", &suite.programs.join("suite"))?;
    if let Some(filter) = &suite.filter {
        archive.file("/tests/filter", 0o644, filter.as_bytes())?;
    }
    for tool in TOOLS {
        archive.executable(&format!("/tools/{tool}"), &suite.tools.join(tool))?;
    }
    let mut order = String::new();
    for module in modules::in_load_order(kernel)? {
        archive.file(&format!("/modules/{}", module.name), 0o644, &module.bytes)?;
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("/modules/order", 0o644, order.as_bytes())?;
    for (from, to) in programs::with_libraries(architecture)? {
        archive.executable(&to.to_string_lossy(), &from)?;
    }
    archive.file("/tests/selinux.policy", 0o644, &selinux_policy()?)?;
    busybox(&mut archive, architecture)?;
    let passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\nuser:x:54321:54321:user:/tmp:/bin/sh\n";
    archive.file("/etc/passwd", 0o644, passwd.as_bytes())?;
    archive.file("/etc/group", 0o644, b"root:x:0:\ndaemon:x:1:\nuser:x:54321:\n")?;
    archive.file("/etc/subuid", 0o644, b"")?;
    archive.file("/etc/subgid", 0o644, b"")?;
    archive.folder("/root")?;
    archive.folder("/home")?;
    archive.finish()
}

/// Packs the smallest system: a busybox, and the text of the first program.
pub fn pack_small(init: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.executable("/bin/busybox", &programs::busybox(&X86_64)?)?;
    archive.file("/init", 0o755, init.as_bytes())?;
    archive.finish()
}

/// Compiles the policy that the rows about SELinux load into the kernel.
fn selinux_policy() -> Result<Vec<u8>> {
    let compiled = super::folder()?.join("selinux.policy");
    let source = workspace::root()?.join("tests/policy/selinux.conf");
    let checkpolicy = workspace::program("checkpolicy").context("checkpolicy is not installed")?;
    // The policy allows everything that it does not name.
    let mut command = Command::new(checkpolicy);
    workspace::must(command.args(["-U", "allow", "-o"]).arg(&compiled).arg(source))?;
    fs::read(&compiled).with_context(|| format!("cannot read {}", compiled.display()))
}

fn busybox(archive: &mut Archive, architecture: &Architecture) -> Result<()> {
    archive.executable("/bin/busybox", &programs::busybox(architecture)?)?;
    // The packages of one suite have the same applets on every architecture.
    for applet in workspace::stdout_of(Command::new("busybox").arg("--list"))?.lines() {
        if applet != "busybox" {
            archive.link(&format!("/bin/{applet}"), "busybox")?;
        }
    }
    // The usual path, which works also with a changed PATH.
    archive.link("/usr/bin/env", "/bin/busybox")
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const TRAILER: &str = "TRAILER!!!";

/// The archive, as it grows.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    pub fn executable(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(path, 0o755, &content)
    }

    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.folders_above(path)?;
        self.entry(path, FILE | mode, content)
    }

    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.folders_above(path)?;
        self.entry(path, LINK | 0o777, target.as_bytes())
    }

    pub fn folder(&mut self, path: &str) -> Result<()> {
        self.folder_with(path, 0o755)
    }

    fn folder_with(&mut self, path: &str, mode: u32) -> Result<()> {
        if !path.is_empty() && self.folders.insert(path.to_owned()) {
            self.folders_above(path)?;
            self.entry(path, FOLDER | mode, b"")?;
        }
        Ok(())
    }

    /// Adds a folder of this machine with everything in it that `wanted` accepts, by its path in the guest.
    pub fn tree(&mut self, from: &Path, to: &str, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        let mut entries: Vec<_> = fs::read_dir(from)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = format!("{to}/{}", entry.file_name().to_string_lossy());
            let status = entry.metadata()?;
            if !wanted(&path) {
                continue;
            }
            if status.is_dir() {
                self.folder_with(&path, status.mode() & 0o7777)?;
                self.tree(&entry.path(), &path, wanted)?;
            } else if status.is_symlink() {
                self.link(&path, &fs::read_link(entry.path())?.to_string_lossy())?;
            } else {
                self.file(&path, status.mode() & 0o7777, &fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Adds the folders of a path. The kernel does not make folders by itself, and ignores a file without one.
    fn folders_above(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((folder, _)) => self.folder(folder),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let name = path.trim_start_matches('/');
        let (size, name_size) = (u32::try_from(content.len())?, u32::try_from(name.len() + 1)?);
        self.entries += 1;
        // magic; then inode, mode, uid, gid, links, mtime, size, device (2), of a special file (2), name size, check sum
        self.bytes.extend(b"070701");
        for field in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.align();
        self.bytes.extend(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(TRAILER, 0, b"")?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_follows_its_folders_and_is_aligned() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", 0o644, b"12345").unwrap();
        let text = String::from_utf8(archive.finish().unwrap()).unwrap();
        let starts: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        let names: Vec<_> = starts.iter().map(|at| text[at + 110..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", TRAILER]);
        assert_eq!(&text[starts[2] + 14..starts[2] + 22], "000081a4");
    }
}
