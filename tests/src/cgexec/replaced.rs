//! Cgroups that somebody puts in the place of a new one: the owner of the group above can rename or remove it.

use crate::harness::need::{BASH, Need, SETPRIV, STRACE};
use crate::harness::row::Row;

const NEEDS: &[Need] = &[BASH, STRACE, SETPRIV];

/// `race NAME TOP SYSCALL COMMAND…` runs the command in a group in `TOP`, which belongs to a user. The script `attack`, which
/// the command `$BY` runs, puts another group in place of `$T/$GROUP` as soon as the system call was made and before the
/// program goes on. Prints how the command ended.
const RACE: &str = r#"
point() { awk -v type="$1" -v option="$2" '$0 ~ " - " type " " && (option == "" || $NF ~ option) { print $5; exit }' /proc/self/mountinfo; }
V1=$(point cgroup pids) V2=$(point cgroup2); USER='setpriv --reuid 54321 --regid 54321 --clear-groups'
cat >attack <<'X'
until grep -q DELAYED $1; do sleep 0.02; done
G=$(echo $2)
case $2 in $3/*) mv $G ${G%/*}/away;; *) rmdir $G;; esac && mkdir $G
X
chmod 755 . attack
race() {
    N=$1 T=$2/replaced-$1 CALL=$3; shift 3
    mkdir $T; chown 54321:54321 $T; : >trace-$N; chmod 644 trace-$N
    (echo $BASHPID >$T/cgroup.procs
     exec strace -qq -f -o trace-$N -e trace=$CALL -e inject=$CALL:delay_exit=2000000:when=1 "$@") >out-$N 2>err-$N & J=$!
    $BY sh ./attack trace-$N "$T/$GROUP" $V1
    wait $J; echo "$N $?"; cat out-$N
}
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("cgexec-rs runs nothing in a group that a user put in the place of its new one", NEEDS, |world| {
        let script = format!(
            r#"cd {}; {RACE}
            GROUP='cgexec-rs-*'
            both() {{
                # Prints the owner of the group in which the command is, and whether the group that was made has another name.
                LOOK='stat -c %u '$2/replaced-$1'/cgexec-rs-*; [ -d '$2/replaced-$1'/away ] && echo renamed; true'
                race $1 $2 mkdirat cgexec-rs $3 -- sh -c "$LOOK"
                grep -o 'somebody else has put another cgroup in its place' err-$1
                find $T -depth -type d -exec rmdir {{}} +
            }}
            for BY in "$USER" ''; do
                both v1 $V1 '--pids 50' >v1 & A=$!
                both v2 $V2 '--net-rate 10mbit' >v2 & B=$!
                wait $A; wait $B; cat v1 v2
            done"#,
            world.directory("cgexec-replaced").display()
        );
        let refused = "125\nsomebody else has put another cgroup in its place\n";
        // The control: root may replace root's group, and the command then runs in that one.
        let expected = format!("v1 {refused}v2 {refused}v1 0\n0\nrenamed\nv2 0\n0\n");
        world.sh(&script).succeeds().stdout_is(&expected);
    })
    .root_only()
    .host_only(),
    Row::new("cgexec-rs --cgroup that fails removes the group that it made, not the one that has its name by then", NEEDS, |world| {
        let script = format!(
            r#"cd {}; {RACE}
            GROUP=kept BY=$USER
            race kept $V1 write cgexec-rs --cgroup replaced-kept/kept --set pids.max=wrong -- true
            (cd $T; ls -d */ | tr -d /); stat -c %u $T/kept
            # The control: the name alone leads to the group of somebody else.
            rmdir $T/kept; find $T -depth -type d -exec rmdir {{}} +"#,
            world.directory("cgexec-replaced-kept").display()
        );
        world.sh(&script).succeeds().stdout_is("kept 125\nkept\n54321\n");
    })
    .root_only()
    .host_only(),
];
