//! BTF, the kernel's description of its own types: the number of a function, and the offset of a structure's member.
//! `Documentation/bpf/btf.rst` of the kernel.
//!
//! BTF is a header, then the types one after another, numbered by position, then the names. The length of a type
//! follows only from its kind, so a search walks over all types before the wanted one.

use std::ffi::CStr;

/// The content of /sys/kernel/btf/vmlinux.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
}

const MAGIC: u16 = 0xeb9f;

// The values of `BTF_KIND_*` that are searched for.
const STRUCT: u32 = 4;
const FUNC: u32 = 12;

/// One type.
struct Type<'a> {
    number: u32,
    name: u32,
    kind: u32,
    /// `kind_flag`: offsets of members are only in the lower 24 bits.
    has_bitfields: bool,
    /// The data that depends on the kind: for a structure, its members.
    rest: &'a [u8],
}

impl<'a> Btf<'a> {
    /// Parses a description; `None` if the bytes are not BTF.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Btf<'a>> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let word = |at| word(bytes, at).map(|word| word as usize);
        let body = bytes.get(word(4)?..)?;
        let part = |start: usize, length: usize| body.get(start..start.checked_add(length)?);
        (magic == MAGIC).then_some(())?;
        Some(Btf { types: part(word(8)?, word(12)?)?, names: part(word(16)?, word(20)?)? })
    }

    /// Returns the number of a function.
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.find(FUNC, name).map(|found| found.number)
    }

    /// Returns the offset of a structure's member in bytes.
    pub(crate) fn offset(&self, structure: &str, member: &str) -> Option<i16> {
        let structure = self.find(STRUCT, structure)?;
        let mut members = structure.rest.chunks_exact(12);
        let bits = members.find_map(|found| {
            let is_it = self.is_name(word(found, 0)?, member);
            is_it.then(|| word(found, 8))?
        })?;
        let bits = if structure.has_bitfields { bits & 0x00ff_ffff } else { bits };
        i16::try_from(bits / 8).ok()
    }

    fn find(&self, kind: u32, name: &str) -> Option<Type<'a>> {
        let mut left = self.types;
        (1..)
            .map_while(|number| Type::take(number, &mut left))
            .find(|found| found.kind == kind && self.is_name(found.name, name))
    }

    fn is_name(&self, at: u32, name: &str) -> bool {
        let found = self.names.get(at as usize..).and_then(|rest| CStr::from_bytes_until_nul(rest).ok());
        found.is_some_and(|found| found.to_bytes() == name.as_bytes())
    }
}

impl<'a> Type<'a> {
    /// Takes the next type; `None` at the end, and at a kind whose length is not known here.
    fn take(number: u32, left: &mut &'a [u8]) -> Option<Type<'a>> {
        let (name, info) = (word(left, 0)?, word(left, 4)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let length = match kind {
            // Pointers, typedefs and the like, functions, floating point numbers, type tags.
            2 | 7..=12 | 16 | 18 => 0,
            // Integers, variables, declaration tags.
            1 | 14 | 17 => 4,
            // Arrays.
            3 => 12,
            // Structures, unions, data sections, enumerations of 64 bits.
            4 | 5 | 15 | 19 => 12 * count,
            // Enumerations, parameters of functions.
            6 | 13 => 8 * count,
            _ => return None,
        };
        let (rest, after) = left.get(12..)?.split_at_checked(length)?;
        *left = after;
        Some(Type { number, name, kind, has_bitfields: info >> 31 == 1, rest })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer, a structure with a bit field, and a function, as `pahole -J` would write them.
    fn description() -> Vec<u8> {
        let names = b"\0int\0cred\0usage\0securebits\0bpf_iter_task\0";
        let words: [&[u32]; 3] = [
            &[1, 1 << 24, 4, 32],
            &[5, 1 << 31 | STRUCT << 24 | 2, 8, 10, 1, 0x0300_0000, 16, 1, 32],
            &[27, FUNC << 24, 1],
        ];
        let types: Vec<u8> = words.concat().into_iter().flat_map(u32::to_ne_bytes).collect();
        let header = [24, 0, types.len() as u32, types.len() as u32, names.len() as u32];
        let start = [MAGIC.to_ne_bytes(), [1, 0]].concat();
        [start, header.into_iter().flat_map(u32::to_ne_bytes).collect(), types, names.to_vec()].concat()
    }

    #[test]
    fn functions_are_found_by_name_and_members_in_their_structure() {
        let bytes = description();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.function("bpf_iter_task"), btf.function("cred")), (Some(3), None));
        assert_eq!((btf.offset("cred", "securebits"), btf.offset("cred", "usage")), (Some(4), Some(0)));
        assert_eq!((btf.offset("cred", "int"), btf.offset("task_struct", "usage")), (None, None));
    }

    #[test]
    fn truncated_or_foreign_bytes_describe_nothing() {
        let bytes = description();
        for length in 0..bytes.len() {
            let found = Btf::parse(&bytes[..length]).and_then(|btf| btf.function("bpf_iter_task"));
            assert_eq!(found, None, "{length} bytes");
        }
        assert!(Btf::parse(&[0; 64]).is_none());
    }
}
