//! The kernel's description of its own types: which number a function has, and where a member of a structure lies.
//! `Documentation/bpf/btf.rst` of the kernel.
//!
//! A header, then types one behind the other, whose number is their place in that line, then names. Nothing says where a
//! type ends but its kind, so whoever looks for one walks past all before it.

use std::ffi::CStr;

/// What /sys/kernel/btf/vmlinux holds.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
}

const MAGIC: u16 = 0xeb9f;

/// Of `BTF_KIND_*`, those that are looked for.
const STRUCT: u32 = 4;
const FUNC: u32 = 12;

/// One type.
struct Type<'a> {
    number: u32,
    name: u32,
    kind: u32,
    /// `kind_flag`: offsets of members are in the lower 24 bits then.
    has_bitfields: bool,
    /// What only its kind has: of a structure, its members.
    rest: &'a [u8],
}

impl<'a> Btf<'a> {
    /// `None` for what is no such description.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Btf<'a>> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let word = |at| word(bytes, at).map(|word| word as usize);
        let body = bytes.get(word(4)?..)?;
        let part = |start: usize, length: usize| body.get(start..start.checked_add(length)?);
        (magic == MAGIC).then_some(())?;
        Some(Btf { types: part(word(8)?, word(12)?)?, names: part(word(16)?, word(20)?)? })
    }

    /// The number of a function.
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.find(FUNC, name).map(|found| found.number)
    }

    /// How many bytes before it a member of a structure has.
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
        let told = self.names.get(at as usize..).and_then(|rest| CStr::from_bytes_until_nul(rest).ok());
        told.is_some_and(|told| told.to_bytes() == name.as_bytes())
    }
}

impl<'a> Type<'a> {
    /// Takes the next one; `None` at the end, and before a kind that nobody has told us the length of.
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
    fn a_function_is_found_by_its_name_and_a_member_in_its_structure() {
        let bytes = description();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.function("bpf_iter_task"), btf.function("cred")), (Some(3), None));
        assert_eq!((btf.offset("cred", "securebits"), btf.offset("cred", "usage")), (Some(4), Some(0)));
        assert_eq!((btf.offset("cred", "int"), btf.offset("task_struct", "usage")), (None, None));
    }

    #[test]
    fn what_is_cut_off_or_something_else_describes_nothing() {
        let bytes = description();
        for length in 0..bytes.len() {
            let found = Btf::parse(&bytes[..length]).and_then(|btf| btf.function("bpf_iter_task"));
            assert_eq!(found, None, "{length} bytes");
        }
        assert!(Btf::parse(&[0; 64]).is_none());
    }
}
