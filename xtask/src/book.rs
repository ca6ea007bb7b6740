//! `cargo xtask book`: the lessons, the documents and a reference of the five tools as a static site, in English and Chinese,
//! with a search that needs no server.
//!
//! mdBook makes the pages. It is not linked into xtask, because it would make every first build longer: what is in `PATH` is
//! used, otherwise cargo installs it below `target`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;
use lessons::catalog::{LESSONS, Language};

use crate::workspace;

mod links;
mod reference;

/// The version of mdBook that is installed if there is none.
const MDBOOK: &str = "0.5.4";

/// The documents after the lessons and the reference, with the titles that the list of contents shows.
const DOCUMENTS: &[(&str, &str)] = &[
    ("docs/composing.md", "Chain and pipe"),
    ("docs/record.md", "The record of a container"),
    ("docs/exit-status.md", "Exit status"),
    ("docs/differences.md", "Differences from the replaced tools"),
    ("docs/cgroups.md", "Cgroups"),
    ("docs/network.md", "Network"),
    ("docs/finding.md", "Finding containers"),
    ("docs/inspect.md", "Inspecting containers"),
    ("docs/audit.md", "Auditing a container"),
    ("docs/sandbox.md", "A sandbox for agents and builds"),
    ("docs/oci.md", "OCI bundles"),
    ("docs/engines.md", "Under docker, containerd and podman"),
    ("docs/kernel-features.md", "Kernel features"),
    ("docs/performance.md", "Performance"),
    ("SECURITY.md", "Security"),
    ("ARCHITECTURE.md", "Architecture"),
    ("CONTRIBUTING.md", "Contributing"),
    ("CHANGELOG.md", "Changes"),
];

/// Files that pages refer to, and that are no pages.
const FILES: &[&str] = &["examples", "docs/lessons/pictures"];

/// The options of `cargo xtask book`.
#[derive(Args)]
pub struct Options {
    /// Folder to write to [default: target/book]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write only the sources of the pages, for which mdBook is not needed
    #[arg(long)]
    sources: bool,
}

