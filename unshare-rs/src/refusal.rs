//! Why the kernel refused to make namespaces: EPERM and ENOSPC have many causes, each looked up before it is told.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::namespace::{Kind, KindSet};

/// `CAP_SYS_ADMIN` of <linux/capability.h>.
const CAP_SYS_ADMIN: u32 = 21;

/// Adds the verified cause of a refusal, where one is found.
pub(crate) fn explain<T>(kinds: KindSet, outcome: Result<T, Fault>) -> Result<T, Fault> {
    outcome.map_err(|fault| match cause(kinds, fault.errno()) {
        Some(remedy) => fault.with_remedy(remedy),
        None => fault,
    })
}

fn cause(kinds: KindSet, errno: Option<Errno>) -> Option<String> {
    match errno? {
        Errno::ENOSPC => exhausted(kinds),
        Errno::EPERM if kinds.contains(Kind::User) => user_namespaces_forbidden(),
        Errno::EPERM if !has_sys_admin()? => Some(
            "CAP_SYS_ADMIN is missing here; add --user --map-root-user to have it in a namespace of your own".into(),
        ),
        _ => None,
    }
}

/// A limit of 0 refuses the kind; other values may be reached, or the nesting is 32 deep.
fn exhausted(kinds: KindSet) -> Option<String> {
    kinds.iter().find_map(|kind| {
        let sysctl = format!("user.max_{}_namespaces", kind.proc_name());
        let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
        let limit = std::fs::read_to_string(path).ok()?;
        (limit.trim() == "0").then(|| format!("{sysctl} is 0 here; raise it with sysctl"))
    })
}

fn user_namespaces_forbidden() -> Option<String> {
    let is = |path: &str, value: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") && !has_sys_admin()? {
        return Some("kernel.unprivileged_userns_clone is 0 here; set it to 1 with sysctl".into());
    }
    let own_root = rustix::fs::stat("/proc/self/root/.").ok()?;
    let init_root = rustix::fs::stat("/proc/1/root/.").ok()?;
    if (own_root.st_dev, own_root.st_ino) != (init_root.st_dev, init_root.st_ino) {
        return Some(
            "we are in a chroot, where the kernel refuses user namespaces; enter by pivot_root instead".into(),
        );
    }
    None
}

fn has_sys_admin() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let bits = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(bits & (1 << CAP_SYS_ADMIN) != 0)
}
