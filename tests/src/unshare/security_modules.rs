//! Security modules that refuse user namespaces: the error names the module and the missing rule, and with that rule it
//! works. A kernel has either AppArmor or SELinux; each virtual machine has one of them.

use std::fs;

use super::apparmor_policy::{Profile, remove};
use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::world::World;

/// The rows of this topic.
pub const ROWS: &[Row] = &[Row::new(
    "the error names the security module that refuses user namespaces, and the missing rule",
    &[Need::UserNamespaces],
    |world| {
        if is_apparmor() {
            apparmor(world);
        } else {
            selinux(world);
        }
    },
)
.root_only()
.vm_only()];

/// Reports whether the module of this machine is AppArmor.
pub fn is_apparmor() -> bool {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").expect("/sys/kernel/security/lsm");
    let is_active = |name: &str| modules.split(',').any(|module| module.trim() == name);
    assert!(is_active("apparmor") || is_active("selinux"), "neither AppArmor nor SELinux: {modules}");
    is_active("apparmor")
}

/// Lets SELinux enforce the policy while `during` runs. The policy is tests/policy/selinux.conf, compiled when the
/// virtual machine was built. It cannot be unloaded; outside its domains it forbids nothing.
pub fn enforcing(during: impl FnOnce()) {
    let policy = fs::read("/tests/selinux.policy").expect("the policy");
    fs::write("/sys/fs/selinux/load", policy).expect("load the policy");
    fs::write("/sys/fs/selinux/enforce", "1").expect("enforce the policy");
    during();
    fs::write("/sys/fs/selinux/enforce", "0").expect("end the enforcement");
}

/// Command lines that make a user namespace in different ways.
const LINES: [&str; 4] = [
    "unshare-rs --user true",
    "unshare-rs --map-root-user --mount --pid --fork true",
    "unshare-rs --map-users 0:10:10 true",
    "unshare-rs --hold --ttl 60 --map-root-user --net | { nsenter-rs --pipe --rm -- true; }",
];

fn apparmor(world: &World) {
    let confined = |line: &str| world.sh(&format!("echo changeprofile suite >/proc/self/attr/current && {line}"));
    Profile::default().load("suite");
    for line in LINES {
        let remedy = "remedy: AppArmor confines us by the profile \"suite\", which has no rule \"userns,\"";
        confined(line).fails_with(125).stderr_has("EACCES").stderr_has(remedy);
    }
    let mut profile = Profile { may_make_user_namespaces: true, ..Profile::default() };
    profile.load("suite");
    let (held, others) = LINES.split_last().expect("lines");
    for line in others {
        confined(line).succeeds();
    }
    // Its init runs from a sealed copy, which has no path.
    confined(held)
        .fails_with(125)
        .stderr_has("EACCES")
        .stderr_has("remedy: AppArmor")
        .stderr_has("attach_disconnected");
    profile.attaches_disconnected = true;
    profile.load("suite");
    confined(held).succeeds();
    remove("suite");
    Profile::default().load(RESTRICTED);
    imitated_restriction(world);
    remove(RESTRICTED);
    restriction(world);
}

/// The profile that Ubuntu's kernel gives to a process that makes a user namespace without permission.
const RESTRICTED: &str = "unprivileged_userns";

/// Imitates Ubuntu's sysctl, which no other kernel has, by a bind mount over /proc/sys/kernel. The profile that belongs
/// to the sysctl works in every kernel.
fn imitated_restriction(world: &World) {
    for (value, is_named) in [("1", true), ("0", false)] {
        for line in &LINES[..3] {
            let outcome = world.sh(&format!(
                "unshare --mount sh -ec 'mkdir -p switches; echo {value} >switches/apparmor_restrict_unprivileged_userns
                 mount --bind switches /proc/sys/kernel; echo changeprofile {RESTRICTED} >/proc/self/attr/current; {line}'"
            ));
            let outcome = outcome.fails_with(125).stderr_has("EACCES");
            let remedy = "remedy: kernel.apparmor_restrict_unprivileged_userns is 1 here: AppArmor allows user namespaces only to";
            assert_eq!(outcome.stderr.contains(remedy), is_named, "{outcome}");
        }
    }
}

/// Checks Ubuntu's sysctl, which other kernels do not have.
fn restriction(world: &World) {
    const SWITCH: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    let Ok(old) = fs::read_to_string(SWITCH) else { return };
    let as_user = |line: &str| world.sh(&format!("setpriv --reuid 54321 --regid 54321 --clear-groups {line}"));
    for (value, status) in [("1", 125), ("0", 0)] {
        fs::write(SWITCH, value).expect("set the switch");
        for line in ["unshare-rs --user true", "unshare-rs -r true", "unshare-rs -r --mount --net true"] {
            let outcome = as_user(line).fails_with(status);
            assert_eq!(
                outcome.stderr.contains("remedy: kernel.apparmor_restrict_unprivileged_userns is 1"),
                value == "1"
            );
        }
    }
    fs::write(SWITCH, old).expect("set the switch back");
}

fn selinux(world: &World) {
    let within = |domain: &str, line: &str| {
        world.sh(&format!("printf system_u:system_r:{domain} >/proc/self/attr/current && {line}"))
    };
    enforcing(|| {
        for line in LINES {
            let remedy = "remedy: SELinux does not allow system_u:system_r:refused_t to create user namespaces; \
                          add to the policy: allow refused_t self:user_namespace create";
            within("refused_t", line).fails_with(125).stderr_has("EACCES").stderr_has(remedy);
            within("allowed_t", line).succeeds();
        }
    });
}
