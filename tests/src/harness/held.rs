//! A held container for rows that need one: made by the tool, removed with the row.

use serde_json::Value;

use crate::harness::stat::Stat;
use crate::harness::world::World;

/// An unfinished container.
pub struct Held<'a> {
    world: &'a World,
    /// Its record, with the newline.
    pub record: String,
    /// The pid of its init.
    pub pid: i32,
}

impl<'a> Held<'a> {
    /// Makes a container with this name; in a user namespace if we are not root.
    pub fn new(world: &'a World, name: &str) -> Self {
        Self::after(world, name, "")
    }

    /// The same in a root of its own: its programs are not the host's.
    pub fn in_root(world: &'a World, name: &str) -> Self {
        Self::after(world, name, &format!("| chroot-rs --pipe --std {}", world.busybox_root().display()))
    }

    /// Makes a container that passes through further stages.
    fn after(world: &'a World, name: &str, stages: &str) -> Self {
        let user = world.as_root();
        // The substitution waits until no process holds the pipe: an init that held it would be noticed here.
        let script = format!(
            "record=$(unshare-rs --hold --name {name} --hostname {name} {user} --mount --pid --uts --ipc --net --ttl 120 {stages}) && \
             echo \"$record\""
        );
        let record = world.sh(&script).succeeds().stdout;
        let parsed: Value = serde_json::from_str(&record).expect("a record");
        let pid = parsed["init"]["pid"].as_i64().expect("a pid") as i32;
        Held { world, record, pid }
    }

    /// Reports whether its init exists and is not a zombie.
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

/// Perl that goes on in a copy of perl in a memfd that is called as the tools call theirs. An init of `--hold` runs from
/// such a copy; an imitation that does not is not taken for one.
pub const SEALED: &str = r#"
unless ($ENV{SEALED}++) {
    my $memfd = syscall(`uname -m` =~ /x86_64/ ? 319 : 279, my $called = "sealed", 0);
    open(my $copy, ">&=", $memfd) or die;
    open(my $perl, "<", "/proc/self/exe") or die;
    my $part;
    syswrite($copy, $part) while sysread($perl, $part, 1 << 20);
    fcntl($copy, 2, 0) or die;
    exec "/proc/self/fd/$memfd", $0, @ARGV;
}
"#;

/// Perl that makes the mark of a hold for the process that runs it, or for one with the pid of its argument. Only the
/// host's root may sign it.
pub const MARK: &str = r#"
sub mark {
    my $pid = shift // $$;
    # memfd_create(2) with MFD_ALLOW_SEALING, fsetxattr(2), and then every seal.
    my ($create, $sign) = `uname -m` =~ /x86_64/ ? (319, 190) : (279, 7);
    open(my $mark, "+<&=", syscall($create, my $name = "held", 2)) or die;
    open(my $stat, "<", "/proc/self/stat") or die;
    syswrite($mark, "held by unshare-rs --hold, protocol 2\n$pid " . (split ' ', <$stat> =~ s/.*\) //r)[19] . "\n");
    syscall($sign, fileno $mark, my $attribute = "trusted.unshare-rs", my $value = "1", 1, 0);
    fcntl($mark, 1033, 15) or die;
    $mark
}
"#;
