//! Giving back the memory of our own program text. `madvise(2)`.
//!
//! The surprise: between two parts of an executable, a linker may leave a page that is not mapped, so that one call for
//! all of them fails in one build and succeeds in the next.

use nix::errno::Errno;

use crate::executable::loaded;

/// Releases the pages of our own program text; those that are needed again are read from the file. For a process that
/// has done its work and only waits from here on.
pub fn forget_text() -> Result<(), Errno> {
    let (segments, _) = loaded().ok_or(Errno::ENOEXEC)?;
    for segment in segments.iter().filter(|segment| !segment.is_writable) {
        // SAFETY: a read-only part of the file, privately mapped and never written to: MADV_DONTNEED makes the kernel
        // read it again.
        let answer = unsafe { libc::madvise(segment.start as *mut _, segment.length, libc::MADV_DONTNEED) };
        Errno::result(answer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_is_released_is_mapped_and_can_be_read_again() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let (segments, _) = loaded().unwrap();
        for segment in segments.iter().filter(|segment| !segment.is_writable) {
            let start = format!("{:x}-", segment.start);
            assert!(maps.lines().any(|line| line.starts_with(&start)), "{start} is not in\n{maps}");
        }
        assert!(segments.iter().any(|segment| segment.is_code));
        assert_eq!(forget_text(), Ok(()));
        assert_eq!(maps.lines().count(), std::fs::read_to_string("/proc/self/maps").unwrap().lines().count());
    }
}
