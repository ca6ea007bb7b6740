//! One manual page, in the language of man(7): clap_mangen formats the declared options, the rest comes from the tool's
//! texts.
//!
//! The sections have the order of man-pages(7), which has none for kernel calls: they follow the options.

use anyhow::Result;
use clap::{Arg, Command};
use clap_mangen::Man;
use plumbing::command_line::manual::{Call, EXIT_STATUS, Example, Manual};

/// The sections of every page, in this order.
const SECTIONS: [&str; 8] =
    ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "KERNEL CALLS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"];

/// Makes the page of a tool.
pub fn of_tool(name: &str, command: &Command, manual: &Manual) -> Result<Vec<u8>> {
    let mut page = beginning(command, manual.description)?;
    page.extend(options(command)?);
    if command.has_subcommands() {
        let mut subcommands = Vec::new();
        Man::new(command.clone()).render_subcommands_section(&mut subcommands)?;
        page.extend(below_options(&subcommands));
    }
    page.extend(calls(&manual.calls.iter().collect::<Vec<_>>()).bytes());
    page.extend(exit_status().bytes());
    page.extend(examples(&manual.examples.iter().collect::<Vec<_>>()).bytes());
    let mut related: Vec<String> = manual.see_also.iter().map(|page| (*page).to_owned()).collect();
    related.extend(
        command.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| format!("{name}-{}(1)", it.get_name())),
    );
    page.extend(see_also(&related).bytes());
    Ok(page)
}

/// Makes the page of a subcommand: the calls in its own examples, and these examples; the rest is on the tool's page.
pub fn of_subcommand(tool: &str, command: &Command, manual: &Manual) -> Result<Vec<u8>> {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut page = beginning(command, &about)?;
    page.extend(options(command)?);
    let typed = format!("{tool} {}", command.get_name());
    let own: Vec<&Example> = manual.examples.iter().filter(|example| example.typed().contains(&typed)).collect();
    page.extend(section("KERNEL CALLS").bytes());
    page.extend(
        format!("Some of those of {tool}(1); \\fB{typed} \\-\\-dry\\-run\\fR prints which, and why.\n").bytes(),
    );
    page.extend(exit_status().bytes());
    if own.is_empty() {
        page.extend(format!("{}See {tool}(1).\n", section("EXAMPLES")).bytes())
    } else {
        page.extend(examples(&own).bytes())
    }
    page.extend(see_also(&[format!("{tool}(1)")]).bytes());
    Ok(page)
}

fn beginning(command: &Command, description: &str) -> Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    page.extend(format!("{}{}\n", section("DESCRIPTION"), escaped(description)).bytes());
    Ok(page)
}

/// Formats the options. clap_mangen makes a section for each group of options; here the groups are parts of one section.
fn options(command: &Command) -> Result<Vec<u8>> {
    let mut rendered = Vec::new();
    Man::new(command.clone().mut_args(with_aliases)).render_options_section(&mut rendered)?;
    let text = String::from_utf8(rendered)?;
    let mut page = section("OPTIONS");
    for line in text.lines().filter(|line| *line != ".SH OPTIONS") {
        page.push_str(&line.strip_prefix(".SH ").map_or(line.to_owned(), |group| format!(".SS {group}")));
        page.push('\n');
    }
    Ok(page.into_bytes())
}

/// Adds the other names of an option to its help, because clap_mangen leaves them out.
fn with_aliases(option: Arg) -> Arg {
    match (option.get_visible_aliases(), option.get_help()) {
        (Some(names), Some(help)) if !names.is_empty() => {
            let help = format!("{help}; the same as --{}", names.join(" and --"));
            option.help(help)
        }
        _ => option,
    }
}

fn below_options(section: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(section).replace(".SH ", ".SS ").into_bytes()
}

