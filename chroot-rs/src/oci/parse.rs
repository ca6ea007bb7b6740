//! The members of `config.json` that are known. <https://github.com/opencontainers/runtime-spec>, config.md. No I/O here.
//!
//! What is unknown is left out and reported. The surprise: a restriction that is known by name and not supported is still
//! an error: those members are in `config.rs`.

use plumbing::json::{self, members};
use serde_json::Value;

use super::config::Config;

/// The members of each object that are known, by the path of the object; `[]` is an element of an array.
const KNOWN: [(&str, &[&str]); 15] = [
    ("", &["ociVersion", "root", "process", "mounts", "linux", "hostname", "domainname", "hooks", "annotations"]),
    ("root", &["path", "readonly"]),
    (
        "process",
        &[
            "args",
            "env",
            "cwd",
            "user",
            "capabilities",
            "rlimits",
            "noNewPrivileges",
            "oomScoreAdj",
            "apparmorProfile",
            "selinuxLabel",
            "scheduler",
            "ioPriority",
            "execCPUAffinity",
            "terminal",
            "consoleSize",
        ],
    ),
    ("process.user", &["uid", "gid", "umask", "additionalGids"]),
    ("process.capabilities", &["bounding", "permitted", "effective", "inheritable", "ambient"]),
    ("process.scheduler", &["policy", "nice", "priority", "flags", "runtime", "deadline", "period"]),
    ("process.ioPriority", &["class", "priority"]),
    ("linux.personality", &["domain", "flags"]),
    ("process.rlimits[]", &["type", "soft", "hard"]),
    ("mounts[]", &["destination", "type", "source", "options", "uidMappings", "gidMappings"]),
    ("mounts[].uidMappings[]", &["containerID", "hostID", "size"]),
    ("mounts[].gidMappings[]", &["containerID", "hostID", "size"]),
    (
        "linux",
        &[
            "devices",
            "maskedPaths",
            "readonlyPaths",
            "rootfsPropagation",
            "seccomp",
            "personality",
            "mountLabel",
            "memoryPolicy",
            "namespaces",
            "uidMappings",
            "gidMappings",
            "timeOffsets",
            "cgroupsPath",
            "resources",
            "intelRdt",
            "netDevices",
            "sysctl",
        ],
    ),
    ("linux.devices[]", &["type", "path", "major", "minor", "fileMode", "uid", "gid"]),
    ("hooks", &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]),
];

/// Parses the file; returns the unknown members, too, as `linux.devices[0].strict`.
pub(super) fn parse(text: &[u8]) -> Result<(Config, Vec<String>), String> {
    let value: Value = json::read(text).map_err(|error| error.to_string())?;
    members::read(value, "", &KNOWN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(members: &str) -> Result<Vec<String>, String> {
        let text = format!(r#"{{"ociVersion":"1.0.2","root":{{"path":"r"}},{members}}}"#);
        parse(text.as_bytes()).map(|(_, unknown)| unknown)
    }

    /// The members that are objects or lists, all of which may be null.
    const NULLS: [&str; 13] = [
        r#""mounts":null"#,
        r#""process":null"#,
        r#""linux":null"#,
        r#""hooks":null,"annotations":null,"hostname":null"#,
        r#""process":{"cwd":"/","args":null,"env":null,"user":null,"capabilities":null,"rlimits":null}"#,
        r#""process":{"cwd":"/","user":{"uid":null,"gid":null,"umask":null,"additionalGids":null}}"#,
        r#""process":{"cwd":"/","capabilities":{"bounding":null,"ambient":null},"noNewPrivileges":null}"#,
        r#""process":{"cwd":"/","oomScoreAdj":null,"apparmorProfile":null,"scheduler":null,"ioPriority":null}"#,
        r#""mounts":[{"destination":"/d","type":null,"source":null,"options":null,"uidMappings":null}]"#,
        r#""linux":{"devices":null,"maskedPaths":null,"readonlyPaths":null,"seccomp":null,"sysctl":null}"#,
        r#""linux":{"devices":[{"type":"c","path":"/dev/x","major":null,"fileMode":null,"uid":null}]}"#,
        r#""linux":{"personality":null,"memoryPolicy":null,"mountLabel":null,"rootfsPropagation":null}"#,
        r#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":null,"architectures":null,"listenerPath":"","x":null}}"#,
    ];

    #[test]
    fn null_is_absent_everywhere() {
        for members in NULLS {
            assert_eq!(with(members), Ok(Vec::new()), "{members}");
        }
    }

    #[test]
    fn unknown_members_are_left_out_and_named() {
        for (members, named) in [
            (r#""later":1,"x":null"#, "later"),
            (r#""linux":{"strict":{"a":1}}"#, "linux.strict"),
            (r#""process":{"cwd":"/","user":{"username":"web"}}"#, "process.user.username"),
            (r#""mounts":[{"destination":"/a"},{"destination":"/d","extra":1}]"#, "mounts[1].extra"),
            (r#""linux":{"devices":[{"type":"c","path":"/dev/x","a.b":[]}]}"#, "linux.devices[0].a.b"),
        ] {
            assert_eq!(with(members), Ok(vec![named.to_owned()]), "{members}");
        }
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named() {
        for (members, named) in [
            (r#""process":{"cwd":1}"#, "process.cwd"),
            (
                r#""process":{"cwd":"/","rlimits":[{"type":"a","soft":1,"hard":1},{"type":"b","soft":"x","hard":1}]}"#,
                "process.rlimits[1].soft",
            ),
            (r#""process":{"cwd":"/","env":["a=\"]}",7]}"#, "process.env[1]"),
            (r#""mounts":{"a":1}"#, "mounts"),
            (r#""mounts":[["/d"]]"#, "mounts[0]"),
            (r#""linux":[]"#, "linux"),
            (r#""process":{"cwd":"/","user":[]}"#, "process.user"),
            (r#""linux":{"devices":[{"type":"c","path":"/dev/x","major":-1}]}"#, "linux.devices[0].major"),
        ] {
            let wrong = with(members).unwrap_err();
            assert!(wrong.starts_with(&format!("its member {named}: ")), "{members}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&text).is_err());
        }
    }
}
