//! The values of options about an interface: names, its hardware address, the longest packet. Pure. `ip-link(8)`.

/// `IFNAMSIZ` minus its NUL.
const LONGEST_NAME: usize = 15;

/// Parses a hardware address of one interface.
pub fn mac(text: &str) -> Result<[u8; 6], String> {
    let forms = "expected six pairs of hexadecimal digits, such as 02:00:00:00:00:01";
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    let pair = |pair: &str| if is_pair(pair) { u8::from_str_radix(pair, 16).ok() } else { None };
    let bytes: Option<Vec<u8>> = text.split(':').map(pair).collect();
    let mac: [u8; 6] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(forms)?;
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(format!("{text} is not the address of one interface; the first pair is even, and not all are 00"));
    }
    Ok(mac)
}

/// Parses the size of the longest packet.
pub fn mtu(text: &str) -> Result<u32, String> {
    let valid = || "expected 68 to 65535 bytes".to_owned();
    text.parse().ok().filter(|mtu| (68..=65535).contains(mtu)).ok_or_else(valid)
}

/// Parses the name of a container, as a part of the second name of its interface on the host.
pub fn container_name(text: &str) -> Result<String, String> {
    /// `ALTIFNAMSIZ` minus its NUL, a dot and the name of an interface.
    const LONGEST: usize = 127 - 1 - LONGEST_NAME;
    let is_valid = |c: char| !matches!(c, '/' | ':' | '%') && !c.is_whitespace() && !c.is_control();
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(is_valid) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {LONGEST} bytes without /, :, %, spaces and control characters"))
}

/// Parses the name of an interface, by the kernel's rule (`dev_valid_name`), without names that the kernel would take
/// as a pattern to fill in or that no other tool could address.
pub fn interface_name(text: &str) -> Result<String, String> {
    let forms = format!("expected 1 to {LONGEST_NAME} letters, digits and signs, without /, :, % and spaces");
    let is_sign = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    match text {
        "." | ".." | "all" | "default" => Err(format!("the kernel uses the word {text} for something else; {forms}")),
        "lo" => Err("lo is the loopback interface, which every network namespace has".to_owned()),
        _ if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_sign) => Ok(text.to_owned()),
        _ => Err(forms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_follow_the_kernel() {
        for name in ["eth0", "box0", "a", "br-1.2", "123456789012345"] {
            assert!(interface_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "lo", "a/b", "a b", "a:1", "veth%d", "1234567890123456", "é", "all"] {
            assert!(interface_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(mac("02:00:00:00:00:ff"), Ok([2, 0, 0, 0, 0, 255]));
        for text in ["01:00:00:00:00:00", "00:00:00:00:00:00", "2:0:0:0:0:1", "02:00:00:00:00", "+2:00:00:00:00:01"] {
            assert!(mac(text).is_err(), "{text}");
        }
    }
}
