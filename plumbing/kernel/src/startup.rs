//! What the kernel and the C library pass to a new process, and its end: `main`, the arguments, the environment, the
//! auxiliary vector, `exit_group(2)`. `execve(2)`, `environ(7)`, `getauxval(3)`.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicPtr, Ordering};

/// argv, as the C library passes it to `main`; nothing else makes one.
#[repr(transparent)]
pub struct Argv(*const *const c_char);

/// Our arguments: an [`Argv`].
static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Defines the `main` that the C library calls, without Rust's runtime: `define_main!(argv => EXPRESSION)`.
#[macro_export]
macro_rules! define_main {
    ($argv:ident => $status:expr) => {
        // SAFETY: no other symbol of this name exists: `#![no_main]` keeps the compiler from making one.
        #[unsafe(no_mangle)]
        extern "C" fn main(_: std::ffi::c_int, $argv: $crate::Argv) -> std::ffi::c_int {
            $status
        }
    };
}

/// Keeps the arguments of `main` for [`arguments`].
pub fn keep_arguments(argv: Argv) {
    ARGV.store(argv.0.cast_mut(), Ordering::Relaxed);
}

/// Returns the arguments that were kept, our own name first.
pub fn arguments() -> Vec<OsString> {
    // SAFETY: null, or the array that the C library made; nothing writes to it.
    let words = unsafe { strings(ARGV.load(Ordering::Relaxed)) };
    words.map(|word| OsStr::from_bytes(word.to_bytes()).to_owned()).collect()
}

/// Returns the entries of our environment, unchanged; `environ(7)`.
pub fn environ() -> impl Iterator<Item = &'static CStr> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: `environ` is null or such an array. The process is single-threaded by invariant and sets no variable of
    // its own, so nothing moves while it runs.
    unsafe { strings(environ) }
}

/// Overwrites the environment that we were started with: /proc/PID/environ shows these bytes to every process that may
/// look into this one. For an init that stays in a container and never reads a variable again.
pub fn forget_environment() {
    for entry in environ() {
        let length = entry.count_bytes();
        // SAFETY: the strings are on this process's own writable stack, where the kernel put them. The process is
        // single-threaded, and callers read no variable after this.
        unsafe { entry.as_ptr().cast_mut().write_bytes(0, length) };
    }
}

/// # Safety
///
/// `array` is null, or an array of NUL-terminated strings that ends with a null pointer; and it never changes.
unsafe fn strings(array: *const *const c_char) -> impl Iterator<Item = &'static CStr> {
    // SAFETY: by our own contract; no step goes beyond the null pointer.
    let pointers = unsafe {
        let ends = |at: &usize| array.is_null() || (*array.add(*at)).is_null();
        let count = (0..).find(ends).unwrap_or_default();
        if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) }
    };
    // SAFETY: by our own contract.
    pointers.iter().map(|string| unsafe { CStr::from_ptr(*string) })
}

/// Returns a value of the auxiliary vector (`AT_*`), or 0 if it has none under this key; `getauxval(3)`.
pub fn auxiliary(key: libc::c_ulong) -> libc::c_ulong {
    // SAFETY: the vector that the kernel gave us always exists.
    unsafe { libc::getauxval(key) }
}

/// Ends the process at once: no destructors, no buffers. For children that must not continue in the parent's code.
pub fn exit_now(status: u8) -> ! {
    // Some system call filters forbid one of the two calls, and some the other; glibc's _exit(2) knows only the first,
    // and ends with SIGSEGV then. The process has one thread, so both calls end it.
    for number in [libc::SYS_exit_group, libc::SYS_exit] {
        // SAFETY: an integer; if the call returns, it did nothing.
        unsafe { libc::syscall(number, libc::c_long::from(status)) };
    }
    std::process::abort()
}
