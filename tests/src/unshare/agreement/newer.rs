//! Options that 2.38 does not have, compared with the manual page of 2.42.

use super::ids::with_ranges;
use crate::harness::agreement::case::Case;

/// Cases that no installed peer supports.
pub const CASES: &[Case] = &[
    // 2.39: inner:outer:count.
    Case::new("--map-users=0:1000:10 --map-groups=0:2000:10 --setuid 0 --setgid 0").root().documented(&[
        ("uid_map", "0 1000 10"),
        ("gid_map", "0 2000 10"),
        ("setgroups", "allow"),
        ("user", "0 0"),
    ]),
    // 2.40: several ranges, and `all`.
    Case::new("--map-users=0:1000:10 --map-users 20:3000:5 --map-groups=all")
        .root()
        .documented(&[("uid_map", "0 1000 10; 20 3000 5"), ("gid_map", "0 0 4294967295")]),
    Case::new("--map-users all --map-groups all").root().documented(&[
        ("uid_map", "0 0 4294967295"),
        ("gid_map", "0 0 4294967295"),
        ("setgroups", "allow"),
    ]),
    Case::new("-rT --boottime -1 --fork").documented(&[("timens_offsets", "monotonic 0 0; boottime -1 0")]),
    // 2.38 binds the namespace from inside, where it lacks the privileges.
    Case::script(
        r#"exec unshare --mount bash -c '
            touch $dir/user; own=$($unshare --user=$dir/user --map-root-user readlink /proc/self/ns/user)
            [ $own = $(nsenter --user=$dir/user readlink /proc/self/ns/user) ] && echo stays
            nsenter --user=$dir/user cat /proc/self/uid_map; umount $dir/user'"#,
    )
    .root()
    .documented(&[("output", "stays\n         0          0          1")]),
    Case::new("--kill-child=15").documented(&[("dies with its parent", "by signal 15")]),
    // 2.41: the subordinate ids as they are outside, and binfmt_misc.
    Case::script(with_ranges!(0, "$unshare --map-subids $look"))
        .root()
        .host()
        .documented(&[("uid_map", "100000 100000 65536"), ("gid_map", "500000 500000 65536")]),
    Case::script(with_ranges!(0, "$unshare --map-subids -r $look"))
        .root()
        .host()
        .documented(&[("uid_map", "0 0 1; 100000 100000 65536"), ("gid_map", "0 0 1; 500000 500000 65536")]),
    Case::new("-r --pid --fork --mount-binfmt")
        .command("ls /proc/sys/fs/binfmt_misc")
        .host()
        .documented(&[("output", "register\nstatus")]),
    Case::new("-r --pid --fork --load-interp=':agreed:M::AGREED::/bin/cat:'")
        .after(r"printf 'AGREED\nit ran\n' >$dir/x; chmod +x $dir/x")
        .command("$dir/x")
        .host()
        .documented(&[("output", "AGREED\nit ran")]),
    // 2.42.
    Case::new("--forward-signals").documented(&[("parent", "the one started"), ("dies with its parent", "no")]),
    Case::new("--owner 1000:1001 --user --map-users 0:1000:1 --map-groups 0:1001:1").root().documented(&[
        ("uid_map", "0 1000 1"),
        ("gid_map", "0 1001 1"),
        ("user", "0 0"),
        ("own group", "0 0"),
    ]),
    // 2.43.
    Case::new("--clear-env").documented(&[("variable PATH", "(missing)"), ("variable HOME", "(missing)")]),
    Case::new("--whitelist-env GREETING,NOT_SET")
        .after("export GREETING=hello")
        .documented(&[("variable GREETING", "\"hello\""), ("variable PATH", "(missing)")]),
];
