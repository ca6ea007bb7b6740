//! Lines of passwd, group, subuid and subgid, as bytes. `passwd(5)`, `group(5)`, `subuid(5)`.
//!
//! The surprise: these files are full of other people's text. A comment in Latin-1, a NUL or a carriage return in the line
//! of one user says nothing about the lines of the others.

/// Yields the fields of each line. A carriage return before the newline belongs to the end of the line.
pub fn entries(table: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    table.split(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|byte| *byte == b':').collect()
    })
}

/// Parses an id: decimal digits, and nothing else.
pub fn id(field: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(field).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Returns the id of the user or group with this name.
pub fn id_of(table: &[u8], name: &[u8]) -> Option<u32> {
    entries(table).filter(|fields| fields[0] == name).find_map(|fields| id(fields.get(2)?))
}

/// Returns a field of the first line with this id, counted from 0.
pub fn field(table: &[u8], wanted: u32, index: usize) -> Option<&[u8]> {
    let is_wanted = |fields: &Vec<&[u8]>| fields.get(2).is_some_and(|field| id(field) == Some(wanted));
    entries(table).find(is_wanted)?.get(index).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_found_by_name_and_by_number() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nbj\xf6rn:x:5:5:\xff\0::\nweb:x:900:901::/srv:\r\n";
        assert_eq!((id_of(passwd, b"web"), id_of(passwd, b"we"), id_of(passwd, b"broken")), (Some(900), None, None));
        assert_eq!(id_of(passwd, b"bj\xf6rn"), Some(5));
        assert_eq!((field(passwd, 900, 0), field(passwd, 900, 6)), (Some(&b"web"[..]), Some(&b""[..])));
        assert_eq!((field(passwd, 0, 6), field(passwd, 1, 0)), (Some(&b"/bin/sh"[..]), None));
        assert_eq!((id(b"+5"), id(b" 5"), id(b"4294967296"), id(b"")), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn no_neighbor_hides_a_line(
            before in prop::collection::vec(any::<u8>(), 0..80),
            after in prop::collection::vec(any::<u8>(), 0..80),
            ending in prop::sample::select(vec![&b"\n"[..], b"\r\n"]),
        ) {
            let table = [&before[..], b"\nzz-web:x:987654321:7::/srv:/bin/sh", ending, &after].concat();
            prop_assert_eq!(id_of(&table, b"zz-web"), Some(987_654_321));
            prop_assert_eq!(field(&table, 987_654_321, 6), Some(&b"/bin/sh"[..]));
        }
    }
}
