//! The host name of a new uts namespace. `uts_namespaces(7)`, `sethostname(2)`.

use std::ffi::OsStr;

use plumbing::Fault;
use plumbing::kernel::call;

pub(crate) fn set(name: &OsStr) -> Result<(), Fault> {
    let shown = name.to_string_lossy();
    let text = format!("sethostname({shown:?}, {})", name.len());
    call(format!("set the host name to {shown:?}"), text, "seen in this uts namespace only", || {
        nix::unistd::sethostname(name)
    })
}
