//! GNU coreutils' test scripts, in their own harness: it expects the command under test in a folder `src` next to the
//! scripts, and root with the groups of a login.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{LIMIT, Place, Verdict, archive, outcome, replace};
use crate::report::Report;
use crate::workspace;

/// The first three test chroot. The others use chroot to change their user, and test the machine's own cp and other programs;
/// further scripts of this kind need programs that only a complete build of coreutils has.
const SCRIPTS: [&str; 9] = [
    "chroot/chroot-credentials",
    "chroot/chroot-fail",
    "help/help-version",
    "cp/preserve-gid",
    "cp/special-bits",
    "mv/sticky-to-xpart",
    "rm/fail-2eperm",
    "touch/now-owned-by-other",
    "truncate/truncate-owned-by-other",
];
const SKIPPED: i32 = 77;

pub fn run(place: &Place) -> Result<Report> {
    let root = place.folder("coreutils")?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive::of("coreutils")?).arg("--directory").arg(&root);
    tar.args(["--strip-components=1", "--no-same-owner", "--wildcards", "*/tests/*", "*/init.cfg"]);
    workspace::must(&mut tar)?;
    let source = root.join("src");
    fs::create_dir(&source)?;
    fs::copy(place.tool("chroot-rs"), source.join("chroot"))?;
    symlink(workspace::program("cp").context("cp is not installed")?, source.join("cp"))?;
    // configure would find this out; the scripts need nothing else from it.
    fs::write(root.join("config.h"), "#define HAVE_SETGROUPS 1\n")?;
    replace(&root.join("tests/chroot/chroot-fail.sh"), "compare exp err || fail=1", "test -s err || fail=1")?;
    let mut report = Report::default();
    for script in SCRIPTS {
        run_script(&root, script)?.add_to(&mut report, &format!("GNU coreutils' test {script}"));
    }
    Ok(report)
}

fn run_script(root: &Path, script: &str) -> Result<Verdict> {
    let path = [root.join("src").into_os_string(), std::env::var_os("PATH").unwrap_or_default()];
    let mut shell = Command::new("timeout");
    shell.args([LIMIT, "setpriv", "--groups", "0", "bash", "-c", "exec 9>&2; exec bash \"$0\" 2>&1"]);
    shell.arg(format!("tests/{script}.sh")).current_dir(root).env("PATH", path.join(":".as_ref()));
    for (name, value) in [
        ("LC_ALL", "C"),
        ("srcdir", "."),
        ("top_srcdir", "."),
        ("built_programs", "chroot cp mv rm touch truncate pwd"),
        ("VERSION", env!("CARGO_PKG_VERSION")),
        ("PACKAGE_VERSION", &version()?),
    ] {
        shell.env(name, value);
    }
    for name in ["abs_srcdir", "abs_top_srcdir", "abs_top_builddir"] {
        shell.env(name, root);
    }
    let (is_good, status, said) = outcome(shell.env("CONFIG_HEADER", root.join("config.h")))?;
    let why = said.lines().find_map(|line| line.split_once("skipped test: ")).map_or("", |(_, why)| why);
    Ok(match status {
        _ if is_good => Verdict::Passed,
        Some(SKIPPED) => Verdict::Skipped(why.to_owned()),
        _ => Verdict::Failed(said),
    })
}

/// Returns the version of the machine's rm, by which the harness checks whether an unprivileged user can run it.
fn version() -> Result<String> {
    let said = workspace::stdout_of(Command::new("rm").arg("--version").env("LC_ALL", "C"))?;
    let word = said.lines().next().and_then(|line| line.split(' ').next_back());
    Ok(word.context("rm prints no version")?.to_owned())
}