/// One language's book.
struct Edition {
    language: Language,
    /// The folder below the site, and the language of its pages as HTML names it.
    folder: &'static str,
    html: &'static str,
    title: &'static str,
    readme: &'static str,
    /// Titles in the list of contents: introduction, lessons, reference, documents.
    parts: [&'static str; 4],
    needs_root: &'static str,
    /// The name of the language, in that language.
    name: &'static str,
}

const EDITIONS: [Edition; 2] = [
    Edition {
        language: Language::English,
        folder: "en",
        html: "en",
        title: "The isolation primitives of Linux",
        readme: "README.md",
        parts: ["Introduction", "Lessons", "Reference", "Documents"],
        needs_root: "Only root can run this:",
        name: "English",
    },
    Edition {
        language: Language::Chinese,
        folder: "zh",
        html: "zh-CN",
        title: "Linux 的隔离原语",
        readme: "README.zh-CN.md",
        parts: ["简介", "课程", "参考（英文）", "文档（英文）"],
        needs_root: "只有 root 能运行：",
        name: "中文",
    },
];

/// Pages by their paths in the book's sources.
type Pages = BTreeMap<String, String>;

/// Writes the site, and checks its links.
pub fn run(options: &Options) -> Result<ExitCode> {
    let out = match &options.out {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace::target()?.join("book"),
    };
    let sources = workspace::target()?.join("book-sources");
    let mdbook = if options.sources { None } else { Some(mdbook()?) };
    for (edition, other) in EDITIONS.iter().zip(EDITIONS.iter().rev()) {
        let folder = sources.join(edition.folder);
        write_sources(edition, other, &folder)?;
        if let Some(mdbook) = &mdbook {
            let mut build = Command::new(mdbook);
            build.arg("build").arg(&folder).arg("--dest-dir").arg(out.join(edition.folder));
            workspace::must(&mut build)?;
        }
    }
    if mdbook.is_none() {
        println!("written to {}", sources.display());
        return Ok(ExitCode::SUCCESS);
    }
    fs::write(out.join("index.html"), front_page())?;
    let dead = links::dead(&out)?;
    ensure!(dead.is_empty(), "links that lead nowhere:\n  {}", dead.join("\n  "));
    println!("written to {}; open index.html", out.display());
    Ok(ExitCode::SUCCESS)
}

/// Returns mdBook's path, after installing it if it is missing.
fn mdbook() -> Result<PathBuf> {
    if let Some(installed) = workspace::program("mdbook") {
        return Ok(installed);
    }
    let folder = workspace::target()?.join("mdbook");
    let program = folder.join("bin/mdbook");
    if !program.exists() {
        let mut install = workspace::cargo()?;
        install.args(["install", "mdbook", "--version", MDBOOK, "--locked", "--no-default-features"]);
        install.args(["--features", "search", "--root"]).arg(&folder);
        install.arg("--target-dir").arg(folder.join("build"));
        workspace::must(&mut install).context("mdBook is not in PATH and cannot be installed")?;
    }
    Ok(program)
}

/// Writes the sources of one edition to a folder that is ours.
fn write_sources(edition: &Edition, other: &Edition, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let root = workspace::root()?;
    let (contents, pages) = pages(edition, other, &root)?;
    write(&folder.join("book.toml"), &configuration(edition))?;
    write(&folder.join("search.js"), include_str!("book/search.js"))?;
    write(&folder.join("src/SUMMARY.md"), &contents)?;
    for (path, text) in &pages {
        write(&folder.join("src").join(path), text)?;
    }
    for files in FILES {
        for entry in fs::read_dir(root.join(files)).context(*files)? {
            let entry = entry?;
            let to = folder.join("src").join(files).join(entry.file_name());
            if entry.file_type()?.is_file() {
                fs::create_dir_all(to.parent().context("a path below src")?)?;
                fs::copy(entry.path(), to)?;
            }
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a path with a folder")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn configuration(edition: &Edition) -> String {
    format!(
        "[book]\ntitle = \"{}\"\nlanguage = \"{}\"\nsrc = \"src\"\n\n[output.html]\nsmart-punctuation = false\n\
         default-theme = \"light\"\npreferred-dark-theme = \"navy\"\nno-section-label = true\nadditional-js = [\"search.js\"]\n\n[output.html.print]\nenable = false\n",
        edition.title, edition.html
    )
}

/// Returns the list of contents, and the pages that it lists.
fn pages(edition: &Edition, other: &Edition, root: &Path) -> Result<(String, Pages)> {
    let mut pages = Pages::new();
    let [introduction, lessons, reference, documents] = edition.parts;
    let mut contents = format!("# Summary\n\n[{introduction}](README.md)\n");
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    pages.insert("README.md".to_owned(), switch("README.md", "index.html", other) + &read(edition.readme)?);
    contents.push_str(&format!("\n# {lessons}\n\n"));
    for source in LESSONS {
        let lesson = source.lesson(edition.language)?;
        let (path, elsewhere) = (source.path(edition.language), source.path(other.language));
        contents.push_str(&format!("- [{}]({path})\n", lesson.title));
        let text = read(&path)?.replace("<!-- root -->", &format!("*{}*\n", edition.needs_root));
        pages.insert(path.clone(), switch(&path, &elsewhere.replace(".md", ".html"), other) + &text);
    }
    contents.push_str(&format!("\n# {reference}\n\n"));
    for page in reference::pages()? {
        contents.push_str(&format!("{}- [{}]({})\n", page.indent, page.title, page.path));
        pages.insert(page.path, page.text);
    }
    contents.push_str(&format!("\n# {documents}\n\n"));
    for (path, title) in DOCUMENTS {
        contents.push_str(&format!("- [{title}]({path})\n"));
        pages.insert((*path).to_owned(), read(path)?);
    }
    let known: Vec<String> = pages.keys().cloned().collect();
    for (path, text) in &mut pages {
        *text = links::rewritten(&without_breaks(text), |target| place(path, target, &known));
    }
    Ok((contents, pages))
}

/// Joins lines whose break is between two Chinese letters: a browser would show it as a space.
fn without_breaks(text: &str) -> String {
    let is_wide = |letter: char| ('\u{2e80}'..='\u{ffef}').contains(&letter);
    let mut in_block = false;
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let continues = !in_block && joined.trim_end_matches('\n').ends_with(is_wide) && line.starts_with(is_wide);
        if continues && !joined.ends_with("\n\n") {
            joined.pop();
        }
        in_block ^= line.starts_with("```");
        joined.push_str(line);
        joined.push('\n');
    }
    joined
}

/// Returns the line above a page that leads to the same page in the other language.
fn switch(path: &str, elsewhere: &str, other: &Edition) -> String {
    let up = "../".repeat(path.matches('/').count() + 1);
    format!("[{}]({up}{}/{elsewhere})\n\n", other.name, other.folder)
}

/// Returns where a link of a page leads in the book; `None` if its target is not in the book.
fn place(page: &str, target: &str, known: &[String]) -> Option<String> {
    let (file, fragment) = target.split_once('#').map_or((target, ""), |(file, fragment)| (file, fragment));
    let is_elsewhere = target.contains("://") || file.is_empty() || file.ends_with(".html");
    if is_elsewhere {
        return Some(target.to_owned());
    }
    let found = links::resolved(page, file);
    let found = if found == "README.zh-CN.md" { "README.md".to_owned() } else { found };
    let is_file = FILES.iter().any(|folder| found.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    if !is_file && !known.contains(&found) {
        return None;
    }
    let up = "../".repeat(page.matches('/').count());
    let fragment = if fragment.is_empty() { String::new() } else { format!("#{fragment}") };
    Some(format!("{up}{found}{fragment}"))
}

/// Returns the page that leads to the two editions.
fn front_page() -> String {
    let editions = EDITIONS.iter().map(|edition| {
        format!("<p lang=\"{0}\"><a href=\"{1}/index.html\">{2}</a></p>\n", edition.html, edition.folder, edition.title)
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>:root {{ color-scheme: light dark }} body {{ font: 1.4rem sans-serif; margin: 15vh auto; max-width: 30rem; \
         padding: 0 1rem }}</style>\n</head><body>\n{}</body></html>\n",
        EDITIONS[0].title,
        editions.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["README.md", "docs/network.md", "docs/lessons/06-net.md"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_link_to_a_page_or_a_file_of_the_book_stays() {
        let placed = |target| place("docs/lessons/06-net.md", target, &known());
        assert_eq!(placed("../network.md#nat").as_deref(), Some("../../docs/network.md#nat"));
        assert_eq!(placed("pictures/06-net.svg").as_deref(), Some("../../docs/lessons/pictures/06-net.svg"));
        assert_eq!(placed("https://kernel.org/").as_deref(), Some("https://kernel.org/"));
        assert_eq!(placed("#exercises").as_deref(), Some("#exercises"));
    }

    #[test]
    fn a_link_to_the_sources_goes() {
        assert_eq!(place("docs/network.md", "../netns-rs/src/nat.rs", &known()), None);
        assert_eq!(place("docs/network.md", "../examplesque.md", &known()), None);
    }

    #[test]
    fn a_break_between_chinese_letters_goes() {
        assert_eq!(without_breaks("命名\n空间\n\n进程\nA\n组"), "命名空间\n\n进程\nA\n组\n");
        assert_eq!(without_breaks("```\n命名\n空间\n```"), "```\n命名\n空间\n```\n");
    }

    #[test]
    fn every_document_is_in_the_book() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for entry in fs::read_dir(root.join("docs")).unwrap() {
            let name = format!("docs/{}", entry.unwrap().file_name().to_str().unwrap());
            let is_listed = DOCUMENTS.iter().any(|(path, _)| *path == name);
            assert!(is_listed || !name.ends_with(".md"), "{name} is not in DOCUMENTS");
        }
    }

    #[test]
    fn the_two_editions_have_the_same_pages() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let [english, chinese] = [0, 1].map(|one| pages(&EDITIONS[one], &EDITIONS[1 - one], root).unwrap().1);
        assert_eq!(english.len(), chinese.len());
        assert!(chinese["docs/lessons/04-pid.zh-CN.md"].starts_with("[English](../../../en/docs/lessons/04-pid.html)"));
        assert!(english["reference/netns-rs-exec.md"].contains("--new"));
    }
}
