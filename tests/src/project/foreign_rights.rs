//! Executables that hand rights to everybody: set-user-ID, set-group-ID, file capabilities. Ours refuse to run so; those of
//! others do not, which shows that this machine honors the bits.

use crate::harness::need::{BUSYBOX, PERL, SETPRIV};
use crate::harness::row::Row;

const TOOLS: [&str; 5] = ["unshare-rs", "nsenter-rs", "chroot-rs", "cgexec-rs", "netns-rs"];
const USER: &str = "setpriv --reuid 54321 --regid 54321 --clear-groups";
const REFUSED: &str = "cannot run with rights that the caller lacks";

/// Gives the file `$1` the capability CAP_SYS_ADMIN, permitted and effective: VFS_CAP_REVISION_2 of <linux/capability.h>.
const GIVE_CAPABILITY: &str = r#"perl -e 'my $name = "security.capability"; my $value = pack("V5", 0x02000001, 1 << 21, 0, 0, 0);
    syscall(`uname -m` =~ /x86/ ? 188 : 5, $ARGV[0], $name, $value, 20, 0) == 0 or die "setxattr: $!"' "#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("no tool runs from a set-user-ID or set-group-ID file", &[SETPRIV], |world| {
        let place = world.directory("set-id").display().to_string();
        for bits in ["u+s", "g+s"] {
            let who = if bits == "u+s" { "-u" } else { "-g" };
            let theirs = format!(
                "cp $(command -v id) {place}/id; chmod 755 {place}/id; chmod {bits} {place}/id; {USER} {place}/id {who}"
            );
            world.sh(&theirs).stdout_is("0\n");
            for tool in TOOLS {
                let ours = format!(
                    "cp {}/{tool} {place}/{tool}; chmod 755 {place}/{tool}; chmod {bits} {place}/{tool}; {USER} {place}/{tool}",
                    world.tools.display()
                );
                world.sh(&format!("{ours} --version")).fails_with(125).stdout_is("").stderr_has(REFUSED);
                // Who has the rights anyway gains none.
                world.sh(&format!("{place}/{tool} --version")).succeeds();
            }
        }
    })
    .root_only()
    .host_only(),
    Row::new("no tool runs with the capabilities of its file", &[SETPRIV, BUSYBOX, PERL], |world| {
        let place = world.directory("file-capabilities").display().to_string();
        let theirs = format!(
            "cp $(command -v busybox) {place}/busybox; chmod 755 {place}/busybox; {GIVE_CAPABILITY} {place}/busybox; \
             {USER} {place}/busybox grep CapEff /proc/self/status"
        );
        world.sh(&theirs).stdout_is("CapEff:\t0000000000200000\n");
        for tool in TOOLS {
            let ours = format!(
                "cp {}/{tool} {place}/{tool}; chmod 755 {place}/{tool}; {GIVE_CAPABILITY} {place}/{tool}; {USER} {place}/{tool}",
                world.tools.display()
            );
            world.sh(&format!("{ours} --help")).fails_with(125).stdout_is("").stderr_has(REFUSED);
            world.sh(&format!("{place}/{tool} --help >/dev/null")).succeeds();
        }
    })
    .root_only()
    .host_only(),
    Row::new("rights that the caller has are no reason to refuse", &[SETPRIV], |world| {
        let tools = world.tools.display();
        // As sudo(8) starts it, with ambient capabilities, and behind a tool that has changed the user.
        for start in [
            "",
            USER,
            &format!("{USER} --inh-caps +sys_admin --ambient-caps +sys_admin"),
            &format!("{tools}/chroot-rs --userspec 54321:54321 / "),
            &format!("{tools}/chroot-rs --userspec 54321:54321 --capabilities SYS_ADMIN / "),
            &format!("{tools}/unshare-rs --setuid 54321 --setgid 54321 --keep-caps -- "),
        ] {
            world.sh(&format!("{start} {tools}/cgexec-rs -- echo runs")).stdout_is("runs\n").stderr_is("");
        }
        // Another real user ID than the effective one is what a set-user-ID program leaves to what it starts.
        world.sh(&format!("setpriv --ruid 54321 {tools}/cgexec-rs -- echo runs")).fails_with(125).stderr_has(REFUSED);
    })
    .root_only(),
];
