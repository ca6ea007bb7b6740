//! How an executable is linked, read from its ELF headers: elf(5).
//!
//! The surprise: "statically linked" has two forms. A static-pie executable is a shared object (`ET_DYN`) that requests
//! no interpreter; it is loaded at a random address, a plain static one (`ET_EXEC`) is not. For aarch64 with glibc, rustc
//! links only the latter.

use anyhow::{Context, Result, ensure};

const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;
const EM_AARCH64: u64 = 183;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

/// Fails unless this is an executable that needs no other file to run, and is position-independent where rustc links such.
pub fn is_static(file: &[u8]) -> Result<()> {
    let is_plain = number(file, 16, 2)? == ET_EXEC && number(file, 18, 2)? == EM_AARCH64;
    if is_plain && !asks_for_interpreter(file)? {
        return Ok(());
    }
    is_static_pie(file)
}

fn is_static_pie(file: &[u8]) -> Result<()> {
    // Both architectures that we build for are 64-bit and little-endian.
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit little-endian ELF file");
    ensure!(number(file, 16, 2)? == ET_DYN, "its type is not ET_DYN, so it is not position-independent");
    let (mut is_pie, first, size, count) = (false, number(file, 32, 8)?, number(file, 54, 2)?, number(file, 56, 2)?);
    for header in (0..count).map(|index| first + index * size) {
        match number(file, header, 4)? {
            PT_INTERP => anyhow::bail!("it requests an interpreter (PT_INTERP), so it is dynamically linked"),
            PT_DYNAMIC => is_pie = dynamic_section_says_pie(file, header)?,
            _ => {}
        }
    }
    ensure!(is_pie, "no DF_1_PIE in its dynamic section, so it is a shared library");
    Ok(())
}

/// Reports whether the kernel must start another program to run this one: the dynamic loader.
pub fn asks_for_interpreter(file: &[u8]) -> Result<bool> {
    let (first, size, count) = (number(file, 32, 8)?, number(file, 54, 2)?, number(file, 56, 2)?);
    let mut kinds = (0..count).map(|index| number(file, first + index * size, 4));
    kinds.try_fold(false, |asks, kind| Ok(asks || kind? == PT_INTERP))
}

fn dynamic_section_says_pie(file: &[u8], header: u64) -> Result<bool> {
    let (start, length) = (number(file, header + 8, 8)?, number(file, header + 32, 8)?);
    let mut is_pie = false;
    for entry in (start..start.saturating_add(length)).step_by(16) {
        match number(file, entry, 8)? {
            DT_NULL => break,
            DT_NEEDED => anyhow::bail!("it needs a shared library (DT_NEEDED)"),
            DT_FLAGS_1 => is_pie = number(file, entry + 8, 8)? & DF_1_PIE != 0,
            _ => {}
        }
    }
    Ok(is_pie)
}

/// Fails if glibc's name service switch is linked. A call of getpwnam(3), getgrnam(3) or getaddrinfo(3) anywhere in the
/// program links it, and it loads shared libraries at run time even into a static executable.
///
/// A stripped file has no symbols to search for, and an unstripped development build contains NSS without using it
/// (only link-time optimization drops it). So the search is for something that all of NSS needs, in the file that is
/// shipped: the pattern from which glibc makes the name of the function to look up in `libnss_*.so`. musl has no NSS.
pub fn has_no_nss(file: &[u8]) -> Result<()> {
    let linked = file.windows(NSS.len()).any(|bytes| bytes == NSS);
    ensure!(!linked, "the name service switch is linked: something calls getpwnam, getgrnam or getaddrinfo");
    Ok(())
}

const NSS: &[u8] = b"_nss_%s_%s\0";

fn number(file: &[u8], offset: u64, length: usize) -> Result<u64> {
    let start = usize::try_from(offset)?;
    let bytes = start.checked_add(length).and_then(|end| file.get(start..end));
    let bytes = bytes.with_context(|| format!("it ends before offset {offset}"))?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_itself_is_a_static_executable() {
        is_static(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
    }

    #[test]
    fn a_fixed_address_is_accepted_only_for_aarch64() {
        let mut header = [b"\x7fELF\x02\x01".to_vec(), vec![0; 58]].concat();
        header[16] = ET_EXEC as u8;
        assert!(is_static(&header).is_err());
        header[18] = EM_AARCH64 as u8;
        assert!(is_static(&header).is_ok());
    }

    #[test]
    fn a_dynamic_executable_a_library_and_a_truncated_file_are_refused() {
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(is_static_pie(&shell).unwrap_err().to_string().contains("PT_INTERP"));
        assert!(is_static_pie(&shell[..40]).unwrap_err().to_string().contains("ends before"));
        assert!(is_static_pie(b"#!/bin/sh\n").unwrap_err().to_string().contains("not a 64-bit"));
    }

    #[test]
    fn the_name_service_switch_is_found() {
        assert!(has_no_nss(b"..._nss_%s_%s\0...").is_err());
        assert!(has_no_nss(b"/etc/nsswitch.conf\0").is_ok());
    }
}
