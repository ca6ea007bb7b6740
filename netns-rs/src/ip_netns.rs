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
const JSON: [&str; 6] = ["list", "show", "list-id", "identify", "pids", "monitor"];

/// Returns the words in our own grammar.
pub fn rewrite(argv: Vec<OsString>) -> Vec<OsString> {
    let mut words = argv.into_iter();
    let mut line: Vec<OsString> = words.by_ref().take(1).collect();
    let (mut all, mut json) = (false, false);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("-all" | "-a" | "--all") => all = true,
            Some("-json" | "-j" | "--json") => json = true,
            Some("-netns" | "-n" | "--netns") => {
                line.push("--netns".into());
                line.extend(words.next());
            }
            Some(option) if option.starts_with('-') => line.push(word),
            _ => {
                let verb = verb(&word);
                line.push(verb.clone());
                let takes = |verbs: &[&str]| verbs.iter().any(|known| verb == *known);
                line.extend((all && takes(&ALL)).then(|| "--all".into()));
                line.extend((json && takes(&JSON)).then(|| "--json".into()));
                line.extend(words);
                return line;
            }
        }
    }
    if json {
        line.extend(["list".into(), "--json".into()]);
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
