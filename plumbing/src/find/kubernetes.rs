//! The names that Kubernetes gives a container, as the runtime records them in the annotations of `config.json`.
//!
//! A container of a pod can be named `CONTAINER`, `POD/CONTAINER`, `NAMESPACE/POD/CONTAINER`, and also `POD` or
//! `NAMESPACE/POD`, which is sufficient if the pod has one container. The name of its sandbox is `pause`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::claim::Claim;

pub(super) type Annotations = BTreeMap<String, String>;

/// The keys under which a runtime records the annotations.
pub(super) struct Keys {
    pub(super) container: &'static str,
    pub(super) pod: &'static str,
    pub(super) namespace: &'static str,
    pub(super) kind: &'static str,
    pub(super) image: &'static str,
}

/// The keys of containerd.
pub(super) const CONTAINERD: Keys = Keys {
    container: "io.kubernetes.cri.container-name",
    pod: "io.kubernetes.cri.sandbox-name",
    namespace: "io.kubernetes.cri.sandbox-namespace",
    kind: "io.kubernetes.cri.container-type",
    image: "io.kubernetes.cri.image-name",
};

/// The keys of CRI-O, and those of the kubelet, whose labels CRI-O passes on.
pub(super) const CRIO: Keys = Keys {
    container: "io.kubernetes.container.name",
    pod: "io.kubernetes.pod.name",
    namespace: "io.kubernetes.pod.namespace",
    kind: "io.kubernetes.cri-o.ContainerType",
    image: "io.kubernetes.cri-o.ImageName",
};

/// Adds what Kubernetes says to the runtime's claim; changes nothing if the container does not belong to a pod.
pub(super) fn describe(claim: &mut Claim, annotations: &Annotations, keys: &Keys) {
    let value = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).map(String::as_str);
    let (Some(kind), Some(pod)) = (value(keys.kind), value(keys.pod)) else { return };
    let is_sandbox = kind == "sandbox";
    let container = if is_sandbox { "pause" } else { value(keys.container).unwrap_or("container") };
    let namespace = value(keys.namespace).unwrap_or("default");
    let full_pod = format!("{namespace}/{pod}");
    let mut names = vec![container.to_owned(), format!("{pod}/{container}"), format!("{full_pod}/{container}")];
    if !is_sandbox {
        names.extend([pod.to_owned(), full_pod.clone()]);
    }
    claim.names = names.into_iter().map(OsString::from).collect();
    claim.image = value(keys.image).map(str::to_owned);
    claim.pod = Some(full_pod);
}
