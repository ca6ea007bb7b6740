//! Giving back the memory of our own program text. `madvise(2)`.

use nix::errno::Errno;

/// Releases the pages of our own program text; those that are needed again are read from the file. For a process that
/// has done its work and only waits from here on.
pub fn forget_text() -> Result<(), Errno> {
    unsafe extern "C" {
        // The start of the executable, and the end of its text, as the linker placed them.
        static __executable_start: u8;
        static etext: u8;
    }
    let page = crate::auxiliary(libc::AT_PAGESZ) as usize;
    let start = (&raw const __executable_start).addr();
    let length = ((&raw const etext).addr() - start) & !(page - 1);
    // SAFETY: from the start of the executable to its last whole page of text there are only read-only parts of the
    // file, privately mapped and never written to: MADV_DONTNEED makes the kernel read them again.
    Errno::result(unsafe {
        libc::madvise((&raw const __executable_start).cast_mut().cast(), length, libc::MADV_DONTNEED)
    })
    .map(drop)
}
