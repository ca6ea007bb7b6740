touch green
unshare-rs --uts=green --hostname green -- true
