//! util-linux's test scripts, in their own harness, for the three commands that our tools replace. The helpers that make the
//! namespaces and sockets are built from the same source, and so is lsfd, which two scripts use first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{LIMIT, Place, Verdict, archive, outcome, write_program};
use crate::report::Report;
use crate::workspace;

/// The folders of scripts. Those of lsns test `nsenter-rs --list`.
const COMPONENTS: [&str; 3] = ["unshare", "nsenter", "lsns"];
const CONFIGURE: [&str; 9] = [
    "--quiet",
    "--disable-all-programs",
    "--enable-libsmartcols",
    "--enable-lsfd",
    "--without-python",
    "--without-systemd",
    "--disable-nls",
    "--disable-asciidoc",
    "--disable-bash-completion",
];
const BUILT: [&str; 4] = ["test_mkfds", "test_sysinfo", "test_sigreceive", "lsfd"];
/// Further programs that the scripts need.
const OF_THE_MACHINE: [(&str, &str); 2] = [("TS_CMD_MOUNT", "mount"), ("TS_CMD_UMOUNT", "umount")];

pub fn run(place: &Place) -> Result<Report> {
    let root = built()?;
    let lsns = place.folder.join("lsns");
    write_program(&lsns, &format!("exec {} --list \"$@\"", place.tool("nsenter-rs").display()))?;
    let mut report = Report::default();
    for component in COMPONENTS {
        for script in scripts(&root, component)? {
            let mut bash = Command::new("timeout");
            bash.args([LIMIT, "bash"]).arg(&script).arg("--show-diff").current_dir(&root);
            bash.env("TS_CMD_UNSHARE", place.tool("unshare-rs")).env("TS_CMD_NSENTER", place.tool("nsenter-rs"));
            bash.env("TS_CMD_LSNS", &lsns);
            for (name, program) in OF_THE_MACHINE {
                bash.env(name, workspace::program(program).with_context(|| format!("{program} is not installed"))?);
            }
            let (_, _, said) = outcome(&mut bash)?;
            let name = script.file_name().unwrap_or_default().to_string_lossy();
            verdict(&said).add_to(&mut report, &format!("util-linux's test {component}/{name}"));
        }
    }
    Ok(report)
}

fn scripts(root: &Path, component: &str) -> Result<Vec<PathBuf>> {
    let folder = root.join("tests/ts").join(component);
    let entries = fs::read_dir(&folder).with_context(|| format!("this util-linux has no tests of {component}"))?;
    let mut scripts = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    ensure!(!scripts.is_empty(), "this util-linux has no tests of {component}");
    scripts.sort();
    Ok(scripts)
}

/// Reads the result from the output: a script that skips itself, or a part of itself, also ends with 0.
fn verdict(said: &str) -> Verdict {
    let last = said.lines().last().unwrap_or_default();
    match said.split_once("SKIPPED (") {
        Some((_, why)) => Verdict::Skipped(why.split(')').next().unwrap_or_default().to_owned()),
        None if last.ends_with(" OK") || last.ends_with("sub-tests PASSED)") => Verdict::Passed,
        None => Verdict::Failed(said.to_owned()),
    }
}

/// Returns the source, with the helpers built in it, where the scripts look for them.
fn built() -> Result<PathBuf> {
    let archive = archive::of("util-linux")?;
    let root = archive.with_extension("").with_extension("");
    if BUILT.iter().all(|name| root.join(name).is_file()) {
        return Ok(root);
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&root).arg("--strip-components=1");
    workspace::must(&mut tar)?;
    workspace::must(Command::new("./configure").args(CONFIGURE).current_dir(&root))?;
    workspace::must(Command::new("make").arg("--silent").args(BUILT).current_dir(&root))?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_skips_itself_has_not_passed() {
        assert!(matches!(verdict("lsns: nsfs ... OK"), Verdict::Passed));
        assert!(matches!(verdict(": A ... OK\n ... OK (all 3 sub-tests PASSED)"), Verdict::Passed));
        for (said, why) in [
            ("lsns: nsfs ... SKIPPED (no root permissions)", "no root permissions"),
            (": A ... SKIPPED (no ip)\n ... OK (all 1 sub-tests PASSED)", "no ip"),
        ] {
            assert!(matches!(verdict(said), Verdict::Skipped(printed) if printed == why));
        }
        for said in ["", "lsns: nsfs ... FAILED (lsns/nsfs)", "lsns: filter ... KNOWN FAILED (lsns/filter)"] {
            assert!(matches!(verdict(said), Verdict::Failed(_)));
        }
    }
}
