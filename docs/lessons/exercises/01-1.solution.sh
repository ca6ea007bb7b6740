mkdir -p box/bin
cp "$(command -v busybox)" box/bin/cat
echo hello >box/hello
