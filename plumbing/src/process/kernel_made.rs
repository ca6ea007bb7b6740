//! File systems of which the kernel makes the content while it is read. `statfs(2)`, <linux/magic.h>.
//!
//! Their files have no size, a copy of them is outdated at once, and to read some of them changes something. The surprise:
//! no system call says that a file system is of this kind, so their numbers are listed.

use rustix::fs::StatFs;

/// proc, sysfs, cgroup, cgroup2.
const INTERFACES: [u64; 4] = [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270];

/// debugfs, tracefs, securityfs, bpf, devpts, mqueue, configfs, fusectl, binfmt_misc, nsfs, pstore, efivarfs, selinuxfs.
const OTHERS: [u64; 13] = [
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x1cd1,
    0x1980_0202,
    0x6265_6570,
    0x6573_5543,
    0x4249_4e4d,
    0x6e73_6673,
    0x6165_676c,
    0xde5e_81e4,
    0xf97c_ff8c,
];

/// Returns whether the kernel makes the content of this file system.
pub fn is_made_by_kernel(on: &StatFs) -> bool {
    is_interface(on) || OTHERS.contains(&number(on))
}

/// Returns whether this is proc, sysfs or a hierarchy of cgroups: what a container usually has of the kernel.
pub fn is_interface(on: &StatFs) -> bool {
    INTERFACES.contains(&number(on))
}

/// Returns the number of the type. It has 32 bits, also where the member has more and a sign.
fn number(on: &StatFs) -> u64 {
    on.f_type as u64 & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::statfs;

    #[test]
    fn proc_and_sysfs_are_made_by_the_kernel_and_a_directory_for_files_is_not() {
        for (path, expected) in [("/proc", true), ("/sys", true), ("/tmp", false), ("/", false)] {
            let on = statfs(path).unwrap();
            assert_eq!((is_interface(&on), is_made_by_kernel(&on)), (expected, expected), "{path}");
        }
        let namespace = statfs("/proc/self/ns/mnt").unwrap();
        assert!(!is_interface(&namespace) && is_made_by_kernel(&namespace));
    }
}
