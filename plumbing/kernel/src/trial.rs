//! System calls with harmless arguments, used to probe whether the kernel would allow them: it checks our rights first,
//! and then the arguments, each of which is invalid or requests nothing. `syscalls(2)`.
//!
//! They are a closed table, since [`attempt`] makes each exactly as it is written here. The surprise is
//! which arguments are harmless: acct(2) with a null pointer succeeds, and bpf(2) with an unknown command fails for
//! every user.

use libc::c_long;
use nix::errno::Errno;

/// A call of the table.
#[derive(Debug)]
pub struct Trial {
    /// The call in strace's notation.
    pub text: &'static str,
    number: c_long,
    arguments: [Argument; 5],
}

/// An argument of such a call.
#[derive(Debug, Clone, Copy)]
enum Argument {
    /// A number, or an invalid pointer.
    Is(isize),
    /// A pointer to these bytes, which the kernel only reads.
    Reads(&'static [u8]),
}

use Argument::{Is, Reads};

impl Trial {
    const fn new(text: &'static str, number: c_long, first: &[Argument]) -> Trial {
        let mut arguments = [Is(0); 5];
        let mut at = 0;
        while at < first.len() {
            arguments[at] = first[at];
            at += 1;
        }
        Trial { text, number, arguments }
    }
}

/// Makes a call that cannot have an effect; in a child, since its result may be a descriptor.
pub fn attempt(trial: &Trial) -> Result<(), Errno> {
    let [a, b, c, d, e] = trial.arguments.map(|argument| match argument {
        Is(number) => number as usize,
        Reads(bytes) => bytes.as_ptr().expose_provenance(),
    });
    // SAFETY: one of this closed table: none of its calls writes to memory or maps any, and what they read are
    // NUL-terminated texts and a whole file_handle, all of them static.
    Errno::result(unsafe { libc::syscall(trial.number, a, b, c, d, e) }).map(drop)
}

/// The libraries of some architectures lack this number.
const SYS_KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "x86_64") { 320 } else { 294 };
const ROOT: Argument = Reads(b"/\0");
/// A `file_handle` of 8 bytes for an inode and its generation: inode 2, the root of most file systems.
const HANDLE: Argument = Reads(if cfg!(target_endian = "little") {
    &[8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
} else {
    &[0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]
});

macro_rules! trials {
    ($($(#[$attribute:meta])* $name:ident = $text:literal, $number:expr, [$($argument:expr),* $(,)?];)*) => {
        $($(#[$attribute])* pub const $name: Trial = Trial::new($text, $number as c_long, &[$($argument),*]);)*
    };
}

trials! {
    /// Two propagation types at once are EINVAL.
    MOUNT = "mount(NULL, \"/\", NULL, MS_PRIVATE|MS_SHARED, NULL)", libc::SYS_mount,
        [Is(0), ROOT, Is(0), Is((libc::MS_PRIVATE | libc::MS_SHARED) as isize)];
    /// These two flags together are EINVAL.
    UMOUNT = "umount2(\"/\", MNT_DETACH|MNT_EXPIRE)", libc::SYS_umount2, [ROOT, Is(6)];
    /// No path.
    PIVOT_ROOT = "pivot_root(NULL, NULL)", libc::SYS_pivot_root, [];
    /// No name.
    FSOPEN = "fsopen(NULL, 0)", libc::SYS_fsopen, [];
    /// No path.
    OPEN_TREE = "open_tree(-1, NULL, OPEN_TREE_CLONE)", libc::SYS_open_tree, [Is(-1), Is(0), Is(1)];
    /// No paths.
    MOVE_MOUNT = "move_mount(-1, NULL, -1, NULL, 0)", libc::SYS_move_mount, [Is(-1), Is(0), Is(-1), Is(0), Is(0)];
    /// No attributes, of the right size.
    MOUNT_SETATTR = "mount_setattr(-1, NULL, 0, NULL, 32)", libc::SYS_mount_setattr,
        [Is(-1), Is(0), Is(0), Is(0), Is(32)];
    /// For this process alone, which then ends.
    UNSHARE_USER = "unshare(CLONE_NEWUSER)", libc::SYS_unshare, [Is(libc::CLONE_NEWUSER as isize)];
    /// A program of no instructions.
    BPF = "bpf(BPF_PROG_LOAD, NULL, 0)", libc::SYS_bpf, [Is(5)];
    /// No attributes.
    PERF_EVENT_OPEN = "perf_event_open(NULL, 0, -1, -1, 0)", libc::SYS_perf_event_open,
        [Is(0), Is(0), Is(-1), Is(-1), Is(0)];
    /// A flag that does not exist.
    USERFAULTFD = "userfaultfd(0x40000000)", libc::SYS_userfaultfd, [Is(0x4000_0000)];
    /// No parameters.
    IO_URING_SETUP = "io_uring_setup(0, NULL)", libc::SYS_io_uring_setup, [];
    /// More segments than are allowed.
    KEXEC_LOAD = "kexec_load(0, 0x7fffffff, NULL, 0)", libc::SYS_kexec_load, [Is(0), Is(0x7fff_ffff)];
    /// Flags that do not exist.
    KEXEC_FILE_LOAD = "kexec_file_load(-1, -1, 0, NULL, -1)", SYS_KEXEC_FILE_LOAD,
        [Is(-1), Is(-1), Is(0), Is(0), Is(-1)];
    /// An empty image.
    INIT_MODULE = "init_module(NULL, 0, NULL)", libc::SYS_init_module, [];
    /// No file.
    FINIT_MODULE = "finit_module(-1, NULL, 0)", libc::SYS_finit_module, [Is(-1)];
    /// No name.
    DELETE_MODULE = "delete_module(NULL, 0)", libc::SYS_delete_module, [];
    /// Opens the root of our own file system, as a path descriptor only.
    OPEN_BY_HANDLE = "open_by_handle_at(-100, {handle_bytes=8, handle_type=1, f_handle=2}, O_PATH)", libc::SYS_open_by_handle_at,
        [Is(libc::AT_FDCWD as isize), HANDLE, Is(libc::O_PATH as isize)];
    /// No type.
    ADD_KEY = "add_key(NULL, NULL, NULL, 0, 0)", libc::SYS_add_key, [];
    /// No type.
    REQUEST_KEY = "request_key(NULL, NULL, NULL, 0)", libc::SYS_request_key, [];
    /// A call that only reads.
    KEYCTL = "keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)", libc::SYS_keyctl, [Is(0), Is(-3), Is(0)];
    /// For this process alone.
    PERSONALITY = "personality(ADDR_NO_RANDOMIZE)", libc::SYS_personality, [Is(0x4_0000)];
    /// The two magic numbers are wrong, and even with the right ones the command only concerns Ctrl-Alt-Del.
    REBOOT = "reboot(0, 0, LINUX_REBOOT_CMD_CAD_OFF)", libc::SYS_reboot, [];
    /// No path.
    SWAPON = "swapon(NULL, 0)", libc::SYS_swapon, [];
    /// An invalid path; a null pointer would end the accounting.
    ACCT = "acct(0x1)", libc::SYS_acct, [Is(1)];
    /// Neither a time nor a zone.
    SETTIMEOFDAY = "settimeofday(NULL, NULL)", libc::SYS_settimeofday, [];
    /// The whole log, to no buffer.
    SYSLOG = "syslog(3, NULL, 0)", libc::SYS_syslog, [Is(3)];
    /// A name longer than allowed.
    SETHOSTNAME = "sethostname(NULL, 4294967295)", libc::SYS_sethostname, [Is(0), Is(-1)];
    /// A socket to the hypervisor, of a type that does not exist: an existing type would make the kernel load a module.
    SOCKET_VSOCK = "socket(AF_VSOCK, 0xf, 0)", libc::SYS_socket, [Is(40), Is(15), Is(0)];
    /// A socket to the kernel's ciphers, of a type that does not exist, for the same reason.
    SOCKET_ALG = "socket(AF_ALG, 0xf, 0)", libc::SYS_socket, [Is(38), Is(15), Is(0)];
    /// No character.
    TIOCSTI = "ioctl(0, TIOCSTI, NULL)", libc::SYS_ioctl, [Is(0), Is(0x5412), Is(0)];
    /// No request.
    TIOCLINUX = "ioctl(0, TIOCLINUX, NULL)", libc::SYS_ioctl, [Is(0), Is(0x541c), Is(0)];
}
