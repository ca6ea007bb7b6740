//! Messages of D-Bus, as far as one method call with its answer needs them. Pure. The D-Bus specification, "Message
//! Protocol".
//!
//! What comes from a socket may be anything: each length is checked before it is used. The surprise: each value is aligned
//! to its size, counted from the start of the message, and the padding must be zero.

/// The longest message that is read; systemd's own are a few kilobytes.
const LONGEST: usize = 1 << 20;

/// The fixed part of a message, up to the length of its header fields.
const FIXED: usize = 16;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// The numbers of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// Values in the notation of the wire, in the byte order of this machine.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// Writes a number of 32 bits.
    pub(crate) fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_ne_bytes());
    }

    /// Writes a number of 64 bits.
    pub(crate) fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_ne_bytes());
    }

    /// Writes a string, or a path of an object.
    pub(crate) fn string(&mut self, text: &str) {
        // Our own texts are short.
        self.u32(u32::try_from(text.len()).unwrap_or_default());
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or_default());
        self.0.extend(text.bytes().chain([0]));
    }

    /// Writes an array; its elements are aligned to `alignment`.
    pub(crate) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let length = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        elements(self);
        let written = u32::try_from(self.0.len() - start).unwrap_or_default();
        self.0[length..length + 4].copy_from_slice(&written.to_ne_bytes());
    }

    /// Writes an element `(sv)` of an array of properties.
    pub(crate) fn property(&mut self, name: &str, signature: &str, value: impl FnOnce(&mut Writer)) {
        self.align(8);
        self.string(name);
        self.signature(signature);
        value(self);
    }

    fn field(&mut self, number: u8, signature: &str, text: &str) {
        self.align(8);
        self.0.push(number);
        self.signature(signature);
        if signature == "g" { self.signature(text) } else { self.string(text) }
    }
}

/// A method to call.
pub(crate) struct Call<'a> {
    /// The name on a bus; `None` if the socket leads to the service itself.
    pub(crate) destination: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) body: Writer,
}

impl Call<'_> {
    /// Returns the message.
    pub(crate) fn encode(&self, serial: u32) -> Vec<u8> {
        let order = if cfg!(target_endian = "little") { b'l' } else { b'B' };
        let mut message = Writer(vec![order, METHOD_CALL, 0, 1]);
        message.u32(u32::try_from(self.body.0.len()).unwrap_or_default());
        message.u32(serial);
        message.array(8, |fields| {
            fields.field(PATH, "o", self.path);
            fields.field(INTERFACE, "s", self.interface);
            fields.field(MEMBER, "s", self.member);
            if let Some(destination) = self.destination {
                fields.field(DESTINATION, "s", destination);
            }
            if !self.signature.is_empty() {
                fields.field(SIGNATURE, "g", self.signature);
            }
        });
        message.align(8);
        message.0.extend(&self.body.0);
        message.0
    }
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to a call.
    Return,
    /// The refusal of a call.
    Error,
    Signal,
    /// A call, for example.
    Other,
}

/// A message that was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) reply_serial: Option<u32>,
    pub(crate) member: String,
    pub(crate) error: String,
    /// Who sent it, if a bus says so.
    pub(crate) sender: Option<String>,
    /// The values at the beginning of the body that are strings, paths or numbers of 32 bits.
    pub(crate) values: Vec<String>,
}

const SHORT: &str = "a value is longer than its message";

/// Reads the first message in `bytes`, and returns it with its length; `None` if it is not complete yet.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Message, usize)>, &'static str> {
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
    let is_big = match fixed[0] {
        b'l' => false,
        b'B' => true,
        _ => return Err("unknown byte order"),
    };
    let reader = |at| Reader { bytes: fixed, at, is_big };
    let (body, fields) = (reader(4).length()?, reader(12).length()?);
    let start = (FIXED + fields).next_multiple_of(8);
    if fixed[3] != 1 || start.saturating_add(body) > LONGEST {
        return Err("too long, or not version 1 of the protocol");
    }
    let Some(whole) = bytes.get(..start + body) else { return Ok(None) };
    let kind = match fixed[1] {
        METHOD_RETURN => Kind::Return,
        ERROR => Kind::Error,
        SIGNAL => Kind::Signal,
        _ => Kind::Other,
    };
    let (member, error, values) = (String::new(), String::new(), Vec::new());
    let mut message = Message { kind, reply_serial: None, member, error, sender: None, values };
    let mut header = Reader { bytes: &whole[..FIXED + fields], at: FIXED, is_big };
    let mut signature = String::new();
    while header.at < header.bytes.len() {
        let (number, value) = header.field()?;
        match number {
            MEMBER => message.member = value,
            ERROR_NAME => message.error = value,
            REPLY_SERIAL => message.reply_serial = value.parse().ok(),
            SENDER => message.sender = Some(value),
            SIGNATURE => signature = value,
            _ => {}
        }
    }
    let mut body = Reader { bytes: whole, at: start, is_big };
    for kind in signature.bytes().take_while(|kind| matches!(kind, b's' | b'o' | b'u')) {
        message.values.push(body.value(kind)?);
    }
    Ok(Some((message, start + whole[start..].len())))
}

