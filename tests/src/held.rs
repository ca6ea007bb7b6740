//! A held container for rows that need one: made by the tool, ended with the row.

use serde_json::Value;

use crate::stat::Stat;
use crate::world::World;

/// A container that is being assembled.
pub struct Held<'a> {
    world: &'a World,
    /// Its record, with the newline.
    pub record: String,
    /// Its init.
    pub pid: i32,
}

impl<'a> Held<'a> {
    /// Makes one with this name, in a user namespace where we are not root.
    pub fn new(world: &'a World, name: &str) -> Self {
        let user = world.as_root();
        // The substitution waits until nobody holds the pipe any more: an init that did would be found out here.
        let script = format!(
            "record=$(unshare-rs --hold --name {name} --hostname {name} {user} --mount --pid --uts --ipc --net --ttl 120) && \
             echo \"$record\""
        );
        let record = world.sh(&script).succeeds().stdout;
        let parsed: Value = serde_json::from_str(&record).expect("a record");
        let pid = parsed["init"]["pid"].as_i64().expect("a pid") as i32;
        Held { world, record, pid }
    }

    /// Whether its init is there, and not a zombie.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.is_alive())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_alive() {
            self.world.script("nsenter-rs --pipe --rm -- true").stdin(self.record.clone()).run();
        }
    }
}
