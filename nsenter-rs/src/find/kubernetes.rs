//! What Kubernetes calls a container, as the runtime noted it down in the annotations of its `config.json`.
//!
//! A container of a pod answers to `CONTAINER`, `POD/CONTAINER`, `NAMESPACE/POD/CONTAINER`, and to `POD` and
//! `NAMESPACE/POD` as well: a pod of one container means that one. Its sandbox is called `pause`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::claim::Claim;

pub(super) type Annotations = BTreeMap<String, String>;

/// Where a runtime notes what.
pub(super) struct Keys {
    pub(super) container: &'static str,
    pub(super) pod: &'static str,
    pub(super) namespace: &'static str,
    pub(super) kind: &'static str,
    pub(super) image: &'static str,
}

/// containerd's.
pub(super) const CONTAINERD: Keys = Keys {
    container: "io.kubernetes.cri.container-name",
    pod: "io.kubernetes.cri.sandbox-name",
    namespace: "io.kubernetes.cri.sandbox-namespace",
    kind: "io.kubernetes.cri.container-type",
    image: "io.kubernetes.cri.image-name",
};

/// CRI-O's, and the kubelet's, whose labels it hands on.
pub(super) const CRIO: Keys = Keys {
    container: "io.kubernetes.container.name",
    pod: "io.kubernetes.pod.name",
    namespace: "io.kubernetes.pod.namespace",
    kind: "io.kubernetes.cri-o.ContainerType",
    image: "io.kubernetes.cri-o.ImageName",
};

/// Adds what Kubernetes says to what the runtime says; nothing where it is no container of a pod.
pub(super) fn describe(claim: &mut Claim, annotations: &Annotations, keys: &Keys) {
    let told = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).map(String::as_str);
    let (Some(kind), Some(pod)) = (told(keys.kind), told(keys.pod)) else { return };
    let is_sandbox = kind == "sandbox";
    let container = if is_sandbox { "pause" } else { told(keys.container).unwrap_or("container") };
    let namespace = told(keys.namespace).unwrap_or("default");
    let full_pod = format!("{namespace}/{pod}");
    let mut names = vec![container.to_owned(), format!("{pod}/{container}"), format!("{full_pod}/{container}")];
    if !is_sandbox {
        names.extend([pod.to_owned(), full_pod.clone()]);
    }
    claim.names = names.into_iter().map(OsString::from).collect();
    claim.image = told(keys.image).map(str::to_owned);
    claim.pod = Some(full_pod);
}
