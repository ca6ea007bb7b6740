//! The pipeline of the README, by its stages, for rows that change one of them.

use crate::harness::world::World;

/// The number of stages.
pub const STAGES: usize = 5;

/// The stages: hold, limit, connect, mount, enter.
pub struct Pipeline([String; STAGES]);

impl Pipeline {
    /// Makes the pipeline for a complete container, with `/bin/true` as its command.
    pub fn new(world: &World) -> Self {
        let root = world.busybox_root().display();
        Self([
            "unshare-rs --hold --name all-or-nothing --mount --pid --ipc --uts --net --cgroup --hostname aon"
                .to_owned(),
            "cgexec-rs --pipe --memory 64M --pids 50".to_owned(),
            "netns-rs connect --pipe --bridge aon0 --address 10.91.0.2/24 --gateway 10.91.0.1 --nat".to_owned(),
            format!("chroot-rs --pipe --std {root}"),
            "nsenter-rs --pipe --rm -- /bin/true".to_owned(),
        ])
    }

    /// Changes one stage.
    pub fn with(mut self, stage: usize, change: impl FnOnce(&str) -> String) -> Self {
        self.0[stage] = change(&self.0[stage]);
        self
    }

    /// Returns the line for the shell.
    pub fn script(&self) -> String {
        self.0.join(" | ")
    }
}
