//! `cgcreate`: makes groups, with those above them, and gives them away. `cgcreate(1)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::command_line::regular;
use plumbing::kernel::call;
use plumbing::process::accounts;
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, Gid, Mode, Uid, chmodat, chownat};

use super::spec::{is_missing, may, offers};
use crate::ephemeral;
use crate::existing::Existing;
use crate::refusal::explain;
use crate::removal::{New, files};
use crate::sites::{is_cpuset_v1, same_cpus};

/// A command line of cgcreate.
#[derive(Debug)]
pub(crate) struct Create {
    pub(super) groups: Vec<Existing>,
    pub(super) admin: Option<Owner>,
    pub(super) task: Option<Owner>,
    pub(super) dperm: Option<u32>,
    pub(super) fperm: Option<u32>,
    pub(super) tperm: Option<u32>,
}

/// `USER:GROUP`, by names or numbers; either may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    user: Vec<u8>,
    group: Vec<u8>,
}

impl Owner {
    /// Parses `USER:GROUP`.
    pub(super) fn read(word: &OsStr) -> Result<Owner, String> {
        let bytes = word.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':').ok_or("expected USER:GROUP")?;
        Ok(Owner { user: bytes[..colon].to_owned(), group: bytes[colon + 1..].to_owned() })
    }

    fn ids(&self) -> Result<(Option<Uid>, Option<Gid>), Fault> {
        Ok((id_of("/etc/passwd", &self.user)?.map(Uid::from_raw), id_of("/etc/group", &self.group)?.map(Gid::from_raw)))
    }
}

/// The longest passwd or group file that is read.
const LONGEST: u64 = 16 << 20;

fn id_of(table: &str, name: &[u8]) -> Result<Option<u32>, Fault> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(number) = accounts::id(name) {
        return Ok(Some(number));
    }
    let text = regular::read(Path::new(table), LONGEST)?.unwrap_or_default();
    let found = accounts::id_of(&text, name);
    let shown = String::from_utf8_lossy(name);
    found.map(Some).ok_or_else(|| Fault::new(format!("cannot find {shown:?} in {table}")).with_status(super::INVALID))
}

/// Parses a mode in octal.
pub(super) fn mode(word: &OsStr) -> Result<u32, String> {
    let mode = word.to_str().and_then(|word| u32::from_str_radix(word, 8).ok()).filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| "expected a mode in octal, such as 755".to_owned())
}

impl Create {
    /// Makes the groups; removes what it made if one of them cannot be made.
    pub(super) fn apply(&self) -> Result<(), Fault> {
        let owners = (ids(self.admin.as_ref())?, ids(self.task.as_ref())?);
        make_groups(&self.groups, &Hierarchies::discover()?, |leaf| self.give(leaf, owners))
    }

    fn give(&self, group: &Group, (admin, task): (Ids, Ids)) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let members = if group.version == 2 { "cgroup.procs" } else { "tasks" };
        let names = files(group)?;
        for name in names.iter().map(String::as_str) {
            change(group, name, admin, self.fperm)?;
        }
        change(group, ".", admin, self.dperm)?;
        change(group, members, task, self.tperm)
    }
}

/// Makes the groups that are missing.
pub(super) fn make_all(groups: &[Existing], all: &Hierarchies) -> Result<(), Fault> {
    make_groups(groups, all, |_| Ok(()))
}

fn make_groups(
    groups: &[Existing],
    all: &Hierarchies,
    give: impl Fn(&Group) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut made = Vec::new();
    let done = groups.iter().try_for_each(|group| {
        for (controllers, hierarchy) in group.hierarchies(all)? {
            give(&make(hierarchy, &controllers, group.path(), &mut made)?)?;
        }
        Ok(())
    });
    if done.is_err() {
        take_back(&made);
    }
    done
}

type Ids = (Option<Uid>, Option<Gid>);

fn ids(owner: Option<&Owner>) -> Result<Ids, Fault> {
    owner.map_or(Ok((None, None)), Owner::ids)
}