/// A position in a message.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    is_big: bool,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], &'static str> {
        let end = self.at.checked_add(length).ok_or(SHORT)?;
        let taken = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.at = self.at.next_multiple_of(4);
        let is_big = self.is_big;
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| SHORT)?;
        Ok(if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        let length = usize::try_from(self.u32()?).map_err(|_| SHORT)?;
        if length > LONGEST { Err(SHORT) } else { Ok(length) }
    }

    fn text(&mut self, length: usize) -> Result<String, &'static str> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        match self.take(1)? {
            [0] => Ok(text),
            _ => Err("a string without its end"),
        }
    }

    fn signature(&mut self) -> Result<String, &'static str> {
        let length = usize::from(self.take(1)?[0]);
        self.text(length)
    }

    /// Reads a value of one of the types that we know.
    fn value(&mut self, kind: u8) -> Result<String, &'static str> {
        match kind {
            b's' | b'o' => {
                let length = self.length()?;
                self.text(length)
            }
            b'g' => self.signature(),
            b'u' => self.u32().map(|number| number.to_string()),
            _ => Err("a header field of an unknown type"),
        }
    }

    fn field(&mut self) -> Result<(u8, String), &'static str> {
        self.at = self.at.next_multiple_of(8);
        let number = self.take(1)?[0];
        let signature = self.signature()?;
        match signature.as_bytes() {
            [kind] => Ok((number, self.value(*kind)?)),
            _ => Err("a header field of an unknown type"),
        }
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    /// The signal that a job has ended, as systemd sends it on its own socket.
    const REMOVED: &[u8] = b"l\x04\x01\x01\x25\0\0\0\x09\0\0\0\x32\0\0\0\
        \x03\x01s\0\x0a\0\0\0JobRemoved\0\0\0\0\0\0\
        \x07\x01s\0\x04\0\0\0:1.7\0\0\0\0\
        \x08\x01g\0\x04uoss\0\0\0\0\0\0\0\
        \x2a\0\0\0\x04\0\0\0/j/4\0\0\0\0\x07\0\0\0a.scope\0\x04\0\0\0done\0";

    /// The refusal of call 7.
    const REFUSED: &[u8] = b"l\x03\x01\x01\x09\0\0\0\x02\0\0\0\x1f\0\0\0\
        \x05\x01u\0\x07\0\0\0\
        \x04\x01s\0\x03\0\0\0a.B\0\0\0\0\0\
        \x08\x01g\0\x01s\0\0\
        \x04\0\0\0nope\0";

    #[test]
    fn a_call_has_the_bytes_of_the_specification() {
        let mut body = Writer::default();
        body.string("x");
        let call = Call { destination: None, path: "/a", interface: "i", member: "Hello", signature: "s", body };
        let expected = b"l\x01\0\x01\x06\0\0\0\x07\0\0\0\x37\0\0\0\
            \x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\
            \x02\x01s\0\x01\0\0\0i\0\0\0\0\0\0\0\
            \x03\x01s\0\x05\0\0\0Hello\0\0\0\
            \x08\x01g\0\x01s\0\0\
            \x01\0\0\0x\0";
        assert_eq!(call.encode(7), expected);
    }

    #[test]
    fn arrays_and_properties_are_aligned() {
        let mut body = Writer::default();
        body.array(8, |properties| {
            properties.property("PIDs", "au", |value| value.array(4, |pids| pids.u32(0)));
            properties.property("T", "t", |value| value.u64(u64::MAX));
        });
        let expected = b"\x30\0\0\0\0\0\0\0\
            \x04\0\0\0PIDs\0\x02au\0\0\0\0\x04\0\0\0\0\0\0\0\
            \x01\0\0\0T\0\x01t\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(body.0, expected);
    }

    #[test]
    fn signals_and_refusals_are_read() {
        let (message, length) = decode(REMOVED).unwrap().unwrap();
        assert_eq!((message.kind, length), (Kind::Signal, REMOVED.len()));
        assert_eq!((message.member.as_str(), message.sender.as_deref()), ("JobRemoved", Some(":1.7")));
        assert_eq!(message.values, ["42", "/j/4", "a.scope", "done"]);
        // The next message is not part of the first.
        let both = [REFUSED, REMOVED].concat();
        let (message, length) = decode(&both).unwrap().unwrap();
        assert_eq!((message.kind, message.reply_serial, length), (Kind::Error, Some(7), REFUSED.len()));
        assert_eq!((message.error.as_str(), message.values), ("a.B", vec!["nope".to_owned()]));
    }

    #[test]
    fn a_message_that_lies_about_lengths_is_refused() {
        for message in [REMOVED, REFUSED] {
            for end in 0..message.len() {
                assert_eq!(decode(&message[..end]), Ok(None), "{end}");
            }
            // Whatever one byte becomes: an answer, never a panic.
            for at in 0..message.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = message.to_vec();
                    changed[at] = byte;
                    decode(&changed).ok();
                }
            }
        }
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = REFUSED.to_vec();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            decode(&changed)
        };
        assert!(with(0, b"x").is_err(), "byte order");
        assert!(with(3, b"\x02").is_err(), "version");
        assert!(with(4, b"\xff\xff\xff\xff").is_err(), "length of the body");
        assert!(with(12, b"\xff\xff\xff\x7f").is_err(), "length of the fields");
        assert!(with(28, b"\xff\0\0\0").is_err(), "length of a field");
        assert!(with(26, b"v").is_err(), "type of a field");
        assert!(with(48, b"\xff\0\0\0").is_err(), "length of a value");
        assert!(with(56, b"x").is_err(), "end of a string");
    }
}
