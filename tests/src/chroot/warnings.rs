//! What `--std` and `--oci` promise is done, or is one line that begins with `warning:`; with `--strict` it is an error. Each
//! line of the table is one thing that cannot be done.

use serde_json::{Value, json};

use crate::chroot::oci::{bundle, within};
use crate::harness::need::{BUSYBOX, PERL};
use crate::harness::row::Row;

/// What keeps a promise of `--std` from being kept, the options, and what the warning says.
const OF_STD: &[(&str, &str, &str)] = &[
    (
        "rm -f $R/etc/hosts; mkdir $R/etc/hosts",
        "",
        "give the command its own /etc/hosts: it is neither a file nor a link",
    ),
    ("rm -r $R/etc; : >$R/etc", "", "give the command its own /etc/hostname: "),
    // An immutable directory.
    (
        "mount -t tmpfs none $R/etc; cp /etc/passwd $R/etc; perl -e 'open $d, \"<\", shift; $flags = pack(\"L!\", 16); ioctl($d, 0x40086602, $flags) or die' $R/etc",
        "",
        "give the command its own /etc/hostname: ",
    ),
    ("rmdir $R/tmp; : >$R/tmp", "", "mount a new /tmp: it is not a directory"),
    ("rmdir $R/tmp; ln -s gone $R/tmp", "", "mount a new /tmp: it is a link to something that does not exist"),
    (
        "rmdir $R/tmp; ln -s sys $R/tmp",
        "",
        "mount a new /tmp: it is a link to a directory that the kernel's own file system covers",
    ),
    ("rm -rf $R/run; ln -s / $R/run", "", "mount a new /run: it is a link to the top directory"),
    (
        "ln -s gone $D/resolv.conf; mkdir $D/etc; cp /etc/passwd /etc/group $D/etc; mv $D/resolv.conf $D/etc; mount --bind $D/etc /etc",
        "",
        "read /etc/resolv.conf: it is a symbolic link to a file that does not exist",
    ),
    (
        "echo nameserver 127.0.0.77 >$D/resolv; mount --bind $D/resolv /etc/resolv.conf; mount -t tmpfs none /run",
        "",
        "give the container a name server: ",
    ),
    ("mkdir $D/s; mount -t tmpfs -o ro none $D/s", "--bind $D/s:/srv:rw", "bind $D/s on /srv for writing: "),
    (
        "",
        "--capability-set ambient=kill --capability-set permitted=kill --capability-set inheritable=none",
        "put CAP_KILL into the ambient set: ",
    ),
];