fn calls(rows: &[&Call]) -> String {
    let mut text = section("KERNEL CALLS");
    if rows.is_empty() {
        text.push_str("None that changes anything: the command only reads.\n");
        return text;
    }
    text.push_str("In the order in which the kernel requires them; each call is made only if an option asks for it. \\-\\-explain prints each call before it is made.\n");
    for row in rows {
        let about = row.about.trim_matches('"');
        let about = if about.is_empty() { String::new() } else { format!(" {}", escaped(about)) };
        let (name, page, why) = (escaped(row.name), escaped(row.page), escaped(row.why));
        text.push_str(&format!(".TP\n\\fB{name}\\fR{about}; {page}\n{why}\n"));
    }
    text
}

/// Returns the section about exit status, which is the same in every page.
fn exit_status() -> String {
    let rows =
        EXIT_STATUS.iter().map(|(status, meaning)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(status), escaped(meaning)));
    format!("{}{}", section("EXIT STATUS"), rows.collect::<String>())
}

fn examples(shown: &[&Example]) -> String {
    let mut text = section("EXAMPLES");
    for example in shown {
        let mut what = example.what.chars();
        let begun: String = what.next().into_iter().flat_map(char::to_uppercase).chain(what).collect();
        let console: String = example.console.lines().map(|line| format!("{}\n", escaped(line))).collect();
        text.push_str(&format!(".PP\n{}:\n.PP\n.RS 4\n.nf\n{console}.fi\n.RE\n", escaped(&begun)));
    }
    text
}

fn see_also(pages: &[String]) -> String {
    let shown: Vec<String> = pages
        .iter()
        .map(|page| match page.split_once('(') {
            Some((name, number)) => format!("\\fB{}\\fR({number}", escaped(name)),
            None => escaped(page),
        })
        .collect();
    format!("{}{}\n", section("SEE ALSO"), shown.join(",\n"))
}

fn section(name: &str) -> String {
    let quoted = if name.contains(' ') { format!("\"{name}\"") } else { name.to_owned() };
    format!(".SH {quoted}\n")
}

/// Escapes hyphens, which must stay copyable, backslashes, and characters that begin a request at the start of a line.
fn escaped(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "\\&...").replace('–', "\\(en");
    if plain.starts_with(['.', '\'']) { format!("\\&{plain}") } else { plain }
}

/// Lists what a page lacks or has in the wrong place.
pub fn lacking(name: &str, page: &str) -> Vec<String> {
    let found: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix(".SH ")).map(|title| title.trim_matches('"')).collect();
    let mut lacks = Vec::new();
    if found != SECTIONS {
        lacks.push(format!("{name}: has the sections {found:?}, not {SECTIONS:?}"));
    }
    for title in SECTIONS {
        let rest = page.split(&section(title)).nth(1).unwrap_or_default();
        let body = rest.split(".SH ").next().unwrap_or_default();
        if body.trim().is_empty() {
            lacks.push(format!("{name}: has nothing in its section {title}"));
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_a_missing_empty_or_misplaced_section_is_found() {
        let whole: String = SECTIONS.iter().map(|title| format!("{}text\n", section(title))).collect();
        assert_eq!(lacking("a.1", &whole), [""; 0]);
        assert_eq!(lacking("a.1", &whole.replace(".SH \"EXIT STATUS\"\ntext\n", "")).len(), 2);
        assert_eq!(lacking("a.1", &whole.replace(".SH OPTIONS\ntext\n", ".SH OPTIONS\n")).len(), 1);
        assert_eq!(lacking("a.1", &whole.replace("OPTIONS", "OPPOSITES")).len(), 2);
    }

    #[test]
    fn another_name_of_an_option_is_printed() {
        let option = Arg::new("userspec").long("userspec").visible_alias("user").help("Run as this user");
        let page = String::from_utf8(options(&Command::new("tool").arg(option)).unwrap()).unwrap();
        assert!(page.contains("Run as this user; the same as \\-\\-user"), "{page}");
    }

    #[test]
    fn text_does_not_begin_a_request() {
        assert_eq!(escaped(".SH a-b\\"), "\\&.SH a\\-b\\e");
    }
}
