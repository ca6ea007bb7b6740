//! The host's busybox: one program that is many, by the name that it is called by.
//!
//! It must be statically linked, because the container has other libraries, or none. Its file contains the names of its
//! programs, so it need not be run to learn them.

use std::path::PathBuf;

use plumbing::Fault;
use plumbing::command_line::regular;

use super::GOAL;
use super::copying::{MOST_BYTES, Source};

/// Directories that are searched after those of PATH.
const DIRECTORIES: &str = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin";

/// The programs that get a name of their own, as far as this busybox has them. Any other can be called as
/// `busybox NAME`.
const PROGRAMS: &[&str] = &[
    "arp",
    "ash",
    "awk",
    "base64",
    "basename",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "clear",
    "cmp",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "diff",
    "dirname",
    "dmesg",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "fuser",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hexdump",
    "hostname",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "killall",
    "less",
    "ln",
    "ls",
    "lsof",
    "md5sum",
    "mkdir",
    "mktemp",
    "mount",
    "mv",
    "nc",
    "netstat",
    "nslookup",
    "od",
    "pgrep",
    "pidof",
    "ping",
    "pkill",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "route",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "strings",
    "tail",
    "tar",
    "tee",
    "telnet",
    "test",
    "time",
    "timeout",
    "top",
    "touch",
    "tr",
    "traceroute",
    "true",
    "umount",
    "uname",
    "uniq",
    "uptime",
    "vi",
    "watch",
    "wc",
    "wget",
    "which",
    "whoami",
    "xargs",
];

/// `PT_INTERP` of elf(5): the program header that names a dynamic loader.
const PT_INTERP: u32 = 3;

/// Finds a statically linked busybox.
pub(super) fn find() -> Result<Source, Fault> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    let candidates: Vec<PathBuf> =
        candidates.chain(std::env::split_paths(DIRECTORIES)).map(|directory| directory.join("busybox")).collect();
    for candidate in &candidates {
        // Missing in most directories of PATH; one that cannot be read is passed over, as execvp(3) does it.
        let read = regular::read(candidate, MOST_BYTES).ok().flatten();
        if let Some(program) = read.filter(|program| is_static(program)) {
            let names = names_in(&program);
            return Ok(Source::Busybox { program, names });
        }
    }
    let found = candidates.iter().find(|candidate| candidate.exists());
    Err(Fault::new(match found {
        Some(found) => format!("cannot {GOAL}: {} is not statically linked", found.display()),
        None => format!("cannot {GOAL}: this machine has no busybox"),
    })
    .with_remedy("install a statically linked one (Debian: busybox-static), or name a directory: --tools=DIR"))
}

/// Reports whether these are the bytes of an ELF executable that names no dynamic loader.
fn is_static(program: &[u8]) -> bool {
    let is_64 = match program.get(..5) {
        Some([0x7f, b'E', b'L', b'F', class]) => *class == 2,
        _ => return false,
    };
    let half = |at: usize| Some(u16::from_ne_bytes(*program.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_ne_bytes(*program.get(at..)?.first_chunk()?));
    let long = |at: usize| usize::try_from(u64::from_ne_bytes(*program.get(at..)?.first_chunk()?)).ok();
    let (start, size, count) =
        if is_64 { (long(32), half(54), half(56)) } else { (word(28).map(|start| start as usize), half(42), half(44)) };
    let (Some(start), Some(size), Some(count)) = (start, size, count) else { return false };
    let kinds = (0..usize::from(count)).map(|number| {
        let at = number.checked_mul(size.into())?.checked_add(start)?;
        word(at)
    });
    let kinds: Option<Vec<u32>> = kinds.collect();
    kinds.is_some_and(|kinds| !kinds.is_empty() && !kinds.contains(&PT_INTERP))
}

/// Returns the names of programs that this busybox has: each is in its file, between NUL bytes.
fn names_in(program: &[u8]) -> Vec<&'static str> {
    let strings: std::collections::HashSet<&[u8]> = program.split(|byte| *byte == 0).collect();
    PROGRAMS.iter().copied().filter(|name| strings.contains(name.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of an ELF file of 64 bits with two program headers, the second of this kind.
    fn executable(kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 2 * 56];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[32..40].copy_from_slice(&64_u64.to_ne_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_ne_bytes());
        bytes[56..58].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[64..68].copy_from_slice(&1_u32.to_ne_bytes());
        bytes[120..124].copy_from_slice(&kind.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_a_program_without_a_dynamic_loader_is_static() {
        assert!(is_static(&executable(1)));
        assert!(!is_static(&executable(PT_INTERP)));
        assert!(!is_static(b"#!/bin/sh\n") && !is_static(b"") && !is_static(&executable(1)[..100]));
    }

    #[test]
    fn a_name_inside_a_longer_string_is_no_program() {
        assert_eq!(names_in(b"x\0ash\0cat\0sh\0lsx\0"), ["ash", "cat", "sh"]);
    }
}