fn change(group: &Group, name: &str, owner: Ids, mode: Option<u32>) -> Result<(), Fault> {
    let path = group.shown().join(name);
    let dir = || group.dir().ok_or(rustix::io::Errno::NOENT);
    if owner != (None, None) {
        let id = |id: Option<u32>| id.map_or("-1".to_owned(), |id| id.to_string());
        let (uid, gid) = (id(owner.0.map(Uid::as_raw)), id(owner.1.map(Gid::as_raw)));
        let text = format!("fchownat({:?}, {name:?}, {uid}, {gid}, 0)", group.shown());
        call(format!("change the owner of {}", path.display()), text, "the owner may change the group", || {
            chownat(dir()?, name, owner.0, owner.1, AtFlags::empty())
        })?;
    }
    if let Some(mode) = mode.map(|mode| as_far_as_offered(group, name, mode)) {
        let text = format!("fchmodat({:?}, {name:?}, 0{mode:o})", group.shown());
        call(format!("change the mode of {}", path.display()), text, "who may read and change the group", || {
            chmodat(dir()?, name, Mode::from_raw_mode(mode), AtFlags::empty())
        })?;
    }
    Ok(())
}

/// Takes away what the kernel offers to nobody: a file that cannot be written has no bit for it.
fn as_far_as_offered(group: &Group, name: &str, mode: u32) -> u32 {
    let lacks = |bit| name != "." && !may(group, name, bit);
    let without = |mode: u32, bit: Mode, bits: u32| if lacks(bit) { mode & !bits } else { mode };
    without(without(mode, Mode::RUSR, 0o444), Mode::WUSR, 0o222)
}

/// A group that this run made, with the one above it.
type Made = (Group, New);

/// Makes the group at `path`, below the mount point, and returns it. On v2, the controllers are enabled on the way to it.
fn make(hierarchy: &Hierarchy, controllers: &[String], path: &Path, made: &mut Vec<Made>) -> Result<Group, Fault> {
    let root = hierarchy.mount_root().unwrap_or(Path::new("/"));
    let mut at = root.to_owned();
    let mut group = hierarchy.open(root)?;
    if group.version == 2 {
        offers(&group, controllers)?;
    }
    for name in path.components() {
        enable(&group, controllers)?;
        at.push(name);
        group = match hierarchy.open(&at) {
            Err(fault) if is_missing(&fault) => {
                let inner = group.begin(name.as_os_str(), "a group of this name, as cgcreate asks");
                let inner = inner.map_err(|fault| explain(fault, &group, "."))?;
                let settings = if is_cpuset_v1(hierarchy) { same_cpus(&group, &[])? } else { Vec::new() };
                let new = New::of(name.as_os_str(), &inner)?;
                made.push((group, new));
                settings.iter().try_for_each(|setting| ephemeral::apply(&inner, setting))?;
                inner.finish()?;
                inner
            }
            opened => {
                let opened = opened?;
                // Another run may be making it, and groups in it get its CPUs.
                opened.wait_finished()?;
                opened
            }
        };
    }
    Ok(group)
}

fn enable(group: &Group, controllers: &[String]) -> Result<(), Fault> {
    if group.version != 2 || controllers.is_empty() || narrate::is_dry_run() {
        return Ok(());
    }
    let enabled = group.read("cgroup.subtree_control")?;
    let missing = controllers.iter().filter(|name| !enabled.split(' ').any(|known| known == *name));
    let words: Vec<_> = missing.map(|name| format!("+{name}")).collect();
    if words.is_empty() {
        return Ok(());
    }
    let why = "a group can limit its children only with the controllers in this file";
    let written = group.write("cgroup.subtree_control", &words.join(" "), why);
    written.map_err(|fault| explain(fault, group, "cgroup.subtree_control"))
}

fn take_back(made: &[Made]) {
    for (above, new) in made.iter().rev() {
        if let Err(fault) = new.remove_from(above, "another group could not be made, so this one goes, too") {
            narrate::remark(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_modes_are_parsed() {
        let owner = Owner::read(OsStr::new("web:")).unwrap();
        assert_eq!((owner.user.as_slice(), owner.group.as_slice()), (&b"web"[..], &b""[..]));
        assert!(Owner::read(OsStr::new("web")).is_err());
        assert_eq!((mode("755".as_ref()), mode("0640".as_ref())), (Ok(0o755), Ok(0o640)));
        for wrong in ["", "8", "rw", "17777"] {
            assert!(mode(wrong.as_ref()).is_err(), "{wrong}");
        }
        assert_eq!(id_of("/etc/passwd", b"0").unwrap(), Some(0));
        assert!(id_of("/etc/passwd", b"no-such-user").is_err());
    }
}
