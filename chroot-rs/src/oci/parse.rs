//! From the bytes of `config.json` to its members: what is null counts as absent, what is unknown is left out and reported,
//! and an error names the member. No I/O here.
//!
//! Engines are written in Go, which writes an empty list as `null`, and the specification says that unknown members must
//! be ignored. A restriction that is known by name and not supported is still an error: those members are in `config.rs`.

use plumbing::json;
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
    let mut value: Value = json::read(text).map_err(|error| error.to_string())?;
    let mut unknown = Vec::new();
    leave_out(&mut value, "", "", &mut unknown);
    // From a text of our own, in which the place of an error leads to the member.
    let text = value.to_string();
    let config = json::of_text(&text).map_err(|error| {
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or_default();
        match member_at(&text, error.column()) {
            member if member.is_empty() => what.to_owned(),
            member => format!("its member {member}: {what}"),
        }
    })?;
    Ok((config, unknown))
}

/// Removes members that are null, and those that are unknown. `kind` is the path with `[]`, `path` the one with numbers.
fn leave_out(value: &mut Value, kind: &str, path: &str, unknown: &mut Vec<String>) {
    let below = |above: &str, name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
    match value {
        Value::Object(members) => {
            let known = KNOWN.iter().find(|(object, _)| *object == kind).map(|(_, names)| *names);
            members.retain(|name, value| {
                let is_known = known.is_none_or(|known| known.contains(&name.as_str()));
                if !value.is_null() && !is_known {
                    unknown.push(below(path, name));
                }
                !value.is_null() && is_known
            });
            for (name, value) in members.iter_mut() {
                leave_out(value, &below(kind, name), &below(path, name), unknown);
            }
        }
        Value::Array(elements) => {
            for (number, element) in elements.iter_mut().enumerate() {
                leave_out(element, &format!("{kind}[]"), &format!("{path}[{number}]"), unknown);
            }
        }
        _ => {}
    }
}

/// A step on the way to a member.
enum Step {
    Member(Option<String>),
    Element(usize),
}

/// Returns the member at a byte of a JSON text without white space, as `process.rlimits[0].soft`.
fn member_at(text: &str, offset: usize) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len().min(offset) {
        match bytes[at] {
            b'{' => steps.push(Step::Member(None)),
            b'[' => steps.push(Step::Element(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Member(name)) => *name = None,
                Some(Step::Element(number)) => *number += 1,
                None => {}
            },
            b'"' => {
                let end = end_of_string(bytes, at);
                if let Some(Step::Member(name @ None)) = steps.last_mut() {
                    *name = Some(String::from_utf8_lossy(&bytes[(at + 1).min(end)..end]).into_owned());
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Member(Some(name)) if path.is_empty() => path = name,
            Step::Member(Some(name)) => path = format!("{path}.{name}"),
            Step::Member(None) => {}
            Step::Element(number) => path = format!("{path}[{number}]"),
        }
    }
    path
}

/// Returns the place of the quotation mark that ends the string beginning at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len().saturating_sub(1))
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
        r#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":null,"architectures":null}}"#,
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

        #[test]
        fn any_place_has_a_member_or_none(text in "[\\[\\]{}\",:\\\\a]{0,30}", offset in 0usize..40) {
            member_at(&text, offset);
        }
    }
}
