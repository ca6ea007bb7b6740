mkdir -p project private
if ! [ -f box ]; then
    missing 'There is no script /mnt/box: ls -l /mnt' '没有脚本 /mnt/box：ls -l /mnt'
elif ! sh box touch /mnt/project/probe >/dev/null 2>&1 || ! [ -e project/probe ]; then
    missing 'It does not write in the project: sh /mnt/box touch /mnt/project/x; ls /mnt/project' '不能在项目里写：sh /mnt/box touch /mnt/project/x; ls /mnt/project'
else
    sh box touch /mnt/private/probe >/dev/null 2>&1
    [ -e private/probe ] && missing 'It writes elsewhere: sh /mnt/box touch /mnt/private/x' '可以写到别处：sh /mnt/box touch /mnt/private/x'
    [ "$(sh box readlink /proc/self/ns/net 2>/dev/null)" = "$(readlink /proc/self/ns/net)" ] &&
        missing 'It has your network: sh /mnt/box readlink /proc/self/ns/net' '它用的是你的网络：sh /mnt/box readlink /proc/self/ns/net'
    :
fi
