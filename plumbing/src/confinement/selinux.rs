//! Queries to SELinux: what its policy would allow. `selinux(8)`; the kernel's `security/selinux/selinuxfs.c`.
//!
//! It reports its reasons only in its log; but it answers the query itself, again.

use std::fs;
use std::io::{Read, Write};

use crate::process::kernel_text;

const FOLDER: &str = "/sys/fs/selinux";

/// Reports whether SELinux gives labels to processes here.
pub fn is_active() -> bool {
    fs::metadata(format!("{FOLDER}/enforce")).is_ok()
}

/// Reports whether SELinux enforces its policy; false without SELinux.
pub fn is_enforcing() -> bool {
    enforce().is_some_and(|value| value == "1")
}

/// Reports whether SELinux only logs what its policy forbids; false without SELinux.
pub fn is_permissive() -> bool {
    enforce().is_some_and(|value| value == "0")
}

fn enforce() -> Option<String> {
    Some(kernel_text::read(format!("{FOLDER}/enforce")).ok()?.trim().to_owned())
}

/// Returns whether the policy allows this to `subject`. `None` if it does not know the class, or gives no answer.
pub fn is_allowed(subject: &str, object: &str, class: &str, permission: &str) -> Option<bool> {
    let number = |file: &str| -> Option<u32> {
        kernel_text::read(format!("{FOLDER}/class/{class}/{file}")).ok()?.trim().parse().ok()
    };
    let (index, permission) = (number("index")?, number(&format!("perms/{permission}"))?);
    let mut question = fs::OpenOptions::new().read(true).write(true).open(format!("{FOLDER}/access")).ok()?;
    question.write_all(format!("{subject} {object} {index}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    question.read_to_end(&mut answer).ok()?;
    allows(std::str::from_utf8(&answer).ok()?, permission)
}

/// Parses `allowed decided auditallow auditdeny seqno flags`, with a bit for each permission of the class.
fn allows(answer: &str, permission: u32) -> Option<bool> {
    /// `AVD_FLAGS_PERMISSIVE`: for this domain, denials are only logged.
    const PERMISSIVE: u32 = 1;
    let mut words = answer.split_ascii_whitespace();
    let allowed = u32::from_str_radix(words.next()?, 16).ok()?;
    let flags = words.nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
    Some(flags & PERMISSIVE != 0 || allowed & 1 << permission.checked_sub(1)? != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_of_a_permission_is_found() {
        assert_eq!(allows("2 ffffffff 0 ffffffff 1 0", 2), Some(true));
        assert_eq!(allows("2 ffffffff 0 ffffffff 1 0", 1), Some(false));
        assert_eq!(allows("0 ffffffff 0 ffffffff 1 1", 1), Some(true));
        assert_eq!(allows("", 1), None);
    }
}
