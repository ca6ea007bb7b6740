//! What a profile, a bundle, a record or an option says is done or refused by name: nothing is ignored, cut to fit, or
//! overridden by a second word. Each control shows what happens where nobody checks.

use std::fs;

use serde_json::{Value, json};

use crate::chroot::oci::{bundle, within};
use crate::harness::held::Held;
use crate::harness::need::{BUSYBOX, Need, PERL};
use crate::harness::row::Row;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a filter that refuses an unknown system call is an error, and one that allows it is a warning", &[BUSYBOX, Need::UserNamespaces], |world| {
        let place = world.directory("unknown-calls");
        let run = |entry: &str| {
            let profile = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{entry}]}}"#);
            fs::write(place.join("profile"), profile).expect("a profile");
            let line = "cd $B; rm -rf made; unshare-rs $OWN -- chroot-rs --seccomp profile / busybox mkdir $B/made; s=$?; ls; exit $s";
            within(world, line, &place).variable("OWN", world.as_root()).run()
        };
        // The control: the correct names refuse it, and without them it is made.
        run(r#"{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}"#)
            .fails_with(1)
            .stdout_is("profile\n")
            .stderr_has("No space left");
        run(r#"{"names":["mount","swapcontext","timerfd"],"action":"SCMP_ACT_ERRNO"}"#).succeeds().stdout_is("made\nprofile\n").stderr_is("");
        for (entry, named) in [
            (r#"{"names":["mkdri","mkdirat"],"action":"SCMP_ACT_ERRNO"}"#, "SCMP_ACT_ERRNO for mkdri"),
            (r#"{"name":"mkdri","action":"SCMP_ACT_KILL_PROCESS","includes":{"arches":["s390x"]}}"#, "mkdri"),
            (r#"{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","includes":{"arches":["amd46","arm46"]}}"#, "\"amd46\""),
        ] {
            run(entry).fails_with(125).stdout_is("profile\n").stderr_has(named);
        }
        let warned = run(r#"{"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW"},{"names":["a_call"],"action":"SCMP_ACT_LOG"}"#)
            .succeeds()
            .stdout_is("made\nprofile\n")
            .stderr_has("chroot-rs: warning: cannot allow the system calls a_call, no_such_call of the seccomp profile profile: ");
        assert_eq!(warned.stderr.lines().count(), 1, "{warned}");
        // A record's profile was perhaps never checked.
        let held = Held::in_root(world, "unknown-calls");
        let mut record: Value = serde_json::from_str(&held.record).expect("a record");
        for (name, status) in [("mount", 0), ("mounnt", 125)] {
            record["process"]["seccomp"] =
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [name], "action": "SCMP_ACT_ERRNO"}]});
            let outcome = world.script("nsenter-rs --pipe -- /bin/true").stdin(format!("{record}\n")).run().fails_with(status);
            assert_eq!(outcome.stderr.contains("SCMP_ACT_ERRNO for mounnt"), status == 125, "{outcome}");
        }
    })
    .host_only(),
    Row::new("a member that is there twice is refused in a profile, a bundle and a record", &[BUSYBOX, Need::UserNamespaces], |world| {
        let place = world.directory("twice");
        let run = |profile: &str| {
            fs::write(place.join("profile"), profile).expect("a profile");
            within(world, "cd $B; unshare-rs $OWN -- chroot-rs --seccomp profile / true", &place).variable("OWN", world.as_root()).run()
        };
        // The control: each of the two by itself is a profile, and a reader that takes the last of them gets the weaker one.
        let (strict, lax) = (r#""defaultAction":"SCMP_ACT_KILL_PROCESS""#, r#""defaultAction":"SCMP_ACT_ALLOW""#);
        run(&format!("{{{strict}}}")).fails_with(128 + 31);
        run(&format!("{{{lax}}}")).succeeds();
        let both = format!("{{{strict},{lax}}}");
        assert_eq!(serde_json::from_str::<Value>(&both).expect("JSON")["defaultAction"], "SCMP_ACT_ALLOW");
        run(&both).fails_with(125).stderr_has("its member \"defaultAction\" twice");
        run(&format!(r#"{{{lax},"syscalls":[{{"action":"SCMP_ACT_ERRNO","names":["mkdir"],"names":[]}}]}}"#)).fails_with(125).stderr_has("\"names\" twice");
        let at = bundle(world, "twice-bundle", json!(["/bin/true"]), |_| {});
        let config = fs::read_to_string(at.join("config.json")).expect("a configuration");
        let line = "unshare-rs $OWN --mount --pid --net --ipc --uts --fork -- chroot-rs --oci $B";
        within(world, line, &at).variable("OWN", world.as_root()).run().succeeds();
        let seccomp = format!(r#""linux":{{"seccomp":{both},"#);
        for (from, to) in [(r#""linux":{"#, seccomp.as_str()), (r#""noNewPrivileges":true"#, r#""noNewPrivileges":true,"noNewPrivileges":false"#)] {
            fs::write(at.join("config.json"), config.replacen(from, to, 1)).expect("a configuration");
            within(world, line, &at).variable("OWN", world.as_root()).run().fails_with(125).stderr_has("twice");
        }
        let held = Held::new(world, "twice");
        let twice = held.record.replacen('{', r#"{"process":{"no_new_privs":true,"no_new_privs":false},"#, 1);
        world.script("nsenter-rs --pipe -- true").stdin(held.record.clone()).run().succeeds();
        for stage in ["nsenter-rs --pipe -- true", "cgexec-rs --pipe --show", "netns-rs show --pipe"] {
            world.script(stage).stdin(twice.clone()).run().fails_with(125).stderr_has("\"no_new_privs\" twice");
        }
    })
    .host_only(),
    Row::new("a filter that names x32 refuses the newest calls through x32 too", &[PERL, Need::UserNamespaces], |world| {
        // cachestat, listmount, mseal, file_getattr, listns, rseq_slice_yield; futex_wait is the control.
        let script = r#"perl -e 'for (451, 458, 462, 468, 470, 471, 455) { my $r = syscall($_ | 0x40000000, -1, -1, -1, -1, -1, -1); print $! + 0, "\n" }'"#;
        let file = world.directory("x32-newest").join("profile");
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"], "syscalls": [
            {"names": ["cachestat", "listmount", "mseal", "file_getattr", "listns", "rseq_slice_yield"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        ]});
        fs::write(&file, profile.to_string()).expect("a profile");
        let outcome = world.sh(&format!("unshare-rs {} -- chroot-rs --seccomp {} / {script}", world.as_root(), file.display())).succeeds();
        let lines = outcome.lines();
        assert!(lines[..6].iter().all(|errno| *errno == "95") && lines[6] != "95", "{outcome}");
    })
    .host_only(),
    Row::new("a mode, mask or size that the kernel would cut, wrap or ignore is refused", &[BUSYBOX, Need::UserNamespaces], |world| {
        let at = bundle(world, "cut", json!(["/bin/true"]), |_| {});
        let run = |line: &str| within(world, &format!("cd $B; {line}"), &at).variable("OWN", world.as_root()).run();
        // The controls: mount(8) and the kernel make something else of each value, without a word.
        run("unshare-rs $OWN --mount -- busybox sh -c 'm() { busybox mount -t $1 -o $2 x data && { stat -c %a data; busybox stat -f -c %b data; umount data; }; }; \
             m tmpfs size=18446744073709551617; m tmpfs size=18446744073709551615; m tmpfs size=4611686018427387904%; m tmpfs size=1m,mode=100700; m ramfs size=1m'")
            .succeeds()
            .stdout_is("1777\n1\n1777\n0\n1777\n0\n700\n256\n755\n0\n");
        let tmpfs = |parameters: &str| run(&format!("unshare-rs $OWN --mount -- chroot-rs --tmpfs /tmp:{parameters} $ROOT /bin/stat -f -c %b /tmp"));
        tmpfs("size=1.5M,mode=0750,nr_inodes=1k").succeeds().stdout_is("384\n");
        for (parameters, why) in [
            ("size=18446744073709551617", "expected bytes"),
            ("size=18446744073709551615", "the highest is 9223372036854775807"),
            ("size=16777217T", "expected bytes"),
            ("size=4611686018427387904%", "expected a share"),
            ("size=0.1", "there is no limit"),
            ("nr_inodes=18446744073709551617", "expected bytes"),
            ("nr_blocks=4611686018427387904k", "expected bytes"),
            ("mode=100755", "expected octal permissions"),
        ] {
            tmpfs(parameters).fails_with(125).stdout_is("").stderr_has(why);
        }
        for (kind, parameter) in [("ramfs", "size=1m"), ("ramfs", "mode=10755"), ("devpts", "newinstance,ptmxmode=10666")] {
            run(&format!("chroot-rs --mount type={kind},target=/tmp,{parameter} $ROOT true")).fails_with(125).stderr_has("valid");
        }
        let config: Value = serde_json::from_slice(&fs::read(at.join("config.json")).expect("read")).expect("JSON");
        let changed = |change: fn(&mut Value)| {
            let mut config = config.clone();
            change(&mut config);
            fs::write(at.join("config.json"), config.to_string()).expect("a configuration");
            run("unshare-rs $OWN --mount --pid --net --ipc --uts --fork -- chroot-rs --oci $B")
        };
        // Without privilege, the host's node would be bound instead.
        if world.is_root {
            changed(|config| config["linux"]["devices"] = json!([{"type": "c", "path": "/dev/null0", "major": 1, "minor": 3, "fileMode": 0o20_666}])).succeeds();
        }
        for change in [
            (|config| config["process"]["user"]["umask"] = json!(22_777)) as fn(&mut Value),
            |config| config["mounts"][2]["options"] = json!(["mode=100755"]),
            |config| config["mounts"][4]["options"] = json!(["size=18446744073709551617"]),
            |config| config["linux"]["devices"] = json!([{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 0o60_666}]),
        ] {
            changed(change).fails_with(125).stderr_has("cannot use");
        }
        let held = Held::new(world, "cut");
        for (mask, status) in [(0o777, 0), (0o1000, 125)] {
            let record = held.record.replacen('{', &format!(r#"{{"process":{{"umask":{mask}}},"#), 1);
            world.script("nsenter-rs --pipe -- true").stdin(record).run().fails_with(status);
        }
    })
    .host_only(),
    Row::new("a NUL byte in a bundle, an environment file or a record is refused by name, and an empty word of a mount is none", &[BUSYBOX, Need::UserNamespaces], |world| {
        let at = bundle(world, "nul", json!(["/bin/env"]), |_| {});
        let config: Value = serde_json::from_slice(&fs::read(at.join("config.json")).expect("read")).expect("JSON");
        let changed = |change: fn(&mut Value)| {
            let mut config = config.clone();
            change(&mut config);
            fs::write(at.join("config.json"), config.to_string()).expect("a configuration");
            let line = "unshare-rs $OWN --mount --pid --net --ipc --uts --fork -- chroot-rs --oci $B 2>&1";
            within(world, line, &at).variable("OWN", world.as_root()).run()
        };
        // The control: without the NUL, the variable arrives.
        changed(|config| config["process"]["env"] = json!(["A=bc", "PATH=/bin"])).succeeds().stdout_has("A=bc\n");
        changed(|config| config["mounts"][2]["options"] = json!(["", "nosuid", "mode=755"])).succeeds();
        for (change, says) in [
            ((|config| config["process"]["env"] = json!(["A=b\u{0}c", "PATH=/bin"])) as fn(&mut Value), "process.env"),
            (|config| config["process"]["args"] = json!(["/bin/echo", "b\u{0}c"]), "contains a NUL byte"),
            (|config| config["mounts"][2] = json!({"destination": "/srv", "type": "bind", "source": "/et\u{0}c", "options": ["bind"]}), "EINVAL"),
        ] {
            changed(change).fails_with(125).stdout_has(says);
        }
        fs::write(at.join("file"), "A=b\0c\n").expect("a file");
        let line = "unshare-rs $OWN -- chroot-rs --env-file $B/file / true";
        within(world, line, &at).variable("OWN", world.as_root()).run().fails_with(125).stderr_has("contains a NUL byte");
        let held = Held::new(world, "nul");
        for (value, status) in [("b", 0), ("b\\u0000", 125)] {
            let record = held.record.replacen('{', &format!(r#"{{"process":{{"setenv":["A={value}"]}},"#), 1);
            world.script("nsenter-rs --pipe -- true").stdin(record).run().fails_with(status);
        }
    })
    .host_only(),
];
