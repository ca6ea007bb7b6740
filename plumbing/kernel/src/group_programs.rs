//! Programs attached to a v2 cgroup, which decide about what its processes do: loading, attaching, finding, and reading
//! the map in which one counts. `bpf(2)`.
//!
//! A program stays attached without any descriptor, until its cgroup is removed. The surprise: some kernels since Linux 6.17
//! write the last member of a query even if the caller has passed a shorter structure, so a query is passed as a
//! whole one.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::adopt;
use crate::bpf::{Instruction, ProgramKind, load, object_name};

/// What a program decides about; `enum bpf_attach_type`, with its `enum bpf_prog_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The name of the attach type.
    pub name: &'static str,
    attach_type: u32,
    prog_type: u32,
}

impl Hook {
    /// Opening and making devices.
    pub const DEVICE: Hook = Hook { name: "BPF_CGROUP_DEVICE", attach_type: 6, prog_type: 15 };
    /// Packets that sockets of the group send.
    pub const EGRESS: Hook = Hook { name: "BPF_CGROUP_INET_EGRESS", attach_type: 1, prog_type: 8 };

    /// Other hooks of cgroups, whose programs are only copied from one group to another.
    const fn copied(name: &'static str, attach_type: u32) -> Hook {
        Hook { name, attach_type, prog_type: 0 }
    }

    /// Programs for functions of the kernel's security modules, which run for the processes of a group.
    const LSM: Hook = Hook::copied("BPF_LSM_CGROUP", 43);

    /// All hooks of cgroups in Linux 6.18. A kernel that lacks one answers `EINVAL`.
    pub const ALL: [Hook; 29] = [
        Hook::DEVICE,
        Hook::EGRESS,
        Hook::copied("BPF_CGROUP_INET_INGRESS", 0),
        Hook::copied("BPF_CGROUP_INET_SOCK_CREATE", 2),
        Hook::copied("BPF_CGROUP_SOCK_OPS", 3),
        Hook::copied("BPF_CGROUP_INET4_BIND", 8),
        Hook::copied("BPF_CGROUP_INET6_BIND", 9),
        Hook::copied("BPF_CGROUP_INET4_CONNECT", 10),
        Hook::copied("BPF_CGROUP_INET6_CONNECT", 11),
        Hook::copied("BPF_CGROUP_INET4_POST_BIND", 12),
        Hook::copied("BPF_CGROUP_INET6_POST_BIND", 13),
        Hook::copied("BPF_CGROUP_UDP4_SENDMSG", 14),
        Hook::copied("BPF_CGROUP_UDP6_SENDMSG", 15),
        Hook::copied("BPF_CGROUP_SYSCTL", 18),
        Hook::copied("BPF_CGROUP_UDP4_RECVMSG", 19),
        Hook::copied("BPF_CGROUP_UDP6_RECVMSG", 20),
        Hook::copied("BPF_CGROUP_GETSOCKOPT", 21),
        Hook::copied("BPF_CGROUP_SETSOCKOPT", 22),
        Hook::copied("BPF_CGROUP_INET4_GETPEERNAME", 29),
        Hook::copied("BPF_CGROUP_INET6_GETPEERNAME", 30),
        Hook::copied("BPF_CGROUP_INET4_GETSOCKNAME", 31),
        Hook::copied("BPF_CGROUP_INET6_GETSOCKNAME", 32),
        Hook::copied("BPF_CGROUP_INET_SOCK_RELEASE", 34),
        Hook::LSM,
        Hook::copied("BPF_CGROUP_UNIX_CONNECT", 49),
        Hook::copied("BPF_CGROUP_UNIX_SENDMSG", 50),
        Hook::copied("BPF_CGROUP_UNIX_RECVMSG", 51),
        Hook::copied("BPF_CGROUP_UNIX_GETPEERNAME", 52),
        Hook::copied("BPF_CGROUP_UNIX_GETSOCKNAME", 53),
    ];
}

