//! What Landlock can restrict, and since which version: the kernel's names and numbers. Pure. `landlock(7)`.
//!
//! The surprise: `refer` is refused to a process that has any restriction of files, also if nobody asks for that.

/// A restriction that a version of Landlock brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Right {
    /// The kernel's name, in lower case and without its prefix.
    pub(super) name: &'static str,
    pub(super) bit: u64,
    /// The first version ("ABI") that has it.
    pub(super) since: u32,
}

const fn right(name: &'static str, bit: u32, since: u32) -> Right {
    Right { name, bit: 1 << bit, since }
}

/// `LANDLOCK_ACCESS_FS_*`.
pub(super) const FILES: [Right; 17] = [
    right("execute", 0, 1),
    right("write_file", 1, 1),
    right("read_file", 2, 1),
    right("read_dir", 3, 1),
    right("remove_dir", 4, 1),
    right("remove_file", 5, 1),
    right("make_char", 6, 1),
    right("make_dir", 7, 1),
    right("make_reg", 8, 1),
    right("make_sock", 9, 1),
    right("make_fifo", 10, 1),
    right("make_block", 11, 1),
    right("make_sym", 12, 1),
    right("refer", 13, 2),
    right("truncate", 14, 3),
    right("ioctl_dev", 15, 5),
    RESOLVE_UNIX,
];
pub(super) const REFER: u64 = 1 << 13;
/// Connecting to a socket on a file that a process outside made.
pub(super) const RESOLVE_UNIX: Right = right("resolve_unix", 16, 9);
/// The rights of one file, as opposed to those of a directory.
pub(super) const OF_FILES: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15 | 1 << 16;
/// What `ro` allows: execute, read_file, read_dir.
pub(super) const READ: u64 = 1 | 1 << 2 | 1 << 3;
/// What `exec` allows: execute, and read_file, which execve(2) needs, too.
pub(super) const EXECUTE: u64 = 1 | 1 << 2;

/// `LANDLOCK_ACCESS_NET_*`.
pub(super) const BIND_TCP: Right = right("bind_tcp", 0, 4);
pub(super) const CONNECT_TCP: Right = right("connect_tcp", 1, 4);
pub(super) const BIND_UDP: Right = right("bind_udp", 2, 10);
pub(super) const CONNECT_SEND_UDP: Right = right("connect_send_udp", 3, 10);

/// `LANDLOCK_SCOPE_*`.
pub(super) const SIGNAL: Right = right("signal", 1, 6);
pub(super) const SCOPES: [Right; 2] = [right("abstract_unix_socket", 0, 6), SIGNAL];

/// The version of Linux that brought each version of Landlock.
const LINUX: [&str; 10] = ["5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15", "7.0", "7.1", "7.2"];

/// The words of a rule for files that stand for several rights.
const WORDS: [(&str, u64); 3] = [("ro", READ), ("rw", u64::MAX), ("exec", EXECUTE)];

impl Right {
    /// Returns `signal (since Linux 6.12)`.
    pub(super) fn shown(self) -> String {
        format!("{} (since Linux {})", self.name, LINUX[self.since as usize - 1])
    }
}

/// Returns the rights of files that this version knows.
pub(super) fn files(version: u32) -> u64 {
    FILES.iter().filter(|right| right.since <= version).fold(0, |all, right| all | right.bit)
}

/// Returns the rights that a word of a rule means, and the one right that it names by itself.
pub(super) fn of_word(word: &str) -> Result<(u64, Option<Right>), String> {
    let several = WORDS.iter().find(|(known, _)| *known == word).map(|(_, bits)| (*bits, None));
    let one = FILES.iter().find(|right| right.name == word).map(|right| (right.bit, Some(*right)));
    several.or(one).ok_or_else(|| {
        let names: Vec<_> = FILES.iter().map(|right| right.name).collect();
        format!("there is no right {word:?}; expected one of ro, rw, exec, {}", names.join(", "))
    })
}

/// Returns the scopes of a word: one, or `all`.
pub(super) fn of_scope(word: &str) -> Result<Vec<Right>, String> {
    let known = [SCOPES[0], SCOPES[1], RESOLVE_UNIX];
    match known.iter().find(|right| right.name == word) {
        Some(right) => Ok(vec![*right]),
        None if word == "all" => Ok(known.to_vec()),
        None => Err(format!("there is no scope {word:?}; expected all, abstract_unix_socket, signal, resolve_unix")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_files_grow_with_the_version() {
        let grown = [1, 2, 3, 4, 5, 8, 9, 10, 99].map(files);
        let bits = [13, 14, 15, 15, 16, 16, 17, 17, 17];
        assert_eq!(grown.to_vec(), bits.map(|bits| (1u64 << bits) - 1).to_vec());
        assert_eq!(RESOLVE_UNIX.shown(), "resolve_unix (since Linux 7.1)");
    }

    #[test]
    fn a_word_is_a_right_or_several() {
        assert_eq!(of_word("exec"), Ok((5, None)));
        assert_eq!(
            of_word("make_reg").map(|(bits, right)| (bits, right.map(|right| right.name))),
            Ok((256, Some("make_reg")))
        );
        assert!(of_word("fly").is_err() && of_scope("fly").is_err());
        assert_eq!(of_scope("all").map(|all| all.len()), Ok(3));
    }
}
