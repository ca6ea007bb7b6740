//! The grammar of `ip netns`, rewritten as ours: options before the subcommand, with one dash or two, and subcommands
//! that are abbreviated. `ip-netns(8)`. Pure.
//!
//! The surprise: an abbreviation means the first subcommand of a fixed order that it begins, so `s` is `show`, and that
//! is another name for `list`.

use std::ffi::{OsStr, OsString};

/// The subcommands of `ip netns`, in the order in which abbreviations are looked up, each with ours.
const ORDER: [(&str, &str); 13] = [
    ("list", "list"),
    ("show", "show"),
    ("lst", "list"),
    ("list-id", "list-id"),
    ("help", "help"),
    ("add", "add"),
    ("set", "set"),
    ("delete", "delete"),
    ("identify", "identify"),
    ("pids", "pids"),
    ("exec", "exec"),
    ("monitor", "monitor"),
    ("attach", "attach"),
];

/// Our own subcommands, which are not abbreviations.
const OURS: [&str; 5] = ["del", "ls", "gc", "connect", "disconnect"];

/// The subcommands for which an option of `ip` has a meaning; with others `ip` ignores it.
const ALL: [&str; 2] = ["delete", "exec"];
const JSON: [&str; 7] = ["list", "show", "list-id", "identify", "pids", "monitor", "top"];

/// The options of `ip`, in the order in which abbreviations are looked up, each with what it means here.
const OPTIONS: [(&str, Meaning); 24] = [
    ("loops", Meaning::Ignored(1)),
    ("family", Meaning::Ignored(1)),
    ("human-readable", Meaning::Ignored(0)),
    ("iec", Meaning::Ignored(0)),
    ("statistics", Meaning::Ignored(0)),
    ("details", Meaning::Ignored(0)),
    ("resolve", Meaning::Ignored(0)),
    ("oneline", Meaning::Ignored(0)),
    ("timestamp", Meaning::Ignored(0)),
    ("tshort", Meaning::Ignored(0)),
    ("Version", Meaning::Ours("--version", 0)),
    ("force", Meaning::Ours("--force", 0)),
    ("batch", Meaning::Ours("--batch", 1)),
    ("brief", Meaning::Ignored(0)),
    ("json", Meaning::Json),
    ("rcvbuf", Meaning::Ignored(1)),
    ("color", Meaning::Ignored(0)),
    ("help", Meaning::Ours("--help", 0)),
    ("netns", Meaning::Ours("--netns", 1)),
    ("Numeric", Meaning::Ignored(0)),
    ("all", Meaning::All),
    ("pretty", Meaning::Ignored(0)),
    ("echo", Meaning::Ignored(0)),
    ("stats", Meaning::Ignored(0)),
];

/// Options that are not abbreviations of others: ours, and those of `ip` for families of addresses.
const EXACT: [(&str, Meaning); 9] = [
    ("--explain", Meaning::Ours("--explain", 0)),
    ("--dry-run", Meaning::Ours("--dry-run", 0)),
    ("--error-fd", Meaning::Ours("--error-fd", 1)),
    ("-h", Meaning::Ours("--help", 0)),
    ("-4", Meaning::Ignored(0)),
    ("-6", Meaning::Ignored(0)),
    ("-0", Meaning::Ignored(0)),
    ("-B", Meaning::Ignored(0)),
    ("-M", Meaning::Ignored(0)),
];