/// Loads a program for a hook. `name` has at most 15 letters, digits and underscores.
pub fn load_group_program(hook: Hook, name: &str, license: &CStr, program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let kind = ProgramKind { program: hook.prog_type, attach: hook.attach_type, function: 0 };
    load(kind, name, license, program)
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

impl Attach {
    fn new(group: impl AsFd, program: impl AsFd, hook: Hook, attach_flags: u32) -> Attach {
        Attach {
            target_fd: group.as_fd().as_raw_fd().cast_unsigned(),
            attach_bpf_fd: program.as_fd().as_raw_fd().cast_unsigned(),
            attach_type: hook.attach_type,
            attach_flags,
            replace_bpf_fd: 0,
        }
    }
}

/// Attaches a program to a group, in addition to those that it has and to those of groups above it;
/// `BPF_PROG_ATTACH`. `group` is a directory opened for reading.
pub fn attach_group_program(group: impl AsFd, program: impl AsFd, hook: Hook) -> Result<(), Errno> {
    const PROG_ATTACH: libc::c_int = 8;
    const ALLOW_MULTI: u32 = 2;
    let mut attach = Attach::new(group, program, hook, ALLOW_MULTI);
    // SAFETY: a whole Attach with its size; the kernel only reads it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw mut attach, size_of::<Attach>()) };
    Errno::result(answer).map(drop)
}

/// Detaches a program from a group; `BPF_PROG_DETACH`.
pub fn detach_group_program(group: impl AsFd, program: impl AsFd, hook: Hook) -> Result<(), Errno> {
    const PROG_DETACH: libc::c_int = 9;
    let mut attach = Attach::new(group, program, hook, 0);
    // SAFETY: a whole Attach with its size; the kernel only reads it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, PROG_DETACH, &raw mut attach, size_of::<Attach>()) };
    Errno::result(answer).map(drop)
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

fn query(query: &mut Query) -> Result<(), Errno> {
    const PROG_QUERY: libc::c_int = 16;
    // SAFETY: a whole Query with its size, to which the kernel writes; callers pass arrays of the same length, or none.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, std::ptr::from_mut(query), size_of::<Query>()) };
    Errno::result(answer).map(drop)
}

/// Returns how many programs decide about devices for the v2 cgroup `group`, its own and those of groups above it;
/// `BPF_PROG_QUERY`.
pub fn device_programs(group: impl AsFd) -> Result<u32, Errno> {
    const EFFECTIVE: u32 = 1;
    let mut effective = Query {
        target_fd: group.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: Hook::DEVICE.attach_type,
        query_flags: EFFECTIVE,
        ..Query::default()
    };
    query(&mut effective).map(|()| effective.prog_cnt)
}

/// Returns the ids of the programs that are attached to the group itself; `BPF_PROG_QUERY`.
pub fn group_programs(group: impl AsFd, hook: Hook) -> Result<Vec<u32>, Errno> {
    // The kernel's own limits: of programs for one function, and of functions of security modules with programs for groups.
    const MOST: usize = 64 * 10;
    let mut ids = [0_u32; MOST];
    let mut flags = [0_u32; MOST];
    // The kernel requires them for this hook, because each function has its own. Linux before 6.0 knows neither.
    let prog_attach_flags = if hook == Hook::LSM { flags.as_mut_ptr().expose_provenance() as u64 } else { 0 };
    let mut own = Query {
        target_fd: group.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: hook.attach_type,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: ids.len() as u32,
        prog_attach_flags,
        ..Query::default()
    };
    query(&mut own)?;
    Ok(ids.into_iter().take(own.prog_cnt as usize).collect())
}

fn open_by_id(command: libc::c_int, id: u32) -> Result<OwnedFd, Errno> {
    // The id, the next id, and flags.
    let mut by_id = [id, 0, 0];
    // SAFETY: the three numbers that this command has, with their size; the kernel only reads them.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, by_id.as_mut_ptr(), size_of_val(&by_id)) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Opens a program by its id; `BPF_PROG_GET_FD_BY_ID`.
pub fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    open_by_id(13, id)
}

/// Reads what the kernel knows about a program or a map; `BPF_OBJ_GET_INFO_BY_FD`.
///
/// # Safety
///
/// `Info` must be the beginning of the kernel's structure for this object, valid with any content, and its addresses must
/// lead to as much memory as its lengths say.
unsafe fn object_info<Info>(object: impl AsFd, info: &mut Info) -> Result<(), Errno> {
    #[repr(C)]
    struct Request {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    let mut request = Request {
        bpf_fd: object.as_fd().as_raw_fd().cast_unsigned(),
        info_len: size_of::<Info>() as u32,
        info: std::ptr::from_mut(info).expose_provenance() as u64,
    };
    // SAFETY: a whole Request with its size, which leads to a whole Info with its size, into which the kernel writes; the
    // caller answers for what that one leads to.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, &raw mut request, size_of::<Request>()) };
    Errno::result(answer).map(drop)
}

/// Returns the name of a program, and the id of its first map.
pub fn program_info(program: impl AsFd) -> Result<(String, Option<u32>), Errno> {
    #[repr(C)]
    #[derive(Default)]
    struct Program {
        kind: u32,
        id: u32,
        tag: [u8; 8],
        jited_len: u32,
        xlated_len: u32,
        jited: u64,
        xlated: u64,
        load_time: u64,
        created_by: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; 16],
    }
    let mut map = 0_u32;
    let map_ids = std::ptr::from_mut(&mut map).expose_provenance() as u64;
    let mut found = Program { nr_map_ids: 1, map_ids, ..Program::default() };
    // SAFETY: the beginning of the kernel's structure. It leads to one number, and to no instructions, because their lengths
    // are 0.
    unsafe { object_info(program, &mut found)? };
    let name: Vec<u8> = found.name.into_iter().take_while(|byte| *byte != 0).collect();
    Ok((String::from_utf8_lossy(&name).into_owned(), (found.nr_map_ids > 0).then_some(map)))
}

/// Makes a map with one value of `COUNT` numbers, all 0; `BPF_MAP_CREATE`.
pub fn make_numbers_map<const COUNT: usize>(name: &str) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Create {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
    }
    const MAP_CREATE: libc::c_int = 0;
    const ARRAY: u32 = 2;
    let mut create = Create {
        map_type: ARRAY,
        key_size: 4,
        value_size: size_of::<[u64; COUNT]>() as u32,
        max_entries: 1,
        map_flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: object_name(name),
    };
    // SAFETY: a whole Create with its size; the kernel only reads it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, &raw mut create, size_of::<Create>()) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Opens a map by its id; `BPF_MAP_GET_FD_BY_ID`.
pub fn map_by_id(id: u32) -> Result<OwnedFd, Errno> {
    open_by_id(14, id)
}

/// Reads the numbers of a map that [`make_numbers_map`] made with the same `COUNT`; `BPF_MAP_LOOKUP_ELEM`.
pub fn read_numbers<const COUNT: usize>(map: impl AsFd) -> Result<[u64; COUNT], Errno> {
    #[repr(C)]
    struct Lookup {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const MAP_LOOKUP_ELEM: libc::c_int = 1;
    let key = 0_u32;
    let mut numbers = [0; COUNT];
    let mut lookup = Lookup {
        map_fd: map.as_fd().as_raw_fd().cast_unsigned(),
        padding: 0,
        key: std::ptr::from_ref(&key).expose_provenance() as u64,
        value: numbers.as_mut_ptr().expose_provenance() as u64,
        flags: 0,
    };
    if value_size(&map)? != size_of::<[u64; COUNT]>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: a whole Lookup with its size; the key has the size of an array's, and the value that of this map.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, MAP_LOOKUP_ELEM, &raw mut lookup, size_of::<Lookup>()) };
    Errno::result(answer).map(|_| numbers)
}

/// Returns the size of a map's values: the kernel writes that much, whatever the caller expects.
fn value_size(map: impl AsFd) -> Result<usize, Errno> {
    #[repr(C)]
    #[derive(Default)]
    struct Map {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    const ARRAY: u32 = 2;
    let mut found = Map::default();
    // SAFETY: the beginning of the kernel's structure, numbers only.
    unsafe { object_info(map, &mut found)? };
    if found.kind != ARRAY || found.key_size != 4 {
        return Err(Errno::EINVAL);
    }
    Ok(found.value_size as usize)
}