/// A change to a bundle, and what the warning says.
type OfBundle = (fn(&mut Value), &'static str);

const OF_OCI: &[OfBundle] = &[
    (|config| config["later"] = json!({"a": 1}), "do what later of $B/config.json says: "),
    (|config| config["mounts"][0]["later"] = json!(1), "do what mounts[0].later of $B/config.json says: "),
    (
        |config| config["process"]["capabilities"] = json!({"bounding": ["CAP_LATER", ""]}),
        "give the command \"\", \"CAP_LATER\" of $B/config.json: ",
    ),
    (
        |config| config["hooks"] = json!({"poststart": [{"path": "/bin/true"}]}),
        "run the hooks poststart of $B/config.json",
    ),
    (
        |config| config["linux"]["personality"] = json!({"domain": "LINUX", "flags": ["LATER"]}),
        "set LATER as linux.personality of $B/config.json says: ",
    ),
    (
        |config| config["linux"]["sysctl"] = json!({"kernel.domainname": "x"}),
        "set kernel.domainname: the uts namespace is the host's",
    ),
    (
        |config| {
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["later_call"], "action": "SCMP_ACT_ALLOW"}]});
        },
        "allow the system calls later_call of the seccomp profile of linux.seccomp: ",
    ),
    (
        |config| {
            let mounts = config["mounts"].as_array_mut().expect("a list");
            mounts
                .push(json!({"destination": "/mnt", "type": "bind", "source": "/bin", "options": ["rbind", "shared"]}));
        },
        "connect the mounts below /mnt with those of the host",
    ),
    (
        |config| {
            let mounts = config["mounts"].as_array_mut().expect("a list");
            mounts.push(json!({"destination": "/odd", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}));
        },
        "copy /odd/fifo into the tmpfs that covers it: ",
    ),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("each promise of --std that cannot be kept is one warning, and an error with --strict", &[BUSYBOX, PERL], |world| {
        for (number, (setup, options, says)) in OF_STD.iter().enumerate() {
            let says = says.replace("$D", &world.shared_directory(&format!("warn-{number}")).display().to_string());
            std::fs::remove_dir(world.shared_directory(&format!("warn-{number}"))).expect("an empty directory");
            let script = format!(
                "chmod 700 $D; cp -a $ROOT $D/r; R=$D/r; {setup}
                 run() {{ unshare-rs --mount --pid --ipc --uts --net --fork -- chroot-rs --std $1 {options} $R -- true; }}
                 run ''; echo $?; exec 2>&1; run --strict; echo $?"
            );
            let outcome = world
                .apart(&format!("warn-{number}"), &script)
                .variable("ROOT", world.busybox_root().display().to_string())
                .run();
            judge(&outcome.stdout, &outcome.stderr, &says, &format!("{setup}\n{outcome}"));
        }
        // The control: nothing is warned of where all is as it should be.
        let script = "chmod 700 $D; cp -a $ROOT $D/r; unshare-rs --mount --pid --ipc --uts --net --fork -- chroot-rs --std --strict $D/r -- true";
        let plain = world.apart("warn-none", script).variable("ROOT", world.busybox_root().display().to_string()).run();
        plain.succeeds().stderr_is("");
    })
    .root_only()
    .host_only(),
    Row::new("each promise of --oci that cannot be kept is one warning, and an error with --strict", &[BUSYBOX], |world| {
        for (number, (change, says)) in OF_OCI.iter().enumerate() {
            let at = bundle(world, &format!("warn-oci-{number}"), json!(["/bin/true"]), *change);
            world.sh(&format!("cd {}; chmod 700 . data; mkdir rootfs/odd && busybox mkfifo rootfs/odd/fifo", at.display())).succeeds();
            let says = says.replace("$B", &at.display().to_string());
            let line = "run() { unshare-rs --mount --propagation private --pid --ipc --net --fork -- chroot-rs --oci $B $1; }; \
                        run ''; echo $?; exec 2>&1; run --strict; echo $?";
            let outcome = within(world, line, &at).run();
            judge(&outcome.stdout, &outcome.stderr, &says, &format!("{number}\n{outcome}"));
        }
        let at = bundle(world, "warn-oci-none", json!(["/bin/true"]), |_| {});
        world.sh(&format!("chmod 700 {0} {0}/data", at.display())).succeeds();
        let line = "unshare-rs --mount --pid --ipc --net --fork -- chroot-rs --oci $B --strict";
        within(world, line, &at).run().succeeds().stderr_is("");
    })
    .root_only()
    .host_only(),
];

/// Demands one warning in stderr and then status 0, and the same as an error with status 125 after `--strict`.
fn judge(stdout: &str, stderr: &str, says: &str, whole: &str) {
    let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("warning: ")).collect();
    let about: Vec<_> = warnings.iter().filter(|line| line.contains(&format!("warning: cannot {says}"))).collect();
    assert!(about.len() == 1, "{says}\n{whole}");
    assert!(about[0].contains("; continuing without it"), "{whole}");
    // What has other names may be missing for the same reason, in a line of its own; advice about the root is no promise.
    let is_fit = |line: &&&str| line.contains("; continuing without it") || line.contains("every user of this machine");
    assert!(warnings.iter().all(|line| is_fit(&line)), "{whole}");
    let (first, rest) = stdout.split_once('\n').expect("two answers");
    assert!(first == "0" && rest.ends_with("\n125\n"), "{whole}");
    assert!(rest.contains(&format!(": cannot {says}")) && !rest.contains("warning: "), "{whole}");
}
