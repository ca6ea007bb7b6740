if ! [ -s lab.json ]; then
    missing 'There is no record in /mnt/lab.json: ls -l /mnt/lab.json' '/mnt/lab.json 里没有记录：ls -l /mnt/lab.json'
elif [ "$(jq -r '.name, has("root")' lab.json | tr '\n' ' ')" != 'lab true ' ]; then
    missing 'The name is another one, or no stage gave it a root: jq . /mnt/lab.json' '名字不对，或者没有阶段给它根目录：jq . /mnt/lab.json'
elif ! nsenter-rs --find lab --json >/dev/null 2>&1; then
    missing 'It does not run (any more): nsenter-rs --list --containers' '它没有在运行（或已经结束）：nsenter-rs --list --containers'
fi
