//! `linux.resources.cpu` of a bundle. <https://github.com/opencontainers/runtime-spec>, config-linux.md.

use plumbing::command_line::units::Limit;
use serde::Deserialize;

use super::{OfBundle, limit};
use crate::value::{Numbers, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Cpu {
    shares: u64,
    quota: i64,
    period: u64,
    burst: u64,
    realtime_runtime: i64,
    realtime_period: u64,
    cpus: String,
    mems: String,
    idle: i64,
}

impl Cpu {
    pub(super) fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        const PERIOD: u64 = 100_000;
        let period = if self.period == 0 { PERIOD } else { self.period };
        match (limit(self.quota), self.period) {
            (None, 0) => {}
            (quota, _) => found.set("cpus", Value::Quota(quota.unwrap_or(Limit::Max), period)),
        }
        if self.burst > 0 {
            let burst = i64::try_from(self.burst).map_err(|_| "cpu.burst: it is too large")?;
            found.set("cpu-max-burst", Value::Number(burst));
        }
        match (self.idle, self.shares) {
            // An idle group has no weight.
            (1, _) => found.set("cpu-idle", Value::Number(1)),
            (_, 0) => {}
            (_, shares) => found.set("cpu-weight", Value::Shares(shares)),
        }
        for (option, list) in [("cpuset-cpus", &self.cpus), ("cpuset-mems", &self.mems)] {
            if list.is_empty() {
                continue;
            }
            if Numbers::parse(list).is_none() {
                return Err(format!("cpu: {list:?} is no list such as 0-3,8"));
            }
            found.set(option, Value::Text(list.clone()));
        }
        if self.realtime_period > 0 {
            found.write("cpu.rt_period_us", self.realtime_period.to_string());
        }
        if self.realtime_runtime > 0 {
            found.write("cpu.rt_runtime_us", self.realtime_runtime.to_string());
        }
        Ok(())
    }
}
