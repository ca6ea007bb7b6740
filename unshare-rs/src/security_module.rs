//! Security modules that refuse user namespaces: AppArmor since Linux 6.7, and before that in Ubuntu's kernels;
//! SELinux since 6.1. `user_namespaces(7)`; the kernel's admin guide, `LSM/apparmor` and `LSM/SELinux`.
//!
//! Each of them shows the label of a process in /proc/self/attr, and the reason of a refusal only in its log. For
//! AppArmor the label names the profile; SELinux can be asked again whether it allows the operation.

use plumbing::confinement::{security_label, selinux};
use plumbing::process::kernel_text;

/// Returns which module refuses user namespaces, and what to change.
pub(crate) fn remedy() -> Option<String> {
    apparmor().or_else(selinux)
}

/// Checks Ubuntu's restriction, which allows user namespaces only to programs whose profile says so. Other kernels do
/// not have this sysctl.
pub(crate) fn restriction() -> Option<String> {
    let path = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    kernel_text::read(path).is_ok_and(|value| value.trim() == "1").then(|| {
        "kernel.apparmor_restrict_unprivileged_userns is 1 here: AppArmor allows user namespaces only to programs \
        whose profile has the rule \"userns,\"; add such a profile for unshare-rs to /etc/apparmor.d, or set the \
        sysctl to 0"
            .into()
    })
}

fn apparmor() -> Option<String> {
    /// The profile that Ubuntu's restriction gives to a process that makes a user namespace without permission.
    const RESTRICTED: &str = "unprivileged_userns";
    let label = security_label::own(security_label::APPARMOR)?;
    match label.strip_suffix(" (enforce)") {
        None | Some(RESTRICTED) => restriction(),
        Some(profile) => Some(format!(
            "AppArmor confines us by the profile {profile:?}, which has no rule \"userns,\"; add the rule, and load \
             the profile again with apparmor_parser --replace"
        )),
    }
}

/// Asks SELinux. It controls user namespaces if its policy has a class for them, and allows what the policy does not
/// know.
fn selinux() -> Option<String> {
    let context = security_label::own(security_label::CURRENT)?;
    (selinux::is_enforcing() && !selinux::is_allowed(&context, &context, "user_namespace", "create")?).then(|| {
        let domain = security_label::domain(&context);
        format!(
            "SELinux does not allow {context} to create user namespaces; add to the policy: allow {domain} \
            self:user_namespace create; audit2allow(1) makes a policy module from the log"
        )
    })
}
