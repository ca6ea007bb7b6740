//! The result of ADD, as a record shows it. Pure. `containernetworking/cni SPEC.md`, section 5.
//!
//! The surprise: which interfaces are on the host is only said by the lack of a `sandbox`; and results before version 0.3.0
//! have no interfaces at all, but one address of each family.

use plumbing::pipeline::record::Interface;
use serde_json::Value;

/// Returns the interface of this name in a result.
pub fn interface(result: &Value, name: &str) -> Interface {
    let list = |member: &str| result.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let interfaces = list("interfaces");
    let at = interfaces.iter().position(|one| word(one, "name").as_deref() == Some(name) && is_inside(one));
    let old = ["ip4", "ip6"].into_iter().filter_map(|family| result.get(family));
    let old = old.filter_map(|own| Some((word(own, "ip")?, word(own, "gateway"))));
    let is_own = |ip: &Value| at.is_none() || ip.get("interface").and_then(Value::as_u64) == at.map(|at| at as u64);
    let ips = list("ips");
    let own = ips.iter().filter(|ip| is_own(ip)).filter_map(|ip| Some((word(ip, "address")?, word(ip, "gateway"))));
    let all: Vec<_> = own.chain(old).collect();
    let outside = || interfaces.iter().filter(|one| !is_inside(one)).filter_map(|one| word(one, "name"));
    Interface {
        name: name.to_owned(),
        peer: outside().find(|name| name.starts_with("veth")),
        bridge: outside().find(|name| !name.starts_with("veth")),
        gateway: all.iter().filter_map(|(_, gateway)| gateway.as_deref()?.parse().ok()).min(),
        addresses: all.into_iter().map(|(address, _)| address).collect(),
        ..Interface::default()
    }
}

fn is_inside(interface: &Value) -> bool {
    interface.get("sandbox").and_then(Value::as_str).is_some_and(|sandbox| !sandbox.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_interface_inside_has_its_own_addresses() {
        let result = json!({"cniVersion": "1.0.0", "interfaces": [
            {"name": "b0", "mac": "1"}, {"name": "vethd8", "mac": "2"}, {"name": "eth0", "mac": "3", "sandbox": "/x"},
            {"name": "eth1", "sandbox": "/x"}],
            "ips": [{"interface": 2, "address": "10.1.0.2/24", "gateway": "10.1.0.1"}, {"interface": 3, "address": "10.2.0.2/24"}]});
        let found = interface(&result, "eth0");
        assert_eq!((found.peer.as_deref(), found.bridge.as_deref()), (Some("vethd8"), Some("b0")));
        assert_eq!(found.addresses, ["10.1.0.2/24"]);
        assert_eq!(found.gateway.map(|ip| ip.to_string()).as_deref(), Some("10.1.0.1"));
        let old = interface(&json!({"ip4": {"ip": "10.1.0.2/24"}}), "eth0");
        assert_eq!(old.addresses, ["10.1.0.2/24"]);
        assert_eq!(interface(&json!([]), "eth0").addresses, [""; 0]);
    }
}
