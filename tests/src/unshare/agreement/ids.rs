//! The credentials of the command: id maps, setgroups, --setuid and --setgid, and the remaining capabilities.

use crate::harness::agreement::case::{Case, Difference};

const NO_ID: &[Difference] = &[Difference::new("status", "takes the remainder of a division by 2^32")];
const LOST_USER: &[Difference] = &[Difference::new("uid_map", "no id of a range is lost")];
const LOST: &[Difference] =
    &[Difference::new("uid_map", "no id of a range is lost"), Difference::new("gid_map", "no id of a range is lost")];
const NO_GROUPS: &[Difference] = &[Difference::new("status", "`--setgid` where there are no groups to leave")];
const SETGROUPS: &[Difference] = &[Difference::new("status", "`--setgroups=deny` with `--map-group`")];

/// Cases with maps of single ids, which need no helper.
pub const CASES: &[Case] = &[
    Case::new("-r"),
    Case::new("--map-root-user"),
    Case::new("-c"),
    Case::new("--map-current-user"),
    Case::new("-U --fork"),
    Case::new("-r --fork"),
    Case::new("--map-user=0"),
    Case::new("--map-user 7"),
    Case::new("--map-group=0"),
    Case::new("--map-group 7"),
    Case::new("--map-user=1000 --map-group=1001"),
    Case::new("--map-user=1 --map-user=2 --map-group=3 --map-group=4"),
    Case::new("-r --map-user=5"),
    Case::new("--map-user=5 -r"),
    Case::new("-r -c"),
    Case::new("-c -r"),
    Case::new("-c --map-group=9"),
    Case::new("--map-user=root --map-group=root"),
    Case::new("--map-user=daemon --map-group=daemon").host(),
    Case::new("--map-user=4294967294"),
    Case::new("--map-user=nobody-of-this-name").ends(1),
    Case::new("--map-user=-1").differs(NO_ID),
    Case::new("--map-group=4294967296").differs(NO_ID),
    Case::new("--setgroups=deny -U"),
    Case::new("--setgroups deny -r").ends(1).differs(SETGROUPS),
    Case::new("--setgroups=allow -U"),
    Case::new("--setgroups=allow --map-user=0").root(),
    Case::new("--setgroups=allow -r").ends(1),
    Case::new("--setgroups=allow --map-group=0").ends(1),
    Case::new("--setgroups=maybe -U").ends(1),
    Case::new("--setgroups=deny").ends(1).host(),
    Case::new("--keep-caps -r"),
    Case::new("--keep-caps -c"),
    Case::new("--keep-caps --map-user=1000 --map-group=1000"),
    Case::new("--keep-caps -c --fork --mount --net"),
    Case::new("--keep-caps"),
    Case::new("-S 0 -r"),
    Case::new("-r --setuid=0 --setgid=0").ends(1).differs(NO_GROUPS),
    Case::new("-r -G 0").ends(1).differs(NO_GROUPS),
    Case::script("exec setpriv --groups 4,5,6 $unshare -r -G 0 $look").root().host().ends(1),
    Case::new("--setuid 1000").root(),
    Case::new("--setgid 1000").root(),
    Case::new("-S 1000 -G 1001").root(),
    Case::new("-S 1000 -G 1001 --fork --pid").root(),
    Case::script("exec setpriv --groups 4,5,6 $unshare --setuid=12 --setgid=13 $look").root().host(),
    Case::script("exec setpriv --groups 4,5,6 $unshare --setuid=12 $look").root().host(),
    Case::script("exec setpriv --groups 4,5,6 $unshare -r $look").root().host(),
    Case::new("-U --map-user=5 --setuid 5").user(),
    Case::new("-S 0").user().ends(1),
    Case::new("-G 0").user().ends(1),
    Case::new("-S root").ends(1),
    Case::new("-G x").ends(1),
    Case::new("-S -1").ends(1),
];

/// Runs a line as a user, with private account files in which some users have ranges of ids.
macro_rules! with_ranges {
    ($user:literal, $line:literal) => {
        concat!(
            r#"exec unshare --mount bash -c '
            printf "root:x:0:0::/:/bin/sh\nuser:x:54321:54321::/:/bin/sh\nlast:x:999:999::/:/bin/sh\n" >$dir/passwd
            printf "root:x:0:\nuser:x:54321:\nlast:x:999:\n" >$dir/group
            printf "root:100000:65536\nother:1:1\nuser:200000:65536\n" >$dir/subuid
            printf "root:500000:65536\nuser:600000:1000\n" >$dir/subgid
            for file in passwd group subuid subgid; do mount --bind $dir/$file /etc/$file; done
            exec setpriv --reuid "#,
            $user,
            " --regid ",
            $user,
            " --clear-groups ",
            $line,
            "'"
        )
    };
}

pub(super) use with_ranges;

/// Cases with maps of ranges, which 2.38 writes with newuidmap and newgidmap.
pub const RANGES: &[Case] = &[
    Case::script(with_ranges!(54321, "$unshare --map-auto $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=auto $look")),
    Case::script(with_ranges!(54321, "$unshare --map-groups=auto $look")),
    Case::script(with_ranges!(54321, "$unshare --map-auto --map-root-user $look")).differs(LOST),
    Case::script(with_ranges!(54321, "$unshare --map-auto --map-current-user $look")).differs(LOST_USER),
    Case::script(with_ranges!(54321, "$unshare --map-auto -S 0 -G 0 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-auto --map-user=7 $look")).differs(LOST_USER),
    Case::script(with_ranges!(54321, "$unshare --map-auto -r --pid --fork --mount-proc $look")).differs(LOST),
    Case::script(with_ranges!(54321, "$unshare --map-auto -r --setgroups=allow $look")).differs(LOST),
    Case::script(with_ranges!(54321, "$unshare --map-auto -r --keep-caps --fork $look")).differs(LOST),
    Case::script(with_ranges!(54321, "$unshare --map-users=200010,5,100 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=200010,0,10 --map-groups=600000,0,10 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=200000,0,10 --map-user=3 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=200000,0,10 --map-user=9 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=200000,0,10 --map-user=50 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=54321,0,1 $look")),
    Case::script(with_ranges!(54321, "$unshare --map-users=100000,0,10 $look")).ends(1),
    Case::script(with_ranges!(54321, "$unshare --map-users=200000,0 $look")).ends(1),
    Case::script(with_ranges!(54321, "$unshare --map-users=1,2,x $look")).ends(1),
    Case::script(with_ranges!(999, "$unshare --map-auto $look")).ends(1),
    Case::script(with_ranges!(998, "$unshare --map-auto $look")).ends(1),
    Case::script(with_ranges!(0, "$unshare --map-auto $look")),
    Case::script(with_ranges!(0, "$unshare --map-auto -r $look")).differs(LOST),
    Case::script(with_ranges!(0, "$unshare --map-users=100000,0,10 --map-groups=500000,0,10 -S 1 -G 2 $look")),
    // EXAMPLES of the manual page: a file of user 1, seen from inside and outside.
    Case::script(with_ranges!(
        54321,
        r#"bash -c "file=\$(mktemp -p /tmp)
            $unshare --user --map-auto --map-root-user sh -c \"id -u; chown 1:1 \$file; stat -c %u:%g \$file\"
            stat -c %u:%g \$file
            $unshare --user --map-auto --map-root-user rm \$file""#
    )),
];
