//! strace's notation, which the narration uses too: quoted strings with escapes, descriptors with their paths in angle
//! brackets, and the words between.

/// The contents of a text between two parentheses.
#[derive(Default)]
pub struct Scanned {
    /// The position of the closing parenthesis, or the end of the text.
    pub end: usize,
    /// The quoted strings, decoded.
    pub strings: Vec<String>,
    /// The text in angle brackets after a descriptor.
    pub descriptors: Vec<String>,
    /// Words in capitals.
    pub constants: Vec<String>,
}

/// Scans arguments in strace's notation, from behind the opening parenthesis.
pub fn scan(text: &str) -> Scanned {
    let bytes = text.as_bytes();
    let mut scanned = Scanned { end: bytes.len(), ..Scanned::default() };
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let (string, length) = quoted(&bytes[at + 1..], b'"');
                scanned.strings.push(string);
                at += length;
            }
            // Not the `<` of `1<<CAP_CHOWN`.
            b'<' if at > 0
                && (bytes[at - 1].is_ascii_digit() || bytes[at - 1] == b'D')
                && bytes.get(at + 1) != Some(&b'<') =>
            {
                let (string, length) = angle(&bytes[at + 1..]);
                scanned.descriptors.push(string);
                at += length;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += text[at..].find("*/").map_or(bytes.len(), |length| length + 1);
            }
            // A path without quotes, as in `root:/proc`.
            b'/' => at += text[at..].find([',', ')', ' ']).unwrap_or(bytes.len()) - 1,
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                scanned.end = at;
                return scanned;
            }
            b')' | b']' | b'}' => depth -= 1,
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                let length =
                    bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                let word = &text[at..at + length];
                if length > 2 && !word.bytes().any(|byte| byte.is_ascii_lowercase()) {
                    scanned.constants.push(word.to_owned());
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    scanned
}

/// Decodes a string up to its end, and returns its length: strace's escapes, which are C's, and those of Rust's `{:?}`.
fn quoted(bytes: &[u8], end: u8) -> (String, usize) {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != end {
        if bytes[at] != b'\\' || at + 1 == bytes.len() {
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        let (byte, length) = escape(&bytes[at + 1..], &mut decoded);
        decoded.extend(byte);
        at += 1 + length;
    }
    (String::from_utf8_lossy(&decoded).into_owned(), at + 1)
}

fn escape(bytes: &[u8], decoded: &mut Vec<u8>) -> (Option<u8>, usize) {
    let plain = |byte| (Some(byte), 1);
    match bytes[0] {
        b'n' => plain(b'\n'),
        b't' => plain(b'\t'),
        b'r' => plain(b'\r'),
        b'v' => plain(11),
        b'f' => plain(12),
        b'0'..=b'7' => {
            let digits = bytes.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let value = bytes[..digits].iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            (Some(value as u8), digits)
        }
        b'x' => {
            let digits = bytes.iter().skip(1).take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let value = bytes[1..=digits]
                .iter()
                .fold(0, |value, digit| value * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
            (Some(value as u8), 1 + digits)
        }
        b'u' => {
            let hex: String = bytes
                .iter()
                .skip(2)
                .take_while(|byte| byte.is_ascii_hexdigit())
                .map(|byte| char::from(*byte))
                .collect();
            let character = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            decoded.extend_from_slice(character.to_string().as_bytes());
            (None, hex.len() + 3)
        }
        other => plain(other),
    }
}

/// Decodes strace's description of a descriptor: `/dev/null<char 1:3>`, `NETLINK:[ROUTE:77]`, `pid:4242`.
fn angle(bytes: &[u8]) -> (String, usize) {
    let mut depth = 0;
    let length = bytes.iter().take_while(|byte| match byte {
        b'<' => {
            depth += 1;
            true
        }
        b'>' if depth == 0 => false,
        b'>' => {
            depth -= 1;
            true
        }
        _ => true,
    });
    let length = length.count();
    let (decoded, _) = quoted(&bytes[..length], 0);
    (decoded.split('<').next().unwrap_or_default().to_owned(), length + 1)
}
