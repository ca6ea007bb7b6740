ip link set lo up
echo 'use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5) or die $!; while ($s->accept) {}' >server
netns-rs exec --new --bridge box0 --address 10.88.0.2/24 --gateway 10.88.0.1 -- perl server &
netns-rs exec --new --bridge box0 --address 10.88.0.3/24 --gateway 10.88.0.1 --nat --publish 8081:80 -- perl server &
until bash -c 'exec 3<>/dev/tcp/10.88.0.2/80' 2>/dev/null; do sleep 0.1; done
until bash -c 'exec 3<>/dev/tcp/127.0.0.1/8081' 2>/dev/null; do sleep 0.1; done
