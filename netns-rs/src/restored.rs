//! Settings of bridges that we made, which only some containers need: they return to what they were when the last of these
//! is gone, even if others are still on the bridge. `ip-sysctl` in the kernel's documentation.
//!
//! The surprise: a bridge on which IPv6 is disabled loses its IPv6 addresses, so its gateway for IPv6 goes as well.

use plumbing::Fault;

use crate::mark::Mark;
use crate::publish::Published;
use crate::settings::Settings;
use crate::survey::Survey;

/// A setting that no container needs any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path below /proc/sys/net.
    pub path: String,
    /// Its value before a container needed another one.
    pub value: &'static str,
}

/// Returns the settings of the bridges in use that no container needs any more.
pub fn find(survey: &Survey) -> Result<Vec<Setting>, Fault> {
    let mut found = Vec::new();
    for bridge in survey.links().iter().filter(|link| link.is_our_bridge()) {
        let marks: Vec<Mark> = survey.ports(bridge.index).filter_map(|(_, mark)| mark).collect();
        // One without containers is removed, or is about to get one.
        if marks.is_empty() {
            continue;
        }
        let settings = Settings::open()?;
        let path = format!("ipv4/conf/{}/route_localnet", bridge.name);
        let is_published = marks.iter().any(|mark| mark.nat && mark.published.iter().any(Published::is_for_loopback));
        let is = |path: &str, value: &str| settings.get(path).map(|found| found.as_deref() == Some(value));
        if !is_published && is(&path, "1")? && !is("ipv4/conf/default/route_localnet", "1")? {
            found.push(Setting { path, value: "0" });
        }
        let path = format!("ipv6/conf/{}/disable_ipv6", bridge.name);
        let has_ipv6 = marks.iter().flat_map(|mark| &mark.addresses).any(|address| address.ip.is_ipv6());
        if !has_ipv6 && is(&path, "0")? {
            found.push(Setting { path, value: "1" });
        }
    }
    Ok(found)
}

/// Sets them to what they were.
pub fn restore(found: &[Setting]) -> Result<(), Fault> {
    if found.is_empty() {
        return Ok(());
    }
    let settings = Settings::open()?;
    found.iter().try_for_each(|Setting { path, value }| settings.set(path, value, "no container needs it any more"))
}
