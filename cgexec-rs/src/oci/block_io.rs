//! `linux.resources.blockIO` of a bundle: weights and rates of disks. <https://github.com/opencontainers/runtime-spec>,
//! config-linux.md.
//!
//! The surprise: weights are those of v1, from 10 to 1000, and are converted when they are written to a group of v2.

use plumbing::command_line::units::Limit;
use serde::Deserialize;

use super::{OfBundle, of};

/// The key of a weight from 10 to 1000, as v1 has it.
pub(crate) const OF_BLKIO: &str = "blkio";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct BlockIo {
    weight: u16,
    leaf_weight: u16,
    weight_device: Vec<WeightDevice>,
    throttle_read_bps_device: Vec<Throttle>,
    throttle_write_bps_device: Vec<Throttle>,
    #[serde(rename = "throttleReadIOPSDevice")]
    throttle_read_iops_device: Vec<Throttle>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    throttle_write_iops_device: Vec<Throttle>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WeightDevice {
    major: u32,
    minor: u32,
    weight: u16,
    leaf_weight: u16,
}

#[derive(Debug, Deserialize)]
struct Throttle {
    major: u32,
    minor: u32,
    rate: u64,
}

impl BlockIo {
    pub(super) fn add(&self, found: &mut OfBundle) -> Result<(), String> {
        if self.leaf_weight > 0 || self.weight_device.iter().any(|device| device.leaf_weight > 0) {
            return Err("blockIO.leafWeight: kernels no longer have this weight".to_owned());
        }
        let own = (self.weight > 0).then(|| ("default".to_owned(), self.weight));
        let of_devices = self.weight_device.iter().filter(|device| device.weight > 0);
        let of_devices = of_devices.map(|device| (format!("{}:{}", device.major, device.minor), device.weight));
        for (object, weight) in own.into_iter().chain(of_devices) {
            if !(10..=1000).contains(&weight) {
                return Err(format!("blockIO: the weight {weight} is not from 10 to 1000"));
            }
            found.set("io-weight", of(&object, &[(OF_BLKIO, Limit::Amount(weight.into()))]));
        }
        for (key, throttles) in [
            ("rbps", &self.throttle_read_bps_device),
            ("wbps", &self.throttle_write_bps_device),
            ("riops", &self.throttle_read_iops_device),
            ("wiops", &self.throttle_write_iops_device),
        ] {
            for Throttle { major, minor, rate } in throttles.iter().filter(|throttle| throttle.rate > 0) {
                found.set("io-max", of(&format!("{major}:{minor}"), &[(key, Limit::Amount(*rate))]));
            }
        }
        Ok(())
    }
}
