mkdir -p root/bin
cp /bin/true root/bin/true
for file in $(ldd /bin/true | grep -o '/[^ ]*'); do
    mkdir -p "root$(dirname "$file")"
    cp "$file" "root$file"
done
