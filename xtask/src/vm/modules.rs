//! The kernel modules that the guest loads, each after its dependencies: modules.dep(5).
//!
//! The guest loads all of them at boot: it has no modprobe(8), so the kernel cannot load one when it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::kernel::Kernel;

/// The checksum that libcrc32c requests by an alias, which modules.dep does not list. Newer kernels have neither.
const OF_OLDER_KERNELS: &str = "crc32c_generic";

/// Networks, packet filters, traffic control, and the file systems of a root.
const WANTED: &[&str] = &[
    "veth",
    "bridge",
    "dummy",
    "tun",
    "macvlan",
    "ipvlan",
    "vxlan",
    "8021q",
    "af_packet",
    "unix_diag",
    "inet_diag",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_nat",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_redir",
    "nft_fib",
    "nft_fib_inet",
    "nft_fib_netdev",
    "nft_reject_inet",
    "nft_limit",
    "nft_log",
    "nft_numgen",
    "nft_compat",
    "br_netfilter",
    "sch_tbf",
    "sch_htb",
    "sch_fq",
    "sch_fq_codel",
    "sch_netem",
    "sch_ingress",
    "cls_matchall",
    "cls_u32",
    "act_mirred",
    "act_police",
    "ifb",
    "overlay",
    "loop",
    "squashfs",
    "fuse",
    "binfmt_misc",
];

/// A module, ready to be loaded.
pub struct Module {
    /// Its file name, such as `veth.ko`.
    pub name: String,
    /// Its content, decompressed.
    pub bytes: Vec<u8>,
}

/// Returns the wanted modules with their dependencies, in the order for loading.
pub fn in_load_order(kernel: &Kernel) -> Result<Vec<Module>> {
    let table = fs::read_to_string(kernel.modules.join("modules.dep")).context("modules.dep")?;
    let builtin = fs::read_to_string(kernel.modules.join("modules.builtin")).context("modules.builtin")?;
    let mut catalogue = Catalogue::parse(&table, &builtin);
    if let Some(path) = catalogue.paths.get(OF_OLDER_KERNELS) {
        catalogue.load(path);
    }
    for name in WANTED {
        catalogue.want(name)?;
    }
    catalogue.order.iter().map(|path| read(&kernel.modules.join(path))).collect()
}

struct Catalogue<'a> {
    dependencies: BTreeMap<&'a str, Vec<&'a str>>,
    paths: BTreeMap<String, &'a str>,
    builtin: BTreeSet<String>,
    order: Vec<&'a str>,
}

impl<'a> Catalogue<'a> {
    fn parse(table: &'a str, builtin: &str) -> Self {
        let rows = table.lines().filter_map(|line| line.split_once(':'));
        let dependencies: BTreeMap<_, Vec<_>> =
            rows.map(|(path, rest)| (path, rest.split_whitespace().collect())).collect();
        let paths = dependencies.keys().map(|path| (module_name(path), *path)).collect();
        Self { dependencies, paths, builtin: builtin.lines().map(module_name).collect(), order: Vec::new() }
    }

    fn want(&mut self, name: &str) -> Result<()> {
        match self.paths.get(name) {
            Some(path) => self.load(path),
            None if self.builtin.contains(name) => {}
            None => bail!("this kernel has no module {name}; correct WANTED in xtask/src/vm/modules.rs"),
        }
        Ok(())
    }

    fn load(&mut self, path: &'a str) {
        if !self.order.contains(&path) {
            for dependency in self.dependencies.get(path).cloned().unwrap_or_default() {
                self.load(dependency);
            }
            self.order.push(path);
        }
    }
}

/// `kernel/net/bridge/br-netfilter.ko.xz` is the module `br_netfilter`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn read(path: &PathBuf) -> Result<Module> {
    let name = format!("{}.ko", module_name(&path.to_string_lossy()));
    let bytes = if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output().context("xz")?;
        ensure!(output.status.success(), "xz cannot decompress {}", path.display());
        output.stdout
    } else {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    Ok(Module { name, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_follows_its_dependencies_and_is_loaded_once() {
        let table =
            "k/bridge.ko: k/stp.ko k/llc.ko\nk/stp.ko: k/llc.ko\nk/llc.ko:\nk/br-netfilter.ko.xz: k/bridge.ko\n";
        let mut catalogue = Catalogue::parse(table, "k/unix.ko\n");
        for name in ["br_netfilter", "stp", "unix"] {
            catalogue.want(name).unwrap();
        }
        assert_eq!(catalogue.order, ["k/llc.ko", "k/stp.ko", "k/bridge.ko", "k/br-netfilter.ko.xz"]);
        assert!(catalogue.want("nfs").is_err());
    }
}
