# A home directory with a project in it, and everything beside the project that a process of this user could get at.
# $D is an empty directory, $1 the way: control, or the options of agent-sandbox.sh.
H=$D/home P=$D/home/proj S=$D/other X=/dev/shm/sandbox-$$
mkdir -p $H/.ssh $P/.git/hooks $P/.git/refs $P/.git/objects $P/src $S/dir
echo SECRET >$H/.ssh/id; echo old >$H/.bashrc; echo SECRET >$S/secret; echo old >$S/file; echo SECRET >$X; echo long >$S/long
echo old >$P/.git/config; echo old >$P/.envrc; echo old >$P/.moved; mkdir $P/.vscode; echo old >$P/src/file; printf '#!/bin/sh\necho SECRET\n' >$S/tool; chmod 755 $S/tool
cd $S; TOKEN=SECRET perl $HERE/service.pl $S & SERVICE=$!
(exec 9<$S/secret; TOKEN=SECRET exec sleep 86491) & OUT=$!
sleep 86492 & VICTIM=$!
QUEUE=$(ipcmk -M 64 | grep -o '[0-9]*$')
until [ -s $S/ports ]; do sleep 0.02; done; read -r PORT UDP <$S/ports
until grep -qs ^sleep /proc/$OUT/comm; do sleep 0.02; done
cat >$P/values <<VALUES
H=$H P=$P S=$S X=$X OUT=$OUT VICTIM=$VICTIM QUEUE=$QUEUE PORT=$PORT UDP=$UDP D=$D
VALUES
# Each attempt is a line: number, where it applies, command, proof of its success, which is run outside.
cat >$P/attempt <<'ATTEMPT'
unix() { timeout 5 perl -MSocket -e 'my $s; socket($s, PF_UNIX, SOCK_STREAM, 0) && connect($s, sockaddr_un($ARGV[0] =~ s/^\@/\0/r)) or die; sysread($s, my $t, 9); print $t' "$1"; }
. ./values
while IFS='|' read -r number ways command proof; do
    G=$P/src/got.$number; (eval "$command") >$G 2>/dev/null </dev/null
done <table
true
ATTEMPT
cp $HERE/table $P/table
cd $P; export HOME=$H TOKEN=SECRET; exec 9<$S/secret
case $1 in
    control) sh ./attempt;;
    *) sh $HERE/agent-sandbox.sh $1 --write late -- sh ./attempt 2>$D/err || cat $D/err;;
esac
exec 9<&-
. $P/values
while IFS='|' read -r number ways command proof; do
    case $ways in *$2*) ;; *) continue;; esac
    G=$P/src/got.$number
    if (eval "$proof") >/dev/null 2>&1; then echo "$number $command"; fi
done <$HERE/table
# What is left of the scene, also by attempts that succeed.
kill $SERVICE $OUT $VICTIM 2>/dev/null; wait 2>/dev/null
for pid in $(cat $S/pids $P/src/pids 2>/dev/null); do kill $pid 2>/dev/null; done
ipcrm -m $QUEUE 2>/dev/null; rm -f $X
chmod -R u+rwx $D 2>/dev/null; cd /; rm -rf $D/home $D/other
exit 0
