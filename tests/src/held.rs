//! A held container for rows that need one: made by the tool, ended with the row.

use std::fs;

use serde_json::Value;

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
        let user = if world.is_root { "" } else { "--user --map-root-user" };
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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_alive() {
            self.world.script("nsenter-rs --pipe --rm -- true").stdin(self.record.clone()).run();
        }
    }
}
