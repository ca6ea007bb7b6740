//! The host name and the domain name of a new uts namespace. `uts_namespaces(7)`, `sethostname(2)`.

use std::ffi::OsStr;

use plumbing::Fault;
use plumbing::kernel::call;

/// Sets the host name.
pub(crate) fn set(name: &OsStr) -> Result<(), Fault> {
    let shown = name.to_string_lossy();
    let text = format!("sethostname({shown:?}, {})", name.len());
    call(format!("set the host name to {shown:?}"), text, "visible in this uts namespace only", || {
        nix::unistd::sethostname(name)
    })
}

/// Sets the NIS domain name, which is unrelated to DNS.
pub(crate) fn set_domain(name: &OsStr) -> Result<(), Fault> {
    let shown = name.to_string_lossy();
    let text = format!("setdomainname({shown:?}, {})", name.len());
    call(
        format!("set the domain name to {shown:?}"),
        text,
        "visible in this uts namespace only; setdomainname(2)",
        || rustix::system::setdomainname(name.as_encoded_bytes()),
    )
}