/// What an option of `ip` means here.
#[derive(Clone, Copy)]
enum Meaning {
    /// This option of ours, with as many values.
    Ours(&'static str, usize),
    /// `--all` of the subcommand.
    All,
    /// `--json` of the subcommand.
    Json,
    /// It is about other objects of `ip`; with as many values.
    Ignored(usize),
}

fn meaning(word: &str) -> Option<Meaning> {
    if let Some((_, meaning)) = EXACT.iter().find(|(name, _)| *name == word) {
        return Some(*meaning);
    }
    let text = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let text = if text.starts_with('c') { text.split('=').next()? } else { text };
    OPTIONS.iter().find(|(name, _)| !text.is_empty() && name.starts_with(text)).map(|(_, meaning)| *meaning)
}

/// Returns the words in our own grammar.
pub fn rewrite(argv: Vec<OsString>) -> Vec<OsString> {
    let mut words = argv.into_iter();
    let mut line: Vec<OsString> = words.by_ref().take(1).collect();
    let (mut all, mut json, mut batch) = (false, false, false);
    let mut verb_word = None;
    while let Some(word) = words.next() {
        if word == "--" || !word.to_string_lossy().starts_with('-') {
            verb_word = if word == "--" { words.next() } else { Some(word) };
            break;
        }
        match word.to_str().and_then(meaning) {
            Some(Meaning::All) => all = true,
            Some(Meaning::Json) => json = true,
            Some(Meaning::Ours(option, values)) => {
                batch |= option == "--batch";
                line.push(option.into());
                line.extend(words.by_ref().take(values));
            }
            Some(Meaning::Ignored(values)) => words.by_ref().take(values).for_each(drop),
            None => line.push(word),
        }
    }
    if batch {
        // As with ip: what follows is not read.
        line.extend(json.then(|| "--json".into()));
        return line;
    }
    match verb_word {
        Some(word) => {
            let verb = verb(&word);
            line.push(verb.clone());
            let takes = |verbs: &[&str]| verbs.iter().any(|known| verb == *known);
            line.extend((all && takes(&ALL)).then(|| "--all".into()));
            line.extend((json && takes(&JSON)).then(|| "--json".into()));
            line.extend(words);
        }
        None if json => line.extend(["list".into(), "--json".into()]),
        None => {}
    }
    line
}

fn verb(word: &OsStr) -> OsString {
    let Some(text) = word.to_str().filter(|text| !text.is_empty() && !OURS.contains(text)) else {
        return word.to_owned();
    };
    ORDER.iter().find(|(name, _)| name.starts_with(text)).map_or_else(|| word.to_owned(), |(_, verb)| verb.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let words = rewrite(line.split(' ').map(OsString::from).collect());
        words.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn options_of_ip_come_after_the_subcommand_that_they_are_for() {
        for (line, expected) in [
            ("x", "x"),
            ("x -json", "x list --json"),
            ("x -j l", "x list --json"),
            ("x --json add a", "x add a"),
            ("x -all d", "x delete --all"),
            ("x -a -j exec ip -j link", "x exec --all ip -j link"),
            ("x -n a list-id", "x --netns a list-id"),
            ("x -netns a -json list-id", "x --netns a list-id --json"),
            ("x --explain a b", "x --explain add b"),
            ("x --version", "x --version"),
            ("x -V", "x --version"),
            ("x -h", "x --help"),
            ("x -o -d -4 -c=always -f inet -rc 4096 list", "x list"),
            ("x -js -net a -s l", "x --netns a list --json"),
            ("x -- list", "x list"),
            ("x -b - -fo netns", "x --batch - --force"),
            ("x -j -batch f", "x --batch f --json"),
            ("x --dry-run a b", "x --dry-run add b"),
            ("x -frobnicate list", "x -frobnicate list"),
            ("x -x", "x -x"),
        ] {
            assert_eq!(rewritten(line), expected, "{line}");
        }
    }

    #[test]
    fn an_abbreviation_means_the_first_subcommand_that_it_begins() {
        for (word, verb) in [
            ("l", "list"),
            ("lst", "list"),
            ("ls", "ls"),
            ("list-", "list-id"),
            ("s", "show"),
            ("se", "set"),
            ("h", "help"),
            ("a", "add"),
            ("at", "attach"),
            ("d", "delete"),
            ("del", "del"),
            ("i", "identify"),
            ("p", "pids"),
            ("e", "exec"),
            ("m", "monitor"),
            ("c", "c"),
            ("gc", "gc"),
            ("frobnicate", "frobnicate"),
            ("listing", "listing"),
        ] {
            assert_eq!(rewritten(&format!("x {word}")), format!("x {verb}"), "{word}");
        }
    }
}
