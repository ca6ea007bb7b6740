//! User, group and supplementary groups. `credentials(7)`, `user_namespaces(7)`.
//!
//! Groups are changed first and the user last: a process that is no longer root may change neither.

use nix::errno::Errno;
use rustix::thread::{CapabilitySet, Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::capabilities::explain_missing;
use super::id::require;
use crate::Fault;
use crate::kernel::{call, look};
use crate::process::procfs;

/// Changes the ids that are given.
pub fn change(uid: Option<u32>, gid: Option<u32>, groups: Option<&[u32]>) -> Result<(), Fault> {
    // Whichever option named them: the change was asked for, and the kernel would ignore it.
    gid.iter()
        .chain(groups.unwrap_or_default())
        .try_for_each(|gid| require(format_args!("change to group {gid}"), *gid))?;
    uid.map_or(Ok(()), |uid| require(format_args!("change to user {uid}"), uid))?;
    if let Some(groups) = groups {
        set_groups(groups)?;
    }
    if let Some(gid) = gid {
        let id = Gid::from_raw(gid);
        let text = format!("setresgid({gid}, {gid}, {gid})");
        call(format!("change to group {gid}"), text, "real, effective and saved group; credentials(7)", || {
            set_thread_res_gid(id, id, id)
        })
        .map_err(|fault| explain_unmapped(fault, &[gid], "gid_map", CapabilitySet::SETGID))?;
    }
    if let Some(uid) = uid {
        let id = Uid::from_raw(uid);
        let text = format!("setresuid({uid}, {uid}, {uid})");
        call(format!("change to user {uid}"), text, "real, effective and saved user; credentials(7)", || {
            set_thread_res_uid(id, id, id)
        })
        .map_err(|fault| explain_unmapped(fault, &[uid], "uid_map", CapabilitySet::SETUID))?;
    }
    Ok(())
}

/// Returns whether a user namespace forbids setgroups(2) for good, from the text of /proc/PID/setgroups.
///
/// It does if an unprivileged user wrote the gid_map: a group can also *deny* access to a file, so leaving one would be
/// a gain. A caller that only wants to start clean then leaves `groups` out; they appear as the overflow group inside.
pub fn setgroups_is_denied(proc_setgroups: &str) -> bool {
    proc_setgroups.trim_end() == "deny"
}

fn set_groups(groups: &[u32]) -> Result<(), Fault> {
    let ids: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let now = look("read our supplementary groups", "getgroups()", rustix::process::getgroups)?;
    if ids.is_empty() && now.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = groups.iter().map(u32::to_string).collect();
    let text = format!("setgroups({}, [{}])", ids.len(), listed.join(", "));
    let goal = if listed.is_empty() {
        "leave the supplementary groups".to_owned()
    } else {
        format!("change to the supplementary groups {}", listed.join(", "))
    };
    call(goal, text, "the command must not keep the groups of our caller; credentials(7)", || set_thread_groups(&ids))
        .map_err(|fault| explain_groups(fault, groups))
}

fn explain_groups(fault: Fault, groups: &[u32]) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) if own("setgroups").is_some_and(|text| setgroups_is_denied(&text)) => fault.with_remedy(
            "/proc/self/setgroups is \"deny\" here, because an unprivileged user wrote the gid_map of this user \
             namespace; map ids with newgidmap (--map-auto), or ask for no groups",
        ),
        _ => explain_unmapped(fault, groups, "gid_map", CapabilitySet::SETGID),
    }
}

fn explain_unmapped(fault: Fault, ids: &[u32], map: &str, right: CapabilitySet) -> Fault {
    let unmapped = || {
        let text = own(map)?;
        ids.iter().find(|id| !is_mapped(&text, **id))
    };
    match (fault.errno(), unmapped()) {
        (Some(Errno::EINVAL), Some(id)) => {
            fault.with_remedy(format!("{id} is not mapped in this user namespace: /proc/self/{map} has no line for it"))
        }
        _ => explain_missing(fault, right),
    }
}

fn own(file: &str) -> Option<String> {
    procfs::read_text(&format!("self/{file}")).ok()
}

/// Returns whether an id map (a line is `inside outside count`) contains this inside id; `user_namespaces(7)`.
pub fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&id.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_map_is_read_as_ranges() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 65536) && !is_mapped(map, 65537));
        assert!(is_mapped("0 0 4294967295", u32::MAX - 1));
    }
}
