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
                case $1 in
                *-plain) race $1 $2 mkdir sh -c "mkdir $2/replaced-$1/cgexec-rs-x; echo 0 >$2/replaced-$1/cgexec-rs-x/cgroup.procs; $LOOK";;
                *) race $1 $2 mkdirat cgexec-rs $3 -- sh -c "$LOOK";;
                esac
                grep -o 'somebody else has put another cgroup in its place' err-$1
                find $T -depth -type d -exec rmdir {{}} +
            }}
            BY=$USER
            for N in user root plain; do
                both v1-$N $V1 '--pids 50' >v1-$N & both v2-$N $V2 '--net-rate 10mbit' >v2-$N &
                [ $N != user ] || BY=
            done
            wait; cat v1-user v2-user v1-root v2-root v1-plain v2-plain"#,
            world.directory("cgexec-replaced").display()
        );
        let refused = |which| format!("{which} 125\nsomebody else has put another cgroup in its place\n");
        // The control: a shell, which joins by the name, is in the other group then.
        let expected = ["v1-user", "v2-user", "v1-root", "v2-root"].map(refused).concat();
        world.sh(&script).stdout_is(&(expected + "v1-plain 0\n0\nrenamed\nv2-plain 0\n0\n"));
    })
    .root_only()
    .host_only(),
    Row::new("cgexec-rs runs nothing in another group of its user that the owner of the group above put in place", NEEDS, |world| {
        // With a mark, of another run; and without, from mkdir(1). The control: by name only, the other group's limit changes.
        let script = format!(
            r#"cd {}; {RACE}
            printf '%s\n' 'until grep -q DELAYED $1; do sleep 0.02; done' 'cd $2; mv cgexec-rs-new away; mv victim* cgexec-rs-new' >swap
            swapped() {{
                N=$1 T=$V1/swapped-$1; shift
                mkdir $T; chown 54321:54321 $T; : >trace-$N; chmod 644 trace-$N
                mkdir $T/victim; echo 50 >$T/victim/pids.max
                [ $N != marked ] || {{ rmdir $T/victim
                    (echo $BASHPID >$T/cgroup.procs; exec cgexec-rs --pids 50 --name victim -- sleep 86477) & V=$!
                    until grep -q sleep /proc/$V/comm; do sleep 0.02; done; mv $T/cgexec-rs-victim $T/victim; }}
                (echo $BASHPID >$T/cgroup.procs
                 exec strace -qq -f -o trace-$N -e trace=$CALL -e inject=$CALL:delay_exit=1000000:when=1 "$@") >out-$N 2>err-$N & J=$!
                $USER sh ./swap trace-$N $T
                # Read before the group of the victim goes with the victim.
                until [ -s out-$N ] || [ -s err-$N ]; do sleep 0.02; done; LIMIT=$(cat $T/cgexec-rs-new/pids.max)
                [ $N != marked ] || kill $V
                wait $J; echo "$N $?"; cat out-$N; echo $LIMIT; grep -o 'somebody else has put another cgroup in its place' err-$N
                for i in $(seq 500); do find $T -depth -type d -exec rmdir {{}} + 2>/dev/null; [ -d $T ] || break; sleep 0.02; done
            }}
            CALL=mkdirat
            swapped marked cgexec-rs --pids 7 --name new -- echo ran >of-marked 2>/dev/null & A=$!
            swapped unmarked cgexec-rs --pids 7 --name new -- echo ran >of-unmarked & B=$!
            CALL=mkdir
            swapped control sh -c 'mkdir "$0/cgexec-rs-new"; echo 7 >"$0/cgexec-rs-new/pids.max"; echo ran' $V1/swapped-control >of-control & C=$!
            wait $A; wait $B; wait $C; cat of-marked of-unmarked of-control; ls -d $V1/swapped-*"#,
            world.directory("cgexec-swapped").display()
        );
        let refused = "125\n50\nsomebody else has put another cgroup in its place\n";
        world.sh(&script).stdout_is(&format!("marked {refused}unmarked {refused}control 0\nran\n7\n"));
    })
    .root_only()
    .host_only(),
    Row::new("two cgexec-rs that make the same --cgroup at once both run in it", NEEDS, |world| {
        // One is slow: its new group of cpuset has no CPU yet when the other one finds it.
        let script = format!(
            r#"cd {}; CPUSET=$(awk '$0 ~ " - cgroup " && $NF ~ /cpuset/ {{ print $5; exit }}' /proc/self/mountinfo); G=made-at-once
            strace -qq -f -o trace -P $CPUSET -e trace=mkdirat -e inject=mkdirat:delay_exit=700000 cgexec-rs --cgroup $G -- sleep 86478 2>err & A=$!
            until [ -d $CPUSET/$G ]; do sleep 0.01; done
            # The control: in a new group of cpuset that nobody has given a CPU, nothing runs.
            mkdir $CPUSET/$G-control; (echo $BASHPID 2>/dev/null >$CPUSET/$G-control/tasks) 2>/dev/null || echo refused; rmdir $CPUSET/$G-control
            cgexec-rs --cgroup $G -- grep -c cpuset:/$G$ /proc/self/cgroup; echo $?
            until pgrep -x sleep -P $A >sleeping; do sleep 0.02; done
            S=$(cat sleeping); until [ "$(cat /proc/$S/comm)" = sleep ]; do sleep 0.02; done; grep -c cpuset:/$G$ /proc/$S/cgroup
            kill $S; wait $A; cat err; stat -c %a $CPUSET/$G
            find /sys/fs/cgroup/ -mindepth 2 -maxdepth 2 -name $G -exec rmdir {{}} +"#,
            world.directory("cgexec-at-once").display()
        );
        world.sh(&script).succeeds().stdout_is("refused\n1\n0\n1\n755\n");
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
