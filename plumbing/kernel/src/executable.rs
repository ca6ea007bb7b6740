//! Changing the file that the kernel regards as our executable. `elf(5)`, `PR_SET_MM(2const)`.
//!
//! The kernel allows this once nothing of the old file is mapped any more. So all that was loaded from it is mapped
//! again, in place, under the code that does so: the contents are the same, and we are the only thread.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{null, null_mut};

use nix::errno::Errno;

/// A part of memory that was loaded from the executable.
pub(crate) struct Segment {
    pub(crate) start: usize,
    pub(crate) length: usize,
    offset: libc::off_t,
    pub(crate) is_writable: bool,
    pub(crate) is_code: bool,
}

/// `struct prctl_mm_map` of <linux/prctl.h>.
#[repr(C)]
struct MemoryMap {
    code: [u64; 2],
    data: [u64; 2],
    brk: [u64; 2],
    stack: u64,
    arguments: [u64; 2],
    environment: [u64; 2],
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Makes `file`, which has the contents of the file that we run from, our executable instead of that file. `stat` is
/// our own /proc/PID/stat, field by field. After a failure the process continues as before.
///
/// # Errors
/// EPERM without `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`; EINVAL from a kernel without `CONFIG_CHECKPOINT_RESTORE`.
pub fn run_from(file: impl AsFd, stat: impl Fn(usize) -> Option<u64>) -> Result<(), Errno> {
    let file = file.as_fd();
    let (segments, sealed) = loaded().ok_or(Errno::ENOEXEC)?;
    for segment in &segments {
        if segment.is_writable { segment.copy_in_place()? } else { segment.map_from(file)? }
    }
    if let Some(sealed) = sealed {
        // SAFETY: what the C library made read-only after it had relocated us, before it was copied.
        Errno::result(unsafe { libc::mprotect(sealed.start as *mut _, sealed.len(), libc::PROT_READ) })?;
    }
    name_executable(file, stat)
}

/// Returns what was loaded, and which part of it was made read-only later (`PT_GNU_RELRO`).
pub(crate) fn loaded() -> Option<(Vec<Segment>, Option<Range<usize>>)> {
    let of_kernel = |key| crate::auxiliary(key) as usize;
    let (table, count, page) = (of_kernel(libc::AT_PHDR), of_kernel(libc::AT_PHNUM), of_kernel(libc::AT_PAGESZ));
    if table == 0 || page == 0 {
        return None;
    }
    // SAFETY: the program headers of our own file, which are loaded for as long as we run, and never change.
    let headers = unsafe { std::slice::from_raw_parts(table as *const libc::Elf64_Phdr, count) };
    let moved_by = table - linked_table(headers, table % page)?;
    let (down, up) = (|at: usize| at & !(page - 1), |at: usize| (at + page - 1) & !(page - 1));
    let load = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_filesz > 0;
    let segment = |header: &libc::Elf64_Phdr| {
        let start = moved_by + header.p_vaddr as usize;
        Segment {
            start: down(start),
            length: up(start + header.p_filesz as usize) - down(start),
            offset: down(header.p_offset as usize) as libc::off_t,
            is_writable: header.p_flags & libc::PF_W != 0,
            is_code: header.p_flags & libc::PF_X != 0,
        }
    };
    let sealed = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO).map(|header| {
        let start = moved_by + header.p_vaddr as usize;
        down(start)..down(start + header.p_memsz as usize)
    });
    Some((headers.iter().filter(load).map(segment).collect(), sealed))
}

/// Returns the address for which the table of program headers was linked. A file that is linked for a fixed address has no
/// entry for the table itself: it follows the ELF header, with which the first segment begins. `in_page` is its place in a page.
fn linked_table(headers: &[libc::Elf64_Phdr], in_page: usize) -> Option<usize> {
    if let Some(table) = headers.iter().find(|header| header.p_type == libc::PT_PHDR) {
        return Some(table.p_vaddr as usize);
    }
    let first = headers.iter().find(|header| header.p_type == libc::PT_LOAD && header.p_offset == 0)?;
    let behind = size_of::<libc::Elf64_Ehdr>();
    (in_page == behind).then_some(first.p_vaddr as usize + behind)
}

impl Segment {
    /// Maps the segment from `file`. It was never written to, so the file has its contents.
    fn map_from(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let protection = libc::PROT_READ | if self.is_code { libc::PROT_EXEC } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the same bytes at the same place, in one step: not even the code that is running now is affected.
        let at =
            unsafe { libc::mmap(self.start as *mut _, self.length, protection, flags, file.as_raw_fd(), self.offset) };
        if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(()) }
    }

    /// Copies the segment, which was written to, into anonymous memory. Nothing may change it between copy and move: so
    /// these are the only calls.
    fn copy_in_place(&self) -> Result<(), Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // Every page is written to: one call for all of them costs less than a page fault for each.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: new memory of the kernel's choice.
        let copy = unsafe { libc::mmap(null_mut(), self.length, protection, flags, -1, 0) };
        if copy == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: both are of this length; the copy replaces the original, and we are one thread.
        let moved = unsafe {
            std::ptr::copy_nonoverlapping(self.start as *const u8, copy.cast(), self.length);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            libc::mremap(copy, self.length, self.length, flags, self.start as *mut libc::c_void)
        };
        if moved == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(()) }
    }
}

/// Passes to the kernel all that it knows about our memory, as it demands, and the new file.
fn name_executable(file: BorrowedFd<'_>, stat: impl Fn(usize) -> Option<u64>) -> Result<(), Errno> {
    const PR_SET_MM_MAP: libc::c_ulong = 14;
    let field = |number| stat(number).ok_or(Errno::ENODATA);
    // SAFETY: brk(2) with 0 changes nothing, and returns where the heap ends.
    let end_of_heap = unsafe { libc::syscall(libc::SYS_brk, 0) };
    let map = MemoryMap {
        code: [field(26)?, field(27)?],
        data: [field(45)?, field(46)?],
        brk: [field(47)?, end_of_heap as u64],
        stack: field(28)?,
        arguments: [field(48)?, field(49)?],
        environment: [field(50)?, field(51)?],
        auxv: null(),
        auxv_size: 0,
        exe_fd: file.as_raw_fd() as u32,
    };
    // SAFETY: a whole prctl_mm_map of the size given, in which only the file is new.
    let answer = unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP, &raw const map, size_of::<MemoryMap>(), 0) };
    Errno::result(answer).map(drop)
}
