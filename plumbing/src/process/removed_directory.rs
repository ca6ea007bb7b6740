//! Why a relative path leads to nothing: the working directory was removed. `getcwd(3)`, `path_resolution(7)`.
//!
//! The surprise: "." still leads to a removed directory, but nothing can be made or found in it.

use nix::errno::Errno;

/// Returns what to do about a refused call whose text names a relative path, if the working directory does not exist any
/// more.
pub(crate) fn remedy(text: &str, errno: Errno) -> Option<String> {
    let path = relative_path(text).filter(|_| errno == Errno::ENOENT)?;
    let is_removed = matches!(rustix::process::getcwd(Vec::new()), Err(rustix::io::Errno::NOENT));
    is_removed.then(|| {
        format!(
            "the working directory was removed, so {path} cannot be found or made in it; change to another directory"
        )
    })
}

/// Returns the first relative path that the call in the text of a fault looks up in the working directory.
fn relative_path(text: &str) -> Option<&str> {
    let (_, call) = text.rsplit_once(": ").map_or(text, |(before, _)| before).split_once(": ")?;
    let (name, arguments) = call.split_once('(')?;
    let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let looked_up = match name {
        "mount" => quoted.get(..2).unwrap_or_default(),
        "execve" => quoted.get(..1).filter(|first| first[0].contains('/')).unwrap_or_default(),
        _ if arguments.starts_with("AT_FDCWD, ") || arguments.starts_with('"') => quoted.get(..1).unwrap_or_default(),
        _ => &[],
    };
    looked_up.iter().find(|path| !path.is_empty() && !path.starts_with('/')).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_begins_in_the_working_directory_is_relative() {
        for (call, path) in [
            ("openat(AT_FDCWD, \"r\", O_PATH)", Some("r")),
            ("mount(\"/proc/7/ns/net\", \"f\", NULL, MS_BIND, NULL)", Some("f")),
            ("execve(\"./x\")", Some("./x")),
            ("execve(\"x\")", None),
            ("openat(AT_FDCWD, \"/r\", O_PATH)", None),
            ("openat(root, \"r\", O_PATH)", None),
            ("chroot(\"a b\")", Some("a b")),
            ("setns(fd, CLONE_NEWNS)", None),
        ] {
            let text = format!("cannot open r: {call}: ENOENT (No such file or directory)");
            assert_eq!(relative_path(&text), path, "{call}");
        }
        assert_eq!(relative_path("no container"), None);
    }
}
