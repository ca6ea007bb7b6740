//! The file mode creation mask. `umask(2)`.
//!
//! The surprise: the kernel drops what does not fit into 0777, so a mask written in the wrong base would become another.

use nix::errno::Errno;
use rustix::fs::Mode;
use serde::{Deserialize, Deserializer};

use crate::Fault;
use crate::kernel::call;

/// Returns the mask if the kernel would keep all of it.
pub fn require(mask: u32) -> Result<u32, String> {
    match mask {
        ..=0o777 => Ok(mask),
        _ => Err(format!("{mask} is not a umask: the highest is {} (octal 777)", 0o777)),
    }
}

/// A mask in JSON.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Mask(u32);

impl TryFrom<u32> for Mask {
    type Error = String;

    fn try_from(mask: u32) -> Result<Mask, String> {
        require(mask).map(Mask)
    }
}

/// Reads a mask, or null; for serde's `deserialize_with`.
pub fn of_json_if_any<'de, D: Deserializer<'de>>(json: D) -> Result<Option<u32>, D::Error> {
    Option::<Mask>::deserialize(json).map(|mask| mask.map(|mask| mask.0))
}

/// Sets the mask.
pub(super) fn set(mask: u32) -> Result<(), Fault> {
    let why = "the permissions that new files do not get; umask(2)";
    call("set the file mode mask", format!("umask({:#05o})", mask).replace("0o", "0"), why, || {
        rustix::process::umask(Mode::from_raw_mode(mask));
        Ok::<(), Errno>(())
    })
}
