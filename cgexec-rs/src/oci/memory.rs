//! `linux.resources.memory` of a bundle. <https://github.com/opencontainers/runtime-spec>, config-linux.md.
//!
//! The surprise: the limit of swap includes memory, as in v1.

use plumbing::command_line::units::Limit;
use serde::Deserialize;

use super::{OfBundle, limit};
use crate::value::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Memory {
    limit: i64,
    swap: i64,
    reservation: i64,
    kernel: i64,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: i64,
    swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    disable_oom_killer: bool,
    // Groups always include those below them, and a new one has no usage to check.
    #[serde(rename = "useHierarchy")]
    _use_hierarchy: Option<bool>,
    #[serde(rename = "checkBeforeUpdate")]
    _check_before_update: Option<bool>,
}

impl Memory {
    pub(super) fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        for (member, number) in [("kernel", self.kernel), ("kernelTCP", self.kernel_tcp)] {
            if number > 0 {
                return Err(format!("memory.{member}: kernels no longer have this limit"));
            }
        }
        found.set_limit("memory", self.limit);
        match (limit(self.limit), limit(self.swap)) {
            (_, None) => {}
            (_, Some(Limit::Max)) => found.set("swap", Value::Limit(Limit::Max)),
            // In the specification, swap is the sum of both.
            (Some(Limit::Amount(memory)), Some(Limit::Amount(sum))) if sum >= memory => {
                found.set("swap", Value::Limit(Limit::Amount(sum - memory)));
            }
            (_, Some(Limit::Amount(sum))) => {
                return Err(format!(
                    "memory.swap: {sum} is the sum of memory and swap, and must not be below memory.limit"
                ));
            }
        }
        found.set_limit("memory-low", self.reservation);
        if let Some(swappiness) = self.swappiness {
            found.write("memory.swappiness", swappiness.to_string());
        }
        if self.disable_oom_killer {
            found.write("memory.oom_control", "1");
        }
        Ok(())
    }
}
