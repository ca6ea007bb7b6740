//! Security modules that are against user namespaces: AppArmor since Linux 6.7, and before that in Ubuntu's kernels;
//! SELinux since 6.1. `user_namespaces(7)`; the kernel's admin guide, `LSM/apparmor` and `LSM/SELinux`.
//!
//! Each of them says what it makes of a process in /proc/self/attr, and why it refused in its log only. AppArmor's word
//! is its profile; SELinux answers the question itself, once more.

use std::fs;

use plumbing::selinux;

/// What is in the way, and what to do about it.
pub(crate) fn remedy() -> Option<String> {
    apparmor().or_else(selinux)
}

/// Ubuntu's restriction: user namespaces for those only whose profile says so. Elsewhere there is no such switch.
pub(crate) fn restriction() -> Option<String> {
    let path = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    fs::read_to_string(path).is_ok_and(|value| value.trim() == "1").then(|| {
        "kernel.apparmor_restrict_unprivileged_userns is 1 here: AppArmor allows it to programs whose profile has \
         \"userns,\"; give unshare-rs one in /etc/apparmor.d, or set it to 0 with sysctl"
            .into()
    })
}

fn apparmor() -> Option<String> {
    /// Where Ubuntu's restriction puts whoever made a user namespace without leave.
    const RESTRICTED: &str = "unprivileged_userns";
    let label = attribute("apparmor/current")?;
    match label.strip_suffix(" (enforce)") {
        None | Some(RESTRICTED) => restriction(),
        Some(profile) => Some(format!(
            "AppArmor confines us by the profile {profile:?}, which has no rule \"userns,\"; add it, and load the profile \
             again with apparmor_parser --replace"
        )),
    }
}

/// SELinux knows of user namespaces where its policy has a class for them, and allows what the policy does not know.
fn selinux() -> Option<String> {
    let context = attribute("current")?;
    (selinux::is_enforcing() && !selinux::is_allowed(&context, &context, "user_namespace", "create")?).then(|| {
        let domain = context.split(':').nth(2).unwrap_or(&context);
        format!(
            "SELinux does not allow it to {context}; add to the policy: allow {domain} self:user_namespace create; \
             audit2allow(1) makes a module of that"
        )
    })
}

/// What a security module makes of us. The files end with a NUL or a new line, or with neither.
fn attribute(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/self/attr/{name}")).ok()?;
    Some(text.trim_end_matches(['\0', '\n']).to_owned()).filter(|text| !text.is_empty())
}
