//! `cargo xtask peer-tests`: the test scripts that util-linux has for unshare(1), with ours standing in for it. Their
//! licence is another one than ours, so they are fetched from Debian's source archive, into target, and never copied.
//!
//! Debian 12's own util-linux is older than these scripts: it is the newest source that is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::report::Report;
use crate::workspace;

const NAME: &str = "util-linux's own tests of unshare";

/// Fetches what is missing, and runs the scripts with the tools of a debug build.
pub fn run() -> Result<ExitCode> {
    ensure!(workspace::is_root()?, "the scripts skip themselves for a user who is not root");
    ensure!(workspace::program("cc").is_some(), "cc is not here (apt-get install gcc)");
    setup()?;
    workspace::must(workspace::cargo()?.args(["build", "--package", "unshare-rs"]))?;
    let mut report = Report::default();
    report.add(NAME, scripts(&workspace::executables(&workspace::host_triple()?, "debug")?));
    println!("{report}");
    Ok(if report.failed + report.skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fetches the source by apt-get, which checks its signature, from lists of its own: those of the machine stay as they
/// are.
pub fn setup() -> Result<()> {
    if archive()?.is_some() {
        return Ok(());
    }
    let folder = folder()?;
    let lists = folder.join("lists");
    fs::create_dir_all(lists.join("partial"))?;
    let sources = folder.join("sources.list");
    let source = format!("deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} sid main\n", mirror()?);
    fs::write(&sources, source).with_context(|| format!("cannot write {}", sources.display()))?;
    for words in [&["update"][..], &["source", "--download-only", "--tar-only", "util-linux"]] {
        let mut apt_get = Command::new("apt-get");
        apt_get.arg("--quiet").args(["-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root"]);
        // Caches are of these lists, and would be taken for the machine's.
        apt_get.args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]);
        apt_get.arg("-o").arg(format!("Dir::Etc::SourceList={}", sources.display()));
        apt_get.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        workspace::must(apt_get.args(words).current_dir(&folder))?;
    }
    Ok(())
}

/// Where this machine's own packages come from.
fn mirror() -> Result<String> {
    let known = workspace::stdout_of(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let mirror = known.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    Ok(mirror.context("apt-get knows no mirror of Debian's main archive")?.to_owned())
}

fn folder() -> Result<PathBuf> {
    let folder = workspace::target()?.join("util-linux");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn archive() -> Result<Option<PathBuf>> {
    let folder = folder()?;
    let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<Result<Vec<_>>>()?;
    let name = names.into_iter().find(|name| name.starts_with("util-linux_") && name.ends_with(".orig.tar.xz"));
    Ok(name.map(|name| folder.join(name)))
}

fn scripts(tools: &Path) -> Result<Report> {
    let root = unpacked()?;
    let mut names: Vec<PathBuf> = fs::read_dir(root.join("tests/ts/unshare"))
        .context("this util-linux has no tests of unshare")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    names.sort();
    ensure!(!names.is_empty(), "this util-linux has no tests of unshare");
    let mut report = Report::default();
    for script in names {
        let mut bash = Command::new("bash");
        bash.arg(&script).env("TS_CMD_UNSHARE", tools.join("unshare-rs")).current_dir(&root);
        let said = workspace::stdout_of(&mut bash);
        // A script that skips itself ends with 0, too.
        let is_passed = said.and_then(|said| {
            ensure!(said.trim_end().ends_with("OK"), "{}", said.trim());
            Ok(())
        });
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        report.check(&format!("util-linux's test unshare/{name}, with unshare-rs"), is_passed);
    }
    Ok(report)
}

/// The scripts and the one helper that they need, built; the rest of the source is left out.
fn unpacked() -> Result<PathBuf> {
    let (archive, root) = (archive()?.context("no source")?, folder()?.join("source"));
    fs::create_dir_all(&root)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&root);
    tar.args(["--strip-components=1", "--wildcards", "*/tests/*", "*/include/*", "*/lib/*"]);
    workspace::must(&mut tar)?;
    let mut cc = Command::new("cc");
    cc.args(["-D_GNU_SOURCE", "-DHAVE_NANOSLEEP", "-DHAVE_REALLOCARRAY", "-DHAVE_ERR_H", "-Iinclude"]);
    cc.args(["tests/helpers/test_sigreceive.c", "lib/strutils.c", "-o", "test_sigreceive"]);
    workspace::must(cc.current_dir(&root))?;
    // It tells what the machine is like, which these scripts do not ask.
    std::os::unix::fs::symlink("/bin/true", root.join("test_sysinfo")).or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    Ok(root)
}
