# What a host offers to processes of the same user: sockets of each kind that answer with a secret, in the directory $ARGV[0].
use strict; use warnings; use Socket; use IO::Select;
my $dir = $ARGV[0];
my ($tcp, $abstract, $path, $udp);
socket($tcp, PF_INET, SOCK_STREAM, 0) && bind($tcp, sockaddr_in(0, INADDR_LOOPBACK)) && listen($tcp, 9) or die "tcp: $!";
socket($udp, PF_INET, SOCK_DGRAM, 0) && bind($udp, sockaddr_in(0, INADDR_LOOPBACK)) or die "udp: $!";
my ($port, $udp_port) = map { (sockaddr_in(getsockname($_)))[0] } $tcp, $udp;
socket($abstract, PF_UNIX, SOCK_STREAM, 0) && bind($abstract, sockaddr_un("\0sandbox$port")) && listen($abstract, 9) or die "abstract: $!";
socket($path, PF_UNIX, SOCK_STREAM, 0) && bind($path, sockaddr_un("$dir/sock")) && listen($path, 9) or die "path: $!";
open(my $ready, '>', "$dir/ports.new") or die; print $ready "$port $udp_port\n"; close $ready; rename "$dir/ports.new", "$dir/ports";
my $all = IO::Select->new($tcp, $abstract, $path, $udp);
while (my @ready = $all->can_read) {
    for my $socket (@ready) {
        if ($socket == $udp) { recv($udp, my $text, 99, 0); open(my $file, '>', "$dir/datagram"); print $file $text; close $file; next; }
        accept(my $client, $socket) or next;
        syswrite($client, "SECRET\n"); close $client;
    }
}
